"""The verbs: register, promote, roll back, retire, alias, upload.

Each is one story over the ports: HTTP calls it, and so could anything else. Not here: how a request is read or an
answer drawn (``http/``), and what happens by itself (``reconciler.py``, ``admission/``).
"""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from registry.aliases import AliasChange
from registry.digest import check_paths
from registry.errors import Conflict, InvalidRequest, NotFound, Unavailable, quote
from registry.intake import Registration
from registry.layout import upload_prefix, upload_source
from registry.log import event
from registry.monitoring.training import BASELINE_TAG, BaselineFile
from registry.plans import Plan, PlanRevision
from registry.ports import Artifacts, Catalog, Ledger, ModelSummary
from registry.records import (
    AliasName,
    CatalogVersion,
    ModelName,
    Upload,
    UploadFile,
    VersionNumber,
    VersionRecord,
    VersionState,
)

REGISTRATION_TAG = "headgate.registration"
REGISTERING_SECONDS = 30
PAGE = 100
"""How many lines of a journal are read at once."""


@dataclass(frozen=True, slots=True)
class FromRun:
    """A model that a run logged: ``path`` is the name or artifact path it was logged under."""

    run_id: str
    path: str


@dataclass(frozen=True, slots=True)
class FromLoggedModel:
    """A model that MLflow 3 logged, by its id (``m-…``)."""

    model_id: str


@dataclass(frozen=True, slots=True)
class FromUpload:
    """A committed upload."""

    upload_id: str


Source = FromRun | FromLoggedModel | FromUpload


class Operations:
    """The registry's verbs.

    Args:
        catalog: MLflow's registry, which numbers versions.
        ledger: Our records.
        artifacts: The bucket.
        wake: Called after something changed that the background work should look at now.
        upload_limit: Bytes one upload may have in all.
    """

    def __init__(
        self, catalog: Catalog, ledger: Ledger, artifacts: Artifacts, *, wake: Callable[[], None], upload_limit: int
    ) -> None:
        self.ledger = ledger
        self._catalog = catalog
        self._artifacts = artifacts
        self._wake = wake
        self._upload_limit = upload_limit
        self._registering = threading.Lock()

    # -- registering ---------------------------------------------------------------------------------------------

    def register(
        self,
        model: ModelName,
        source: Source,
        key: str | None,
        alias: AliasName | None = None,
        baseline: BaselineFile | None = None,
    ) -> tuple[VersionRecord, bool]:
        """Register the next version of ``model``; return its record and whether it is new.

        ``alias`` is set in MLflow's registry at once and serves from the moment the version is ready. The table that
        ``baseline`` names is read once the version is ready (``baselining.py``).

        The same ``key`` with the same content gives the version it gave before, also when the first answer was lost
        or the process died between MLflow's record and ours (MLflow's carries the key as a tag).
        """
        if baseline is not None and isinstance(source, FromUpload):
            self._require_declared(source, baseline)
        tags = {} if baseline is None else {BASELINE_TAG: baseline.tag()}
        record, new = self._registered(model, source, key, tags)
        if alias is not None:
            self._catalog.set_alias(model, alias, record.version)
        self._wake()
        return record, new

    def _require_declared(self, source: FromUpload, baseline: BaselineFile) -> None:
        if all(file.path != baseline.path for file in self.upload(source.upload_id).files):
            raise InvalidRequest(
                "invalid_argument", f"the upload has no file '{quote(baseline.path)}', which shall be the baseline"
            )

    def _registered(
        self, model: ModelName, source: Source, key: str | None, tags: Mapping[str, str]
    ) -> tuple[VersionRecord, bool]:
        uri, fingerprint = self._resolve(source)
        if key is None:
            return self._observe(self._create(model, source, uri, tags)), True
        mark = hashlib.sha256(key.encode()).hexdigest()
        known = self.ledger.registrations.begin(Registration(model, mark, fingerprint, None))
        if known.fingerprint != fingerprint:
            raise Conflict("already_exists", "this idempotency key was used for other content; use a new key")
        # One after the other in this process, so that a client's impatient retry does not use up a number.
        if not self._registering.acquire(timeout=REGISTERING_SECONDS):
            raise Unavailable("registry_unavailable", "other registrations are taking long; send the same one again")
        try:
            return self._register_once(model, source, uri, {**tags, REGISTRATION_TAG: mark})
        finally:
            self._registering.release()

    def _register_once(
        self, model: ModelName, source: Source, uri: str, tags: Mapping[str, str]
    ) -> tuple[VersionRecord, bool]:
        mark = tags[REGISTRATION_TAG]
        known = self.ledger.registrations.begin(Registration(model, mark, "", None))
        if known.version is not None:
            return self.version(model, known.version), False
        earlier = self._catalog.find_version(model, REGISTRATION_TAG, mark)
        created = earlier or self._create(model, source, uri, tags)
        record = self._observe(created)
        try:
            self.ledger.registrations.complete(model, mark, created.version)
        except Conflict:
            # Another replica registered under this key at the same moment and was first: nobody was told of ours.
            if earlier is None:
                self.delete(model, created.version)
            return self._register_once(model, source, uri, tags)
        return record, earlier is None

    def _resolve(self, source: Source) -> tuple[str, str]:
        """Return the source as MLflow's URI, and a fingerprint of the content it stands for."""
        match source:
            case FromRun(run_id, path):
                return f"runs:/{run_id}/{path}", f"run:{run_id}/{path}"
            case FromLoggedModel(model_id):
                return f"models:/{model_id}", f"model:{model_id}"
            case FromUpload(upload_id):
                upload = self.upload(upload_id)
                if not upload.committed:
                    raise Conflict("not_ready", "this upload is not committed yet; POST …/commit first")
                listing = json.dumps(sorted((f.path, f.digest) for f in upload.files))
                return upload_source(upload_id), "files:" + hashlib.sha256(listing.encode()).hexdigest()

    def _create(self, model: ModelName, source: Source, uri: str, tags: Mapping[str, str]) -> CatalogVersion:
        run_id = source.run_id if isinstance(source, FromRun) else None
        return self._catalog.create_version(model, uri, run_id, tags)

    def _observe(self, version: CatalogVersion) -> VersionRecord:
        self.ledger.versions.observe(version)
        return self.version(version.model, version.version)

    # -- uploads ---------------------------------------------------------------------------------------------------

    def begin_upload(self, files: Sequence[UploadFile], now_ms: int) -> Upload:
        """Begin an upload of exactly ``files``."""
        check_paths([f.path for f in files])
        if not any(f.path == "MLmodel" for f in files):
            raise InvalidRequest(
                "invalid_argument", "an upload is an MLflow model directory: it must hold a file MLmodel"
            )
        total = sum(f.size for f in files)
        if total > self._upload_limit:
            raise InvalidRequest(
                "quota_exceeded", f"these files are {total} bytes; HEADGATE_UPLOAD_BYTES allows {self._upload_limit}"
            )
        upload = Upload(secrets.token_hex(16), tuple(files), committed=False, created_ms=now_ms)
        self.ledger.uploads.create(upload)
        return upload

    def upload(self, upload_id: str) -> Upload:
        """Return an upload; raise NotFound ``unknown_upload``."""
        upload = self.ledger.uploads.get(upload_id)
        if upload is None:
            raise NotFound("unknown_upload", "there is no such upload; POST /registry/v1/uploads begins one")
        return upload

    def receive(self, upload_id: str, path: str, chunks: Iterable[bytes]) -> UploadFile:
        """Store one declared file. A file that has arrived is not stored again."""
        upload = self.upload(upload_id)
        declared = next((f for f in upload.files if f.path == path), None)
        if declared is None:
            raise NotFound("not_found", f"this upload declared no file '{quote(path)}'")
        if declared.arrived:
            return declared
        self._artifacts.receive(upload_prefix(upload_id) + path, chunks, declared.size, declared.digest)
        try:
            self.ledger.uploads.arrived(upload_id, path)
        except NotFound:
            # It was swept while this file came, and nobody else would find the file any more.
            self._artifacts.delete_prefix(upload_prefix(upload_id))
            raise
        return UploadFile(declared.path, declared.size, declared.digest, arrived=True)

    def commit_upload(self, upload_id: str) -> Upload:
        """Close an upload; raise Conflict naming the files that have not come."""
        self.upload(upload_id)
        self.ledger.uploads.commit(upload_id)
        return self.upload(upload_id)

    def sweep_uploads(self, before_ms: int) -> None:
        """Remove uploads that were never committed and of which nothing came since ``before_ms``."""
        for upload_id in self.ledger.uploads.abandon(before_ms):
            self._artifacts.delete_prefix(upload_prefix(upload_id))
            self.ledger.uploads.forget(upload_id)
            event("uploads.swept", upload=upload_id)

    # -- models and versions ---------------------------------------------------------------------------------------

    def model(self, model: ModelName) -> ModelSummary:
        """Return a model; raise NotFound ``unknown_model``."""
        summary = self.ledger.models.get(model)
        if summary is None:
            raise NotFound("unknown_model", f"there is no model '{model}'")
        return summary

    def version(self, model: ModelName, version: VersionNumber) -> VersionRecord:
        """Return a version's record; raise NotFound saying what exists."""
        record = self.ledger.versions.get(model, version)
        if record is None:
            raise self._unknown(model, version)
        return record

    def _unknown(self, model: ModelName, version: VersionNumber) -> NotFound:
        self.model(model)
        newest = self.ledger.versions.page(model, 10, 0)
        listed = ", ".join(r.version for r in reversed(newest)) or "none"
        return NotFound("unknown_version", f"{model} has no version {version}; it has {listed}")

    def admit_again(self, model: ModelName, version: VersionNumber) -> VersionRecord:
        """Check a rejected version again, from the start."""
        record = self.version(model, version)
        if record.state is VersionState.REJECTED:
            self.ledger.versions.settle(model, version, VersionState.CHECKING, (), None)
            self._wake()
        elif record.state is VersionState.RETIRED:
            raise Conflict("not_ready", f"{model} version {version} is retired; register its model again")
        return self.version(model, version)

    def retire(self, model: ModelName, version: VersionNumber) -> VersionRecord:
        """Take a version out of service for good; raise Conflict ``in_use`` while a plan or alias names it."""
        self.version(model, version)
        self.ledger.versions.retire(model, version)
        return self.version(model, version)

    def delete(self, model: ModelName, version: VersionNumber) -> None:
        """Retire a version and delete MLflow's record of it. Its number is never used again."""
        self.version(model, version)
        self.ledger.versions.retire(model, version)
        self._catalog.delete_version(model, version)
        self._wake()

    # -- traffic and aliases ---------------------------------------------------------------------------------------

    def plan(self, model: ModelName) -> PlanRevision:
        """Return the plan in force; raise NotFound ``unknown_model`` or ``no_plan``."""
        revision = self.ledger.plans.current(model)
        if revision is None:
            self.model(model)
            raise NotFound("no_plan", f'{model} has no plan yet; PUT …/traffic with If-Match: "0" makes the first')
        return revision

    def replan(self, model: ModelName, expected: int, plan: Plan | None, who: str) -> PlanRevision:
        """Replace the plan, where ``expected`` is still its revision.

        The canary's seed is that of the plan before while it is the same version, else the new revision's number.
        """
        if plan is not None and plan.canary is not None:
            before = self.ledger.plans.current(model)
            known = before.plan.canary if before is not None and before.plan is not None else None
            same = known is not None and known.version == plan.canary.version
            plan = replace(plan, canary=replace(plan.canary, seed=known.seed if known and same else str(expected + 1)))
        why = plan.note if plan is not None and plan.note else "plan replaced" if plan else "all traffic taken away"
        return self.ledger.plans.append(model, expected, plan, who, why)

    def roll_back(
        self, model: ModelName, revision: int | None, who: str, *, expected: int | None = None
    ) -> PlanRevision:
        """Put back the plan of ``revision``, or of the one before the present; a new revision records it.

        So rolling back twice gives the plan that was rolled back. The steps of a rollout are left out, unless they are
        named: what comes before them is the plan that it began with. Only a revision that is named may take all
        traffic away again. Where ``expected`` is given, it must still be the present revision.
        """
        current = self.plan(model)
        wanted = self._before(current) if revision is None else revision
        if wanted < 1:
            raise Conflict(
                "not_ready", f"{model} has nothing to roll back to: revision {current.revision} is its first"
            )
        found = self.ledger.plans.history(model, 1, wanted + 1)
        if not found or found[0].revision != wanted:
            raise NotFound("not_found", f"{model} has no revision {wanted}; the newest is {current.revision}")
        if revision is None and found[0].plan is None and current.plan is not None:
            raise Conflict(
                "not_ready",
                f"revision {wanted} of {model}, the one before, took all traffic away; name the revision to go back to",
                {"revision": current.revision},
            )
        seen = current.revision if expected is None else expected
        return self.ledger.plans.append(model, seen, found[0].plan, who, f"rolled back to revision {wanted}")

    def _before(self, current: PlanRevision) -> int:
        """Return the revision before the present that no rollout made as one of its steps; 0 for none."""
        wanted = current.revision
        while page := self.ledger.plans.history(current.model, PAGE, wanted):
            for line in page:
                canary = None if line.plan is None else line.plan.canary
                by = self.ledger.rollouts.get(line.model, canary.seed) if canary and canary.of_rollout else None
                if by is None or line.revision not in by.revisions:  # a canary set by hand keeps the rollout's seed
                    return line.revision
            wanted = page[-1].revision
            if wanted <= 1:
                break
        return 0

    def alias(self, model: ModelName, alias: AliasName) -> AliasChange:
        """Return what an alias names and since when; raise NotFound ``unknown_model`` or ``unknown_alias``."""
        line = self.ledger.aliases.current(model, alias)
        if line is None or line.version is None:
            self.model(model)
            raise NotFound("unknown_alias", f"{model} has no alias '{alias}'")
        return line

    def set_alias(
        self,
        model: ModelName,
        alias: AliasName,
        version: VersionNumber | None,
        *,
        who: str,
        why: str = "",
        expected: int | None = None,
    ) -> AliasChange | None:
        """Point an alias at a ready version, or remove it; MLflow's follows at once, or when it can be reached.

        Where ``expected`` is given, it must still be the alias's revision (0: it never had one).
        """
        if version is None and not any(a.alias == alias and a.version for a in self.ledger.aliases.all(model)):
            raise NotFound("unknown_alias", f"{model} has no alias '{alias}'")
        said = why or ("alias set" if version is not None else "alias removed")
        line = self.ledger.aliases.set(model, alias, version, who=who, why=said, expected=expected)
        self._wake()
        return line


class Guard:
    """What MLflow's own routes must ask us before they change the catalog (``mlflow_app.guard.CatalogGuard``)."""

    def __init__(self, ledger: Ledger, wake: Callable[[], None]) -> None:
        self._ledger = ledger
        self._wake = wake

    def before_delete_version(self, model: str, version: str) -> None:
        """Retire the record first, so that no plan can name a version whose deletion has begun."""
        if self._ledger.versions.get(ModelName(model), VersionNumber(version)) is not None:
            self._ledger.versions.retire(ModelName(model), VersionNumber(version))

    def before_delete_model(self, model: str) -> None:
        """Raise Conflict ``in_use`` while the model has a plan or an alias; otherwise retire all its versions."""
        self._ledger.models.retire_all(ModelName(model))

    def highest_version(self, model: str) -> int:
        """Return the highest number the model ever had, as far as our records know; 0 for none."""
        return self._ledger.models.highest_number(ModelName(model))

    def remember_highest(self, model: str, version: int) -> None:
        """Keep a number as used, for ever."""
        self._ledger.models.remember_number(ModelName(model), version)

    def after_change(self, model: str) -> None:
        """Look at MLflow now rather than at the next turn."""
        self._wake()
