"""The registry's composition root: reads top to bottom as the object graph of the process."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass

from registry.adapters.mlflow_app.answers import mlflow_problem
from registry.adapters.mlflow_app.app import MlflowConfig, build_mlflow_app
from registry.adapters.mlflow_app.catalog import open_catalog
from registry.adapters.mlflow_app.routes import MLFLOW_ROUTES
from registry.adapters.mlflow_app.runs import open_runs
from registry.adapters.s3.artifacts import S3Artifacts
from registry.adapters.s3.client import s3_client
from registry.adapters.sql.database import Database, open_database
from registry.adapters.sql.ledger import ledger_on
from registry.adapters.tables.process import TableProcesses
from registry.adapters.uv_resolver import UvResolver
from registry.admission.admit import Admission
from registry.background import Background
from registry.baselining import BaselineOperations, Shelf
from registry.duties import Duties, Kept
from registry.edge.gate import ASGIApp
from registry.edge.traces import Tracer
from registry.edge.tracing import open_tracer, sending
from registry.environment import platform_version
from registry.errors import Unavailable
from registry.http.app import Mounted, build_app, build_fastapi
from registry.http.baselines import baseline_routes
from registry.http.counted import Counted
from registry.http.health import Life, health_routes
from registry.http.monitoring import monitoring_routes
from registry.http.nodes import node_routes
from registry.http.quality import quality_routes
from registry.http.rollouts import rollout_routes
from registry.http.routes import REGISTRY_ROUTES
from registry.http.snapshot import RevisionWatch, snapshot_routes
from registry.http.traffic import alias_routes, traffic_routes
from registry.http.uploads import upload_routes
from registry.http.versions import version_routes
from registry.monitor import Desk
from registry.monitoring.closing import Closing
from registry.monitoring.ports import Runs
from registry.operations import Guard, Operations
from registry.ports import Catalog
from registry.reconciler import Reconciler
from registry.rollouts import RolloutOperations
from registry.settings import RegistrySettings
from registry.telemetry import RegistryMetrics
from registry.trained import Trained

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

    app: ASGIApp
    leave: Callable[[], None]


def build(settings: RegistrySettings) -> Process:
    """Return the registry's ASGI application. Opens the database, the bucket and MLflow; background work starts with
    it."""
    database = open_database(settings.database)
    database.migrate()
    ledger, wake, metrics = ledger_on(database), Wake(), RegistryMetrics()

    artifacts = S3Artifacts(s3_client(settings.s3_endpoint, settings.s3_region), settings.s3_bucket)
    mlflow, catalog, runs = _mlflow(settings, Guard(ledger, wake))
    operations = Operations(catalog, ledger, artifacts, wake=wake, upload_limit=settings.upload_bytes)
    rollouts = RolloutOperations(operations, now_ms, ended=metrics.rollout_ended)
    shelf = Shelf(settings.home / "registry" / "tables", settings.baseline_bytes)
    baselines = BaselineOperations(operations, catalog, artifacts, tables=TableProcesses(), runs=runs, shelf=shelf)
    trained = Trained(ledger.versions, runs, now_ms)

    background = Background(
        Reconciler(catalog, ledger),
        Admission(artifacts, ledger.versions, now_ms, metrics.admitted, resolver=UvResolver(settings.home)),
        prepare=artifacts.ensure_bucket,
        pause=settings.reconcile_seconds,
        turned=metrics.turned,
    )
    wake.connect(background)
    rule = Closing(settings.drift_rows, int(settings.drift_seconds * 1000))
    duties = Duties(background, metrics, now_ms, _kept(settings))
    duties.count(ledger)
    duties.look_for_baselines(ledger, baselines)
    duties.sweep(operations, artifacts)
    kept_ms = duties.watch_quality(ledger.predictions, trained)
    leaders = (
        duties.deliver(rollouts, ledger).leave,
        duties.watch_rows(Desk(ledger.feature_windows, ledger.baselines, artifacts, ledger.leases), rule).leave,
    )

    tracer, watch, life = _tracer(settings, metrics), RevisionWatch(ledger.snapshots), Life()

    def leave() -> None:
        life.leave()
        watch.leave()

    app = build_fastapi(_lifespan(background, artifacts, watch, database, leaders, tracer=tracer))
    for routes in (version_routes, upload_routes, traffic_routes, alias_routes):
        app.include_router(routes(operations))
    app.include_router(health_routes(metrics.page, life))
    app.include_router(baseline_routes(baselines, trained))
    app.include_router(rollout_routes(rollouts, ledger.rollouts, now_ms))
    app.include_router(node_routes(operations, now_ms))
    app.include_router(monitoring_routes(operations, rule))
    app.include_router(quality_routes(operations, now_ms, kept_ms, trained))
    app.include_router(snapshot_routes(ledger.snapshots, watch))
    gate = build_app(app, REGISTRY_ROUTES, mlflow, settings.allowed_hosts)
    return Process(Counted(gate, gate.table, metrics.requested, tracer), leave)


def _kept(settings: RegistrySettings) -> Kept:
    return Kept(
        settings.upload_ttl_hours * 3600,
        verdict_days=settings.monitoring_days,
        prediction_days=settings.predictions_days,
        predictions=settings.predictions_kept,
    )


def _lifespan(
    background: Background,
    artifacts: S3Artifacts,
    watch: RevisionWatch,
    database: Database,
    leaders: Sequence[Callable[[], None]],
    *,
    tracer: Tracer | None,
) -> Callable[[], AbstractAsyncContextManager[None]]:
    """Return what happens before the first request and after the last; ``leaders`` give back what they lead."""

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        with suppress(Unavailable):  # the background tries again: a registry without S3 still answers what it can
            await asyncio.to_thread(artifacts.ensure_bucket)
        background.start()
        async with sending(tracer):
            yield
        await watch.close()
        await asyncio.to_thread(background.stop)
        with suppress(Unavailable):  # it runs out by itself
            for leave in leaders:
                await asyncio.to_thread(leave)
        database.close()

    return lifespan


def _mlflow(settings: RegistrySettings, guard: Guard) -> tuple[Mounted, Catalog, Runs]:
    """Start MLflow in this process; return it as it is mounted, and its registry and its runs as ours sees these."""
    config = MlflowConfig(
        database_url=settings.database,
        bucket=settings.s3_bucket,
        s3=s3_client(settings.s3_endpoint, settings.s3_region, connections=TRANSFERS),
        guard=guard,
    )
    return Mounted(build_mlflow_app(config), MLFLOW_ROUTES, mlflow_problem), open_catalog(config), open_runs(config)


def _tracer(settings: RegistrySettings, metrics: RegistryMetrics) -> Tracer | None:
    return open_tracer(
        settings.otlp_endpoint,
        settings.otlp_sample,
        metrics.traced,
        service="headgate-registry",
        version=platform_version(),
        instance=f"{socket.gethostname()}:{settings.registry_port}",
    )
