"""The composition root of a serving node: what is made of what, and in which order it starts and stops.

    settings ─► snapshot source ─► follower ─► routes ─┐
             ─► S3 ─► artifact cache ─► pool ◄─ runtime │
             warming ───► pool          │ (loads ahead, and decides which plan is in force)
                         table reader ──┴─► predictor ◄─┘─► lane ─► front ─► gate
                                               ├─► metrics, windows ─► reporter ─► registry
                                               └─► shadows (copies, for versions in the background)

Not here: the process (``cli.py``).
"""

from __future__ import annotations

import asyncio
import logging
import socket
import uuid
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from registry import log
from registry.baselines import DOCUMENT_BYTES
from registry.edge.gate import ASGIApp, Gate, RouteTable
from registry.edge.traces import Tracer
from registry.edge.tracing import open_tracer
from registry.environment import platform_version
from registry.errors import Unavailable
from serving.documents import Documents
from serving.feedback import FeedbackDesk
from serving.grpc.door import Beneath, GrpcDoor
from serving.http.app import build_app
from serving.http.body import BodyReader
from serving.http.counted import statistics_for_sibling
from serving.http.feedback import feedback_routes
from serving.http.front import Front
from serving.http.lane import PredictLane
from serving.http.oip import oip_routes
from serving.http.problems import problem
from serving.http.routes import SERVING_ROUTES
from serving.http.sagemaker import sagemaker_routes
from serving.http.scoring import scoring_routes
from serving.http.spoken import all_spoken, ask_of
from serving.http.tfs import tfs_routes
from serving.http.traced import TracedLane
from serving.http.tryit.routes import tryit_routes
from serving.http.view import NodeView, load_here, packed_page_here, unload_here
from serving.monitor import Monitor, Rush
from serving.parts import Parts
from serving.pool.grant import default_budget
from serving.pool.limits import PoolLimits
from serving.pool.pool import Pool
from serving.pool.standing import Standing
from serving.pool.warming import Warming
from serving.predictor import Predictor
from serving.protocols.example import read_example
from serving.protocols.limits import Limits
from serving.reader.reader import ReaderBounds, TableReader
from serving.reporter import Beside, Reporter
from serving.routing.table import Routes, Table
from serving.settings import ServingSettings
from serving.shadows.shadows import ShadowBounds, Shadows
from serving.sources.examples import SavedExamples
from serving.sources.feedback import HttpFeedback
from serving.sources.reports import HttpReports
from serving.sources.snapshot import HttpSnapshotSource, SnapshotFile, SnapshotFollower
from serving.telemetry.answered import MOST_BYTES as MOST_ANSWER_BYTES
from serving.telemetry.answered import KeptAnswers
from serving.telemetry.baselines import KnownBaselines
from serving.telemetry.capture import Capture, Wanted
from serving.telemetry.features import MOST_BYTES as ROWS_BYTES
from serving.telemetry.features import FeatureWindows
from serving.telemetry.finished import Finished
from serving.telemetry.metrics import Metrics
from serving.telemetry.windows import MOST_BYTES, ArmWindows
from serving.workers.siblings import Message, Siblings, Worker

COPIES = ReaderBounds(processes=1, waiting=1, background=True)
"""Who reads the large bodies that shadows get: nobody else waits for that."""
MEASURE_SECONDS = 1.0
MEASURED_AT_ONCE = 16
"""How often the memory of loaded versions is measured anew, and of how many: those that were measured longest ago."""


class Node:
    """One serving node: ``app`` answers, ``start`` and ``stop`` are its life."""

    def __init__(self, settings: ServingSettings, parts: Parts, worker: Worker | None = None) -> None:
        limits = Limits(settings.json_depth, settings.input_values, settings.response_bytes, settings.stream_seconds)
        self._parts = parts
        count = worker.count if worker is not None else 1
        self._siblings = Siblings(worker, self._answer_sibling) if worker is not None else None
        self._metrics = Metrics()
        self.routes = Routes()
        bounds = PoolLimits(settings.load_seconds, _budget(settings) // count)
        self.pool = Pool(parts.cache, parts.runtime, self._metrics, limits=bounds)
        self.warming = Warming(self.routes, self.pool, changed=self._retain, load_seconds=settings.load_seconds)
        self._tables = TableReader(limits, self._metrics.table_reader_lost)
        self._copies = TableReader(limits, self._metrics.table_reader_lost, COPIES)
        copied = ShadowBounds(settings.request_seconds, settings.window_seconds, store_inputs=settings.store_inputs)
        self.shadows = Shadows(self.pool, self._copies, limits, tells=self._metrics, bounds=copied)
        self._windows = ArmWindows(
            settings.window_seconds, most_bytes=MOST_BYTES // count, lost=self._metrics.counts_lost
        )
        self._answers = KeptAnswers(
            settings.predictions_sample if settings.monitor else 0.0,
            most_bytes=MOST_ANSWER_BYTES // count,
            lost=self._metrics.counts_lost,
        )
        self._monitor = self._build_monitor(settings, worker)
        self._reporter = self._build_reporter(settings, worker)
        self._predictor = Predictor(
            self.routes, self.pool, self._tables, limits=limits, observe=self._observe, shadows=self.shadows
        )
        file = SnapshotFile(state_of(settings, worker) / "snapshot")
        self._follower = SnapshotFollower(parts.source, file, self.routes, changed=self._changed)
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = self._broken = False

        self._predictor.when_heavy(parts.slack.note)
        self.bodies = BodyReader(settings.body_bytes, much=parts.slack.note)
        told, seconds = self._metrics.observe, settings.request_seconds
        spoken = all_spoken(ask_of(settings.default_model))
        lane = PredictLane(self._predictor, self.bodies, spoken, told, seconds)
        view = self._view = self._build_view(settings)
        self._tracer = self._build_tracer(settings, worker)
        traced = lane if self._tracer is None else TracedLane(lane, self._tracer)
        self.grpc = None
        if settings.grpc_port:
            self.grpc = GrpcDoor(Beneath(view, self._predictor, self.bodies, told, self._tracer), settings)
        self._feedback = FeedbackDesk(parts.feedback, self._answers, self._ask_siblings, self._note)
        app = self._build_app(settings, worker, limits)
        front = Front(traced, app, self.start, self.stop)
        self.app: ASGIApp = Gate(front, RouteTable(SERVING_ROUTES), settings.allowed_hosts, problem)

    async def start(self) -> None:
        """Begin: what is on disk serves at once, with or without the registry."""
        await asyncio.to_thread(self._follower.start_from_file)
        await self._parts.runtime.start()
        if self._siblings is not None:
            await self._siblings.start()
        if self._tracer is not None:
            self._tracer.start()
        loop = asyncio.get_running_loop()
        works = [
            self._follower.run(),
            self._open_cache(),
            self.warming.run(),
            self._watch_memory(),
            self._reporter.run(),
            self._parts.slack.run(),
        ]
        if self._monitor is not None:
            works.append(self._monitor.run())
        if self.grpc is not None:
            works.append(self.grpc.open())
        self._tasks = [loop.create_task(work) for work in works]
        for task in self._tasks:
            task.add_done_callback(self._notice_end)
        log.event("node_started", models=len(self.routes.table.models))

    def leave(self) -> None:
        """Say on ``/readyz`` that this node is on its way out; requests are still answered."""
        self._stopping = True
        if self.grpc is not None:
            self.grpc.leave()

    async def stop(self) -> None:
        """End, in reverse: nothing new is learnt, then versions go, then what carried them."""
        self.leave()
        if self.grpc is not None:
            await self.grpc.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # What cannot be ended does not keep the rest from ending; last in, first out.
        parts = self._parts
        async with AsyncExitStack() as ends:
            sources = (parts.source, parts.reports, parts.feedback)
            for part in (*reversed(parts.beneath), *sources, parts.cache, parts.runtime):
                ends.push_async_callback(part.close)
            if self._siblings is not None:
                ends.push_async_callback(self._siblings.close)
            ends.push_async_callback(self._tables.close)
            ends.push_async_callback(self._copies.close)
            ends.callback(self._predictor.close)
            ends.push_async_callback(self.pool.close)
            ends.push_async_callback(self._reporter.close)
            if self._monitor is not None:
                ends.push_async_callback(self._monitor.close)
            ends.push_async_callback(self.shadows.close)
            if self._tracer is not None:
                ends.push_async_callback(asyncio.to_thread, self._tracer.close)
        log.event("node_stopped")

    def _build_view(self, settings: ServingSettings) -> NodeView:
        return NodeView(
            routes=self.routes,
            pool=self.pool,
            warming=self.warming,
            metrics=self._metrics,
            siblings=self._siblings,
            snapshot_age=lambda: self._follower.age,
            report_age=lambda: self._reporter.age,
            cached_bytes=lambda: self._parts.cache.cached_bytes,
            stopping=lambda: self._stopping,
            broken=lambda: self._broken,
            load_seconds=settings.load_seconds,
        )

    def _build_app(self, settings: ServingSettings, worker: Worker | None, limits: Limits) -> ASGIApp:
        view, parts, default = self._view, self._parts, ask_of(settings.default_model)
        examples = SavedExamples(parts.cache.hold, parts.sealed, state_of(settings, worker) / "examples")
        app = build_app(view, platform_version())
        for routes in (
            feedback_routes(self._feedback, self.bodies, limits),
            oip_routes(view, self.bodies, limits),
            tfs_routes(view),
            scoring_routes(view, default),
            sagemaker_routes(view, self.bodies, limits),
            tryit_routes(view, examples, platform_version()),
        ):
            app.include_router(routes)
        return app

    def _build_tracer(self, settings: ServingSettings, worker: Worker | None) -> Tracer | None:
        return open_tracer(
            settings.otlp_endpoint,
            settings.otlp_sample,
            self._metrics.collected.traced,
            service="headgate-serving",
            version=platform_version(),
            instance=_node_name(settings, worker),
        )

    def _build_reporter(self, settings: ServingSettings, worker: Worker | None) -> Reporter:
        standing = Standing(_node_name(settings, worker), self.routes, self.pool, self.warming)
        monitor = self._monitor
        beside = Beside(self.shadows)
        if monitor is not None:
            beside = Beside(self.shadows, monitor.features, monitor.answers, monitor.note)
        reporter = Reporter(
            standing,
            self._windows,
            self._parts.reports,
            seconds=settings.window_seconds,
            beside=beside,
            lost=self._metrics.counts_lost,
        )
        self.pool.when_changed(reporter.changed)
        return reporter

    def _build_monitor(self, settings: ServingSettings, worker: Worker | None) -> Monitor | None:
        if not settings.monitor:
            return None
        directory = state_of(settings, worker) / "baselines"
        baselines = KnownBaselines(Documents(directory, self._parts.sealed, "a baseline", DOCUMENT_BYTES))
        features = FeatureWindows(
            self.routes.servable,
            baselines,
            most_bytes=ROWS_BYTES // (worker.count if worker is not None else 1),
            lost=self._metrics.counts_lost,
        )
        rush = Rush(settings.monitor_requests, self._metrics.counts_lost)
        return Monitor(features, baselines, self._answers, self._build_capture(settings, worker), rush)

    def _build_capture(self, settings: ServingSettings, worker: Worker | None) -> Capture | None:
        if not settings.capture_sample:
            return None
        wanted = Wanted(settings.capture_sample, frozenset(settings.capture_models), frozenset(settings.capture_redact))
        name = f"{_node_name(settings, worker)}-{uuid.uuid4().hex}"
        return Capture(wanted, self._parts.captures, name, tell=self._metrics.captured)

    def _observe(self, done: Finished) -> None:
        self._metrics.observe(done)
        self._windows.observe(done)
        if self._monitor is not None:
            self._monitor.observe(done)

    def _note(self) -> None:
        if self._monitor is not None:
            self._monitor.note()

    async def _ask_siblings(self, model: str, request_ids: list[str]) -> list[Any]:
        if self._siblings is None or not request_ids:
            return []
        said = await self._siblings.ask({"op": "answers", "model": model, "ids": request_ids})
        return [answered for answer in said.values() for answered in answer.get("answers", [])]

    async def _answer_sibling(self, message: Message) -> Message:
        if message["op"] == "page":
            return {"page": await packed_page_here(self._view)}
        if message["op"] == "answers":
            return {"answers": await self._feedback.find(message["model"], message["ids"])}
        if message["op"] == "statistics":
            return {"rows": statistics_for_sibling(self._view, str(message["model"]), str(message["version"]))}
        work = load_here if message["op"] == "load" else unload_here
        await work(self._view, str(message["model"]), str(message["version"]))
        return {}

    def _notice_end(self, task: asyncio.Task[None]) -> None:
        # A node that learns nothing any more must not look healthy: it would serve yesterday's plans for ever.
        if not task.cancelled() and (error := task.exception()) is not None:
            self._broken = True
            log.failure("node_task_failed", error)

    async def _open_cache(self) -> None:
        # Beside the start: a large cache takes a moment to read, and who needs it before then waits by itself.
        try:
            await self._parts.cache.open()
        except Unavailable as error:
            log.event("cache_unreadable", logging.WARNING, code=error.code)

    def _changed(self, table: Table) -> None:
        self.warming.learn(table)
        self._retain()
        self._parts.retain([v.servable for model in table.models.values() for v in model.versions.values()])

    def _retain(self) -> None:
        # What is on its way out goes on answering until what comes is loaded.
        self.pool.retain(self.routes.learnt.servable, self.routes.table.servable)
        self._metrics.retain(self.routes.table)
        self._predictor.retain()
        self._reporter.changed()

    async def _watch_memory(self) -> None:
        while True:
            await asyncio.sleep(MEASURE_SECONDS)
            await self.pool.measure(MEASURED_AT_ONCE)


def build(settings: ServingSettings, worker: Worker | None = None) -> Node:
    """Return a node on the real world, or one worker of it. Call it on the event loop's thread; it connects to nothing
    yet."""
    from serving.runtimes.choice import ChosenRuntime
    from serving.runtimes.environments import Environments
    from serving.runtimes.host.confinement import Confinement
    from serving.runtimes.host.runtime import HostRuntime
    from serving.runtimes.host.version import Bounds
    from serving.runtimes.inline.runtime import InlineRuntime
    from serving.sources.cache import ArtifactCache
    from serving.sources.s3 import S3SealedSource

    state, count = state_of(settings, worker), worker.count if worker is not None else 1
    sealed = S3SealedSource(settings.s3_endpoint, settings.s3_region, settings.s3_bucket)
    cache = ArtifactCache(state / "artifacts", settings.cache_bytes // count, sealed)
    hosts = HostRuntime(
        Environments(settings.home, sealed),
        state / "hosts",
        Bounds(settings.queue_rows, settings.max_batch_rows),
        Confinement(
            settings.sandbox, settings.home, memory_bytes=settings.host_memory_bytes or _budget(settings) // count
        ),
    )
    inline = InlineRuntime(
        state / "inline", read_example, queue_rows=settings.queue_rows, max_batch_rows=settings.max_batch_rows
    )
    runtime = ChosenRuntime(hosts, inline if settings.inline else None)
    parts = Parts(
        HttpSnapshotSource(settings.registry_url),
        cache,
        runtime,
        (sealed,),
        hosts.retain,
        HttpReports(settings.registry_url),
        HttpFeedback(settings.registry_url),
        sealed,
        sealed,
    )
    return Node(settings, parts, worker)


def _node_name(settings: ServingSettings, worker: Worker | None) -> str:
    name = settings.node_name or f"{socket.gethostname()}:{settings.serving_port}"
    return name if worker is None else f"{name}#{worker.number}"


def _budget(settings: ServingSettings) -> int:
    return settings.memory_budget_bytes or default_budget()


def state_of(settings: ServingSettings, worker: Worker | None = None) -> Path:
    """Return the directory that holds a serving node's own state, or that of one of its workers."""
    state = settings.home.absolute() / "serving"
    return state if worker is None else state / "workers" / str(worker.number)
