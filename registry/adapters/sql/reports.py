"""What nodes report, on SQL tables: windows are added up in the transaction that takes the report's sequence."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Row, Table, and_, delete, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from registry.adapters.sql import feature_windows, predictions, tables
from registry.adapters.sql.database import Database
from registry.adapters.sql.rows import plan_revision
from registry.plans import PlanRevision
from registry.records import ModelName, VersionNumber
from registry.reports import HeldPlan, LoadedVersion, NodeReport
from registry.traffic.buckets import accounted, arm_buckets, shadow_buckets
from registry.traffic.ports import ArmPart, NodeState
from registry.windows import ArmCounts, ArmWindow, ShadowCounts, ShadowWindow

Counts = TypeVar("Counts", ArmCounts, ShadowCounts)
Key = Mapping[str, object]
_NODE = tables.nodes.c
_ARM = tables.arm_windows.c
_SHADOW = tables.shadow_windows.c
_IN_ONE_STATEMENT = 500


class SqlReports:
    """The ``Reports`` port."""

    def __init__(self, database: Database, clock: Callable[[], int]) -> None:
        self._database = database
        self._clock = clock

    def take(self, report: NodeReport) -> int:
        """See ``Reports.take``."""
        return self._database.write(lambda connection: _take(connection, report, self._clock()))

    def nodes(self) -> Sequence[NodeState]:
        """See ``Reports.nodes``."""
        query = select(tables.nodes).order_by(_NODE.node, _NODE.seen_ms, _NODE.boot)
        return self._database.read(lambda connection: [_node(row) for row in connection.execute(query)])

    def arms(self, model: ModelName, revisions: Collection[int]) -> Sequence[ArmPart]:
        """See ``Reports.arms``."""
        query = (
            select(tables.arm_windows)
            .where(_ARM.model == model, _ARM.revision.in_(list(revisions)))
            .order_by(_ARM.bucket_ms, _ARM.node, _ARM.revision, _ARM.arm)
        )
        return self._database.read(lambda connection: [_arm_part(row) for row in connection.execute(query)])

    def shadows(self, model: ModelName, version: VersionNumber) -> Sequence[ShadowWindow]:
        """See ``Reports.shadows``."""
        query = (
            select(tables.shadow_windows)
            .where(_SHADOW.model == model, _SHADOW.version == int(version))
            .order_by(_SHADOW.revision, _SHADOW.bucket_ms)
        )
        return self._database.read(lambda connection: _by_revision(connection.execute(query)))

    def sweep(self, windows_before_ms: int, nodes_before_ms: int) -> None:
        """See ``Reports.sweep``."""

        def work(connection: Connection) -> None:
            connection.execute(delete(tables.nodes).where(_NODE.seen_ms < nodes_before_ms))
            for table in (tables.arm_windows, tables.shadow_windows):
                used = _in_use(connection, table)
                connection.execute(delete(table).where(table.c.bucket_ms < windows_before_ms, ~used))

        self._database.write(work)


def _take(connection: Connection, report: NodeReport, now_ms: int) -> int:
    # A row before the question, so that there is one to lock: two first reports of one boot come one after the other.
    _insert_missing(connection, tables.nodes, _node_columns(report, now_ms) | {"sequence": 0})
    here = _NODE.boot == report.boot
    taken = connection.scalar(select(_NODE.sequence).where(here).with_for_update())
    if taken is not None and report.sequence <= taken:
        return int(taken)
    named = {(w.model, w.revision) for w in report.arms} | {(w.model, w.revision) for w in report.shadows}
    lines = _lines(connection, named)
    report = accounted(report, lines)
    connection.execute(update(tables.nodes).where(here).values(**_node_columns(report, now_ms)))
    # In one order for everybody, so that two reports that add to the same rows never wait for one another.
    for part in arm_buckets(report, lines, now_ms):
        window = part.window
        key = {
            "model": window.model,
            "revision": window.revision,
            "arm": window.arm,
            "version": int(window.version),
            "bucket_ms": window.start_ms,
            "node": part.node,
        }
        _add(connection, tables.arm_windows, key, window.counts)
    for shadow in shadow_buckets(report, lines, now_ms):
        key = {
            "model": shadow.model,
            "version": int(shadow.version),
            "revision": shadow.revision,
            "bucket_ms": shadow.start_ms,
        }
        _add(connection, tables.shadow_windows, key, shadow.counts)
    feature_windows.add(connection, report.features, now_ms)
    predictions.add(connection, report.answers)
    return report.sequence


def _lines(
    connection: Connection, named: Collection[tuple[ModelName, int]]
) -> dict[tuple[ModelName, int], PlanRevision]:
    journal, known = tables.plans.c, sorted(named)
    lines: dict[tuple[ModelName, int], PlanRevision] = {}
    for start in range(0, len(known), _IN_ONE_STATEMENT):
        asked = [
            and_(journal.model == model, journal.revision == number)
            for model, number in known[start : start + _IN_ONE_STATEMENT]
        ]
        query = (
            select(tables.plans)
            .join(tables.models, tables.models.c.name == journal.model)
            .where(~tables.models.c.removed, or_(*asked))
        )
        found = [plan_revision(row) for row in connection.execute(query)]
        lines |= {(line.model, line.revision): line for line in found}
    return lines


def _insert_missing(connection: Connection, table: Table, values: Mapping[str, object]) -> None:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    connection.execute(dialect.insert(table).values(**values).on_conflict_do_nothing())


def _add(connection: Connection, table: Table, key: Key, counts: Counts) -> None:
    here = and_(*(table.c[name] == value for name, value in key.items()))
    kept = connection.scalar(select(table.c.counts).where(here).with_for_update())
    if kept is None:
        _insert_missing(connection, table, {**key, "counts": json.dumps(type(counts)().to_json())})
        # Another's row, if it was faster; it may have counts already.
        kept = connection.scalar(select(table.c.counts).where(here).with_for_update())
    added = type(counts).from_json(json.loads(kept or "{}")).plus(counts)
    connection.execute(update(table).where(here).values(counts=json.dumps(added.to_json())))


def _node_columns(report: NodeReport, now_ms: int) -> dict[str, object]:
    said = report.to_json()
    return {
        "boot": report.boot,
        "node": report.node,
        "sequence": report.sequence,
        "revision": report.revision,
        "held": json.dumps(said["held"]),
        "versions": json.dumps(said["versions"]),
        "seen_ms": now_ms,
    }


def _node(row: Row[Any]) -> NodeState:
    held = map(HeldPlan.from_json, json.loads(row.held))
    versions = map(LoadedVersion.from_json, json.loads(row.versions))
    return NodeState(row.node, row.boot, row.sequence, row.revision, tuple(held), tuple(versions), row.seen_ms)


def _arm_part(row: Row[Any]) -> ArmPart:
    counts = ArmCounts.from_json(json.loads(row.counts))
    version = VersionNumber(str(row.version))
    return ArmPart(row.node, ArmWindow(ModelName(row.model), row.revision, row.arm, version, row.bucket_ms, counts))


def _by_revision(rows: Iterable[Row[Any]]) -> list[ShadowWindow]:
    found: dict[int, ShadowWindow] = {}
    for row in rows:
        counts, earlier = ShadowCounts.from_json(json.loads(row.counts)), found.get(row.revision)
        start = row.bucket_ms if earlier is None else earlier.start_ms
        found[row.revision] = ShadowWindow(
            ModelName(row.model),
            row.revision,
            VersionNumber(str(row.version)),
            start,
            counts if earlier is None else earlier.counts.plus(counts),
        )
    return list(found.values())


def _in_use(connection: Connection, table: Table) -> ColumnElement[bool]:
    """Return what is true of windows that a plan in force or a rollout that goes on is judged by."""
    models, rollouts = tables.models.c, tables.rollouts.c
    in_force = (
        select(models.name)
        .where(models.name == table.c.model, models.plan_revision == table.c.revision, ~models.removed)
        .exists()
    )
    going_on = [
        and_(table.c.model == row.model, table.c.revision.in_(json.loads(row.record)["revisions"]))
        for row in connection.execute(select(rollouts.model, rollouts.record).where(~rollouts.ended))
    ]
    return or_(in_force, *going_on)
