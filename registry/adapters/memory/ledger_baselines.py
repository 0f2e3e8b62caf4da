"""Which baseline each version has, in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from registry.adapters.memory.ledger_state import LedgerState, require_ready_in
from registry.baselines import Origin, outranks
from registry.errors import NotFound
from registry.monitoring.ports import BASELINE_CHECK, BaselineRecord
from registry.records import Check, Digest, ModelName, VersionNumber, VersionRecord, VersionState


class MemoryBaselines:
    """The ``Baselines`` port."""

    def __init__(self, state: LedgerState) -> None:
        self._state = state

    def put(
        self, model: ModelName, version: VersionNumber, digest: Digest, origin: Origin, rows: int
    ) -> BaselineRecord:
        """See ``Baselines.put``."""
        with self._state.lock:
            found = self._state.present(model)
            if found is None:
                raise NotFound("unknown_version", f"{model} has no version {version}")
            require_ready_in(found, version)
            present = found.baselines.get(int(version))
            if present is not None and not outranks(origin, present.origin):
                return present
            if present is not None and (present.digest, present.origin) == (digest, origin):
                return present
            record = BaselineRecord(model, version, digest, origin, rows, self._state.clock())
            found.baselines[int(version)] = record
            self._state.stamp(found)
            return record

    def get(self, model: ModelName, version: VersionNumber) -> BaselineRecord | None:
        """See ``Baselines.get``."""
        with self._state.lock:
            return self.of_model(model).get(version)

    def of_model(self, model: ModelName) -> Mapping[VersionNumber, BaselineRecord]:
        """See ``Baselines.of_model``."""
        with self._state.lock:
            found = self._state.present(model)
            return {} if found is None else {record.version: record for _, record in sorted(found.baselines.items())}

    def unlooked(self, limit: int) -> Sequence[VersionRecord]:
        """See ``Baselines.unlooked``."""
        with self._state.lock:
            waiting = [
                record
                for model in self._state.models.values()
                for number, record in model.versions.items()
                if record.state is VersionState.READY
                and number not in model.baselines
                and all(check.name != BASELINE_CHECK for check in record.checks)
            ]
            return sorted(waiting, key=lambda r: (r.created_ms, r.model, int(r.version)))[: max(limit, 0)]

    def note(self, model: ModelName, version: VersionNumber, check: Check) -> None:
        """See ``Baselines.note``."""
        with self._state.lock:
            found = self._state.present(model)
            record = None if found is None else found.versions.get(int(version))
            if found is not None and record is not None:
                checks = (*(one for one in record.checks if one.name != check.name), check)
                found.versions[int(version)] = replace(record, checks=checks)
