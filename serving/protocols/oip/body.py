"""A request's bytes as an Inference: JSON, JSON with binary tensors behind it, or one raw tensor. Pure.

Keys that the protocol does not have are left out, and so is a ``model_name``, which some clients put there: the path
says which model. null stands for a key that is not there. Floats may be NaN, Infinity and -Infinity, which clients in
Python write. Not here: what datatypes and shapes mean (``elements.py``),
and what the model takes (``inputs.py``).

Source: kserve/open-inference-protocol, ``inference_rest.md``; triton-inference-server, ``extension_binary_data.md`` and
``extension_classification.md``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from registry.errors import InvalidRequest, quote
from serving.protocols.json_body import load_json_or_nan, load_value
from serving.protocols.limits import MAX_COLUMNS, Limits
from serving.protocols.oip.parameters import check_memory, flag, wrong_parameter
from serving.protocols.oip.values import Inference, InferTensor, Parameters, WantedOutput
from serving.protocols.refusals import describe

HEADER_LENGTH = b"inference-header-content-length"
_LENGTH = re.compile(rb"[0-9]{1,18}")
_NONE: Parameters = {}
_SCALARS = frozenset((int, float, str, bool))


def read_inference(body: bytes, header_length: bytes | None, limits: Limits) -> Inference:
    """Read a body's syntax.

    Args:
        body: All of it, expanded.
        header_length: The header Inference-Header-Content-Length: how many bytes the JSON has; 0 for a raw tensor.
        limits: Of the JSON.

    Raises InvalidRequest ``malformed_json`` and the others of ``load_json``, ``invalid_argument``, ``invalid_input``.
    """
    if header_length is None:
        return _inference(_document(body, limits), None)
    size = _json_length(header_length, len(body))
    if not size:
        return Inference((InferTensor("", "", (), memoryview(body), raw=True),), unnamed=True)
    return _inference(_document(body[:size], limits), memoryview(body)[size:])


def _document(body: bytes, limits: Limits) -> Any:
    try:
        return load_value(body, limits)
    except InvalidRequest as error:
        if error.code != "non_finite_number":
            raise
    return load_json_or_nan(body, limits, nan=math.nan)[0]


def _json_length(given: bytes, total: int) -> int:
    size = int(given) if _LENGTH.fullmatch(given) else -1
    if not 0 <= size <= total:
        message = (
            f"Inference-Header-Content-Length must be how many of the body's {total} bytes are JSON, got "
            f"'{quote(given.decode('latin-1'), 24)}'"
        )
        raise InvalidRequest("invalid_argument", message, {"argument": "Inference-Header-Content-Length"})
    return size


def _inference(document: Any, rest: memoryview | None) -> Inference:
    if type(document) is not dict:
        raise _wrong("the body", "a JSON object with 'inputs'", document)
    listed = document.get("inputs")
    if type(listed) is not list or not listed:
        raise _wrong("inputs", "a list of at least one tensor", listed)
    if len(listed) > MAX_COLUMNS:
        raise InvalidRequest("too_many_values", f"a request has at most {MAX_COLUMNS:,} tensors")
    inputs = []
    at = 0
    for place, each in enumerate(listed):
        tensor, at = _tensor(each, place, rest, at)
        inputs.append(tensor)
    if rest is not None and at != len(rest):
        message = f"{len(rest) - at} bytes follow the last binary tensor; is Inference-Header-Content-Length right?"
        raise InvalidRequest("invalid_argument", message, {"argument": "Inference-Header-Content-Length"})
    wanted, named = document.get("outputs"), document.get("id")
    if named is not None and type(named) is not str:
        raise _wrong("id", "a string", named)
    parameters = document.get("parameters")
    return Inference(
        tuple(inputs),
        () if wanted is None else _outputs(wanted),
        named or "",
        _NONE if parameters is None else _parameters(parameters, "parameters"),
    )


def _tensor(given: Any, place: int, rest: memoryview | None, at: int) -> tuple[InferTensor, int]:
    """Return one input, and where the next binary one begins."""
    if type(given) is not dict:
        raise _wrong(f"inputs[{place}]", "a tensor: an object with name, shape, datatype and data", given)
    name, shape, datatype = given.get("name"), given.get("shape"), given.get("datatype")
    if type(name) is not str:
        raise _wrong(f"inputs[{place}].name", "a string", name)
    if type(shape) is not list:
        raise _wrong(f"inputs[{place}].shape", "a list of lengths, such as [1, 4]", shape)
    for length in shape:
        if type(length) is not int or length < 0:
            raise _wrong(f"inputs[{place}].shape", "a list of lengths, such as [1, 4]", length)
    if type(datatype) is not str:
        raise _wrong(f"inputs[{place}].datatype", "a string such as FP32", datatype)
    data, parameters = given.get("data"), given.get("parameters")
    told = _NONE if parameters is None else _parameters(parameters, f"inputs[{place}].parameters")
    size = told.get("binary_data_size") if told else None
    if size is None:
        if told:
            check_memory(told, name)
        if type(data) is not list:
            if type(data) not in _SCALARS or math.prod(shape) != 1:
                raise _wrong(f"inputs[{place}].data", "a list of values, or parameters.binary_data_size", data)
            data = [data]  # MLServer takes one value without a list
        return InferTensor(name, datatype, tuple(shape), data, False, told), at
    return InferTensor(name, datatype, tuple(shape), _blob(size, data, place, rest, at), True, told), at + int(size)


def _blob(size: Any, data: Any, place: int, rest: memoryview | None, at: int) -> memoryview:
    path = f"inputs[{place}]"
    if type(size) is not int or size < 0:
        raise _wrong(f"{path}.parameters.binary_data_size", "a number of bytes", size)
    if data is not None:
        message = f"{path} has both data and binary_data_size; send one of them"
        raise InvalidRequest("invalid_argument", message, {"path": path})
    if rest is None:
        message = (
            f"{path} has binary_data_size; the header Inference-Header-Content-Length must say where the JSON ends"
        )
        raise InvalidRequest("invalid_argument", message, {"path": path})
    if at + size > len(rest):
        message = f"{path} is said to have {size} bytes behind the JSON; {len(rest) - at} are there"
        raise InvalidRequest("invalid_argument", message, {"path": path})
    return rest[at : at + size]


def _outputs(given: Any) -> tuple[WantedOutput, ...]:
    if type(given) is not list or len(given) > MAX_COLUMNS:
        raise _wrong("outputs", "a list of outputs, each with a name", given)
    found = []
    for place, each in enumerate(given):
        name = each.get("name") if type(each) is dict else None
        if type(name) is not str:
            raise _wrong(f"outputs[{place}]", "an object with a name", each)
        parameters = each.get("parameters")
        told = _NONE if parameters is None else _parameters(parameters, f"outputs[{place}].parameters")
        if not told:
            found.append(WantedOutput(name))
            continue
        check_memory(told, name)
        found.append(WantedOutput(name, _classes(told), flag(told, "binary_data"), told))
    return tuple(found)


def _classes(parameters: Mapping[str, Any]) -> int:
    given = parameters.get("classification")
    if given is None:
        return 0
    if type(given) is not int or given < 0:
        raise wrong_parameter("classification", "how many classes to answer", given)
    return given


def _parameters(given: Any, path: str) -> Mapping[str, Any]:
    if type(given) is not dict:
        raise _wrong(path, "an object", given)
    return {name: value for name, value in given.items() if value is not None}


def _wrong(path: str, expected: str, value: object) -> InvalidRequest:
    got = describe(value) if value is not None else "nothing"
    details = {"path": path, "expected": expected, "got": got}
    return InvalidRequest("invalid_argument", f"{path}: expected {expected}, got {got}", details)
