"""Which versions the pool keeps something of, under which names, and who is wanted. Bookkeeping alone.

Not here: what happens to a version that nobody wants any more (``pool.py``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from registry.records import ModelName
from registry.snapshots import ServableVersion
from serving.pool.ports import Servables
from serving.pool.slot import Identity, Named, Slot

_RECENT = 10_000


class Roster:
    """All slots of a pool."""

    def __init__(self) -> None:
        self._slots: dict[Identity, Slot] = {}
        self._recent: dict[Named, tuple[ServableVersion, Slot]] = {}
        self._kept: Collection[Identity] = frozenset()
        self._servables: tuple[Servables, ...] = ()

    def __iter__(self) -> Iterator[Slot]:
        return iter(list(self._slots.values()))

    def find(self, servable: ServableVersion) -> Slot | None:
        """Return what is kept of a version."""
        return self._slots.get(Identity.of(servable))

    def take(self, model: ModelName, servable: ServableVersion) -> Slot:
        """Return a version's slot, new if need be, with this as one of its names."""
        known = self._recent.get((model, servable.version))
        if known is not None and known[0] is servable:
            return known[1]  # comparing what makes a version's identity takes longer than this
        identity = Identity.of(servable)
        slot = self._slots.get(identity)
        if slot is None:
            # Who chose by the table before the last may ask for what nobody names any more: once, and then it goes.
            wanted = self._stands_for((model, servable.version), identity)
            slot = self._slots[identity] = Slot(servable, identity, wanted=wanted, kept=identity in self._kept)
        slot.names.add((model, servable.version))
        if len(self._recent) >= _RECENT:
            self._recent.clear()
        self._recent[model, servable.version] = (servable, slot)
        return slot

    def forget(self, slot: Slot) -> None:
        """Keep nothing of a version any more. Idempotent."""
        if self._slots.get(slot.identity) is slot:
            del self._slots[slot.identity]
            self._recent.clear()

    def clear(self) -> None:
        """Forget all."""
        self._slots.clear()
        self._recent.clear()

    def retain(self, servables: tuple[Servables, ...]) -> None:
        """Learn which versions are wanted: those that a name of theirs still stands for in any of ``servables``."""
        self._servables = servables
        for slot in self._slots.values():
            slot.wanted = any(self._stands_for(name, slot.identity) for name in slot.names)

    def keep(self, identities: Collection[Identity]) -> None:
        """Learn which are to be evicted last."""
        self._kept = identities
        for slot in self._slots.values():
            slot.kept = slot.identity in identities

    def _stands_for(self, name: Named, identity: Identity) -> bool:
        if not self._servables:
            return True
        found = (servable(*name) for servable in self._servables)
        return any(servable is not None and Identity.of(servable) == identity for servable in found)
