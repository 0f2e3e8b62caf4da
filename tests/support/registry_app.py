"""The registry over its in-memory adapters: all of it but the servers, for tests that speak HTTP in process."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from registry.adapters.memory.artifacts import MemoryArtifacts
from registry.adapters.memory.catalog import MemoryCatalog
from registry.adapters.memory.ledger import memory_ledger
from registry.adapters.memory.resolver import MemoryResolver
from registry.adapters.memory.runs import MemoryRuns
from registry.admission.admit import Admission
from registry.baselining import BaselineOperations, Shelf
from registry.controller import Controller
from registry.drift_view import DriftView
from registry.edge.gate import Gate, Receive, Scope, Send
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
from registry.monitor import Desk, Monitor
from registry.monitoring.closing import Closing
from registry.monitoring.quality import DAY_MS
from registry.operations import Guard, Operations
from registry.reconciler import Reconciler
from registry.rollouts import Judge, RolloutOperations
from registry.telemetry import RegistryMetrics
from registry.traffic.judgement import judged
from registry.trained import Trained
from tests.support.ledgers import Clock
from tests.support.tables import TablesHere

MLMODEL = b"flavors:\n  python_function: {loader_module: mlflow.sklearn, python_version: 3.11.7}\n  sklearn: {}\n"
V1 = "/registry/v1"
RULE = Closing()


async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """Stand where MLflow is mounted; no route of it is listed, so nothing may come here."""
    raise AssertionError("the gate let something through that no table lists")


class RegistryInMemory:
    """A registry whose background work runs when a test says ``settle``."""

    def __init__(self, *, judge: Judge = judged, shelf: Path | None = None) -> None:
        self.clock = Clock()
        self.catalog = MemoryCatalog()
        self.artifacts = MemoryArtifacts()
        self.ledger = memory_ledger(self.clock)
        self.woken = 0
        self.operations = Operations(self.catalog, self.ledger, self.artifacts, wake=self._wake, upload_limit=1_000_000)
        self.guard = Guard(self.ledger, self._wake)
        self.reconciler = Reconciler(self.catalog, self.ledger)
        self.resolver = MemoryResolver()
        self.metrics = RegistryMetrics()
        self.admission = Admission(
            self.artifacts, self.ledger.versions, self.clock, self.metrics.admitted, resolver=self.resolver
        )
        self.rollouts = RolloutOperations(self.operations, self.clock, ended=self.metrics.rollout_ended, judge=judge)
        self.controller = Controller(
            self.rollouts,
            self.ledger.rollouts,
            self.ledger.leases,
            gauges=self.metrics,
            clock=self.clock,
            holder="this one",
        )
        desk = Desk(self.ledger.feature_windows, self.ledger.baselines, self.artifacts, self.ledger.leases)
        self.monitor = Monitor(desk, RULE, gauges=self.metrics, clock=self.clock, holder="this one")
        self.view = DriftView(self.ledger.feature_windows, self.metrics)
        self.runs = MemoryRuns()
        self.tables = TablesHere()
        self.baselines = BaselineOperations(
            self.operations,
            self.catalog,
            self.artifacts,
            tables=self.tables,
            runs=self.runs,
            shelf=Shelf(shelf or Path(tempfile.gettempdir()), 1_000_000),
        )
        self.gate = self._gate()
        self.app = Counted(self.gate, self.gate.table, self.metrics.requested)

    def _wake(self) -> None:
        self.woken += 1

    def _gate(self) -> Gate:
        @asynccontextmanager
        async def lifespan() -> AsyncIterator[None]:
            yield

        app = build_fastapi(lifespan)
        watch = RevisionWatch(self.ledger.snapshots)
        for routes in (
            health_routes(self.metrics.page, Life()),
            version_routes(self.operations),
            upload_routes(self.operations),
            baseline_routes(self.baselines, Trained(self.ledger.versions, self.runs, self.clock)),
            traffic_routes(self.operations),
            rollout_routes(self.rollouts, self.ledger.rollouts, self.clock),
            node_routes(self.operations, self.clock),
            monitoring_routes(self.operations, RULE),
            quality_routes(self.operations, self.clock, 7 * DAY_MS),
            alias_routes(self.operations),
            snapshot_routes(self.ledger.snapshots, watch),
        ):
            app.include_router(routes)
        return build_app(app, REGISTRY_ROUTES, Mounted(nothing, ()), ())

    def settle(self) -> None:
        """Do what the background would: look at MLflow, admit what waits, look again."""
        self.reconciler.look()
        while self.admission.run_once():
            pass
        self.reconciler.look()

    def log_model(self, model: str, *, mlmodel: bytes = MLMODEL) -> str:
        """Act as MLflow's client that logs and registers a model; return the version."""
        number = len(self.catalog.changed_since(0)) * 1000 + len(self.artifacts.objects)
        path = f"1/models/m-{number}/artifacts"
        self.artifacts.put_working_file(f"mlflow/{path}/", "MLmodel", mlmodel)
        self.artifacts.put_working_file(f"mlflow/{path}/", "model.pkl", str(number).encode())
        return self.catalog.user_creates_version(model, f"mlflow-artifacts:/{path}").version

    def ready(self, model: str, count: int = 1) -> None:
        """Register ``count`` versions and admit them."""
        for _ in range(count):
            self.log_model(model)
        self.settle()

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Send one request to the whole gated application."""

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:5000") as client:
                return await client.request(method, path, **more)

        return asyncio.run(send())

    def upload(self, files: Mapping[str, bytes], *, commit: bool = True) -> str:
        """Upload a model directory; return the upload's id."""
        declared = [{"path": p, "size": len(d), "sha256": hashlib.sha256(d).hexdigest()} for p, d in files.items()]
        upload = self.ask("POST", f"{V1}/uploads", json={"files": declared}).json()["upload"]["id"]
        for path, data in files.items():
            assert self.ask("PUT", f"{V1}/uploads/{upload}/files/{path}", content=data).status_code == 200
        if commit:
            assert self.ask("POST", f"{V1}/uploads/{upload}/commit").status_code == 200
        return str(upload)


def code(response: httpx.Response) -> tuple[int, str]:
    """Return status and error code, having checked that the error has the contract's shape."""
    error = response.json()["error"]
    assert set(error) == {"code", "message", "request_id", "details"}
    assert error["message"] and len(response.content) < 8192
    assert response.headers["x-request-id"] == error["request_id"]
    return response.status_code, error["code"]


def mlmodel(*columns: tuple[str, str]) -> bytes:
    """Return an MLmodel file with a signature of these columns: name and type; ``name?`` may be left out."""
    specs = ", ".join(
        f'{{"type": "{kind}", "name": "{name.rstrip("?")}", "required": {"false" if name.endswith("?") else "true"}}}'
        for name, kind in columns
    )
    return (
        b"flavors:\n  python_function: {loader_module: mlflow.sklearn, python_version: 3.11.7}\n  sklearn: {}\n"
        + f"signature:\n  inputs: '[{specs}]'\n  outputs: null\n  params: null\n".encode()
    )
