"""An answer's bytes: JSON, and behind it the tensors that were asked for in binary. Pure.

Data are flat. The JSON is always valid: NaN and infinities are null, which binary tensors can say. Bytes that are no
text are base64, and their ``content_type`` says so. A 32-bit float is written as the 64-bit float that it equals.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson

from registry.errors import InvalidRequest, quote
from serving.exchange import Array
from serving.protocols.answer_json import DIRECT, check_length, invalid
from serving.protocols.in_pieces import LARGE_BYTES, write_in_pieces
from serving.protocols.limits import Limits
from serving.protocols.oip.byte_strings import as_base64
from serving.protocols.oip.datatypes import BYTES, DATATYPES
from serving.protocols.oip.outputs import raw_of
from serving.protocols.oip.values import Inference, OutputTensor
from serving.protocols.request import Told

_SMALL = 256


def write_answer(
    outputs: Sequence[OutputTensor], binary: Sequence[bool], inference: Inference, told: Told, limits: Limits
) -> tuple[bytes, int | None]:
    """Write an answer.

    Args:
        outputs: Its tensors.
        binary: Which of them go behind the JSON.
        inference: The request, for its id.
        told: Who answered.
        limits: How long the answer may be.

    Returns the body, and how many of its bytes are JSON; None where all are. Raises ModelFault
    ``model_output_invalid``, and InvalidRequest ``invalid_argument`` for a tensor that has no JSON form.
    """
    blobs: list[bytes | memoryview] = []
    tensors = []
    for tensor, apart in zip(outputs, binary, strict=True):
        said: dict[str, Any] = {
            "name": tensor.name,
            "shape": tensor.array.shape,
            "datatype": tensor.datatype,
        }
        if apart:
            blob = raw_of(tensor)
            said["parameters"] = {**tensor.parameters, "binary_data_size": len(blob)}
            blobs.append(blob)
        else:
            said["data"], parameters = _data(tensor)
            if parameters or tensor.parameters:
                said["parameters"] = {**tensor.parameters, **parameters}
        tensors.append(said)
    document: dict[str, Any] = {"model_name": told.model, "model_version": told.version}
    if inference.id:
        document["id"] = inference.id
    document["parameters"] = told_as(told)
    document["outputs"] = tensors
    try:
        if sum([tensor.array.nbytes for tensor in outputs]) > LARGE_BYTES:
            header = write_in_pieces(document, _dumps, limits)
        else:
            header = _dumps(document)
    except (TypeError, ValueError) as error:
        raise invalid(quote(error)) from None
    check_length(len(header) + sum(map(len, blobs)), limits)
    if True not in binary:
        return header, None
    return b"".join((header, *blobs)), len(header)


def _dumps(value: Any, level: int = 0) -> bytes:
    return orjson.dumps(value, None, orjson.OPT_SERIALIZE_NUMPY)


def told_as(told: Told) -> Any:
    """Return what an answer's parameters say of who answered; strings and integers."""
    return {
        "headgate_arm": told.arm,
        "headgate_revision": told.revision,
        "headgate_request_id": told.request_id,
    }


def _data(tensor: OutputTensor) -> tuple[Any, dict[str, str]]:
    array, kind = tensor.array, DATATYPES[tensor.datatype]
    if not kind.in_json:
        message = (
            f"output '{quote(tensor.name)}' is {kind.name}, which has no JSON form; ask for it in binary "
            '(parameters {"binary_data": true})'
        )
        raise InvalidRequest("invalid_argument", message, {"output": quote(tensor.name)})
    if kind.name == BYTES:
        return _texts(array)
    if array.size <= _SMALL:
        return array.reshape(-1).tolist(), {}
    if array.dtype == np.float32:
        array = array.astype(np.float64)
    if array.dtype not in DIRECT:
        return array.reshape(-1).tolist(), {}
    return np.ascontiguousarray(array).reshape(-1), {}


def _texts(array: Array) -> tuple[list[Any], dict[str, str]]:
    values: list[Any] = array.reshape(-1).tolist()
    if bytes not in set(map(type, values)):
        return values, {}
    return [value if value is None else as_base64(value) for value in values], {"content_type": "base64"}
