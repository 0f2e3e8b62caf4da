"""Every row of what TensorFlow Serving's clients send: read, fitted and answered as tests/wire/tfs has it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from registry.errors import HeadgateError
from registry.signature import Signature, parse_signature
from serving.exchange import (
    ArrayOutput,
    Call,
    JsonInput,
    JsonOutput,
    Output,
    Table,
    TableOutput,
    TensorInput,
    TensorsOutput,
)
from serving.protocols.limits import Limits
from serving.protocols.request import Head, Request, Told
from serving.protocols.tfs.examples import read_examples
from serving.protocols.tfs.predict import read_predict

WIRE = Path(__file__).resolve().parents[3] / "wire" / "tfs"
LIMITS = Limits()
READERS: dict[str, Callable[[bytes, Head, Limits], Request]] = {
    "predict": read_predict,
    "classify": partial(read_examples, "classify"),
    "regress": partial(read_examples, "regress"),
}
CASES = [
    pytest.param(case, id=f"{file.stem}: {case['name']}")
    for file in sorted(WIRE.glob("*.json"))
    if file.stem not in ("routes", "documented")
    for case in json.loads(file.read_text())["cases"]
]


def read(case: dict[str, Any]) -> tuple[Request, Signature]:
    """Return the request of a case and the signature of its model."""
    request = READERS[case["verb"]](case["request"].encode(), Head("application/x-www-form-urlencoded"), LIMITS)
    return request, parse_signature(case["signature"])


def shown(call: Call) -> Any:
    """Return what a model is given as the files write it."""
    data = call.data
    assert not isinstance(data, JsonInput)
    if isinstance(data, TensorInput):
        return _cells(data.array.tolist())
    named = dict(zip(data.names, data.arrays, strict=True)) if isinstance(data, Table) else data.arrays
    return {name: _cells(array.tolist()) for name, array in named.items()}


def _cells(value: Any) -> Any:
    if isinstance(value, list):
        return [_cells(part) for part in value]
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    return str(value) if isinstance(value, float) and not np.isfinite(value) else value


def output_of(said: dict[str, Any]) -> Output:
    """Return a model's answer as the files describe it."""
    if "json" in said:
        return JsonOutput(said["json"])
    if "tensors" in said:
        return TensorsOutput({name: _array(each) for name, each in said["tensors"].items()})
    if "table" in said:
        return TableOutput(Table(tuple(said["table"]), tuple(_array(each) for each in said["table"].values())))
    return ArrayOutput(_array(said))


def _array(said: dict[str, Any]) -> Any:
    cells = [base64.b64decode(cell["b64"]) if isinstance(cell, dict) else cell for cell in said["array"]]
    return np.array(cells, dtype=said["dtype"])


@pytest.mark.parametrize("case", CASES)
def test_a_request_is_what_the_file_says(case: dict[str, Any]) -> None:
    """The model gets the values of the file, and the answer has its form; or the refusal says the words of the file."""
    if "error" in case:
        with pytest.raises(HeadgateError) as refused:
            request, signature = read(case)
            request.shape(signature, None, LIMITS)
        assert case["error"] in refused.value.message
        return
    request, signature = read(case)
    assert shown(request.shape(signature, None, LIMITS)) == case["call"]
    told = Told("half", "1", "r", "stable", 1, signature)
    if list(case["answer"]) == ["error"]:
        with pytest.raises(HeadgateError) as refused:
            request.encode(output_of(case["output"]), told, LIMITS)
        assert case["answer"]["error"] in refused.value.message
        return
    encoded = request.encode(output_of(case["output"]), told, LIMITS)
    assert encoded.content_type == "application/json"
    assert json.loads(encoded.body, parse_constant=pytest.fail) == case["answer"]
