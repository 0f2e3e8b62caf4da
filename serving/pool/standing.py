"""What of this node others may see: which snapshot it acts on, which plans it holds back, what it has loaded.

Not here: saying it (``serving/reporter.py``).
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from itertools import islice

from registry.records import ModelName, VersionNumber
from registry.reports import HeldPlan, LoadedVersion, NodeReport
from serving.pool.pool import Pool
from serving.pool.slot import Slot
from serving.pool.state import State
from serving.pool.warming import Warming
from serving.routing.table import Routes

MOST_SHOWN = 5000
"""How many held plans, and how many versions, one report names at most."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node stands at one moment.

    Attributes:
        revision: Of the newest snapshot that was learnt.
        held: Models for which it is still the plan before.
        versions: What is not cold.
    """

    revision: int
    held: tuple[HeldPlan, ...]
    versions: tuple[LoadedVersion, ...]

    @property
    def news(self) -> tuple[object, ...]:
        """What is worth saying at once where it differs: all but memory, which moves all the time."""
        return self.revision, self.held, tuple((v.model, v.version, v.state) for v in self.versions)


class Standing:
    """Reads where a node stands, for one process's life. On the event loop."""

    def __init__(self, node: str, routes: Routes, pool: Pool, warming: Warming) -> None:
        self._node = node
        self._boot = uuid.uuid4().hex
        self._routes = routes
        self._pool = pool
        self._warming = warming

    def now(self) -> Place:
        """Return where it stands."""
        return Place(self._routes.learnt.revision, self._warming.held[:MOST_SHOWN], self._versions())

    def report(self, place: Place, sequence: int) -> NodeReport:
        """Return a report of a place, without windows."""
        return NodeReport(self._node, self._boot, sequence, place.revision, place.held, place.versions)

    def _versions(self) -> tuple[LoadedVersion, ...]:
        shown: dict[tuple[ModelName, VersionNumber], Slot] = {}
        for slot in self._pool.slots():
            if slot.state is State.COLD:
                continue
            for name in slot.names:
                # Two copies of one version: another number of processes. The newest plan's is what all wait for.
                if name not in shown or self._is_newest(name, slot):
                    shown[name] = slot
            if len(shown) >= MOST_SHOWN:
                break
        return tuple(
            LoadedVersion(model, version, slot.state.value, slot.memory_bytes)
            for (model, version), slot in islice(shown.items(), MOST_SHOWN)
        )

    def _is_newest(self, name: tuple[ModelName, VersionNumber], slot: Slot) -> bool:
        servable = self._routes.learnt.servable(*name)
        return servable is not None and self._pool.find(servable) is slot
