"""What nodes saw of versions' rows, on SQL tables: one open window a baseline, added up where the report is taken.

Locks: versions before windows, both in the order of their keys. A writer of windows holds its version's row against
deletion, and whoever deletes a version takes its row first, so that neither waits for the other. What is kept of a
window's rows is text that only ``monitoring/tallies.py`` reads. Not here: reports (``reports.py``).
"""

from __future__ import annotations

import json
import zlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from registry.adapters.sql import tables
from registry.adapters.sql.database import Database
from registry.errors import Internal
from registry.monitoring.closing import LONGEST_MS, PROVISIONAL_ROWS, Closing, within
from registry.monitoring.tallies import Tally
from registry.monitoring.window_ports import JudgedWindow, SealedWindow, Verdict, WindowKey, WindowSpan
from registry.observed import FeatureWindow
from registry.records import Digest, ModelName, VersionNumber, VersionState

_AT = tables.feature_windows.c
_VERSION = tables.versions.c
_BASELINE = tables.baselines.c
_OPEN, _SEALED, _JUDGED = "open", "sealed", "judged"
_ATTEMPTS = 5
Place = tuple[ModelName, int, str]
"""Model, version, and the baseline's digest: empty where there is none."""
_ORDER = (_AT.model, _AT.version, _AT.number)


class SqlFeatureWindows:
    """The ``FeatureWindows`` port."""

    def __init__(self, database: Database, clock: Callable[[], int]) -> None:
        self._database = database
        self._clock = clock

    def seal(self, rule: Closing) -> int:
        """See ``FeatureWindows.seal``."""
        due = _due(rule, self._clock())
        # Asked without a lock first: mostly nothing is due, and then nothing is to be written either.
        if not self._database.read(lambda connection: connection.scalar(select(_AT.number).where(due).limit(1))):
            return 0
        return self._database.write(lambda connection: _seal(connection, due))

    def unjudged(self, limit: int, but: Collection[Digest | None] = ()) -> Sequence[SealedWindow]:
        """See ``FeatureWindows.unjudged``."""
        query = (
            select(tables.feature_windows)
            .where(_AT.state == _SEALED, _AT.baseline.not_in([_text(digest) for digest in but]))
            .order_by(_AT.last_ms, *_ORDER)
            .limit(max(limit, 0))
        )
        return self._database.read(lambda connection: [_sealed(row) for row in connection.execute(query)])

    def settle(self, key: WindowKey, verdict: Verdict | None) -> bool:
        """See ``FeatureWindows.settle``."""
        here = and_(_of(key.model, key.version), _AT.number == key.number, _AT.state == _SEALED)
        if verdict is None:
            change: Any = delete(tables.feature_windows).where(here)
        else:
            kept = _compressed({"judged_ms": self._clock(), "verdict": dict(verdict)})
            change = update(tables.feature_windows).where(here).values(state=_JUDGED, counts="", verdict=kept)
        return self._database.write(lambda connection: connection.execute(change).rowcount == 1)

    def open(self, model: ModelName, version: VersionNumber) -> WindowSpan | None:
        """See ``FeatureWindows.open``."""
        query = select(*_span_columns()).where(_of(model, version), _AT.state == _OPEN, _current())
        row = self._database.read(lambda connection: connection.execute(query).one_or_none())
        return None if row is None else _span(row)

    def page(self, model: ModelName, version: VersionNumber, limit: int) -> Sequence[JudgedWindow]:
        """See ``FeatureWindows.page``."""
        query = (
            select(tables.feature_windows)
            .where(_of(model, version), _AT.state == _JUDGED)
            .order_by(_AT.number.desc())
            .limit(max(limit, 0))
        )
        return self._database.read(lambda connection: [_judged(row) for row in connection.execute(query)])

    def newest(self) -> Mapping[tuple[ModelName, VersionNumber], int]:
        """See ``FeatureWindows.newest``."""
        inner = tables.feature_windows.alias()
        newest = (
            select(inner.c.number)
            .where(inner.c.model == _BASELINE.model, inner.c.version == _BASELINE.version, inner.c.state == _JUDGED)
            .order_by(inner.c.number.desc())
            .limit(1)
            .scalar_subquery()
        )
        here = and_(_AT.model == _BASELINE.model, _AT.version == _BASELINE.version, _AT.number == newest) & (
            _AT.baseline == _BASELINE.digest
        )
        live = and_(_VERSION.model == _BASELINE.model, _VERSION.number == _BASELINE.version, _alive())
        query = select(*_ORDER).select_from(
            tables.baselines.join(tables.versions, live).join(tables.feature_windows, here)
        )
        rows = self._database.read(lambda connection: connection.execute(query).all())
        return {(ModelName(row.model), VersionNumber(str(row.version))): row.number for row in rows}

    def sweep(self, before_ms: int) -> None:
        """See ``FeatureWindows.sweep``."""
        useless = and_(_AT.state != _JUDGED, ~_of_a_live_version()) | and_(_AT.state == _OPEN, ~_current())
        old = or_(_AT.last_ms < before_ms, useless)

        def work(connection: Connection) -> None:
            for row in connection.execute(select(*_ORDER).where(old).order_by(*_ORDER).with_for_update()).all():
                here = and_(_AT.model == row.model, _AT.version == row.version, _AT.number == row.number)
                connection.execute(delete(tables.feature_windows).where(here))

        self._database.write(work)


def add(connection: Connection, windows: Iterable[FeatureWindow], now_ms: int) -> None:
    """Add a report's windows to the open ones, as ``FeatureWindows`` says; part of the transaction that takes it."""
    found: dict[Place, list[FeatureWindow]] = {}
    for window in windows:
        place = (window.model, int(window.version), _text(window.baseline))
        found.setdefault(place, []).append(window)
    wanted = _wanted(connection, {place[:2] for place in found})
    for place in sorted(found):
        if wanted.get(place[:2]) == place[2]:
            _add(connection, place, found[place], now_ms)


def forget(connection: Connection, model: ModelName, version: VersionNumber | None = None) -> None:
    """Delete all windows of a model, or of one version, before the records go that they hang on."""
    versions = _VERSION.model == model if version is None else _of_record(model, version)
    connection.execute(select(_VERSION.number).where(versions).order_by(_VERSION.number).with_for_update())
    windows = _AT.model == model if version is None else _of(model, version)
    connection.execute(delete(tables.feature_windows).where(windows))


def _wanted(connection: Connection, versions: Collection[tuple[ModelName, int]]) -> dict[tuple[ModelName, int], str]:
    """Return the baseline that each of these versions' rows are counted by now, empty where there is none; without
    those that are not there. They cannot be deleted before the transaction ends."""
    found: dict[tuple[ModelName, int], str] = {}
    for model, number in sorted(versions):
        here = _of_record(model, VersionNumber(str(number)))
        locked = select(_VERSION.number).where(here, _alive()).with_for_update(read=True, key_share=True)
        if connection.scalar(locked) is None:
            continue
        digest = select(_BASELINE.digest).where(_BASELINE.model == model, _BASELINE.version == number)
        found[model, number] = connection.scalar(digest) or ""
    return found


def _add(connection: Connection, place: Place, windows: Sequence[FeatureWindow], now_ms: int) -> None:
    model, version, _ = place
    row = _open_row(connection, place, now_ms)
    tally = Tally.from_text(row.counts)
    for window in windows:
        tally = tally.plus(window)
    starts = [within(window.start_ms, now_ms) for window in windows]
    here = and_(_AT.model == model, _AT.version == version, _AT.number == row.number)
    connection.execute(
        update(tables.feature_windows)
        .where(here)
        .values(
            rows=tally.rows,
            counts=tally.to_text(),
            first_ms=min(row.first_ms, *starts),
            last_ms=max(row.last_ms, *starts) if row.rows else max(starts),
        )
    )


def _open_row(connection: Connection, place: Place, now_ms: int) -> Row[Any]:
    """Return the open window of a baseline, locked; one is opened where there is none."""
    model, version, baseline = place
    of_version = and_(_AT.model == model, _AT.version == version)
    query = select(tables.feature_windows).where(of_version, _AT.baseline == baseline, _AT.state == _OPEN)
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    for _ in range(_ATTEMPTS):
        row = connection.execute(query.with_for_update()).one_or_none()
        if row is not None:
            return row
        highest = connection.scalar(select(func.max(_AT.number)).where(of_version)) or 0
        fresh = dialect.insert(tables.feature_windows).values(
            model=model,
            version=version,
            number=highest + 1,
            baseline=baseline,
            state=_OPEN,
            opened_ms=now_ms,
            first_ms=now_ms,
            last_ms=now_ms,
            rows=0,
            counts=Tally().to_text(),
        )
        # Another's row, if it was faster: of this baseline, or of another one that was given the same number.
        connection.execute(fresh.on_conflict_do_nothing())
    raise Internal("internal", "a window of features could not be opened; please report this")


def _seal(connection: Connection, due: ColumnElement[bool]) -> int:
    rows = connection.execute(select(*_ORDER).where(due).order_by(*_ORDER).with_for_update()).all()
    for row in rows:
        here = and_(_AT.model == row.model, _AT.version == row.version, _AT.number == row.number)
        connection.execute(update(tables.feature_windows).where(here, _AT.state == _OPEN).values(state=_SEALED))
    return len(rows)


def _due(rule: Closing, now_ms: int) -> ColumnElement[bool]:
    """Return what is true of windows to be sealed, as ``Closing.is_due`` says."""
    enough = and_(_AT.rows >= rule.rows, _AT.opened_ms <= now_ms - rule.age_ms)
    compared = and_(_AT.baseline != "", or_(enough, _AT.opened_ms <= now_ms - LONGEST_MS))
    provisional = and_(_AT.baseline == "", _AT.rows >= PROVISIONAL_ROWS)
    return and_(_AT.state == _OPEN, or_(compared, provisional), _of_a_live_version(), _current())


def _current() -> ColumnElement[bool]:
    """Return what is true of windows whose baseline is still their version's: or there still is none."""
    own = and_(_BASELINE.model == _AT.model, _BASELINE.version == _AT.version)
    has_this = select(_BASELINE.digest).where(own, _BASELINE.digest == _AT.baseline).exists()
    has_any = select(_BASELINE.digest).where(own).exists()
    return or_(has_this, and_(_AT.baseline == "", ~has_any))


def _of_a_live_version() -> ColumnElement[bool]:
    own = and_(_VERSION.model == _AT.model, _VERSION.number == _AT.version)
    return select(_VERSION.number).where(own, _alive()).exists()


def _alive() -> ColumnElement[bool]:
    return _VERSION.state != VersionState.RETIRED.value


def _of(model: ModelName, version: VersionNumber) -> ColumnElement[bool]:
    return and_(_AT.model == model, _AT.version == int(version))


def _of_record(model: ModelName, version: VersionNumber) -> ColumnElement[bool]:
    return and_(_VERSION.model == model, _VERSION.number == int(version))


def _text(digest: Digest | None) -> str:
    return digest or ""


def _span_columns() -> Sequence[ColumnElement[Any]]:
    return (_AT.baseline, _AT.rows, _AT.opened_ms, _AT.first_ms, _AT.last_ms)


def _span(row: Row[Any]) -> WindowSpan:
    baseline = Digest(row.baseline) if row.baseline else None
    return WindowSpan(baseline, row.rows, row.opened_ms, row.first_ms, row.last_ms)


def _key(row: Row[Any]) -> WindowKey:
    return WindowKey(ModelName(row.model), VersionNumber(str(row.version)), row.number)


def _sealed(row: Row[Any]) -> SealedWindow:
    return SealedWindow(_key(row), _span(row), Tally.from_text(row.counts))


def _judged(row: Row[Any]) -> JudgedWindow:
    kept = json.loads(zlib.decompress(b64decode(row.verdict)))
    return JudgedWindow(_key(row), _span(row), kept["judged_ms"], kept["verdict"])


def _compressed(document: Mapping[str, Any]) -> str:
    """Return a verdict as it is kept: there are 8,640 of a busy version in a month, and they repeat themselves."""
    return b64encode(zlib.compress(json.dumps(document).encode())).decode()
