"""The records of versions and their moves, in memory. Not here: everything else about a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from registry.adapters.memory.ledger_state import LedgerState, ModelState, require_unused_in
from registry.errors import Conflict, NotFound
from registry.lifecycle import require_move
from registry.records import CatalogVersion, Check, ModelName, Sealed, VersionNumber, VersionRecord, VersionState


class MemoryVersions:
    """The ``Versions`` port."""

    def __init__(self, state: LedgerState) -> None:
        self._state = state

    def observe(self, version: CatalogVersion) -> bool:
        """See ``Versions.observe``."""
        with self._state.lock:
            model = self._state.models.setdefault(version.model, ModelState(version.model))
            number = int(version.version)
            known = model.versions.get(number)
            if known is not None:
                planned, aliases = model.users_of(version.version)
                # Another version under a known number (MLflow starts again at 1) waits while the old one is in use.
                if known.created_ms == version.created_ms or planned is not None or aliases:
                    return False
            model.versions[number] = VersionRecord(
                model=version.model,
                version=version.version,
                state=VersionState.PENDING,
                source=version.source,
                location=version.location,
                created_ms=version.created_ms,
                run_id=version.run_id,
                user=version.user,
            )
            model.claims.pop(number, None)
            model.baselines.pop(number, None)
            model.removed = False
            self._state.stamp(model)
            return True

    def get(self, model: ModelName, version: VersionNumber) -> VersionRecord | None:
        """See ``Versions.get``."""
        with self._state.lock:
            present = self._state.present(model)
            return None if present is None else present.versions.get(int(version))

    def page(self, model: ModelName, limit: int, before: int) -> Sequence[VersionRecord]:
        """See ``Versions.page``."""
        with self._state.lock:
            present = self._state.present(model)
            return () if present is None else present.newest(limit, before)

    def claim(self, now_ms: int, until_ms: int) -> VersionRecord | None:
        """See ``Versions.claim``."""
        with self._state.lock:
            queue = [
                (record.created_ms, model.name, number, model)
                for model in self._state.models.values()
                for number, record in model.versions.items()
                if record.state is VersionState.PENDING
                or (record.state is VersionState.CHECKING and model.claims.get(number, 0) <= now_ms)
            ]
            if not queue:
                return None
            _, _, number, model = min(queue, key=lambda waiting: waiting[:3])
            before = model.versions[number].state
            require_move(before, VersionState.CHECKING)
            model.versions[number] = replace(model.versions[number], state=VersionState.CHECKING)
            model.claims[number] = until_ms
            if before is not VersionState.CHECKING:
                self._state.stamp(model)
            return model.versions[number]

    def renew(self, model: ModelName, version: VersionNumber, until_ms: int) -> None:
        """See ``Versions.renew``."""
        with self._state.lock:
            present, record = self._require(model, version)
            if record.state is not VersionState.CHECKING:
                raise Conflict(
                    "not_ready", f"{model} version {version} is {record.state}: there is no claim to prolong"
                )
            present.claims[int(version)] = until_ms

    def settle(
        self,
        model: ModelName,
        version: VersionNumber,
        state: VersionState,
        checks: Sequence[Check],
        sealed: Sealed | None,
    ) -> None:
        """See ``Versions.settle``."""
        if state not in (VersionState.READY, VersionState.REJECTED, VersionState.CHECKING):
            raise ValueError(f"a check does not end in {state}; retire is a verb of its own")
        if state is VersionState.READY and sealed is None:
            raise ValueError("a version becomes ready with what was sealed")
        with self._state.lock:
            present, record = self._require(model, version)
            require_move(record.state, state)
            if record.state is VersionState.READY:
                require_unused_in(present, version)
            self._move(present, replace(record, state=state, checks=tuple(checks), sealed=sealed))

    def retire(self, model: ModelName, version: VersionNumber) -> None:
        """See ``Versions.retire``."""
        with self._state.lock:
            present, record = self._require(model, version)
            if record.state is VersionState.RETIRED:
                return
            require_move(record.state, VersionState.RETIRED)
            require_unused_in(present, version)
            self._move(present, replace(record, state=VersionState.RETIRED))

    def _require(self, model: ModelName, version: VersionNumber) -> tuple[ModelState, VersionRecord]:
        present = self._state.present(model)
        record = None if present is None else present.versions.get(int(version))
        if present is None or record is None:
            raise NotFound("unknown_version", f"{model} has no version {version}")
        return present, record

    def _move(self, model: ModelState, record: VersionRecord) -> None:
        model.versions[int(record.version)] = record
        model.claims.pop(int(record.version), None)
        self._state.stamp(model)
