"""Output as values that orjson writes, and the writing. Pure.

Shapes are MLflow's (``predictions_to_json``): an array becomes a nested list, a table a list of records, named arrays
an object, anything else itself. Dates are ISO 8601 without zone, bytes base64 on one line, missing values null.
"""

from __future__ import annotations

import base64
import datetime
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from registry.errors import InvalidRequest, ModelFault, quote
from serving.exchange import Array, ArrayOutput, Output, Table, TableOutput, TensorsOutput
from serving.protocols.cells import objects
from serving.protocols.in_pieces import LARGE_BYTES, MANY_VALUES, write_in_pieces
from serving.protocols.json_scan import scan
from serving.protocols.limits import Limits

_OPTIONS = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
DIRECT = frozenset(np.dtype(name) for name in ("f8", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "bool"))
"""What orjson writes straight from an array's memory."""

_PLAIN = frozenset("?bBhHiIlLqQefd")
"""The letters of numpy's types that Python has numbers for, exactly."""


def jsonable(output: Output, limits: Limits) -> Any:
    """Return the output as what ``write_json`` takes; raise ModelFault ``model_output_invalid``."""
    if isinstance(output, ArrayOutput):
        check_size(output.array.size, limits)
        return _array(output.array)
    if isinstance(output, TableOutput):
        return _records(output.table, limits)
    if isinstance(output, TensorsOutput):
        check_size(sum([array.size for array in output.arrays.values()]), limits)
        return {
            _text(name): _listed(array) if array.size <= MANY_VALUES else _array(array)
            for name, array in output.arrays.items()
        }
    return output.value


def write_json(answer: Mapping[str, Any], limits: Limits, size: int = 0) -> bytes:
    """Write the answer, whose first member is the large one and is an output of ``size``; raise ModelFault
    ``model_output_invalid`` where JSON cannot say it."""
    try:
        if size > LARGE_BYTES:
            return _write_pieces(answer, limits)
        body = orjson.dumps(answer, _foreign, _OPTIONS | _option(next(iter(answer.values()))))
    except (TypeError, ValueError, RecursionError) as error:
        if "Dict key must" not in str(error):
            raise invalid(quote(error)) from None
        body = _write_keys(answer)
    if body.count(b"[") + body.count(b"{") > limits.depth:
        _check_depth(body, limits)
    return body


def _write_pieces(answer: Mapping[str, Any], limits: Limits) -> bytes:
    def dumps(value: Any, level: int) -> bytes:
        if type(value) is np.ndarray:
            value = _array(value)
        piece = orjson.dumps(value, _foreign, _OPTIONS | _option(value))
        if piece.count(b"[") + piece.count(b"{") > limits.depth - level:
            _check_depth(piece, limits, level)
        return piece

    return write_in_pieces(answer, dumps, limits)


def _option(predictions: object) -> int:
    # orjson would write a 32-bit scalar inside of a list with 32-bit digits: it gets whole arrays only.
    if isinstance(predictions, np.ndarray):
        return orjson.OPT_SERIALIZE_NUMPY
    return 0


def jsonable_text(value: Any) -> str:
    """Return one value of an answer as JSON text; raise TypeError or ValueError where JSON cannot say it."""
    return orjson.dumps(value, _foreign, _OPTIONS | orjson.OPT_NON_STR_KEYS).decode()


def invalid(reason: str) -> ModelFault:
    """Return the refusal of an output."""
    return ModelFault("model_output_invalid", f"the model's answer cannot be written: {reason}", {"reason": reason})


def check_size(values: int, limits: Limits) -> None:
    """Refuse early what must become too long: a value takes a digit and a comma."""
    if 2 * values > limits.response_bytes + 1:
        raise invalid(f"{values:,} values take more than the {limits.response_bytes:,} bytes that are sent at most")


def check_length(size: int, limits: Limits) -> None:
    """Refuse an answer of ``size`` bytes that is too long to be sent."""
    if size > limits.response_bytes:
        raise ModelFault(
            "model_output_invalid",
            f"the model's answer is {size:,} bytes long; at most {limits.response_bytes:,} are sent. "
            "Send fewer rows at once",
            {"limit": limits.response_bytes},
        )


def check_columns(table: Table) -> None:
    """Refuse a table that cannot be told by its columns' names."""
    if len(set(table.names)) != len(table.names):
        raise invalid("two of the table's columns have the same name")


def _write_keys(answer: Mapping[str, Any]) -> bytes:
    """Write objects whose keys are numbers too, as MLflow's encoder does."""
    try:
        return orjson.dumps(_with_text_keys(answer, 0), _foreign, _OPTIONS)
    except (TypeError, ValueError, RecursionError) as error:
        raise invalid(quote(error)) from None


def _with_text_keys(value: Any, depth: int) -> Any:
    if depth > 250:
        raise TypeError("Recursion limit reached")
    if isinstance(value, Mapping):
        texts = {_text(key): _with_text_keys(part, depth + 1) for key, part in value.items()}
        if len(texts) != len(value):
            raise TypeError("two keys of an object are written alike")
        return texts
    if isinstance(value, list | tuple):
        return [_with_text_keys(part, depth + 1) for part in value]
    return value


def _text(key: object) -> str:
    if type(key) is str:
        return key
    if isinstance(key, np.generic):
        key = key.item()
    if isinstance(key, bool) or key is None:
        return {True: "true", False: "false", None: "null"}[key]
    if isinstance(key, str | int):
        return str(key)
    raise invalid(f"an object's key is a {type(key).__name__}")


def _check_depth(body: bytes, limits: Limits, level: int = 0) -> None:
    try:
        scan(body, Limits(depth=limits.depth - level, values=len(body) + 1))
    except InvalidRequest as error:
        if error.code == "too_deep":
            raise invalid(f"it nests deeper than {limits.depth} levels") from None


def _foreign(value: Any) -> Any:
    """Say what orjson asks about: numpy's and other values inside of lists and objects."""
    if isinstance(value, np.ndarray):
        return _listed(value)
    if isinstance(value, np.datetime64):
        return iso_times(np.array([value]))[0]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, float):  # a subclass
        return float(value)
    raise TypeError(f"a value of type {type(value).__name__} is not JSON")


def _array(array: Array) -> Any:
    """Return an array as orjson writes it: itself where its memory will do, else nested lists."""
    kind = array.dtype.kind
    if kind == "f":
        if array.dtype.itemsize > 8:
            array = array.astype(np.float64)
        if array.dtype != np.float64 and array.size > MANY_VALUES:
            array = array.astype(np.float64)  # a list of so many would hold the interpreter for long
        if array.dtype != np.float64 or array.ndim == 0:
            return array.tolist()
    if array.dtype in DIRECT and array.ndim and array.dtype.isnative:
        return np.ascontiguousarray(array)
    if kind == "M":
        return _nested(iso_times(array.ravel()), array.shape)
    if kind == "S":
        return _nested([base64.b64encode(value).decode() for value in array.ravel().tolist()], array.shape)
    if kind in "biuUO":
        return array.tolist()
    raise invalid(f"an array of {quote(array.dtype)} is not JSON")


def _listed(array: Array) -> Any:
    if array.dtype.char in _PLAIN:
        return array.tolist()
    values = _array(array)
    return values.tolist() if isinstance(values, np.ndarray) else values


def _nested(values: Sequence[Any], shape: tuple[int, ...]) -> Any:
    return objects(values).reshape(shape).tolist()


def iso_times(times: Array) -> list[str | None]:
    """Return times as pandas writes them: no fraction, or six digits of it, or nine."""
    texts = np.datetime_as_string(times.astype("datetime64[ns]"), unit="ns").tolist()
    return [None if text == "NaT" else _trimmed(text) for text in texts]


def _trimmed(text: str) -> str:
    if text.endswith("000000000"):
        return text[:-10]
    return text[:-3] if text.endswith("000") else text


def _records(table: Table, limits: Limits) -> Any:
    check_size(table.rows * len(table.names), limits)
    check_columns(table)
    columns = [_listed(array) for array in table.arrays]
    return [dict(zip(table.names, row, strict=True)) for row in zip(*columns, strict=True)]
