"""Leases, on a SQL table: one row a name, taken by whoever finds it free or run out."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, delete, insert, or_, select, update

from registry.adapters.sql import tables
from registry.adapters.sql.database import Database

_AT = tables.leases.c


class SqlLeases:
    """The ``Leases`` port."""

    def __init__(self, database: Database, clock: Callable[[], int]) -> None:
        self._database = database
        self._clock = clock

    def hold(self, name: str, holder: str, seconds: float) -> bool:
        """See ``Leases.hold``."""
        now_ms = self._clock()
        until_ms = now_ms + int(seconds * 1000)

        def work(connection: Connection) -> bool:
            free = or_(_AT.holder == holder, _AT.until_ms <= now_ms)
            values = {"holder": holder, "until_ms": until_ms}
            if connection.execute(update(tables.leases).where(_AT.name == name, free).values(**values)).rowcount:
                return True
            if connection.execute(select(_AT.name).where(_AT.name == name)).one_or_none() is not None:
                return False
            # Where another inserts it at this moment, this fails on the key and is run again, which finds it taken.
            connection.execute(insert(tables.leases).values(name=name, **values))
            return True

        return self._database.write(work)

    def release(self, name: str, holder: str) -> None:
        """See ``Leases.release``."""
        here = (_AT.name == name) & (_AT.holder == holder)
        self._database.write(lambda connection: connection.execute(delete(tables.leases).where(here)))
