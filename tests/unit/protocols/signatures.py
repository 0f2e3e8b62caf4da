"""Short ways to write signatures and requests in the tests of the protocols. Not a test."""

from __future__ import annotations

import json
from typing import Any

import pytest

from registry.errors import InvalidRequest
from registry.signature import Schema, Signature, parse_signature
from serving.exchange import Input, Table
from serving.protocols.limits import Limits
from serving.protocols.native import Parsed, parse_body, shape

LIMITS = Limits()
NOTHING = Signature()


def column(name: str | int | None, kind: str, *, required: bool = True, **spec: Any) -> dict[str, Any]:
    """Return a column as MLmodel has it."""
    return {"type": kind, "required": required, **({} if name is None else {"name": name}), **spec}


def tensor(name: str | None, dtype: str, *shape: int) -> dict[str, Any]:
    """Return a tensor as MLmodel has it."""
    spec = {"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": list(shape)}}
    return spec if name is None else {**spec, "name": name}


def signed(*inputs: dict[str, Any], params: list[dict[str, Any]] | None = None) -> Signature:
    """Return a signature of these inputs."""
    return parse_signature({"inputs": list(inputs) or None, "params": params})


def body(value: Any) -> bytes:
    """Write a request's JSON."""
    return json.dumps(value).encode()


def parse(value: Any, limits: Limits = LIMITS) -> Parsed:
    """Parse a request written as a value, or as bytes."""
    return parse_body(None, value if isinstance(value, bytes) else body(value), limits)


def data(value: Any, signature: Signature = NOTHING, graph: Schema | None = None, limits: Limits = LIMITS) -> Input:
    """Parse and shape a request; return the input."""
    return shape(parse(value, limits), signature, graph, limits).data


def table(value: Any, signature: Signature = NOTHING) -> dict[str, list[Any]]:
    """Parse and shape a request that becomes a table; return its columns as lists."""
    shaped = data(value, signature)
    assert isinstance(shaped, Table)
    return {name: array.tolist() for name, array in zip(shaped.names, shaped.arrays, strict=True)}


def refusal(value: Any, signature: Signature = NOTHING, **more: Any) -> InvalidRequest:
    """Parse and shape a request that must be refused; return the error."""
    with pytest.raises(InvalidRequest) as caught:
        data(value, signature, **more)
    assert len(caught.value.message) <= 2048
    return caught.value
