"""Catalogs for the conformance suite: in memory, and on MLflow's own tables in SQLite and PostgreSQL."""

from __future__ import annotations

import sqlite3
import time
import warnings
from pathlib import Path
from typing import Any, Protocol

from registry.adapters.mlflow_app.guard import OpenGuard
from registry.adapters.mlflow_app.start import open_stores
from registry.ports import Catalog
from registry.records import CatalogVersion

PLACE = "mlflow-artifacts:/1/models/m-1/artifacts"


class Users(Protocol):
    """What people do to the catalog behind the platform's back."""

    def user_creates_run(self, user: str) -> str:
        """Log a run; return its id."""
        ...

    def user_creates_version(self, model: str, source: str = PLACE, run_id: str | None = None) -> CatalogVersion:
        """Register a version."""
        ...

    def user_sets_alias(self, model: str, alias: str, version: str) -> None:
        """Move an alias."""
        ...

    def user_deletes_alias(self, model: str, alias: str) -> None:
        """Remove an alias."""
        ...

    def user_deletes_version(self, model: str, version: str) -> None:
        """Delete a version."""
        ...

    def user_deletes_model(self, model: str) -> None:
        """Delete a model."""
        ...

    def user_tags_version(self, model: str, version: str, tag: str, value: str) -> None:
        """Tag a version."""
        ...


class MlflowUsers:
    """People with MLflow's client: they go through the store that its routes call."""

    def __init__(self, catalog: Catalog, tracking: Any, models: Any) -> None:
        self._catalog = catalog
        self._tracking = tracking
        self._models = models

    def user_creates_run(self, user: str) -> str:
        """Log a run; return its id."""
        run = self._tracking.create_run("0", user, int(time.time() * 1000), [], None)
        return str(run.info.run_id)

    def user_creates_version(self, model: str, source: str = PLACE, run_id: str | None = None) -> CatalogVersion:
        """Register a version."""
        if model not in self._catalog.names():
            self._models.create_registered_model(model)
        created = str(self._models.create_model_version(model, source, run_id).version)
        entry = next(m for m in self._catalog.changed_since(0) if m.name == model)
        return next(v for v in entry.versions if v.version == created)

    def user_sets_alias(self, model: str, alias: str, version: str) -> None:
        """Move an alias."""
        self._models.set_registered_model_alias(model, alias, version)

    def user_deletes_alias(self, model: str, alias: str) -> None:
        """Remove an alias."""
        self._models.delete_registered_model_alias(model, alias)

    def user_deletes_version(self, model: str, version: str) -> None:
        """Delete a version."""
        self._models.delete_model_version(model, version)

    def user_deletes_model(self, model: str) -> None:
        """Delete a model."""
        self._models.delete_registered_model(model)

    def user_tags_version(self, model: str, version: str, tag: str, value: str) -> None:
        """Tag a version."""
        from registry.adapters.mlflow_app.private import ModelVersionTag

        self._models.set_model_version_tag(model, version, ModelVersionTag(tag, value))


def mlflow_catalog(database_url: str) -> tuple[Catalog, Users]:
    """Return the catalog on a database, and its users."""
    with warnings.catch_warnings():
        # MLflow's import warns of what it uses of SQLAlchemy and others; it is not ours to change.
        warnings.simplefilter("ignore")
        tracking, models = open_stores(database_url, OpenGuard())
        from registry.adapters.mlflow_app.catalog import MlflowCatalog

    catalog = MlflowCatalog(models)
    return catalog, MlflowUsers(catalog, tracking, models)


def wal_database(folder: Path) -> str:
    """Make a SQLite file in WAL mode, as the platform does; return its address."""
    path = folder / "registry.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    connection.close()
    return f"sqlite:///{path}"
