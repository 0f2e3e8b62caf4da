"""Rows to records and back: the one place that knows how values are kept in columns."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row

from registry.aliases import AliasChange
from registry.plans import Plan, PlanRevision
from registry.records import (
    AliasName,
    Check,
    Digest,
    ModelName,
    Sealed,
    Tier,
    Verdict,
    VersionNumber,
    VersionRecord,
    VersionState,
)
from registry.snapshots import ServableVersion

MAX_NUMBER = 10**18
"""Above every version number and revision; both databases can hold it."""


def text_key(text: str) -> str:
    """Return what stands for a long text in an index."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def below(before: int) -> int:
    """Return the exclusive upper limit that a page's ``before`` means; 0 means none."""
    return min(before, MAX_NUMBER) if before > 0 else MAX_NUMBER


def number_or_none(value: int | None) -> VersionNumber | None:
    """Return a nullable number column as a version."""
    return None if value is None else VersionNumber(str(value))


def sealed_columns(sealed: Sealed | None) -> dict[str, object]:
    """Return what the sealed columns hold; all null where nothing was sealed."""
    if sealed is None:
        names = ("digest", "size", "tier", "runtime", "signature", "requirements", "python", "flavors", "lock")
        return dict.fromkeys(names)
    return {
        "digest": sealed.digest,
        "size": sealed.size,
        "tier": sealed.tier.value,
        "runtime": sealed.runtime,
        "signature": None if sealed.signature is None else json.dumps(dict(sealed.signature)),
        "requirements": json.dumps(list(sealed.requirements)),
        "python": sealed.python,
        "flavors": json.dumps(list(sealed.flavors)),
        "lock": sealed.lock,
    }


def checks_column(checks: Sequence[Check]) -> str:
    """Return the checks as they are kept."""
    return json.dumps([[check.name, check.verdict.value, check.reason] for check in checks])


def version_record(row: Row[Any]) -> VersionRecord:
    """Return a row of ``headgate_versions`` as a record."""
    return VersionRecord(
        model=ModelName(row.model),
        version=VersionNumber(str(row.number)),
        state=VersionState(row.state),
        source=row.source,
        location=row.location,
        created_ms=row.created_ms,
        run_id=row.run_id,
        user=row.user_name,
        checks=tuple(Check(name, Verdict(verdict), reason) for name, verdict, reason in json.loads(row.checks)),
        sealed=_sealed(row),
    )


def _sealed(row: Row[Any]) -> Sealed | None:
    if row.digest is None:
        return None
    return Sealed(
        digest=Digest(row.digest),
        size=row.size,
        tier=Tier(row.tier),
        runtime=row.runtime,
        signature=None if row.signature is None else json.loads(row.signature),
        requirements=tuple(json.loads(row.requirements)),
        python=row.python,
        flavors=tuple(json.loads(row.flavors)),
        lock=None if row.lock is None else Digest(row.lock),
    )


def servable_version(row: Row[Any]) -> ServableVersion:
    """Return a row of a ready version, with its baseline's digest, as nodes see it."""
    return ServableVersion(
        version=VersionNumber(str(row.number)),
        digest=Digest(row.digest),
        size=row.size,
        runtime=row.runtime,
        signature=None if row.signature is None else json.loads(row.signature),
        requirements=tuple(json.loads(row.requirements)),
        python=row.python,
        flavors=tuple(json.loads(row.flavors)),
        lock=None if row.lock is None else Digest(row.lock),
        baseline=None if row.baseline is None else Digest(row.baseline),
    )


def plan_column(plan: Plan | None) -> str | None:
    """Return a plan as it is kept; None stays null."""
    if plan is None:
        return None
    return json.dumps(plan.to_json())


def plan_from(column: str | None) -> Plan | None:
    """Return the plan that a column holds."""
    if column is None:
        return None
    return Plan.from_json(json.loads(column))


def plan_revision(row: Row[Any]) -> PlanRevision:
    """Return a row of ``headgate_plans`` as a line of the journal."""
    return PlanRevision(
        model=ModelName(row.model),
        revision=row.revision,
        plan=plan_from(row.plan),
        who=row.who,
        why=row.why,
        at_ms=row.at_ms,
    )


def alias_change(row: Row[Any]) -> AliasChange:
    """Return a row of ``headgate_alias_changes`` as a line of the journal."""
    return AliasChange(
        model=ModelName(row.model),
        alias=AliasName(row.alias),
        revision=row.revision,
        version=number_or_none(row.version),
        who=row.who,
        why=row.why,
        at_ms=row.at_ms,
    )


def alias_columns(line: AliasChange) -> dict[str, object]:
    """Return a line of an alias's journal as its columns."""
    return {
        "model": line.model,
        "alias": line.alias,
        "revision": line.revision,
        "version": None if line.version is None else int(line.version),
        "who": line.who,
        "why": line.why,
        "at_ms": line.at_ms,
    }
