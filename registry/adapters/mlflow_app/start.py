"""Starting MLflow inside this process: its environment, its tables, our stores in place of its own.

Once a process: MLflow keeps its stores in module-wide variables. A second start with another database is refused. Not
here: routes and requests (``app.py``).
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import OperationalError

from registry.adapters.mlflow_app import private
from registry.adapters.mlflow_app.guard import CatalogGuard
from registry.errors import Internal, Unavailable
from registry.layout import ARTIFACT_SCHEME, MLFLOW_PREFIX

if TYPE_CHECKING:
    from registry.adapters.mlflow_app.bucket import BucketRepository

MIGRATION_SECONDS = 120
_MIGRATION_KEY = 0x6D6C666C
_starting = threading.Lock()
_started: dict[str, Started] = {}


@dataclass(frozen=True, slots=True)
class MlflowConfig:
    """What the mounted MLflow needs to know.

    Attributes:
        database_url: SQLAlchemy address of the database that holds our own tables too (SQLite: already in WAL mode).
        bucket: The bucket below whose ``mlflow/`` the artifacts lie.
        s3: The boto3 client to reach it with; safe to share between threads.
        guard: Asked before something that serves is changed.
    """

    database_url: str
    bucket: str
    s3: Any
    guard: CatalogGuard


@dataclass(frozen=True, slots=True)
class Started:
    """MLflow, running in this process."""

    flask: Any
    tracking: Any
    models: Any
    artifacts: BucketRepository


def start_mlflow(config: MlflowConfig) -> Started:
    """Start MLflow, once; later calls with the same database return the same. Blocks for some seconds."""
    with _starting:
        running = _started.get(config.database_url)
        if running is None:
            if _started:
                raise Internal(
                    "internal", "MLflow already runs in this process on another database; start another process"
                )
            running = _started[config.database_url] = _start(config)
        return running


def environment(config: MlflowConfig) -> dict[str, str]:
    """Return the variables that MLflow reads when it is imported and started."""
    return {
        **private.SWITCHES,
        private.BACKEND_STORE: config.database_url,
        private.ARTIFACT_ROOT: ARTIFACT_SCHEME,
        private.ARTIFACT_DESTINATION: f"s3://{config.bucket}/{MLFLOW_PREFIX}",
    }


def open_stores(database_url: str, guard: CatalogGuard) -> tuple[Any, Any]:
    """Make the tables where they are missing; return MLflow's tracking and model registry stores with our rules."""
    os.environ.update(private.SWITCHES)
    private.leave_out()
    # These import MLflow, which must find its environment set.
    from registry.adapters.mlflow_app.store import HeadgateRegistryStore
    from registry.adapters.mlflow_app.tracking import HeadgateTrackingStore

    silence(private.LOGGERS)
    prepare_database(database_url)
    tracking = HeadgateTrackingStore(database_url, ARTIFACT_SCHEME)
    return tracking, HeadgateRegistryStore(database_url, guard, tracking)


def silence(names: Iterable[str]) -> None:
    """Have MLflow write no log lines: it quotes what callers sent, raw, to a handler of its own. What fails there is
    logged where it is answered (``faults.py``)."""
    for name in names:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.CRITICAL)


def _start(config: MlflowConfig) -> Started:
    private.forget((*private.FOREIGN, *private.SECRET))
    os.environ.update(environment(config))
    tracking, models = open_stores(config.database_url, config.guard)
    # It imports MLflow, too.
    from registry.adapters.mlflow_app.bucket import BucketRepository

    scheme = config.database_url.partition(":")[0].partition("+")[0]
    # MLflow asks its registries of stores for the one of a scheme; its own client, which its stores use to look up
    # logged models, has a registry of its own.
    for stores in (private.server_tracking_stores, private.client_tracking_stores):
        stores.register(scheme, lambda store_uri, artifact_uri=None: tracking)
    private.server_registry_stores.register(scheme, lambda store_uri: models)
    private.initialize_backend_stores(config.database_url, None, ARTIFACT_SCHEME)
    artifacts = BucketRepository(config.s3, config.bucket, MLFLOW_PREFIX)
    private.set_server_artifacts(artifacts)
    private.forget(private.SECRET)
    return Started(private.flask_app, tracking, models, artifacts)


def prepare_database(database_url: str, patience_seconds: int = MIGRATION_SECONDS) -> None:
    """Create or upgrade MLflow's tables, by one process at a time; quick where nothing is to do.

    Raises Unavailable ``registry_unavailable`` where another process is at it for longer than ``patience_seconds``.
    """
    engine = private.make_engine(database_url)
    try:
        with _one_migration(engine, patience_seconds):
            if not private.all_tables_exist(engine):
                private.initialize_tables(engine)
            elif private.schema_version(engine) != private.newest_schema_version():
                private.upgrade_tables(engine)
    finally:
        engine.dispose()


@contextmanager
def _one_migration(engine: Any, patience_seconds: int) -> Iterator[None]:
    """Hold the right to migrate. A SQLite file belongs to one registry process, which has its home to itself."""
    if engine.dialect.name != "postgresql":
        yield
        return
    with engine.connect() as connection:
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{patience_seconds}s'")
        try:
            connection.exec_driver_sql(f"SELECT pg_advisory_lock({_MIGRATION_KEY})")
        except OperationalError as error:
            raise Unavailable(
                "registry_unavailable",
                f"another registry has been upgrading the database for {patience_seconds} s; start this one after it",
            ) from error
        try:
            yield
        finally:
            connection.exec_driver_sql(f"SELECT pg_advisory_unlock({_MIGRATION_KEY})")
