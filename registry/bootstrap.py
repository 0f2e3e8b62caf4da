"""The registry's composition root: reads top to bottom as the object graph of the process."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from fastapi import APIRouter

from registry.adapters.mlflow_app.answers import mlflow_problem
from registry.adapters.mlflow_app.app import MlflowConfig, build_mlflow_app
from registry.adapters.mlflow_app.catalog import open_catalog
from registry.adapters.mlflow_app.routes import MLFLOW_ROUTES
from registry.adapters.s3.artifacts import S3Artifacts
from registry.adapters.s3.client import s3_client
from registry.adapters.sql.database import open_database
from registry.adapters.sql.ledger import ledger_on
from registry.adapters.uv_resolver import UvResolver
from registry.admission.admit import Admission
from registry.background import Background
from registry.controller import Controller
from registry.edge.gate import Gate
from registry.errors import Unavailable
from registry.http.app import Mounted, build_app, build_fastapi
from registry.http.health import Life, health_routes
from registry.http.nodes import node_routes
from registry.http.quality import quality_routes
from registry.http.rollouts import rollout_routes
from registry.http.routes import REGISTRY_ROUTES
from registry.http.snapshot import RevisionWatch, snapshot_routes
from registry.http.traffic import alias_routes, traffic_routes
from registry.http.uploads import upload_routes
from registry.http.versions import version_routes
from registry.monitoring.quality_watch import DAY_MS, QualityWatch
from registry.operations import Guard, Operations
from registry.ports import Ledger
from registry.reconciler import Reconciler
from registry.rollouts import RolloutOperations
from registry.settings import RegistrySettings
from registry.telemetry import RegistryMetrics
from registry.traffic.arrival import seen_nodes

SWEEP_SECONDS = 600
PREDICTIONS_SWEEP_SECONDS = 30
QUALITY_SECONDS = 10.0
LOOK_SECONDS = 0.5
NODES_SECONDS = 5.0
WINDOWS_KEPT_MS = 7 * 24 * 3_600_000
NODES_KEPT_MS = 24 * 3_600_000
TRANSFERS = 64
"""Connections to S3 for what MLflow's clients send and fetch."""


class Wake:
    """A bell that is rung before anybody listens: the guard and the operations exist before the background does."""

    def __init__(self) -> None:
        self._background: Background | None = None

    def connect(self, background: Background) -> None:
        """Let rings through to ``background``."""
        self._background = background

    def __call__(self) -> None:
        if self._background is not None:
            self._background.wake()


def now_ms() -> int:
    """Return the wall clock in milliseconds."""
    return int(time.time() * 1000)


@dataclass(frozen=True, slots=True)
class Process:
    """The registry, ready to be served: ``leave`` is called when it is told to stop."""

    gate: Gate
    leave: Callable[[], None]


def build(settings: RegistrySettings) -> Process:
    """Return the registry's ASGI application. Opens the database, the bucket and MLflow; background work starts with
    it."""
    database = open_database(settings.database)
    database.migrate()
    ledger = ledger_on(database)
    wake = Wake()

    artifacts = S3Artifacts(s3_client(settings.s3_endpoint, settings.s3_region), settings.s3_bucket)
    mlflow_config = MlflowConfig(
        database_url=settings.database,
        bucket=settings.s3_bucket,
        s3=s3_client(settings.s3_endpoint, settings.s3_region, connections=TRANSFERS),
        guard=Guard(ledger, wake),
    )
    mlflow = Mounted(build_mlflow_app(mlflow_config), MLFLOW_ROUTES, mlflow_problem)
    catalog = open_catalog(mlflow_config)

    operations = Operations(catalog, ledger, artifacts, wake=wake, upload_limit=settings.upload_bytes)
    metrics = RegistryMetrics()
    rollouts = RolloutOperations(operations, now_ms, ended=metrics.rollout_ended)
    background = Background(
        Reconciler(catalog, ledger),
        Admission(artifacts, ledger.versions, now_ms, metrics.admitted, resolver=UvResolver(settings.home)),
        prepare=artifacts.ensure_bucket,
        pause=settings.reconcile_seconds,
    )
    _sweep(background, operations, artifacts, settings.upload_ttl_hours * 3600)
    quality = _watch_quality(operations, metrics, background, settings)
    controller = _deliver(rollouts, ledger, metrics, background)
    wake.connect(background)
    watch = RevisionWatch(ledger.snapshots)

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        with suppress(Unavailable):  # the background tries again: a registry without S3 still answers what it can
            await asyncio.to_thread(artifacts.ensure_bucket)
        background.start()
        yield
        await watch.close()
        await asyncio.to_thread(background.stop)
        with suppress(Unavailable):  # it runs out by itself
            await asyncio.to_thread(controller.leave)
        database.close()

    life = Life()

    def leave() -> None:
        life.leave()
        watch.leave()

    app = build_fastapi(lifespan)
    app.include_router(health_routes(metrics.collected, life))
    for routes in (version_routes, upload_routes, traffic_routes, alias_routes):
        app.include_router(routes(operations))
    app.include_router(rollout_routes(rollouts, ledger.rollouts, now_ms))
    app.include_router(node_routes(operations, now_ms))
    app.include_router(quality)
    app.include_router(snapshot_routes(ledger.snapshots, watch))
    return Process(build_app(app, REGISTRY_ROUTES, mlflow, settings.allowed_hosts), leave)


def _deliver(
    rollouts: RolloutOperations, ledger: Ledger, metrics: RegistryMetrics, background: Background
) -> Controller:
    """Have rollouts moved and nodes counted; return who moves them."""
    controller = Controller(
        rollouts, ledger.rollouts, ledger.leases, gauges=metrics, clock=now_ms, holder=secrets.token_hex(16)
    )

    def count() -> None:
        metrics.nodes_are(sum(not node.lost for node in seen_nodes(ledger.reports.nodes(), now_ms())))

    background.every("rollouts", LOOK_SECONDS, controller.turn)
    background.every("nodes", NODES_SECONDS, count)
    background.every("gone-models", SWEEP_SECONDS, lambda: metrics.models_are(ledger.models.names()))
    return controller


def _watch_quality(
    operations: Operations, metrics: RegistryMetrics, background: Background, settings: RegistrySettings
) -> APIRouter:
    """Have live quality shown, and predictions that are too old or too many forgotten; return the routes of labels."""
    predictions, kept_ms = operations.ledger.predictions, int(settings.predictions_days * DAY_MS)
    watch = QualityWatch(predictions, metrics, kept_ms)
    background.every("quality", QUALITY_SECONDS, lambda: watch.look(now_ms()))
    background.every(
        "sweep-predictions",
        PREDICTIONS_SWEEP_SECONDS,
        lambda: predictions.sweep(settings.predictions_kept, now_ms() - kept_ms),
    )
    return quality_routes(operations, now_ms, kept_ms)


def _sweep(background: Background, operations: Operations, artifacts: S3Artifacts, ttl_seconds: float) -> None:
    """Have what nobody needs any more taken away."""
    background.every(
        "sweep-uploads", SWEEP_SECONDS, lambda: operations.sweep_uploads(now_ms() - int(ttl_seconds * 1000))
    )
    background.every("sweep-parts", SWEEP_SECONDS, lambda: artifacts.sweep_multipart(ttl_seconds))
    reports = operations.ledger.reports
    background.every(
        "sweep-windows", SWEEP_SECONDS, lambda: reports.sweep(now_ms() - WINDOWS_KEPT_MS, now_ms() - NODES_KEPT_MS)
    )
