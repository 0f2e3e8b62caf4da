"""Input to a predict body, and the answer back into the kind that came in. Pure.

numpy and pandas are used where the caller has them, never required.

Floats survive bit for bit: JSON carries the shortest text that reads back as the same double, and every float16 and
float32 is a double. NaN and missing values travel as ``null``; infinities, which JSON cannot say, are refused here with
their place. JSON carries no dtypes either: numbers come back as float64 or int64.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from headgate.errors import InvalidRequest
from headgate.names import a_type, quoted

# The SDK takes what people have; these names say so without importing it.
Data = Any


FORMS = frozenset({"dataframe_split", "dataframe_records", "instances", "inputs"})
"""The keys under which serving reads input; a body has exactly one of them."""


class Kind(Enum):
    """In which kind the answer is given back."""

    PLAIN = auto()
    ARRAY = auto()
    FRAME = auto()


@dataclass(frozen=True, slots=True)
class Encoded:
    """A predict body, and what must be remembered until the answer comes. ``index`` is the DataFrame's own."""

    body: bytes
    kind: Kind
    index: Any = None


def encode(data: Data, params: Mapping[str, Any] | None = None) -> Encoded:
    """Return the JSON body for ``data``.

    A DataFrame (or Series) goes as ``dataframe_split``, a list of records as ``dataframe_records``, a whole body (see
    ``is_body``) as it is, anything else (array, nested list, dict of columns or tensors) as ``inputs``.

    Raises:
        InvalidRequest: Where JSON cannot carry a value; the message names its place and type.
    """
    if is_body(data):
        return _whole(data, params)
    key, value, kind, index = _shape(data)
    document: dict[str, Any] = {key: value}
    if params:
        document["params"] = _plain(dict(params), "params")
    return Encoded(json.dumps(document, allow_nan=False).encode(), kind, index)


def restore(predictions: Data, encoded: Encoded) -> Data:
    """Return predictions in the kind that was sent.

    For an array: an array, or a dict of arrays. For a DataFrame: a DataFrame where the model answered one, else an
    array. For lists and records: what JSON said.
    """
    if encoded.kind is Kind.PLAIN:
        return predictions
    if isinstance(predictions, dict):
        return {name: _array(value) for name, value in predictions.items()}
    if not isinstance(predictions, list):
        return predictions
    if predictions and all(isinstance(row, dict) for row in predictions):
        return _frame(predictions, encoded.index) if encoded.kind is Kind.FRAME else _records_array(predictions)
    return _array(predictions)


def is_body(data: Data) -> bool:
    """Tell whether this is a whole body: a dict of nothing but the forms that serving reads, and ``params``."""
    return isinstance(data, Mapping) and bool(FORMS & data.keys()) and data.keys() <= FORMS | {"params"}


def _whole(body: Mapping[str, Any], params: Mapping[str, Any] | None) -> Encoded:
    if params and "params" in body:
        raise InvalidRequest("params are given twice, in the body and beside it; give them once")
    document = {key: _plain(value, key) for key, value in body.items()}
    if params:
        document["params"] = _plain(dict(params), "params")
    values = [item for value in body.values() for item in (value.values() if isinstance(value, Mapping) else (value,))]
    kind = Kind.ARRAY if any(_is_array(value) for value in values) else Kind.PLAIN
    return Encoded(json.dumps(document, allow_nan=False).encode(), kind)


def _shape(data: Data) -> tuple[str, Any, Kind, Any]:
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(data, pandas.Series):
        data = data.to_frame()
    if pandas is not None and isinstance(data, pandas.DataFrame):
        return "dataframe_split", _split(data), Kind.FRAME, data.index
    if isinstance(data, list) and data and all(isinstance(row, Mapping) for row in data):
        return "dataframe_records", _plain(data, "records"), Kind.PLAIN, None
    if isinstance(data, Mapping):
        kind = Kind.ARRAY if any(_is_array(value) for value in data.values()) else Kind.PLAIN
        return "inputs", _plain(data, "inputs"), kind, None
    if not _is_array(data) and hasattr(data, "__array__"):
        data = data.__array__()
    return "inputs", _plain(data, "inputs"), Kind.ARRAY if _is_array(data) else Kind.PLAIN, None


def _split(frame: Data) -> dict[str, Any]:
    labels = list(frame.columns)
    names = [str(label) for label in labels]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidRequest(f"the DataFrame has the column {quoted(twice)} more than once; names must differ")
    if frame.columns.nlevels > 1:
        raise InvalidRequest("the DataFrame has several levels of columns; flatten them to one name each")
    columns = [_series(frame.iloc[:, i], f"column {quoted(name)}") for i, name in enumerate(names)]
    rows = [list(row) for row in zip(*columns, strict=True)] if columns else [[] for _ in range(len(frame))]
    # Default labels are no names: a model that was trained without names would not know them.
    unnamed = all(type(label) is int and label == i for i, label in enumerate(labels))
    return {"data": rows} if unnamed and labels else {"columns": names, "data": rows}


def _series(series: Data, where: str) -> list[Any]:
    dtype = series.dtype
    if type(dtype).__module__.startswith("numpy"):
        plain = _plain(series.to_numpy(), where)
        assert isinstance(plain, list)
        return plain
    # Nullable, categorical, time-zone and Arrow columns: each value for itself.
    return [_plain(value, where) for value in series.tolist()]


def _plain(value: Data, where: str) -> Any:
    """Return ``value`` as JSON can say it."""
    if value is None or isinstance(value, (str, bool)):
        return str(value) if isinstance(value, str) else value
    if _is_array(value):
        return _plain_array(value, where)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return _plain_float(value, where)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(bytes(value)).decode()
    if isinstance(value, Mapping):
        return {_key(key, where): _plain(item, f"{where}.{quoted(key)}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, where) for item in value]
    return _plain_scalar(value, where)


def _plain_float(value: float, where: str) -> float | None:
    if math.isfinite(value):
        return float(value)
    if math.isnan(value):
        return None
    raise _infinite(where)


def _plain_scalar(value: Data, where: str) -> Any:
    # pandas.NA answers no comparison with a truth; pandas.NaT is a datetime that differs from itself.
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, (dt.datetime, dt.date)):
        return value.isoformat()
    raise InvalidRequest(
        f"{where} holds {a_type(value)}, which JSON cannot carry; send numbers, text, booleans, bytes or datetimes"
    )


def _plain_array(array: Data, where: str) -> Any:
    import numpy as np

    array = np.asarray(array)
    kind = array.dtype.kind
    if kind in "biuUT":
        return array.tolist()
    if kind == "f" and array.dtype.itemsize <= 8:
        finite = np.isfinite(array)
        if finite.all():
            return array.tolist()
        if np.isinf(array).any():
            raise _infinite(where)
        return _with_none(array.astype(object), ~finite)
    if kind == "M":
        if np.datetime_data(array.dtype)[0] == "h":
            array = array.astype("datetime64[m]")  # an hour alone is no ISO 8601 time that others read
        return _with_none(np.asarray(np.datetime_as_string(array), dtype=object), np.isnat(array))
    if kind in "OS":
        return _plain(array.tolist(), where)
    raise InvalidRequest(
        f"{where} has the dtype {array.dtype}, which JSON cannot carry; convert it to float64, int64, str or datetime64"
    )


def _with_none(array: Data, missing: Data) -> Any:
    array[missing] = None
    return array.tolist()


def _key(key: object, where: str) -> str:
    if not isinstance(key, str):
        raise InvalidRequest(f"{where} has the key {quoted(key)}, {a_type(key)}; keys must be text")
    return str(key)


def _infinite(where: str) -> InvalidRequest:
    return InvalidRequest(f"{where} holds an infinity, which JSON cannot carry; replace it", code="non_finite_number")


def _is_array(value: object) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, (numpy.ndarray, numpy.generic))


def _frame(records: list[dict[str, Any]], index: Any) -> Data:
    import pandas as pd

    frame = pd.DataFrame.from_records(records)
    if index is not None and len(index) == len(frame):
        frame.index = index
    return frame


def _records_array(records: list[dict[str, Any]]) -> Data:
    names = list(records[0])
    if any(list(row) != names for row in records):
        return records
    rows = [[row[name] for name in names] for row in records]
    return _array([row[0] for row in rows] if len(names) == 1 else rows)


def _array(values: Any) -> Data:
    import numpy as np

    if not isinstance(values, list):
        return values
    try:
        array = np.array(values)
    except ValueError:
        return _ragged(values)
    if array.dtype.kind == "O" and _all_leaves(values, _fits_float):
        return np.array(values, dtype=np.float64)
    if array.dtype.kind == "U" and not _all_leaves(values, lambda leaf: isinstance(leaf, str)):
        return np.array(values, dtype=object)
    return array


def _ragged(values: list[Any]) -> Data:
    import numpy as np

    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _fits_float(leaf: object) -> bool:
    if leaf is None or isinstance(leaf, float):
        return True
    return isinstance(leaf, int) and not isinstance(leaf, bool) and abs(leaf) <= 2**53


def _all_leaves(values: Any, test: Any) -> bool:
    if isinstance(values, list):
        return all(_all_leaves(value, test) for value in values)
    return bool(test(values))
