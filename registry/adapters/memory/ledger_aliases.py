"""Movable names and their journals, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from registry.adapters.memory.ledger_state import LedgerState, ModelState, require_ready_in
from registry.aliases import AliasChange, AliasRecord
from registry.lifecycle import require_revision
from registry.records import AliasName, ModelName, VersionNumber


class MemoryAliases:
    """The ``Aliases`` port."""

    def __init__(self, state: LedgerState) -> None:
        self._state = state

    def all(self, model: ModelName) -> Sequence[AliasRecord]:
        """See ``Aliases.all``."""
        with self._state.lock:
            present = self._state.present(model)
            return () if present is None else [record for _, record in sorted(present.aliases.items())]

    def current(self, model: ModelName, alias: AliasName) -> AliasChange | None:
        """See ``Aliases.current``."""
        found = self.history(model, alias, 1, 0)
        return found[0] if found else None

    def history(self, model: ModelName, alias: AliasName, limit: int, before: int) -> Sequence[AliasChange]:
        """See ``Aliases.history``."""
        with self._state.lock:
            known = self._state.models.get(model)
            journal = known.alias_journals.get(alias, []) if known is not None else []
            return [line for line in journal[::-1] if before <= 0 or line.revision < before][: max(limit, 0)]

    def set(
        self,
        model: ModelName,
        alias: AliasName,
        version: VersionNumber | None,
        *,
        who: str,
        why: str = "",
        expected: int | None = None,
    ) -> AliasChange | None:
        """See ``Aliases.set``."""
        with self._state.lock:
            present = self._state.require(model)
            wanted = AliasChange(model, alias, 0, version, who, why, self._state.clock())
            newest = self.current(model, alias)
            require_revision(wanted, newest, expected)
            if version is not None:
                require_ready_in(present, version)
            record = present.aliases.get(alias, AliasRecord(alias, None, None))
            if record.version == version:
                return newest
            present.aliases[alias] = replace(record, version=version)
            self._state.stamp(present)
            return _append(present, wanted)

    def put_back(self, model: ModelName, alias: AliasName, *, who: str, why: str) -> AliasChange | None:
        """See ``Aliases.put_back``."""
        with self._state.lock:
            present = self._state.present(model)
            record = None if present is None else present.aliases.get(alias)
            if present is None or record is None:
                return None
            return _append(present, AliasChange(model, alias, 0, record.version, who, why, self._state.clock()))

    def note_mirrored(self, model: ModelName, alias: AliasName, version: VersionNumber | None) -> None:
        """See ``Aliases.note_mirrored``."""
        with self._state.lock:
            present = self._state.present(model)
            if present is None:
                return
            record = replace(present.aliases.get(alias, AliasRecord(alias, None, None)), mirrored=version)
            present.aliases[alias] = record
            if record.version is None and version is None:
                del present.aliases[alias]


def end_journals(model: ModelState, who: str, why: str, at_ms: int) -> None:
    """Write a last line in the journal of each alias that names a version; the model is going."""
    for alias in model.named_aliases():
        _append(model, AliasChange(model.name, alias, 0, None, who, why, at_ms))


def _append(model: ModelState, line: AliasChange) -> AliasChange:
    journal = model.alias_journals.setdefault(line.alias, [])
    journal.append(replace(line, revision=len(journal) + 1))
    return journal[-1]
