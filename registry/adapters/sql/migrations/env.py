"""Alembic's entry: runs the migrations on the connection that ``migrate.py`` hands over, in its transaction.

MLflow's tables are in the same database: everything that is not ours is ignored, in comparing as in writing.
"""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from registry.adapters.sql.migrate import VERSION_TABLE
from registry.adapters.sql.tables import PREFIX, metadata


def _ours(name: str | None, kind: str, parents: object) -> bool:
    return kind != "table" or (name or "").startswith(PREFIX)


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        version_table=VERSION_TABLE,
        include_name=_ours,
        # SQLite's DDL is transactional too when the driver leaves BEGIN to us, as engines.py has it.
        transactional_ddl=True,
        render_as_batch=True,
    )
    context.run_migrations()


_run(context.config.attributes["connection"])
