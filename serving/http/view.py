"""What the routes beside the predict lane may see of a node, and the few things that they do with it.

Not here: the routes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from registry.records import parse_model_name, parse_version
from serving.pool.pool import Pool
from serving.pool.warming import START_SECONDS, Warming
from serving.routing.choose import Ask, choose
from serving.routing.split import Decision
from serving.routing.table import Routes
from serving.telemetry.metrics import Metrics, Readings
from serving.workers.pages import packed
from serving.workers.siblings import Siblings

T = TypeVar("T")
# A thread of its own: those of the loop may all be waiting for the disk.
_THREADS = ThreadPoolExecutor(1, thread_name_prefix="metrics")


@dataclass(frozen=True, slots=True)
class NodeView:
    """What the routes may see of the node.

    ``stopping`` tells whether it is on its way out, ``broken`` whether something that it cannot do without has ended.
    """

    routes: Routes
    pool: Pool
    warming: Warming
    metrics: Metrics
    siblings: Siblings | None
    snapshot_age: Callable[[], float | None]
    report_age: Callable[[], float | None]
    cached_bytes: Callable[[], int]
    stopping: Callable[[], bool]
    broken: Callable[[], bool]
    load_seconds: float


def why_not_ready(node: NodeView) -> str:
    """Return why this node cannot serve now; empty where it can."""
    if node.stopping():
        return "this node is shutting down"
    if node.broken():
        return "a part of this node has failed; its log has the place"
    if not node.routes.table.known:
        return "the registry has not answered yet, and no snapshot is on disk"
    if starting := node.warming.starting:
        return f"{starting} versions of warm plans are being loaded ahead, for at most {START_SECONDS:g} seconds"
    return ""


async def page_here(node: NodeView) -> bytes:
    """Return this process's metrics as Prometheus reads them."""
    pool, table = node.pool, node.routes.table
    node.metrics.read(
        Readings(
            table,
            pool.slots(),
            node.snapshot_age(),
            node.cached_bytes(),
            memory_budget_bytes=pool.memory_budget_bytes,
            plans_waiting=node.warming.waiting,
            report_age=node.report_age(),
        )
    )
    return await beside(node.metrics.page)


async def packed_page_here(node: NodeView) -> str:
    """Return the same for a sibling, which reads it with ``unpacked``."""
    page = await page_here(node)
    return await beside(lambda: packed(page))


async def beside(work: Callable[[], T]) -> T:
    """Do ``work`` beside the loop: a page of a thousand versions takes a while to write."""
    return await asyncio.get_running_loop().run_in_executor(_THREADS, work)


async def load_here(node: NodeView, name: str, version: str) -> Decision:
    """Load a version in this process and return once it is ready; raise as ``Pool.lease`` does."""
    decision = choose_version(node, name, version)
    node.pool.forgive(decision.chosen.servable)  # whoever asks for it by hand has perhaps mended it
    lease = await node.pool.lease(decision.model, decision.chosen.servable, node.load_seconds)
    lease.release()
    return decision


async def unload_here(node: NodeView, name: str, version: str) -> Decision:
    """Drain a version in this process; raise as ``Pool.unload`` does."""
    decision = choose_version(node, name, version)
    node.pool.unload(decision.chosen.servable)
    return decision


async def tell_siblings(node: NodeView, op: str, decision: Decision) -> None:
    """Have the other processes on this port do the same (``load``, ``unload``)."""
    if node.siblings is not None:
        message = {"op": op, "model": decision.model, "version": decision.version}
        await node.siblings.ask(message, node.load_seconds)


def choose_version(node: NodeView, name: str, version: str) -> Decision:
    """Return what asking for one version means; raise for what is no name, and for who is not known."""
    return choose(node.routes.table, Ask(parse_model_name(name), version=parse_version(version)))


def choose_settled(node: NodeView, ask: Ask) -> Decision:
    """Return what asking means where no request is made: where a plan has a canary or rules, its stable version, so
    that the same question gets the same answer each time. Raise as ``choose`` does."""
    decision = choose(node.routes.table, ask)
    return decision if decision.stable is None else decision.fallen_back()
