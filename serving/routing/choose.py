"""Which version answers one request: plan, alias or pin. Pure.

Not here: canaries, rules and shadows (they join the plan with the traffic work), and loading.
"""

from __future__ import annotations

import heapq

from registry.errors import Conflict, HeadgateError, InvalidRequest, NotFound, quote
from registry.records import AliasName, ModelName, VersionNumber
from serving.routing.table import LISTED, UNREADABLE, RoutedModel, RoutedVersion, Table
from serving.values import value

STABLE, PINNED, ALIAS = "stable", "pinned", "alias"


@value
class Ask:
    """What the caller named: a model, and perhaps a version or an alias of it (never both)."""

    model: ModelName
    version: VersionNumber | None = None
    alias: AliasName | None = None


@value
class Decision:
    """What the plan means for one request.

    Attributes:
        chosen: What answers, and its ``version``.
        arm: Which part of the plan that is.
        revision: Which plan it was.
        stable: What answers instead, where a canary or a rule chose a version that cannot; else None.
        shadows: What gets a copy.
        watched: Whether the plan compares a canary with stable.
    """

    model: ModelName
    version: VersionNumber
    chosen: RoutedVersion
    arm: str
    revision: int
    stable: RoutedVersion | None = None
    shadows: tuple[RoutedVersion, ...] = ()
    watched: bool = False


def choose(table: Table, ask: Ask) -> Decision:
    """Decide; raise NotFound, Conflict ``not_ready`` or InvalidRequest ``not_servable`` saying what there is."""
    model = table.models.get(ask.model)
    if model is None:
        there = f"GET /models lists the {len(table.models)} there are"
        raise NotFound("unknown_model", f"no model is called {quote(ask.model)}; {there}")
    number, arm = _named(model, ask)
    chosen = model.versions.get(number)
    if chosen is None:
        raise _why_not(model, number)
    return Decision(model.name, number, chosen, arm, model.revision)


def _named(model: RoutedModel, ask: Ask) -> tuple[VersionNumber, str]:
    if ask.version is not None:
        return ask.version, PINNED
    if ask.alias is not None:
        number = model.aliases.get(ask.alias)
        if number is None:
            known = ", ".join(heapq.nsmallest(LISTED, model.aliases)) or "none"
            raise NotFound("unknown_alias", f"{model.name} has no alias {quote(ask.alias)}; its aliases: {known}")
        return number, ALIAS
    if model.plan is None:
        raise NotFound(
            "no_plan",
            f"{model.name} has no traffic plan, so name a version (/models/{model.name}/versions/<version>/predict; "
            f"{model.listing}) or promote one",
        )
    return model.plan.stable, STABLE


def _why_not(model: RoutedModel, number: VersionNumber) -> HeadgateError:
    state = model.others.get(number)
    which = f"version {number} of {model.name}"
    if state in ("pending", "checking"):
        message = f"{which} is still being checked ({state}); retry shortly; {model.listing}"
        return Conflict("not_ready", message, {"state": state})
    if state == "rejected":
        message = f"{which} was rejected at admission; the registry says why; {model.listing}"
        return InvalidRequest("not_servable", message, {"state": state})
    if state == UNREADABLE:
        return InvalidRequest("not_servable", f"the signature of {which} cannot be read by this node; {model.listing}")
    if state is not None:
        return NotFound("unknown_version", f"{which} is {state} and answers no more; {model.listing}", {"state": state})
    return NotFound("unknown_version", f"{model.name} has no version {number}; {model.listing}")
