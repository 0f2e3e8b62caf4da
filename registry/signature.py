"""What a version accepts and answers: MLflow's model signature as values.

Source: MLflow's ``mlflow.types.schema`` as it is written into ``MLmodel`` (``signature: {inputs, outputs, params}``).
Here: reading it. Not here: enforcing it on a request, which is ``serving/protocols``'s work, and judging whether two
versions can serve the same callers, which is ``traffic/plan``'s.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SCALAR_TYPES = ("boolean", "integer", "long", "float", "double", "string", "binary", "datetime")


@dataclass(frozen=True, slots=True)
class Column:
    """One column. ``type`` is one of SCALAR_TYPES, or ``array``, ``object``, ``map``, ``any``, ``sparkml_vector``.

    ``name`` is None in a signature without names. ``spec`` is MLflow's JSON of it, which nested types need.
    """

    name: str | None
    type: str
    required: bool
    spec: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor. ``dtype`` is numpy's name for it; -1 in ``shape`` is any length; ``name`` is None where there is one
    unnamed tensor."""

    name: str | None
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Param:
    """One inference parameter: its type, its default, and its shape: None for a scalar, (-1,) for a list."""

    name: str
    type: str
    default: Any
    shape: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class Schema:
    """Either columns or tensors, never both; both empty means nothing is known."""

    columns: tuple[Column, ...] = ()
    tensors: tuple[Tensor, ...] = ()


@dataclass(frozen=True, slots=True)
class Signature:
    """Inputs, outputs and parameters of a version; a part that is None was not declared."""

    inputs: Schema | None = None
    outputs: Schema | None = None
    params: tuple[Param, ...] | None = None


def signature_json(raw: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return MLmodel's ``signature`` with its JSON-in-strings decoded; raise ValueError where it is damaged."""
    if raw is None:
        return None
    decoded: dict[str, Any] = {}
    for part in ("inputs", "outputs", "params"):
        value = raw.get(part)
        try:
            decoded[part] = json.loads(value) if isinstance(value, str) else value
        except RecursionError as error:
            raise ValueError("the model signature nests too deeply") from error
    parse_signature(decoded)
    return decoded


def parse_signature(raw: Mapping[str, Any] | None) -> Signature:
    """Read the decoded JSON form; raise ValueError where it is damaged."""
    if raw is None:
        return Signature()
    try:
        params = raw.get("params")
        return Signature(
            inputs=_parse_schema(raw.get("inputs")),
            outputs=_parse_schema(raw.get("outputs")),
            params=None if params is None else tuple(_parse_param(p) for p in params),
        )
    except (KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"the model signature cannot be read: {error!r}") from error


def _parse_schema(raw: Sequence[Mapping[str, Any]] | None) -> Schema | None:
    if raw is None:
        return None
    tensors = [spec for spec in raw if spec["type"] == "tensor"]
    if tensors and len(tensors) != len(raw):
        raise ValueError("the model signature mixes columns and tensors")
    if tensors:
        return Schema(
            tensors=tuple(
                Tensor(
                    name=spec.get("name"),
                    dtype=str(spec["tensor-spec"]["dtype"]),
                    shape=tuple(int(d) for d in spec["tensor-spec"]["shape"]),
                )
                for spec in tensors
            )
        )
    return Schema(
        columns=tuple(
            Column(
                name=spec.get("name"),
                type=str(spec["type"]).lower(),
                required=bool(spec.get("required", True)),
                spec=spec,
            )
            for spec in raw
        )
    )


def _parse_param(raw: Mapping[str, Any]) -> Param:
    shape = raw.get("shape")
    return Param(
        name=str(raw["name"]),
        type=str(raw.get("type") or raw["dtype"]).lower(),
        default=raw.get("default"),
        shape=None if shape is None else tuple(int(d) for d in shape),
    )
