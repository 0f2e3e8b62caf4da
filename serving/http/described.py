"""One version as its callers see it: what its page and its own OpenAPI document are made of.

The version of ``/models/{name}/versions/{version}``, or, for ``/models/{name}``, the one that the plan in force makes
stable. Nothing is loaded for it. Not here: the page (``tryit``), the routes (``tryit/routes.py``).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from registry.records import parse_model_name, parse_version
from registry.signature import Param, Schema
from serving.http import shapes
from serving.http.openapi import PREDICT_STATUS, TABLES, answer_headers, header_parameters
from serving.http.view import NodeView, choose_settled
from serving.pool.state import State
from serving.protocols.example import read_example
from serving.protocols.json_body import load_json
from serving.protocols.limits import Limits
from serving.protocols.made_up import made_up_body
from serving.protocols.native import schema_for
from serving.protocols.schemas import body_schemas, predictions_schema
from serving.routing.choose import Ask
from serving.sources.examples import Saved, SavedExamples

NOT_TAKEN = "the example saved with this version is no request that its signature takes"
MADE_UP = "made up from the signature"
_ANSWER_TABLES = ("text/csv", "application/vnd.apache.arrow.stream")


@dataclass(frozen=True, slots=True)
class Described:
    """A version, as its page and its document say it.

    Attributes:
        model: Its model, and ``version`` its number.
        planned: Whether the path is the plan's, which may have other versions answer too.
        path: What predicts.
        revision: Of the plan in force; 0 without one.
        state: Where it stands on this node.
        inputs: What it takes, and ``outputs`` what it answers; None where nothing is known.
        params: Its inference parameters.
        example: A body that it takes; None where none can be shown.
        origin: Where the example is from, in words, and why it is not the saved one.
    """

    model: str
    version: str
    planned: bool
    path: str
    revision: int
    state: str
    inputs: Schema | None
    outputs: Schema | None
    params: tuple[Param, ...]
    example: dict[str, Any] | None
    origin: str

    @property
    def title(self) -> str:
        """What it is called at the top of a page."""
        return f"{self.model}, {'stable ' if self.planned else ''}version {self.version}"


async def describe(node: NodeView, examples: SavedExamples, name: str, version: str | None = None) -> Described:
    """Return a version of a model; the stable one of its plan where none is named.

    Raises as ``choose`` does: InvalidRequest ``invalid_name``, NotFound, Conflict ``not_ready``.
    """
    asked = Ask(parse_model_name(name), version=None if version is None else parse_version(version))
    decision = choose_settled(node, asked)
    servable, signature = decision.chosen.servable, decision.chosen.signature
    status = node.pool.status(servable)
    inputs = schema_for(signature, status.graph_inputs)
    saved = await examples.read(servable.digest, loaded=status.state is State.READY)
    # In a thread: the example and the signature may be large, and nobody's prediction shall wait for a page.
    example, origin = await asyncio.to_thread(_example, saved, servable.signature, inputs, status.graph_inputs)
    there = "" if version is None else f"/versions/{decision.version}"
    return Described(
        model=decision.model,
        version=decision.version,
        planned=version is None,
        path=f"/models/{decision.model}{there}/predict",
        revision=decision.revision,
        state=status.state,
        inputs=inputs,
        outputs=signature.outputs,
        params=signature.params or (),
        example=example,
        origin=origin,
    )


def _example(
    saved: Saved, signature: Mapping[str, Any] | None, inputs: Schema | None, graph_inputs: Schema | None
) -> tuple[dict[str, Any] | None, str]:
    """Return the body to show, and where it is from. Only what serving would take is ever shown."""
    why = saved.why
    if saved.body is not None:
        if read_example(saved.body, signature, graph_inputs) is not None:
            return load_json(saved.body, Limits())[0], "saved with the version"
        why = NOT_TAKEN
    made = made_up_body(inputs)
    if made is not None:
        text = json.dumps(made).encode()
        if read_example(text, signature, graph_inputs) is not None:
            return load_json(text, Limits())[0], f"{MADE_UP}; {why}"
    return None, why


def document_of(described: Described, platform_version: str) -> bytes:
    """Return the OpenAPI 3.1 document of one version's predict, as JSON in ASCII.

    Only JSON's own escapes are in it, so that no name in a signature can break what reads it.
    """
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": described.title,
            "version": described.version,
            "description": _about(described),
            "x-headgate": {"platform": platform_version, "revision": described.revision},
        },
        "servers": [{"url": "/", "description": "The serving node that gave this document."}],
        "paths": {described.path: {"post": _operation(described)}},
        "components": {"schemas": _schemas(described)},
    }
    return json.dumps(document, allow_nan=False).encode("ascii")


def _about(described: Described) -> str:
    if not described.planned:
        return f"Predicts with version {described.version} of {described.model}, whatever the plan says."
    return (
        f"Predicts with the version of {described.model} that the plan chooses. This document describes version "
        f"{described.version}, which revision {described.revision} of the plan makes stable; X-Headgate-Version of an "
        "answer says who gave it."
    )


def _operation(described: Described) -> dict[str, Any]:
    responses: dict[str, Any] = {"200": _answer(described)}
    problem = {"application/json": {"schema": {"$ref": "#/components/schemas/ProblemBody"}}}
    responses |= {status: {"description": text, "content": problem} for status, text in PREDICT_STATUS.items()}
    return {
        "operationId": "predict",
        "summary": f"Predict with {described.title}",
        "tags": ["predict"],
        "parameters": list(header_parameters()),
        "requestBody": _request(described),
        "responses": responses,
    }


def _request(described: Described) -> dict[str, Any]:
    body: dict[str, Any] = {"schema": {"$ref": "#/components/schemas/Request"}}
    if described.example is not None:
        body["example"] = described.example
    content = {"application/json": body}
    content |= {table: {"schema": {"type": "string", "format": "binary"}} for table in TABLES}
    about = f"Example: {described.origin}." if described.origin else ""
    return {"required": True, "description": about, "content": content}


def _answer(described: Described) -> dict[str, Any]:
    content: dict[str, Any] = {"application/json": {"schema": {"$ref": "#/components/schemas/Answer"}}}
    content |= {table: {"schema": {"type": "string", "format": "binary"}} for table in _ANSWER_TABLES}
    return {"description": "The predictions.", "headers": answer_headers(), "content": content}


def _schemas(described: Described) -> dict[str, Any]:
    answer = {
        "type": "object",
        "required": ["predictions", "model_name", "model_version", "request_id"],
        "properties": {
            "predictions": predictions_schema(described.outputs),
            "model_name": {"const": described.model},
            "model_version": {"type": "string"} if described.planned else {"const": described.version},
            "request_id": {"type": "string"},
        },
    }
    problem = shapes.ProblemBody.model_json_schema(ref_template="#/components/schemas/{model}")
    theirs = problem.pop("$defs")
    return {**body_schemas(described.inputs, described.params), "Answer": answer, **theirs, "ProblemBody": problem}
