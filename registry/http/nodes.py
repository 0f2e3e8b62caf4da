"""Routes of nodes and of what they report: windows, nodes, a plan's arrival, a shadow's comparison."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request

from registry.http.render import iso, plan_json
from registry.http.render_traffic import arrival_json, node_json
from registry.http.strict import StrictRoute, strict_json
from registry.operations import Operations
from registry.records import parse_model_name, parse_version
from registry.traffic.arrival import arrivals, seen_nodes
from registry.traffic.comparison import comparison_json, present_run
from registry.traffic.reading import read_report

JOURNAL_LINES = 1000
"""How far back it is looked for when a version became a shadow."""
_LISTS = ("held", "versions", "arms", "shadows", "features", "answers")
_REPORT = {
    "type": "object",
    "description": "What a node says of itself since its last report. The form is that of nodes of this version.",
    "required": ["node", "boot", "sequence", "revision", "held", "versions", "arms", "shadows"],
    "properties": {
        "node": {"type": "string"},
        "boot": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
        "sequence": {"type": "integer", "minimum": 1},
        "revision": {"type": "integer", "minimum": 0},
        **{name: {"type": "array", "items": {"type": "object"}} for name in _LISTS},
    },
}
"""A node's report in the OpenAPI document; ``read_report`` says what it must be."""


def node_routes(operations: Operations, clock: Callable[[], int]) -> APIRouter:
    """Return the routes, bound to ``operations``."""
    routes = APIRouter(prefix="/registry/v1", tags=["nodes"], route_class=StrictRoute)
    ledger = operations.ledger

    @routes.post(
        "/windows",
        openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": _REPORT}}}},
    )
    async def windows(request: Request) -> Any:
        """Take a node's report in; one that came before is acknowledged and changes nothing."""
        body = await request.body()

        def take() -> int:
            return ledger.reports.take(read_report(strict_json(body)))

        return {"sequence": await asyncio.to_thread(take)}

    @routes.get("/nodes")
    def nodes() -> Any:
        """List the nodes that were heard of in the last hour, and what each serves."""
        return {"nodes": [node_json(node) for node in seen_nodes(ledger.reports.nodes(), clock())]}

    @routes.get("/models/{name}/traffic/status")
    def status(name: str) -> Any:
        """Show on which nodes the plan in force has arrived."""
        line = operations.plan(parse_model_name(name))
        changed = ledger.snapshots.changed(line.model)
        found = arrivals(seen_nodes(ledger.reports.nodes(), clock()), line, changed)
        plan = plan_json(line)
        return {
            "model": line.model,
            "revision": line.revision,
            "plan": plan["plan"],
            "arrived": sum(one.arrived and not one.node.lost for one in found),
            "nodes": [arrival_json(one) for one in found],
        }

    @routes.get("/models/{name}/shadows/{version}")
    def shadow(name: str, version: str) -> Any:
        """Show how a shadow compared with the primary, and whether it would have been a good canary."""
        model, number = parse_model_name(name), parse_version(version)
        operations.version(model, number)
        run = present_run(ledger.reports.shadows(model, number), ledger.plans.history(model, JOURNAL_LINES, 0))
        since = iso(run[0].start_ms) if run else None
        return {"model": model, "since": since, **comparison_json(number, run)}

    return routes
