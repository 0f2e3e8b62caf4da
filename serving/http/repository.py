"""What the Open Inference Protocol asks of a node beside predicting, for its REST and its gRPC spelling alike.

Who is ready, what a model takes, load and unload. Where no version is named, the plan's stable version is meant. Not
here: what has been counted (``counted.py``), how any of it is spelt (``oip.py``), and predicting
(``serving/predictor.py``).

How a version stands here, in the protocol's words:

    ready        loaded; or not, and the next request loads it
    loading      being loaded
    unloading    unloaded by an operator, and its last request is not over
    unavailable  unloaded by an operator and not asked for since; failed; quarantined; not admitted
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from registry.errors import NotFound, quote
from registry.records import ModelName, VersionNumber, VersionState, parse_model_name
from registry.signature import Schema
from registry.snapshots import ServableVersion
from serving.http.view import NodeView, choose_settled, choose_version, load_here, tell_siblings, unload_here
from serving.pool.state import State
from serving.protocols.oip.metadata import describe
from serving.protocols.oip.server import platform_of
from serving.protocols.oip.values import ModelMetadata
from serving.routing.choose import Ask
from serving.routing.split import Decision
from serving.routing.table import RoutedModel

DESCRIBE_SECONDS = 10.0
"""How long describing a model may wait for its graph to be loaded."""
MAX_VERSIONS = 1000
_AT_ONCE = 100
_COLD = "not loaded; the first request loads it"
_PUT_AWAY = "unloaded by an operator; a load or a request brings it back"


class Standing(StrEnum):
    """How a version stands, as the repository extension spells it."""

    READY = "READY"
    UNAVAILABLE = "UNAVAILABLE"
    LOADING = "LOADING"
    UNLOADING = "UNLOADING"


@dataclass(frozen=True, slots=True)
class VersionStanding:
    """How one version stands, and what there is to say about it."""

    model: str
    version: str
    standing: Standing
    reason: str = ""

    @property
    def ready(self) -> bool:
        """Whether it may be asked, as far as this node knows."""
        return self.standing is Standing.READY


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a model is: of which kind, in which versions (oldest first), and what one of them takes and answers.

    ``served`` are the versions that its plan asks, or the one that was asked for; ``instances`` the processes of each.
    """

    model: str
    versions: tuple[str, ...]
    served: tuple[str, ...]
    platform: str
    tensors: ModelMetadata
    instances: int


# ---- which version ------------------------------------------------------------------------------------------------


def decided(node: NodeView, name: str, version: str = "") -> Decision:
    """Return what asking for a model means, or for one version of it; raise as ``choose`` does.

    Without a version that is the stable one, never a canary: who only asks about a model gets the same answer each
    time.
    """
    if version:
        return choose_version(node, name, version)
    return choose_settled(node, Ask(model_of(node, name).name))


def model_of(node: NodeView, name: str) -> RoutedModel:
    """Return a model; raise NotFound ``unknown_model``, or InvalidRequest ``invalid_name``."""
    model = node.routes.table.models.get(parse_model_name(name))
    if model is None:
        raise NotFound("unknown_model", f"no model is called {quote(name)}; GET /v2/models lists those there are")
    return model


# ---- who is ready -------------------------------------------------------------------------------------------------


def standing_of(node: NodeView, name: str, version: str = "") -> VersionStanding:
    """Return how a version stands here, or a model's stable one; raise as ``choose`` does."""
    decision = decided(node, name, version)
    return _standing(node, decision.model, decision.chosen.servable)


def _standing(node: NodeView, model: str, servable: ServableVersion) -> VersionStanding:
    slot = node.pool.find(servable)
    if slot is None:
        return VersionStanding(model, servable.version, Standing.READY, _COLD)
    standing, reason = Standing.READY, ""
    state = slot.state
    if state is State.LOADING:
        standing = Standing.LOADING
    elif state is State.FAILED or state is State.QUARANTINED:
        standing = Standing.UNAVAILABLE
        reason = f"{state}: {slot.failure.message}" if slot.failure is not None else str(state)
    elif slot.put_away:  # draining or cold by now
        standing = Standing.UNLOADING if state is State.DRAINING else Standing.UNAVAILABLE
        reason = _PUT_AWAY
    elif state is State.COLD:
        reason = _COLD
    return VersionStanding(model, servable.version, standing, reason)


async def index(node: NodeView, *, ready: bool = False) -> list[VersionStanding]:
    """Return how every version of every model stands here, by name; only those that are ready, where so asked."""
    rows: list[VersionStanding] = []
    table = node.routes.table
    for number, name in enumerate(sorted(table.models)):
        if number % _AT_ONCE == _AT_ONCE - 1:
            await asyncio.sleep(0)  # there may be 100,000 models
        rows += (row for row in _rows(node, table.models[name]) if row.ready or not ready)
    return rows


def _rows(node: NodeView, model: RoutedModel) -> Iterator[VersionStanding]:
    for number in sorted({*model.versions, *model.others}, key=int):
        routed = model.versions.get(number)
        if routed is not None:
            yield _standing(node, model.name, routed.servable)
        elif model.others[number] != VersionState.RETIRED:
            yield VersionStanding(model.name, number, Standing.UNAVAILABLE, f"{model.others[number]}: may not answer")


# ---- load and unload ----------------------------------------------------------------------------------------------


async def load_model(node: NodeView, name: str) -> None:
    """Load the versions that a model's plan asks, or without a plan the newest, in every process on this port.

    Raises as ``choose`` and ``Pool.lease`` do. What is loaded stays as it is: a version never changes.
    """
    model = model_of(node, name)
    for number in asked_by_plan(model) or (_newest(model),):
        await tell_siblings(node, "load", await load_here(node, model.name, number))


async def unload_model(node: NodeView, name: str) -> None:
    """Unload all versions of a model in every process on this port; raise Conflict ``not_ready`` while one is being
    loaded. A request loads its version again."""
    model = model_of(node, name)
    known = [number for number, routed in model.versions.items() if node.pool.find(routed.servable) is not None]
    # Those that are being loaded first, so that the refusal comes before anything has changed.
    known.sort(key=lambda number: node.pool.state(model.versions[number].servable) is not State.LOADING)
    for number in known:
        await tell_siblings(node, "unload", await unload_here(node, model.name, number))


def asked_by_plan(model: RoutedModel) -> tuple[VersionNumber, ...]:
    """Return the versions that answer by the plan, the stable one first; none without a plan."""
    plan = model.plan
    if plan is None:
        return ()
    others = sorted(plan.answering & model.versions.keys() - {plan.stable}, key=int)
    return (plan.stable, *others)


def _newest(model: RoutedModel) -> VersionNumber:
    """Return the newest version that may answer; raise NotFound ``no_plan`` where there is none."""
    if not model.versions:
        message = f"{model.name} has neither a traffic plan nor a version that can answer; register one"
        raise NotFound("no_plan", message)
    return max(model.versions, key=int)


# ---- what a model is ----------------------------------------------------------------------------------------------


async def describe_model(node: NodeView, name: str, version: str = "") -> ModelFacts:
    """Return what a model is, by one version of it; raise as ``choose`` and ``Pool.lease`` do.

    Where only its ONNX graph says what it takes, it is loaded for that, and for what it answers.
    """
    decision = decided(node, name, version)
    model, servable, signature = model_of(node, name), decision.chosen.servable, decision.chosen.signature
    taken, given = await _graph(node, decision) if signature.inputs is None else (None, None)
    return ModelFacts(
        model=model.name,
        versions=tuple(sorted(model.versions, key=int)[-MAX_VERSIONS:]),
        served=(decision.version,) if version else asked_by_plan(model),
        platform=platform_of(servable.flavors),
        tensors=describe(signature, taken, given),
        instances=servable.instances,
    )


async def _graph(node: NodeView, decision: Decision) -> tuple[Schema | None, Schema | None]:
    """Return what a graph says of its inputs and its outputs; None twice for what is no graph."""
    servable = decision.chosen.servable
    if "onnx" not in servable.flavors:
        return None, None
    lease = await node.pool.lease(decision.model, servable, min(DESCRIBE_SECONDS, node.load_seconds))
    try:
        return lease.loaded.graph_inputs, lease.loaded.graph_outputs
    finally:
        lease.release()


def model_names(node: NodeView) -> list[str]:
    """Return the names of all models, in order."""
    names: list[ModelName] = [model.name for model in node.routes.table.models.values()]
    return sorted(names)
