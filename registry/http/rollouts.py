"""Routes of rollouts: begin one, see it, and what a person may do to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query

from registry.http.render_traffic import rollout_in_full, rollout_json
from registry.http.rollout_bodies import RolloutBody, WhyBody
from registry.http.strict import StrictRoute
from registry.http.traffic import WHO
from registry.records import parse_model_name, parse_version
from registry.rollouts import RolloutOperations
from registry.traffic.ports import Rollouts
from registry.traffic.rollout import Rollout


def rollout_routes(operations: RolloutOperations, journals: Rollouts, clock: Callable[[], int]) -> APIRouter:
    """Return the routes, bound to ``operations``."""
    routes = APIRouter(prefix="/registry/v1/models/{name}/rollouts", tags=["rollouts"], route_class=StrictRoute)

    def answer(rollout: Rollout) -> Any:
        judgement = None if rollout.ended else operations.seen(rollout)
        return rollout_in_full(rollout, journals.journal(rollout.id), judgement, clock())

    @routes.post("", status_code=201)
    def start(name: str, body: RolloutBody) -> Any:
        """Begin to roll a version out: its first step is in the plan at once."""
        model, version = parse_model_name(name), parse_version(body.version)
        return answer(operations.start(model, version, body.spec(), WHO))

    @routes.get("")
    def listed(name: str, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> Any:
        """List a model's rollouts, newest first, without evidence and journals."""
        return {"rollouts": [rollout_json(r) for r in operations.rollouts(parse_model_name(name), limit)]}

    @routes.get("/{rollout}")
    def show(name: str, rollout: str) -> Any:
        """Show a rollout: where it stands, why it waits, its evidence up to now, its journal."""
        return answer(operations.rollout(parse_model_name(name), rollout))

    @routes.post("/{rollout}/pause")
    def pause(name: str, rollout: str, body: WhyBody | None = None) -> Any:
        """Stop its clocks. The canary keeps its share; evidence against it still ends the rollout."""
        return answer(operations.pause(parse_model_name(name), rollout, WHO, _why(body)))

    @routes.post("/{rollout}/resume")
    def resume(name: str, rollout: str, body: WhyBody | None = None) -> Any:
        """Let its clocks go on; where they are going, lift what holds it until somebody has looked."""
        return answer(operations.resume(parse_model_name(name), rollout, WHO, _why(body)))

    @routes.post("/{rollout}/promote")
    def promote(name: str, rollout: str, body: WhyBody | None = None) -> Any:
        """Leave out the rest: the version is stable now."""
        return answer(operations.promote(parse_model_name(name), rollout, WHO, _why(body)))

    @routes.post("/{rollout}/abort")
    def abort(name: str, rollout: str, body: WhyBody | None = None) -> Any:
        """Go back to the plan before."""
        return answer(operations.abort(parse_model_name(name), rollout, WHO, _why(body)))

    return routes


def _why(body: WhyBody | None) -> str:
    return "" if body is None else body.why
