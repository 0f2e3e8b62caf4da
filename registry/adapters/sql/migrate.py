"""Brings the tables up to date with Alembic, beside MLflow's own Alembic in the same database.

Our versions are kept in ``headgate_alembic_version``. An upgrade is one transaction under one lock, on both databases:
whoever comes second waits and finds nothing to do, and a process that dies in the middle leaves nothing behind.
There is no downgrade.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from registry.adapters.sql.engines import WRITES
from registry.errors import Internal

VERSION_TABLE = "headgate_alembic_version"
_ADVISORY_LOCK = 0x6865616467617465  # "headgate"
_POSTGRES_PATIENCE = ("SET LOCAL lock_timeout = '120s'", "SET LOCAL statement_timeout = '0'")


def alembic_config() -> Config:
    """Return Alembic's configuration; there is no ``alembic.ini``."""
    config = Config()
    # Percent signs are interpolation to Alembic's configuration.
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def migrate(engine: Engine) -> None:
    """Upgrade to the newest version that this code knows; raise Internal where the database is newer still."""
    config = alembic_config()
    script = ScriptDirectory.from_config(config)
    with engine.connect() as connection:
        if _is_newest(connection, script):
            return
    with engine.execution_options(**{WRITES: True}).begin() as connection:
        if engine.dialect.name == "postgresql":
            for statement in _POSTGRES_PATIENCE:
                connection.execute(text(statement))
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
        # Asked again under the lock: another process may have done it all meanwhile.
        if not _is_newest(connection, script):
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def _is_newest(connection: Connection, script: ScriptDirectory) -> bool:
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    present = context.get_current_revision()
    newest = script.get_current_head()
    if present is not None and present not in {revision.revision for revision in script.walk_revisions()}:
        raise Internal(
            "internal",
            f"the database is at schema {present}, which this Headgate does not know (it knows up to {newest}): "
            "a newer one has written to it; install that one, because going back would lose what it wrote",
        )
    return present == newest
