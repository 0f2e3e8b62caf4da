"""A request's parameters: those that the protocol has a meaning for, and those that are the model's. Pure.

``sequence_id``, ``sequence_start`` and ``sequence_end`` are taken and left out, as Triton does for models that keep no
state: no model here does, and every request stands alone. ``headers`` and whatever begins with ``triton_`` are other
servers' own.

Source: triton-inference-server, ``extension_parameters.md`` and ``extension_schedule_policy.md``; MLServer's
``content_type``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from registry.errors import InvalidRequest, quote
from registry.signature import Param
from serving.exchange import Priority
from serving.protocols.oip.values import Parameters
from serving.protocols.params import declared_only
from serving.protocols.refusals import describe

RESERVED = frozenset(
    (
        *("sequence_id", "sequence_start", "sequence_end", "priority", "timeout", "headers", "binary_data_output"),
        "content_type",
    )
)


def seconds_of(parameters: Parameters) -> float | None:
    """Return how long the caller waits, by ``timeout`` (microseconds, 0 for as long as the server); None without one.

    Raises InvalidRequest ``invalid_argument``.
    """
    given = parameters.get("timeout")
    if given is None:
        return None
    if type(given) is not int or given < 0:
        raise wrong_parameter("timeout", "whole microseconds, such as 500000, or 0 for no limit of its own", given)
    return min(given, 10**15) / 1e6 if given else None


def priority_of(parameters: Parameters) -> Priority | None:
    """Return who goes first, by ``priority``: 1 is high, 2 normal, from 3 on low, 0 not said.

    Raises InvalidRequest ``invalid_argument``.
    """
    given = parameters.get("priority")
    if given is None:
        return None
    if type(given) is not int or given < 0:
        raise wrong_parameter("priority", "an integer: 1 is high, 2 normal, 3 low, 0 as if it were not there", given)
    if not given:
        return None
    return Priority.HIGH if given == 1 else Priority.NORMAL if given == 2 else Priority.LOW


def model_params(parameters: Parameters, declared: Sequence[Param] | None) -> Mapping[str, Any] | None:
    """Return what is meant for the model: those that its signature declares; None for nothing.

    Others are left out, as other servers of the protocol do.
    """
    if not parameters or not declared:
        return None
    found = declared_only(parameters, declared)
    return {k: v for k, v in found.items() if k not in RESERVED and not k.startswith("triton_")} or None


def flag(parameters: Mapping[str, Any], name: str) -> bool | None:
    """Return a parameter that is true or false; None without it; raise InvalidRequest ``invalid_argument``."""
    given = parameters.get(name)
    if given is None or type(given) is bool:
        return given
    raise wrong_parameter(name, "true or false", given)


def check_memory(parameters: Mapping[str, Any], tensor: str) -> None:
    """Refuse tensors that lie in shared memory; raise InvalidRequest ``invalid_argument``."""
    if "shared_memory_region" in parameters:
        message = f"tensor '{quote(tensor)}': shared memory is not offered here; send the tensor itself"
        raise InvalidRequest("invalid_argument", message, {"tensor": quote(tensor)})


def wrong_parameter(name: str, expected: str, given: object) -> InvalidRequest:
    """Return the refusal of a parameter's value."""
    got = describe(given)
    message = f"parameter '{quote(name)}' must be {expected}, got {got}"
    return InvalidRequest("invalid_argument", message, {"argument": quote(name), "expected": expected, "got": got})
