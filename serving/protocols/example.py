"""A version's saved example as a model's input: MLflow keeps it in the very form that a predict request has. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from registry.errors import HeadgateError
from registry.signature import Schema, parse_signature
from serving.exchange import Call
from serving.protocols.limits import Limits
from serving.protocols.native import JSON, parse_body, shape


def read_example(body: bytes, signature: Mapping[str, Any] | None, graph_inputs: Schema | None) -> Call | None:
    """Return what ``serving_input_example.json`` holds, fitted to the version's signature.

    None where it is no request that a caller could send: it then says nothing of the model.
    """
    try:
        return shape(parse_body(JSON, body, Limits()), parse_signature(signature), graph_inputs, Limits())
    except (HeadgateError, ValueError):
        return None
