"""How versions come by baselines: from a table that is sent, or one that their training run logged.

A table is kept on disk while it is read, in a file without a name: nothing is left of it, however this process ends.
Not here: what a baseline is made of (``monitoring/``), provisional ones from live rows, and HTTP.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Protocol

from registry.baselines import DOCUMENT_BYTES, Baseline, Origin
from registry.errors import HeadgateError, InvalidRequest, NotFound, Unavailable, quote
from registry.layout import source_prefix
from registry.lifecycle import require_ready
from registry.log import event, failure
from registry.monitoring.ports import (
    BASELINE_CHECK,
    BaselineRecord,
    LoggedRun,
    Runs,
    TableForm,
    TableOrder,
    Tables,
)
from registry.monitoring.training import BASELINE_TAG, BaselineFile, tables_of
from registry.operations import Operations
from registry.ports import Artifacts, Catalog, SourceFile, WorkingFiles
from registry.records import Check, ModelName, Verdict, VersionNumber, VersionRecord

LOOKS_A_TURN = 100
_ENDINGS = {
    ".parquet": TableForm.PARQUET,
    ".csv": TableForm.CSV,
    ".arrow": TableForm.ARROW,
    ".arrows": TableForm.ARROW,
    ".feather": TableForm.ARROW,
}


class Bucket(Artifacts, WorkingFiles, Protocol):
    """The bucket, sealed objects and working files."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where tables lie while they are read, and how many bytes one may have."""

    folder: Path
    limit: int


@dataclass(frozen=True, slots=True)
class Given:
    """What came of a table that was sent: the record, the baseline, and columns that were not used."""

    record: BaselineRecord
    baseline: Baseline
    ignored: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A working file that may be the training table, and in words where it was found."""

    prefix: str
    path: str
    whence: str
    prediction: str | None = None
    required: bool = False


class BaselineOperations:
    """The verbs of baselines.

    Args:
        operations: The registry's other verbs.
        catalog: MLflow's registry, whose tags say what was asked for at registration.
        bucket: Where documents are sealed and runs' artifacts lie.
        tables: Reads tables.
        runs: What training runs logged.
        shelf: Where a table lies while it is read.
    """

    def __init__(
        self,
        operations: Operations,
        catalog: Catalog,
        bucket: Bucket,
        *,
        tables: Tables,
        runs: Runs,
        shelf: Shelf,
    ) -> None:
        self._ledger = operations.ledger
        self._operations = operations
        self._catalog = catalog
        self._bucket = bucket
        self._tables = tables
        self._runs = runs
        self._folder = shelf.folder
        self._limit = shelf.limit
        self._looked_at = -1

    # -- tables that are sent ------------------------------------------------------------------------------------

    def receive(
        self, record: VersionRecord, chunks: Iterable[bytes], form: TableForm, prediction: str | None = None
    ) -> Given:
        """Make a table the baseline of a version that is ready (``require``), in place of the one before.

        Raises InvalidRequest ``invalid_input`` or ``body_too_large``, Refused ``overloaded``, Conflict ``not_ready``.
        """
        with self._kept(chunks) as file:
            given = self._make(record, file, form, Origin.GIVEN, prediction)
        self._note(record, f"{given.baseline.rows:,} rows of a table that was sent")
        return given

    def require(self, model: ModelName, version: VersionNumber) -> VersionRecord:
        """Return a version that may have a baseline; raise NotFound or Conflict ``not_ready``."""
        return require_ready(model, version, self._operations.version(model, version), existing=())

    def show(self, model: ModelName, version: VersionNumber) -> tuple[BaselineRecord, Baseline]:
        """Return the baseline of a version; raise NotFound where it has none."""
        self._operations.version(model, version)
        record = self._ledger.baselines.get(model, version)
        if record is None:
            raise NotFound(
                "not_found", f"{model} version {version} has no baseline yet; PUT a table of its training data here"
            )
        document = self._bucket.read(record.digest, DOCUMENT_BYTES)
        return record, Baseline.from_bytes(document)

    # -- tables that were logged ---------------------------------------------------------------------------------

    def due(self) -> bool:
        """Tell whether there may be something to look for: a version may have become ready since it was done."""
        return self._ledger.snapshots.revision() != self._looked_at

    def look(self) -> None:
        """Look for the baselines of ready versions for which nobody looked yet, the oldest first.

        What came of it is a check of the version, which never fails it. Raises Unavailable where a store is gone: then
        the next turn tries again.
        """
        revision = self._ledger.snapshots.revision()
        waiting = self._ledger.baselines.unlooked(LOOKS_A_TURN)
        for record in waiting:
            try:
                reason = self._find(record)
            except Unavailable:
                raise
            except Exception as error:  # noqa: BLE001 (a stranger's run met a fault of ours: other versions must go on)
                failure("baseline.failed", error, model=record.model, version=record.version)
                reason = f"none: the platform itself failed at it ({type(error).__name__}); report it"
            self._note(record, reason)
        if not waiting:
            self._looked_at = revision

    def _note(self, record: VersionRecord, reason: str) -> None:
        self._ledger.baselines.note(record.model, record.version, Check(BASELINE_CHECK, Verdict.PASSED, reason))

    def _find(self, record: VersionRecord) -> str:
        """Return what came of looking, in words."""
        run = self._runs.of(record)
        refusals: list[str] = []
        for candidate in self._candidates(record, run):
            found = self._file(candidate)
            if found is None:
                if candidate.required:
                    refusals.append(f"there is no file '{quote(candidate.path)}' in {candidate.whence}")
                continue
            try:
                given = self._make_of(record, candidate, found)
            except HeadgateError as error:
                if isinstance(error, Unavailable):
                    raise
                refusals.append(f"'{quote(candidate.path)}' ({candidate.whence}): {error.message}")
                continue
            rows = f"{given.baseline.rows:,} rows of '{quote(candidate.path)}' ({candidate.whence})"
            return f"{rows}; not used: {'; '.join(refusals)}"[:1000] if refusals else rows
        if refusals:
            return f"none: {'; '.join(refusals)}"[:1000]
        return "none: the version came from no run" if run is None else "none: the run logged no table of its own"

    def _candidates(self, record: VersionRecord, run: LoggedRun | None) -> Iterator[_Candidate]:
        yield from self._asked_for(record)
        if run is not None:
            for path, whence in tables_of(run):
                yield _Candidate(run.artifacts, path, whence)

    def _asked_for(self, record: VersionRecord) -> Iterator[_Candidate]:
        """Yield the file that the registration named, if it did: its tag is MLflow's record of the version."""
        model = self._catalog.model(record.model)
        for version in model.versions if model is not None else ():
            tag = version.tags.get(BASELINE_TAG)
            if tag and (version.version, version.created_ms) == (record.version, record.created_ms):
                asked = BaselineFile.of_tag(tag)
                if asked is not None:
                    yield _Candidate(
                        record.location, asked.path, "the model's own files", asked.prediction, required=True
                    )

    def _file(self, candidate: _Candidate) -> SourceFile | None:
        """Return a working file that is really there: only what the bucket lists is ever opened."""
        try:
            prefix = source_prefix(candidate.prefix)
            listed = self._bucket.list_files(prefix)
        except InvalidRequest:
            return None
        return next((file for file in listed if file.path == candidate.path), None)

    def _make_of(self, record: VersionRecord, candidate: _Candidate, file: SourceFile) -> Given:
        form = _ENDINGS.get(Path(candidate.path).suffix.lower())
        if form is None:
            raise InvalidRequest("invalid_input", f"a table ends in {', '.join(_ENDINGS)}")
        if file.size > self._limit:
            raise self._too_large()
        origin = Origin.GIVEN if candidate.required else Origin.RUN
        with self._kept(self._bucket.stream(source_prefix(candidate.prefix), file)) as kept:
            return self._make(record, kept, form, origin, candidate.prediction)

    # -- both ----------------------------------------------------------------------------------------------------

    def _make(
        self, record: VersionRecord, file: BinaryIO, form: TableForm, origin: Origin, prediction: str | None
    ) -> Given:
        signature = record.sealed.signature if record.sealed is not None else None
        made = self._tables.make(file, TableOrder(form, signature, origin, prediction))
        baseline = replace(made.baseline, origin=origin)
        digest = self._bucket.seal_bytes(baseline.to_bytes())
        recorded = self._ledger.baselines.put(record.model, record.version, digest, origin, baseline.rows)
        event("baseline.made", model=record.model, version=record.version, origin=origin.value, rows=baseline.rows)
        return Given(recorded, baseline, made.ignored)

    @contextmanager
    def _kept(self, chunks: Iterable[bytes]) -> Iterator[BinaryIO]:
        """Hold a table in a file that has no name and ends with this block."""
        size = 0
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 (its end is below, whatever happens)
        except OSError as error:
            raise _no_room() from error
        with file:
            for chunk in chunks:
                size += len(chunk)
                if size > self._limit:
                    raise self._too_large()
                try:
                    file.write(chunk)
                except OSError as error:
                    raise _no_room() from error
            if not size:
                raise InvalidRequest("invalid_input", "the body is empty; send a table", {"reason": "no_rows"})
            try:
                file.flush()
            except OSError as error:
                raise _no_room() from error
            yield file

    def _too_large(self) -> InvalidRequest:
        return InvalidRequest(
            "body_too_large",
            f"a table has at most {self._limit:,} bytes (HEADGATE_BASELINE_BYTES); send a sample of its rows",
            {"limit": self._limit},
        )


def _no_room() -> Unavailable:
    return Unavailable("no_capacity", "the registry has no room to keep a table while it reads it", retry_after=30)
