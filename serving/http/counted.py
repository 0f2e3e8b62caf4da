"""What versions have done on a node, all its processes together, for whichever protocol asks.

Not here: counting (``serving/telemetry``), and how it is spelt (``oip.py``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from registry.records import parse_version
from serving.http.repository import asked_by_plan, model_of
from serving.http.view import NodeView, choose_version
from serving.telemetry.statistics import Statistics, statistics_of


@dataclass(frozen=True, slots=True)
class VersionStatistics:
    """What one version has done on this node, and the memory that it takes here."""

    model: str
    version: str
    statistics: Statistics
    memory_bytes: int = 0


async def statistics(node: NodeView, name: str = "", version: str = "") -> list[VersionStatistics]:
    """Return what versions have done in all processes on this port, by name and number; raise as ``choose`` does.

    Those of one model: all that were asked or are loaded, and those of its plan; one version: that; without a name:
    all that were asked or are loaded.
    """
    if version:
        choose_version(node, name, version)
    elif name:
        model_of(node, name)
    rows = {(row.model, row.version): row for row in statistics_here(node, name, version)}
    if node.siblings is not None:
        answers = await node.siblings.ask({"op": "statistics", "model": name, "version": version})
        for raw in (raw for answer in answers.values() for raw in answer.get("rows", [])):
            theirs = _read_row(raw)
            mine = rows.get((theirs.model, theirs.version))
            rows[theirs.model, theirs.version] = theirs if mine is None else _sum(mine, theirs)
    return [rows[key] for key in sorted(rows, key=lambda key: (key[0], int(key[1])))]


def statistics_here(node: NodeView, name: str = "", version: str = "") -> list[VersionStatistics]:
    """Return the same of this process alone, in no order; of what does not exist, nothing."""
    rows = []
    for model, number in _counted(node, name, version):
        servable = node.routes.servable(model, number)
        if servable is not None:
            slot = node.pool.find(servable)
            memory = 0 if slot is None else slot.memory_bytes
            rows.append(VersionStatistics(model, number, statistics_of(node.metrics.tally(model, number)), memory))
    return rows


def statistics_for_sibling(node: NodeView, name: str, version: str) -> list[dict[str, Any]]:
    """Return the same as a sibling reads it."""
    return [
        {
            "model": row.model,
            "version": row.version,
            "statistics": row.statistics.to_json(),
            "memory_bytes": row.memory_bytes,
        }
        for row in statistics_here(node, name, version)
    ]


def _counted(node: NodeView, name: str, version: str) -> Iterable[tuple[str, str]]:
    if version:
        return [(name, parse_version(version))]
    known: set[tuple[str, str]] = set(node.metrics.counted())
    for slot in node.pool.slots():
        if slot.residence is not None:
            known |= slot.names
    if name:
        known = {pair for pair in known if pair[0] == name}
        known |= {(name, number) for number in asked_by_plan(model_of(node, name))}
    return known


def _read_row(raw: dict[str, Any]) -> VersionStatistics:
    statistics = Statistics.from_json(raw["statistics"])
    return VersionStatistics(raw["model"], raw["version"], statistics, raw["memory_bytes"])


def _sum(one: VersionStatistics, other: VersionStatistics) -> VersionStatistics:
    together = one.statistics.plus(other.statistics)
    return VersionStatistics(one.model, one.version, together, one.memory_bytes + other.memory_bytes)
