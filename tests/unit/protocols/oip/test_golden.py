"""The frozen requests and answers of ``tests/wire/oip``: bytes in, what the model gets, bytes out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from registry.errors import HeadgateError
from registry.signature import Signature, parse_signature
from serving.exchange import Array, ArrayOutput, Output, TensorInput, TensorsInput, TensorsOutput
from serving.protocols.limits import Limits
from serving.protocols.oip.errors import oip_body, oip_status
from serving.protocols.oip.request import read_oip
from serving.protocols.request import Encoded, Head, Told

CASES = sorted((Path(__file__).parents[3] / "wire" / "oip").glob("*.json"))
LIMITS = Limits()


def joined(parts: list[dict[str, str]]) -> bytes:
    """Return a body from its parts: text, or bytes in hexadecimal."""
    return b"".join(part["text"].encode() if "text" in part else bytes.fromhex(part["hex"]) for part in parts)


def array(said: dict[str, Any]) -> Array:
    """Return the array that a file describes."""
    return np.array(said["values"], dtype=said["dtype"]).reshape(said["shape"])


def output(said: dict[str, Any]) -> Output:
    """Return what the model answered."""
    if "dtype" in said:
        return ArrayOutput(array(said))
    return TensorsOutput({name: array(each) for name, each in said.items()})


def same(got: Array, said: dict[str, Any]) -> bool:
    """Tell whether an array is the one that a file describes, type and shape included."""
    wanted = array(said)
    # As text: NaN equals nothing.
    return (got.dtype, got.shape, repr(got.tolist())) == (wanted.dtype, wanted.shape, repr(wanted.tolist()))


def answer(case: dict[str, Any], signature: Signature, takes: bool = True) -> Encoded:
    """Read the case's request, check what the model gets, and write its answer."""
    fields = {name.encode(): text.encode() for name, text in case["headers"].items()}
    request = read_oip(joined(case["body"]), Head(None, None, fields), LIMITS)
    if "asks" in case:
        first = None if request.priority is None else request.priority.name
        assert {"priority": first, "seconds": request.seconds} == case["asks"]
    data = request.shape(signature, None, LIMITS).data
    if takes:
        if isinstance(data, TensorInput):
            assert same(data.array, case["takes"])
        else:
            assert isinstance(data, TensorsInput)
            assert list(data.arrays) == list(case["takes"])
            assert all(same(each, case["takes"][name]) for name, each in data.arrays.items())
    return request.encode(output(case["answers"]), Told("m", "3", "r", "stable", 7, signature), LIMITS)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_a_frozen_exchange(path: Path) -> None:
    """Each file's request is read as it says, and answered, or refused, byte for byte."""
    case = json.loads(path.read_text())
    signature = parse_signature(case["signature"])
    if "error" in case:
        with pytest.raises(HeadgateError) as refused:
            answer(case, signature, takes=False)
        assert oip_status(refused.value.code) == case["error"]["status"]
        assert case["error"]["says"] in json.loads(oip_body(refused.value))["error"]
        return
    encoded = answer(case, signature)
    assert encoded.body == joined(case["answer"])
    wanted = b"".join(f"{name}: {text}\r\n".encode() for name, text in case["answer_headers"].items())
    assert encoded.headers == wanted
    assert encoded.content_type == ("application/octet-stream" if wanted else "application/json")


def test_every_vector_is_frozen() -> None:
    """The files are there: a folder that is not found would test nothing."""
    assert len(CASES) > 40
