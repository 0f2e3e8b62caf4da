"""Whether a version's signature and settings let the serving process answer exactly as MLflow's own loader would. Pure.

MLflow makes one array of a DataFrame where the graph has one input; what pandas makes of columns of several kinds
(objects, mostly) is not imitated. Not here: whether the graph is harmless (``judge.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from registry.graphs.judge import Judgement
from registry.signature import Column, Schema, parse_signature

GRAPH_FILE = "model.onnx"
_NUMBERS = ("integer", "long", "float", "double")
_PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")


def flavor_misfit(flavor: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """Say which settings of the ``onnx`` and ``python_function`` flavours only MLflow's loader honours; else ''."""
    if settings.get("data") != GRAPH_FILE:
        return f"its graph is not the file {GRAPH_FILE}"
    if flavor.get("onnx_session_options"):
        return "it was saved with session options of its own"
    providers = flavor.get("providers") or _PROVIDERS
    if not isinstance(providers, list | tuple) or any(p not in _PROVIDERS for p in providers):
        return "it asks for execution providers of its own"
    return ""


def signature_misfit(signature: Mapping[str, Any] | None, judged: Judgement) -> str:
    """Say why inputs that fit the signature cannot be handed to the graph as they are; '' where they can."""
    inputs = parse_signature(signature).inputs or Schema()
    names = [declared.name for declared in judged.inputs]
    if inputs.columns:
        return _columns_misfit(inputs.columns, names)
    given = [tensor.name for tensor in inputs.tensors]
    if given == [None] and len(names) > 1:
        return "its signature has one unnamed tensor, and its graph several inputs"
    if given not in ([], [None]) and set(given) != set(names):
        return "its signature names other tensors than its graph"
    return ""


def _columns_misfit(columns: Sequence[Column], names: Sequence[str]) -> str:
    if not all(column.required for column in columns):
        return "its signature has columns that may be missing"
    kinds = {column.type for column in columns}
    if not kinds <= set(_NUMBERS) and kinds != {"boolean"}:
        return "its signature has columns that are no numbers"
    if len(names) > 1 and not set(names) <= {column.name for column in columns}:
        return "its graph takes columns that its signature does not name"
    return ""
