"""The fake platform's plans, aliases and rollouts, in the contract's JSON.

A rollout moves as the test has written down: ``Situation.turns`` are changes, and each look at a rollout makes one. Not
here: deciding anything on evidence.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.fake_situation import API, Problem, Situation

HISTORY_PAGE = 3
"""How many lines of a journal it gives at once."""
AT = "2026-11-20T08:00:00.000Z"
PLAN: dict[str, Any] = {
    "canary": None, "shadows": [], "rules": [], "sticky": {"header": "x-headgate-key"}, "note": "", "warm": False,
    "instances": 1, "allow_incompatible": False,
}  # fmt: skip
SPEC: dict[str, Any] = {
    "metrics": [{"name": "error-rate", "tolerance": 1.25}], "alpha": 0.05, "minRequests": 200, "interval": "30s",
    "maxDuration": "24h", "note": "",
}  # fmt: skip


def named(plan: dict[str, Any]) -> set[str]:
    """Return every version that a plan names."""
    canary = [plan["canary"]] if plan.get("canary") else []
    more = [*canary, *plan.get("shadows", ()), *plan.get("rules", ())]
    return {plan["stable"], *(item["version"] for item in more)}


def page_of(journal: list[dict[str, Any]], asked: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return a page of a journal, newest first."""
    before, limit = int(asked.get("before", 0)), min(int(asked.get("limit", 100)), HISTORY_PAGE)
    return [line for line in journal[::-1] if not before or line["revision"] < before][:limit]


def traffic_routes(s: Situation) -> list[Route]:
    """Return the routes of plans, their journal, aliases, and where a plan has arrived."""

    def append(name: str, plan: dict[str, Any] | None, why: str) -> Response:
        model = s.find(name)
        revision = len(model.journal) + 1
        line = {"model": name, "revision": revision, "plan": plan, "who": "api", "why": why, "at": AT}
        model.journal.append(line)
        return JSONResponse(line, headers={"ETag": f'"{revision}"'})

    async def show(request: Request) -> Response:
        journal = s.find(request.path_params["name"]).journal
        if not journal:
            raise Problem(404, "no_plan", "there is no plan yet")
        return JSONResponse(journal[-1], headers={"ETag": f'"{journal[-1]["revision"]}"'})

    async def replace(request: Request) -> Response:
        name, plan = request.path_params["name"], await request.json()
        revision = len(s.find(name).journal)
        if request.headers.get("if-match") != f'"{revision}"':
            raise Problem(409, "revision_conflict", f"the plan has revision {revision}", revision=revision)
        for unknown in set(plan) - {"stable", *PLAN}:
            raise Problem(400, "invalid_argument", f"a plan has no field '{unknown}'")
        for number in named(plan):
            if s.version(name, number)["state"] != "ready":
                raise Problem(409, "not_ready", f"version {number} is not ready")
        return append(name, PLAN | plan, plan["note"] or "plan replaced")

    async def clear(request: Request) -> Response:
        name = request.path_params["name"]
        revision = len(s.find(name).journal)
        if request.headers.get("if-match") != f'"{revision}"':
            raise Problem(409, "revision_conflict", f"the plan has revision {revision}", revision=revision)
        return append(name, None, "all traffic taken away")

    async def history(request: Request) -> Response:
        return JSONResponse({"revisions": page_of(s.find(request.path_params["name"]).journal, request.query_params)})

    async def rollback(request: Request) -> Response:
        name, body = request.path_params["name"], await request.body()
        journal = s.find(name).journal
        if not journal:
            raise Problem(404, "no_plan", f'{name} has no plan yet; PUT …/traffic with If-Match: "0"')
        wanted = json.loads(body)["revision"] if body else len(journal) - 1
        if wanted < 1:
            raise Problem(409, "not_ready", "nothing to roll back to")
        return append(name, journal[wanted - 1]["plan"], f"rolled back to revision {wanted}")

    async def status(request: Request) -> Response:
        name = request.path_params["name"]
        journal = s.find(name).journal
        if not journal:
            raise Problem(404, "no_plan", "there is no plan yet")
        body = {"model": name, "revision": journal[-1]["revision"], "plan": journal[-1]["plan"]}
        nodes = [
            {"in_force": len(journal) - 1, "awaits": ["2"], "arrived": False, "versions": {"1": "ready"}, **node}
            for node in s.nodes
        ]
        return JSONResponse({**body, "arrived": sum(n["arrived"] for n in nodes), "nodes": nodes})

    async def shadow(request: Request) -> Response:
        name, number = request.path_params["name"], request.path_params["version"]
        s.version(name, number)
        return JSONResponse({"model": name, "version": number, **s.shadows.get((name, number), {})})

    async def nodes(_: Request) -> Response:
        return JSONResponse({"nodes": [{"revision": 7, "held": [], "versions": [], **node} for node in s.nodes]})

    async def alias(request: Request) -> Response:
        aliases = s.find(request.path_params["name"]).aliases
        if request.method == "PUT":
            aliases[request.path_params["alias"]] = (await request.json())["version"]
            return JSONResponse({})
        if aliases.pop(request.path_params["alias"], None) is None:
            raise Problem(404, "unknown_alias", "no such alias")
        return Response(status_code=204)

    prefix = f"{API}/models/{{name}}"
    return [
        Route(f"{prefix}/traffic", show),
        Route(f"{prefix}/traffic", replace, methods=["PUT"]),
        Route(f"{prefix}/traffic", clear, methods=["DELETE"]),
        Route(f"{prefix}/traffic/history", history),
        Route(f"{prefix}/traffic/status", status),
        Route(f"{prefix}/shadows/{{version}}", shadow),
        Route(f"{API}/nodes", nodes),
        Route(f"{prefix}/traffic/rollback", rollback, methods=["POST"]),
        Route(f"{prefix}/aliases/{{alias}}", alias, methods=["PUT", "DELETE"]),
    ]


def rollout_routes(s: Situation) -> list[Route]:
    """Return the routes of rollouts."""

    def find(request: Request) -> dict[str, Any]:
        found = s.find(request.path_params["name"]).rollouts
        rollout = next((r for r in found if r["id"] == request.path_params["id"]), None)
        if rollout is None:
            raise Problem(404, "unknown_rollout", "there is no such rollout")
        return rollout

    def note(rollout: dict[str, Any], event: str, message: str) -> None:
        rollout["journal"].append({"at": AT, "event": event, "message": message, "revision": None, "numbers": {}})

    async def start(request: Request) -> Response:
        name, body = request.path_params["name"], await request.json()
        model = s.find(name)
        if any(r["state"] in ("running", "paused") for r in model.rollouts):
            raise Problem(409, "already_exists", f"a rollout of {name} goes on already")
        s.version(name, body["version"])
        rollout = {
            **SPEC, **body, "id": f"{len(model.rollouts) + 1:032x}", "model": name, "state": "running", "reason": "",
            "step": 0, "weight": body["steps"][0]["setWeight"], "stable": s.stable(name), "holding": None,
            "started_at": AT, "step_started_at": AT, "ended_at": None, "plan_revision": len(model.journal) + 1,
            "evidence": {}, "arms": {}, "journal": [],
        }  # fmt: skip
        note(rollout, "started", f"step 1 of {len(body['steps'])}")
        model.rollouts.append(rollout)
        return JSONResponse(rollout, 201)

    async def page(request: Request) -> Response:
        return JSONResponse({"rollouts": s.find(request.path_params["name"]).rollouts[::-1]})

    async def show(request: Request) -> Response:
        rollout = find(request)
        if s.turns:
            turn = s.turns.pop(0)
            rollout["journal"] += turn.get("journal", [])
            rollout.update({key: value for key, value in turn.items() if key != "journal"})
        return JSONResponse(rollout)

    async def move(request: Request) -> Response:
        rollout, verb = find(request), request.path_params["verb"]
        if rollout["state"] not in ("running", "paused"):
            raise Problem(409, "not_ready", f"this rollout has ended: {rollout['state']}")
        body = await request.body()
        why = json.loads(body)["why"] if body else ""
        ends = {"pause": "paused", "resume": "running", "promote": "succeeded", "abort": "aborted"}
        rollout["state"] = ends[verb]
        if rollout["state"] in ("succeeded", "aborted"):
            rollout.update(reason=why or f"{verb} by api", ended_at=AT)
        note(rollout, ends[verb], why)
        return JSONResponse(rollout)

    one = f"{API}/models/{{name}}/rollouts/{{id}}"
    return [
        Route(f"{API}/models/{{name}}/rollouts", page),
        Route(f"{API}/models/{{name}}/rollouts", start, methods=["POST"]),
        Route(one, show),
        Route(f"{one}/{{verb}}", move, methods=["POST"]),
    ]
