"""Routes of traffic: the plan of a model, its journal, rolling back, and aliases."""

from __future__ import annotations

import re
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response

from registry.aliases import AliasChange
from registry.errors import InvalidRequest
from registry.http.bodies import AliasBody, PlanBody, RollbackBody
from registry.http.render import alias_json, plan_json
from registry.http.strict import StrictRoute
from registry.operations import Operations
from registry.plans import PlanRevision
from registry.records import parse_alias, parse_model_name, parse_version

# Until identities come, the journal can only say how a change was made.
WHO = "api"

IfMatch = Annotated[
    str | None, Header(alias="If-Match", description='The revision you saw: `"3"`; `"0"` where there is none')
]

IfMatchOrNone = Annotated[
    str | None, Header(alias="If-Match", description='The revision you saw, to be refused where it is another: `"3"`')
]
Limit = Annotated[int, Query(ge=1, le=1000)]
Before = Annotated[int, Query(ge=0, le=2**53, description="Only revisions below this one")]


def traffic_routes(operations: Operations) -> APIRouter:
    """Return the routes, bound to ``operations``."""
    routes = APIRouter(prefix="/registry/v1/models/{name}", tags=["traffic"], route_class=StrictRoute)

    def answer(revision: PlanRevision, response: Response) -> Any:
        response.headers["ETag"] = f'"{revision.revision}"'
        return plan_json(revision)

    @routes.get("/traffic")
    def show(name: str, response: Response) -> Any:
        """Show the plan in force; its revision is the ETag."""
        return answer(operations.plan(parse_model_name(name)), response)

    @routes.put("/traffic")
    def replace(name: str, body: PlanBody, response: Response, if_match: IfMatch = None) -> Any:
        """Replace the whole plan, if it is still the one you saw."""
        model, expected = parse_model_name(name), _revision(if_match)
        return answer(operations.replan(model, expected, body.to_plan(), WHO), response)

    @routes.delete("/traffic")
    def clear(name: str, response: Response, if_match: IfMatch = None) -> Any:
        """Take all traffic away, if the plan is still the one you saw; a new revision records it."""
        return answer(operations.replan(parse_model_name(name), _revision(if_match), None, WHO), response)

    @routes.get("/traffic/history")
    def history(
        name: str,
        limit: Limit = 100,
        before: Before = 0,
    ) -> Any:
        """Show the journal, newest first."""
        model = parse_model_name(name)
        operations.model(model)
        return {"revisions": [plan_json(r) for r in operations.ledger.plans.history(model, limit, before)]}

    @routes.post("/traffic/rollback")
    def rollback(
        name: str, response: Response, body: RollbackBody | None = None, if_match: IfMatchOrNone = None
    ) -> Any:
        """Put back the plan of the revision before, or of the one named; a new revision records it."""
        wanted = body.revision if body is not None else None
        expected = _seen(if_match)
        return answer(operations.roll_back(parse_model_name(name), wanted, WHO, expected=expected), response)

    return routes


def alias_routes(operations: Operations) -> APIRouter:
    """Return the routes of aliases, bound to ``operations``."""
    prefix = "/registry/v1/models/{name}/aliases/{alias}"
    routes = APIRouter(prefix=prefix, tags=["aliases"], route_class=StrictRoute)

    def answer(line: AliasChange, response: Response) -> Any:
        response.headers["ETag"] = f'"{line.revision}"'
        return alias_json(line)

    @routes.get("")
    def show_alias(name: str, alias: str, response: Response) -> Any:
        """Show what an alias names; its revision is the ETag."""
        return answer(operations.alias(parse_model_name(name), parse_alias(alias)), response)

    @routes.get("/history")
    def alias_history(name: str, alias: str, limit: Limit = 100, before: Before = 0) -> Any:
        """Show an alias's journal, newest first; it stays when the alias is removed."""
        model, parsed = parse_model_name(name), parse_alias(alias)
        operations.model(model)
        return {"revisions": [alias_json(c) for c in operations.ledger.aliases.history(model, parsed, limit, before)]}

    @routes.put("")
    def set_alias(name: str, alias: str, body: AliasBody, response: Response, if_match: IfMatchOrNone = None) -> Any:
        """Point an alias at a ready version, if it is still the one you saw (where you say so)."""
        model, parsed, version = parse_model_name(name), parse_alias(alias), parse_version(body.version)
        expected = _seen(if_match)
        line = operations.set_alias(model, parsed, version, who=WHO, why=body.note, expected=expected)
        assert line is not None  # only a removal leaves no line
        return answer(line, response)

    @routes.delete("", status_code=204)
    def delete_alias(name: str, alias: str, if_match: IfMatchOrNone = None) -> None:
        """Remove an alias, if it is still the one you saw (where you say so)."""
        model, parsed = parse_model_name(name), parse_alias(alias)
        operations.set_alias(model, parsed, None, who=WHO, expected=_seen(if_match))

    return routes


def _seen(if_match: str | None) -> int | None:
    return None if if_match is None else _revision(if_match)


def _revision(if_match: str | None) -> int:
    if if_match is None:
        raise InvalidRequest(
            "precondition_required",
            'send If-Match with the revision you saw (the ETag of GET …/traffic; "0" for the first plan)',
        )
    match = re.fullmatch(r'"(0|[1-9][0-9]{0,14})"', if_match.strip())
    if match is None:
        raise InvalidRequest("invalid_argument", 'If-Match must be one revision in double quotes, as "3"')
    return int(match[1])
