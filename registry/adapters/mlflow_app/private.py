"""Every name of MLflow's that MLflow does not promise to keep, in one place.

Two tables: the environment variables its server reads, and the attributes we build on, each by its address. Attributes
are imported when first asked for (``from …private import RegistryStore``), because MLflow takes four seconds to import
and must find its environment set. ``tests/integration/mlflow/test_private.py`` resolves every line, so that an MLflow
that moved one fails there, by name, and not in the middle of a registration. Not here: what we do with them.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterable
from typing import Any

BACKEND_STORE = "_MLFLOW_SERVER_FILE_STORE"
ARTIFACT_ROOT = "_MLFLOW_SERVER_ARTIFACT_ROOT"
ARTIFACT_DESTINATION = "_MLFLOW_SERVER_ARTIFACT_DESTINATION"
SERVE_ARTIFACTS = "_MLFLOW_SERVER_SERVE_ARTIFACTS"
TRACKING_URI = "MLFLOW_TRACKING_URI"

SWITCHES: dict[str, str] = {
    SERVE_ARTIFACTS: "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_ENABLE_AI_GATEWAY": "false",
    "MLFLOW_ENABLE_WORKSPACES": "false",
    "MLFLOW_ENABLE_REMOTE_ASSISTANT": "false",
    "MLFLOW_SERVER_ENABLE_CUSTOM_SCORERS": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    # The gate in front checks Host and Origin exactly; MLflow's own check accepts
    # hosts such as 10.evil.com, and refuses its own pages when they are served under a real host name.
    "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE": "true",
}
"""What is switched the same way wherever we run; the rest depends on the configuration (``start.py``)."""

FOREIGN: tuple[str, ...] = (
    "_MLFLOW_SERVER_READ_REPLICA_BACKEND_STORE",
    "_MLFLOW_SERVER_REGISTRY_STORE",
    "_MLFLOW_SERVER_ARTIFACTS_ONLY",
    "_MLFLOW_STATIC_PREFIX",
    "MLFLOW_REGISTRY_URI",
    "prometheus_multiproc_dir",
)
"""What somebody else's environment may hold, and would change what the mounted server does: removed at start."""

SECRET: tuple[str, ...] = (BACKEND_STORE, TRACKING_URI)
"""Variables that hold the database's address with its password once MLflow runs: removed again after it has started."""

ADDRESSES: dict[str, str] = {
    # the Flask application and the module-wide state of its handlers
    "flask_app": "mlflow.server:app",
    "initialize_backend_stores": "mlflow.server.handlers:initialize_backend_stores",
    "server_tracking_stores": "mlflow.server.handlers:_tracking_store_registry",
    "server_registry_stores": "mlflow.server.handlers:_model_registry_store_registry",
    "server_tracking_store": "mlflow.server.handlers:_get_tracking_store",
    "server_registry_store": "mlflow.server.handlers:_get_model_registry_store",
    "client_tracking_stores": "mlflow.tracking._tracking_service.utils:_tracking_store_registry",
    "content_disposition": "mlflow.server.handlers:_content_disposition_attachment",
    "guess_mime_type": "mlflow.utils.mime_type_utils:_guess_mime_type",
    # stores and their tables
    "RegistryStore": "mlflow.store.model_registry.sqlalchemy_store:SqlAlchemyStore",
    "TrackingStore": "mlflow.store.tracking.sqlalchemy_store:SqlAlchemyStore",
    "SqlRegisteredModel": "mlflow.store.model_registry.dbmodels.models:SqlRegisteredModel",
    "SqlRegisteredModelTag": "mlflow.store.model_registry.dbmodels.models:SqlRegisteredModelTag",
    "SqlRegisteredModelAlias": "mlflow.store.model_registry.dbmodels.models:SqlRegisteredModelAlias",
    "SqlModelVersion": "mlflow.store.model_registry.dbmodels.models:SqlModelVersion",
    "SqlModelVersionTag": "mlflow.store.model_registry.dbmodels.models:SqlModelVersionTag",
    "SqlRun": "mlflow.store.tracking.dbmodels.models:SqlRun",
    "STAGE_DELETED": "mlflow.entities.model_registry.model_version_stages:STAGE_DELETED_INTERNAL",
    "DEFAULT_WORKSPACE": "mlflow.utils.workspace_utils:DEFAULT_WORKSPACE_NAME",
    "IS_PROMPT": "mlflow.entities.model_registry.prompt_version:IS_PROMPT_TAG_KEY",
    "ModelVersionTag": "mlflow.entities.model_registry:ModelVersionTag",
    # the database: sessions, migrations
    "managed_sessions": "mlflow.store.db.utils:_get_managed_session_maker",
    "make_engine": "mlflow.store.db.utils:create_sqlalchemy_engine_with_retry",
    "all_tables_exist": "mlflow.store.db.utils:_all_tables_exist",
    "initialize_tables": "mlflow.store.db.utils:_initialize_tables",
    "upgrade_tables": "mlflow.store.db.utils:_upgrade_db",
    "schema_version": "mlflow.store.db.utils:_get_schema_version",
    "newest_schema_version": "mlflow.store.db.utils:_get_latest_schema_revision",
    # artifacts
    "ArtifactRepository": "mlflow.store.artifact.artifact_repo:ArtifactRepository",
    "FileInfo": "mlflow.entities.file_info:FileInfo",
    # errors
    "MlflowException": "mlflow.exceptions:MlflowException",
    "ErrorCode": "mlflow.protos.databricks_pb2:ErrorCode",
    "INVALID_PARAMETER_VALUE": "mlflow.protos.databricks_pb2:INVALID_PARAMETER_VALUE",
    "RESOURCE_ALREADY_EXISTS": "mlflow.protos.databricks_pb2:RESOURCE_ALREADY_EXISTS",
    "RESOURCE_CONFLICT": "mlflow.protos.databricks_pb2:RESOURCE_CONFLICT",
    "RESOURCE_DOES_NOT_EXIST": "mlflow.protos.databricks_pb2:RESOURCE_DOES_NOT_EXIST",
    "TEMPORARILY_UNAVAILABLE": "mlflow.protos.databricks_pb2:TEMPORARILY_UNAVAILABLE",
    "INTERNAL_ERROR": "mlflow.protos.databricks_pb2:INTERNAL_ERROR",
}

GLOBALS: tuple[str, ...] = ("_artifact_repo",)
"""Module-wide variables of ``handlers`` that we set."""

FIRST_PAGE = "serve"
"""What the Flask application calls the route of the pages."""

FIRST_CHOICES: dict[str, str | bool] = {
    "mlflow.workflowType_v1": "machine_learning",
    "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": True,
}
"""Under which names the pages store in the browser what somebody chose (``landing.py``); a test looks at the page."""

LEFT_OUT: tuple[str, ...] = ("mlflow.server.auth",)
"""Modules that handlers try to import on each search, to ask MLflow's own login, which nobody installs here."""

LOGGERS = ("mlflow", "mlflow.store.db.utils")
"""What MLflow logs to: values that callers sent, and SQL with its parameters when the database refuses something."""


def __getattr__(name: str) -> Any:
    """Import a name of ``ADDRESSES`` on first use."""
    if name not in ADDRESSES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = resolve(ADDRESSES[name])
    globals()[name] = value
    return value


def resolve(address: str) -> Any:
    """Return what stands at ``module:attribute``; raise ImportError or AttributeError where MLflow moved it."""
    module, _, attribute = address.partition(":")
    found = importlib.import_module(module)
    return getattr(found, attribute) if attribute else found


def set_server_artifacts(repository: object) -> None:
    """Make ``repository`` the one that the server's artifact routes read and write."""
    resolve("mlflow.server.handlers")._artifact_repo = repository


def forget(names: Iterable[str]) -> None:
    """Remove variables from this process's environment."""
    for name in names:
        os.environ.pop(name, None)


def leave_out() -> None:
    """Mark what is never used as not importable: the attempt alone would load MLflow's gateway and 40 MB with it."""
    for name in LEFT_OUT:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # None is how Python spells "not importable"
