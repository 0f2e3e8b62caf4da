"""A model's output as the bytes that MLflow's scoring server would send. Pure.

``{"predictions": …}``, written by the standard library's encoder as MLflow has it: spaces after commas and colons,
ASCII alone, each float with Python's own digits, bytes as base64 in lines. Where MLflow's would not be JSON, or no
date, this is: NaN and infinities are null, as are missing dates, and dates of arrays are ISO 8601, not nanoseconds.

Source: ``predictions_to_json`` of ``mlflow/pyfunc/scoring_server`` and ``NumpyEncoder`` of ``mlflow/utils``. Not here:
what the output of a model is (``exchange``).
"""

from __future__ import annotations

import base64
import datetime
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from serving.exchange import Array, ArrayOutput, Output, TableOutput, TensorsOutput
from serving.protocols.answer_json import check_columns, check_length, check_size, invalid, iso_times
from serving.protocols.cells import objects
from serving.protocols.in_pieces import LARGE_BYTES, MANY_VALUES, write_in_pieces
from serving.protocols.limits import Limits

PROTOCOL_VERSION = "3.17.2"
"""The MLflow whose protocol this is, and what ``…/version`` says."""
_NOT_FINITE = "Out of range float"
_MOST_DEPTH = 250


def encode_scores(output: Output, limits: Limits, *, bare: bool = False) -> bytes:
    """Write an answer: ``{"predictions": …}``, or with ``bare`` what would stand there.

    Raises ModelFault ``model_output_invalid`` for what JSON cannot say, and for more than ``limits`` let through.
    """
    predictions = _jsonable(output, limits)
    document = predictions if bare else {"predictions": predictions}
    try:
        body = _write_pieces(document, limits) if output.size > LARGE_BYTES else _dumps(document)
    except (TypeError, ValueError, RecursionError) as error:
        raise invalid(type(error).__name__) from None
    check_length(len(body), limits)
    return body


def _write_pieces(document: Any, limits: Limits) -> bytes:
    return write_in_pieces(document, _dumps, limits, b", ")


def _dumps(document: Any, level: int = 0) -> bytes:
    return _encode(document).encode("ascii")


def _encode(document: Any) -> str:
    try:
        return _ENCODER.encode(document)
    except ValueError as error:
        if _NOT_FINITE not in str(error):
            raise
    return _ENCODER.encode(_finite(document, 0))


def _jsonable(output: Output, limits: Limits) -> Any:
    if isinstance(output, ArrayOutput):
        check_size(output.array.size, limits)
        return _cells(output.array)
    if isinstance(output, TableOutput):
        table = output.table
        check_size(table.rows * len(table.names), limits)
        check_columns(table)
        columns = [_listed(array) for array in table.arrays]
        return [dict(zip(table.names, row, strict=True)) for row in zip(*columns, strict=True)]
    if isinstance(output, TensorsOutput):
        check_size(sum([array.size for array in output.arrays.values()]), limits)
        return {name: _cells(array) for name, array in output.arrays.items()}
    return output.value


def _cells(array: Array) -> Any:
    # A list of many would hold the interpreter for long; who writes it in pieces lists each.
    return array if array.size > MANY_VALUES and array.dtype.kind in "biuf" else _listed(array)


def _listed(array: Array) -> Any:
    """Return an array as nested lists of Python's own values, or as the one value that it is."""
    kind = array.dtype.kind
    if kind == "M":
        return objects(iso_times(array.ravel())).reshape(array.shape).tolist()
    if kind == "f" and array.dtype.itemsize > 8:
        return array.astype(np.float64).tolist()
    if kind in "biufUSO":
        return array.tolist()
    raise invalid(f"an array of {array.dtype.name} is not JSON")


def _finite(value: Any, depth: int) -> Any:
    """Return a value with null for each float that JSON has no word for."""
    if depth > _MOST_DEPTH:
        raise RecursionError
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(part, depth + 1) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part, depth + 1) for part in value]
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return _finite(_listed(value), depth + 1)
    if isinstance(value, np.ndarray | np.generic):
        return _finite(value.tolist(), depth + 1) if value.dtype.kind not in "mM" else value
    return value


def _foreign(value: Any) -> Any:
    """Say what the encoder asks about: values inside of lists and objects that Python's JSON does not know."""
    if isinstance(value, bytes | bytearray):
        return base64.encodebytes(value).decode("ascii")
    if isinstance(value, np.ndarray):
        return _listed(value)
    if isinstance(value, np.datetime64):
        return iso_times(np.array([value]))[0]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    raise TypeError


_ENCODER = json.JSONEncoder(allow_nan=False, default=_foreign)
