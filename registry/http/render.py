"""Records as the JSON of the contract. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from registry.aliases import AliasChange
from registry.monitoring.ports import BaselineRecord
from registry.plans import PlanRevision
from registry.ports import ModelSummary
from registry.records import AliasName, Upload, UploadFile, VersionNumber, VersionRecord


def iso(at_ms: int) -> str:
    """Return a moment as ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def baseline_in_short(record: BaselineRecord | None) -> dict[str, Any] | None:
    """Return a baseline as a version object has it: where it came from, its rows, its document."""
    if record is None:
        return None
    return {"origin": record.origin.value, "rows": record.rows, "digest": record.digest, "at": iso(record.at_ms)}


def version_json(
    record: VersionRecord,
    aliases: Mapping[AliasName, VersionNumber],
    plan: PlanRevision | None,
    baseline: BaselineRecord | None = None,
) -> dict[str, Any]:
    """Return a version object; ``traffic`` says as what the plan in force names it."""
    sealed = record.sealed
    roles = plan.plan.roles(record.version) if plan is not None and plan.plan is not None else ()
    return {
        "model": record.model,
        "version": record.version,
        "state": record.state.value,
        "reason": record.reason,
        "checks": [{"name": c.name, "verdict": c.verdict.value, "reason": c.reason} for c in record.checks],
        "tier": sealed.tier.value if sealed else None,
        "runtime": sealed.runtime if sealed else None,
        "digest": sealed.digest if sealed else None,
        "size": sealed.size if sealed else None,
        "signature": sealed.signature if sealed else None,
        "requirements": list(sealed.requirements) if sealed else [],
        "python": sealed.python if sealed else None,
        "flavors": list(sealed.flavors) if sealed else [],
        "baseline": baseline_in_short(baseline),
        "run_id": record.run_id,
        "user": record.user,
        "created_at": iso(record.created_ms),
        "aliases": sorted(alias for alias, version in aliases.items() if version == record.version),
        "stable": "stable" in roles,
        "traffic": list(roles),
    }


def model_json(summary: ModelSummary) -> dict[str, Any]:
    """Return a model object with its newest versions."""
    return {
        "name": summary.name,
        "aliases": dict(summary.aliases),
        "plan": plan_json(summary.plan) if summary.plan else None,
        "version_count": summary.version_count,
        "versions": [
            version_json(v, summary.aliases, summary.plan, summary.baselines.get(v.version)) for v in summary.versions
        ],
    }


def plan_json(revision: PlanRevision) -> dict[str, Any]:
    """Return one revision of a plan; its ``plan`` is a body that can be PUT as it is."""
    plan = revision.plan
    return {
        "model": revision.model,
        "revision": revision.revision,
        "plan": None if plan is None else plan.shown(),
        "who": revision.who,
        "why": revision.why,
        "at": iso(revision.at_ms),
    }


def alias_json(line: AliasChange) -> dict[str, Any]:
    """Return one line of an alias's journal; ``version`` is null where it was removed."""
    return {
        "model": line.model,
        "alias": line.alias,
        "revision": line.revision,
        "version": line.version,
        "who": line.who,
        "why": line.why,
        "at": iso(line.at_ms),
    }


def upload_file_json(file: UploadFile) -> dict[str, Any]:
    """Return one file of an upload."""
    return {
        "path": file.path,
        "size": file.size,
        "sha256": file.digest.removeprefix("sha256:"),
        "arrived": file.arrived,
    }


def upload_json(upload: Upload) -> dict[str, Any]:
    """Return an upload."""
    files = [upload_file_json(f) for f in upload.files]
    return {"upload": {"id": upload.id, "files": files, "committed": upload.committed}}
