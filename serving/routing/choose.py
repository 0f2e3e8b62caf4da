"""Which version answers one request: plan, alias or pin. Pure.

    a version named ── pinned · an alias named ── alias · else the plan: the first rule that fits ── rule,
    a key in the canary's share ── canary, everything else ── stable

Not here: what a plan can decide (``split.py``), whether the version can answer on this node (``predictor.py``).
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping

from registry.errors import Conflict, HeadgateError, InvalidRequest, NotFound, quote
from registry.records import AliasName, ModelName, VersionNumber
from serving.routing.split import ALIAS, PINNED, Decision
from serving.routing.table import LISTED, UNREADABLE, RoutedModel, Table
from serving.values import value

_NO_FIELDS: Mapping[bytes, bytes] = {}


@value
class Ask:
    """What the caller named: a model, and perhaps a version or an alias of it (never both)."""

    model: ModelName
    version: VersionNumber | None = None
    alias: AliasName | None = None


def choose(table: Table, ask: Ask, fields: Mapping[bytes, bytes] = _NO_FIELDS, request_id: str = "") -> Decision:
    """Decide; raise NotFound, Conflict ``not_ready`` or InvalidRequest ``not_servable`` saying what there is.

    Args:
        table: What is in force.
        ask: What the caller named.
        fields: The request's headers by lower-case name: rules and the sticky key look at them.
        request_id: Decides where there is no key.
    """
    model = table.models.get(ask.model)
    if model is None:
        there = f"GET /models lists the {len(table.models)} there are"
        raise NotFound("unknown_model", f"no model is called {quote(ask.model)}; {there}")
    split = model.split
    if ask.version is None and ask.alias is None and split is not None:
        return split.stable if split.simple else split.decide(fields, request_id)
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
    raise _why_not(model, model.plan.stable)


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
