"""Answered requests and their labels, on SQL tables.

A report's answers come in within its own transaction (``reports.py``); labels come with the answers that a node has not
reported yet. Rows are locked in the order of their names, so that two requests that label the same ones never wait for
one another.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from registry.adapters.sql import tables
from registry.adapters.sql.database import Database
from registry.errors import HeadgateError
from registry.labels import (
    Coverage,
    Given,
    Label,
    LabelledRow,
    Refusal,
    given_from_json,
    given_to_json,
    joined,
    unknown_request,
)
from registry.observed import Answered, PredictedRow
from registry.records import ModelName, VersionNumber, VersionState
from registry.windows import CANARY, STABLE

_AT = tables.predictions.c
_IN_ONE_STATEMENT = 500
_AT_A_TIME = 100


class SqlPredictions:
    """The ``Predictions`` port."""

    def __init__(self, database: Database, clock: Callable[[], int]) -> None:
        self._database = database
        self._clock = clock

    def label(
        self, model: ModelName, labels: Sequence[tuple[int, Label]], answers: Sequence[Answered]
    ) -> Sequence[Refusal]:
        """See ``Predictions.label``."""
        ours = [answered for answered in answers if answered.model == model]
        if not labels:
            return []
        return self._database.write(lambda connection: _label(connection, model, labels, ours, self._clock()))

    def labelled(self, model: ModelName, version: VersionNumber, since_ms: int, limit: int) -> Sequence[LabelledRow]:
        """See ``Predictions.labelled``."""
        query = (
            select(tables.predictions)
            .where(_AT.model == model, _AT.version == int(version), _AT.labelled_ms > 0, _AT.at_ms >= since_ms)
            .order_by(_AT.labelled_ms.desc(), _AT.request)
            .limit(limit)
        )
        return self._database.read(lambda connection: _newest(connection, query, limit))

    def compared(
        self, model: ModelName, versions: Collection[VersionNumber], revisions: Collection[int], limit: int
    ) -> Sequence[LabelledRow]:
        """See ``Predictions.compared``."""
        query = (
            select(tables.predictions)
            .where(
                _AT.model == model,
                _AT.version.in_([int(version) for version in versions]),
                _AT.labelled_ms > 0,
                _AT.revision.in_(list(revisions)),
                _AT.arm.in_((STABLE, CANARY)),
            )
            .order_by(_AT.labelled_ms.desc(), _AT.request)
            .limit(limit)
        )
        rows = self._database.read(lambda connection: _newest(connection, query, limit))
        return sorted(rows, key=lambda row: (row.came_ms, row.at_ms))

    def coverage(self, model: ModelName, version: VersionNumber, since_ms: int) -> Sequence[Coverage]:
        """See ``Predictions.coverage``."""
        query = (
            select(_AT.arm, func.count(), func.count().filter(_AT.labelled_ms > 0))
            .where(_AT.model == model, _AT.version == int(version), _AT.at_ms >= since_ms)
            .group_by(_AT.arm)
            .order_by(_AT.arm)
        )
        found = self._database.read(lambda connection: list(connection.execute(query)))
        return [Coverage(arm, kept, labelled) for arm, kept, labelled in found]

    def newest(self) -> Mapping[tuple[ModelName, VersionNumber], int]:
        """See ``Predictions.newest``."""
        version = tables.versions.c
        # A step into the index for each version, where a group over all predictions would read them all.
        came = (
            select(func.max(_AT.labelled_ms))
            .where(_AT.model == version.model, _AT.version == version.number)
            .correlate(tables.versions)
            .scalar_subquery()
        )
        query = select(version.model, version.number, came).where(version.state == VersionState.READY.value)
        found = self._database.read(lambda connection: list(connection.execute(query)))
        return {(ModelName(model), VersionNumber(str(number))): ms for model, number, ms in found if ms}

    def sweep(self, kept: int, before_ms: int) -> None:
        """See ``Predictions.sweep``."""
        self._database.write(lambda connection: _sweep(connection, kept, before_ms))


def add(connection: Connection, answers: Sequence[Answered]) -> None:
    """Keep answered requests, each as it came first; those of versions that do not exist are left out."""
    named = {(answered.model, int(answered.version)) for answered in answers}
    known = set(_known_versions(connection, {model for model, _ in named})) & named
    rows = {
        (answered.model, answered.request_id): _columns(answered)
        for answered in reversed(answers)
        if (answered.model, int(answered.version)) in known
    }
    if not rows:
        return
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    missing = dialect.insert(tables.predictions).on_conflict_do_nothing()
    connection.execute(missing, [rows[key] for key in sorted(rows)])


def _known_versions(connection: Connection, models: Collection[str]) -> Iterable[tuple[ModelName, int]]:
    version, asked = tables.versions.c, sorted(models)
    for start in range(0, len(asked), _IN_ONE_STATEMENT):
        some = asked[start : start + _IN_ONE_STATEMENT]
        for model, number in connection.execute(select(version.model, version.number).where(version.model.in_(some))):
            yield ModelName(model), number


def _label(
    connection: Connection,
    model: ModelName,
    labels: Sequence[tuple[int, Label]],
    answers: Sequence[Answered],
    now_ms: int,
) -> list[Refusal]:
    add(connection, answers)
    kept = _locked(connection, model, sorted({label.request_id for _, label in labels}))
    refused: list[Refusal] = []
    changed: set[str] = set()
    for index, label in labels:
        try:
            if label.request_id not in kept:
                raise unknown_request()
            rows, given = kept[label.request_id]
            new = joined(rows, given, label, now_ms)
        except HeadgateError as error:
            refused.append(Refusal.of(index, error))
            continue
        if new is not None:
            given[new[0]] = new[1]
            changed.add(label.request_id)
    if changed:
        at = tables.predictions
        statement = (
            update(at)
            .where(at.c.model == model, at.c.request == bindparam("named"))
            .values(labels=bindparam("given"), labelled_ms=now_ms)
        )
        said = [{"named": name, "given": json.dumps(given_to_json(kept[name][1]))} for name in sorted(changed)]
        connection.execute(statement, said)
    return refused


def _locked(
    connection: Connection, model: ModelName, requests: Sequence[str]
) -> dict[str, tuple[tuple[PredictedRow, ...], dict[int, Given]]]:
    found: dict[str, tuple[tuple[PredictedRow, ...], dict[int, Given]]] = {}
    for start in range(0, len(requests), _IN_ONE_STATEMENT):
        query = (
            select(_AT.request, _AT.rows, _AT.labels)
            .where(_AT.model == model, _AT.request.in_(requests[start : start + _IN_ONE_STATEMENT]))
            .order_by(_AT.request)
            .with_for_update()
        )
        for row in connection.execute(query):
            found[row.request] = (_rows(row.rows), given_from_json(json.loads(row.labels)))
    return found


def _sweep(connection: Connection, kept: int, before_ms: int) -> None:
    connection.execute(delete(tables.predictions).where(_AT.at_ms < before_ms))
    models = list(connection.scalars(select(tables.models.c.name)))
    for model in models:
        # Where the newest `kept` end; requests of that very millisecond stay, so that as many as one may be too many.
        edge = connection.scalar(
            select(_AT.at_ms).where(_AT.model == model).order_by(_AT.at_ms.desc()).offset(max(0, kept - 1)).limit(1)
        )
        if edge is not None:
            connection.execute(delete(tables.predictions).where(_AT.model == model, _AT.at_ms < edge))


def _columns(answered: Answered) -> dict[str, object]:
    return {
        "model": answered.model,
        "request": answered.request_id,
        "version": int(answered.version),
        "arm": answered.arm,
        "revision": answered.revision,
        "at_ms": answered.at_ms,
        "rows": json.dumps(answered.to_json()["rows"]),
        "labels": "{}",
        "labelled_ms": 0,
    }


def _rows(text: str) -> tuple[PredictedRow, ...]:
    return tuple(tuple(row) if isinstance(row, list) else row for row in json.loads(text))


def _newest(connection: Connection, query: Select[Any], limit: int) -> list[LabelledRow]:
    found: list[LabelledRow] = []
    # Some at a time: a request may have a thousand rows, and all of them would be gigabytes.
    with connection.execute(query.execution_options(yield_per=_AT_A_TIME)) as requests:
        for row in requests:
            found += _labelled(row)
            if len(found) >= limit:
                break
    return found


def _labelled(row: Row[Any]) -> Iterable[LabelledRow]:
    predicted, version = _rows(row.rows), VersionNumber(str(row.version))
    for number, given in sorted(given_from_json(json.loads(row.labels)).items()):
        yield LabelledRow(version, row.arm, row.revision, row.at_ms, given.came_ms, predicted[number], given.label)
