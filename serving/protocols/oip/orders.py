"""What the model repository's routes are asked: an index, a load, an unload. Pure.

Source: ``extension_model_repository.md`` of triton-inference-server/server. Not here: doing it
(``serving/http/repository.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from registry.errors import InvalidRequest, quote
from serving.protocols.json_body import load_json
from serving.protocols.limits import Limits


def read_order(body: bytes, limits: Limits) -> Mapping[str, Any]:
    """Return a body's object; an empty one where there is no body, as ``tritonclient`` sends it.

    Raises InvalidRequest as ``load_json`` does, and ``invalid_argument`` for what is no object.
    """
    document = load_json(body, limits)[0] if body.strip() else {}
    if not isinstance(document, dict):
        raise InvalidRequest("invalid_argument", "send a JSON object, or no body")
    return document


def wants_ready(order: Mapping[str, Any]) -> bool:
    """Tell whether an index shall have only what is ready; raise InvalidRequest ``invalid_argument``."""
    ready = order.get("ready", False)
    if not isinstance(ready, bool):
        raise InvalidRequest("invalid_argument", "ready must be true or false")
    return ready


def parameters_of(order: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the parameters of a load; raise InvalidRequest ``invalid_argument`` where they are no object."""
    parameters = order.get("parameters", {})
    if not isinstance(parameters, dict):
        raise InvalidRequest("invalid_argument", "parameters must be an object")
    return parameters


def refuse_overrides(parameters: Iterable[str]) -> None:
    """Refuse to load anything but what is registered; parameters that override nothing are left out.

    Raises InvalidRequest ``invalid_argument``.
    """
    for key in parameters:
        if key == "config" or key.startswith("file:"):
            message = f"'{quote(key)}' cannot be overridden: a version never changes; register a new one instead"
            raise InvalidRequest("invalid_argument", message)
