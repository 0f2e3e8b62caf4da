"""The frozen requests of ``tests/wire/grpc``, as Triton's client writes them: what a model gets, what its caller gets.

Each file has the request twice, to be read and as its bytes, and what comes of it where a model answers its own input.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from registry.errors import HeadgateError
from registry.signature import Signature
from serving.exchange import ArrayOutput, Call, Output, TensorInput, TensorsInput, TensorsOutput
from serving.grpc.inference import read_inference
from serving.grpc.messages import message
from serving.grpc.wire import cut
from serving.protocols.limits import Limits
from serving.protocols.request import Told

CASES = sorted((Path(__file__).parents[2] / "wire" / "grpc").glob("*.json"))
NOBODY_KNOWS = Signature(None, None, None)
TOLD = Told("m", "1", "r-1", "stable", 4, NOBODY_KNOWS)
LIMITS = Limits()


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_a_frozen_request_gets_its_answer(path: Path) -> None:
    """Our reading of the bytes is Triton's, and the answer or the refusal is the frozen one."""
    case = json.loads(path.read_text())
    body = bytes.fromhex(case["bytes"])
    assert shown("ModelInferRequest", body) == case["request"]
    assert outcome(body) == case["outcome"]


def outcome(body: bytes) -> dict[str, Any]:
    """Return what comes of a request where the model answers its input."""
    try:
        request = read_inference(cut(body), LIMITS)
        encoded = request.encode(echo(request.shape(NOBODY_KNOWS, None, LIMITS)), TOLD, LIMITS)
    except HeadgateError as error:
        return {"code": error.code, "message": error.message}
    return {"response": shown("ModelInferResponse", encoded.body)}


def shown(name: str, body: bytes) -> Any:
    """Return a message as JSON has it."""
    return MessageToDict(message(name).FromString(body), preserving_proto_field_name=True)


def echo(call: Call) -> Output:
    """Answer the input."""
    if isinstance(call.data, TensorInput):
        return ArrayOutput(call.data.array)
    assert isinstance(call.data, TensorsInput)
    return TensorsOutput(call.data.arrays)
