"""Between buffers and what a model takes and answers: DataFrames, arrays, dicts of arrays, plain values.

Columns become a DataFrame only here. Object cells travel as JSON with tags: ``{"$bytes": base64}``,
``{"$datetime": ISO}`` and ``{"$dict": [[key, value], …]}`` for a dict with a key that begins with ``$``; never pickled.
Not here: sockets.
"""

from __future__ import annotations

import base64
import datetime
import decimal
import itertools
import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .wire import BODY_LIMIT, LARGE_BYTES, Buffer

# What the node takes (``host/frames.py``). It would end a process that sends more, and call that a crash.
NAMES_LIMIT, NAMES_CHARACTERS = 65_536, 1 << 20
DIMENSION_LIMIT, EMPTY_LIMIT = 32, 1_000_000
DEPTH_LIMIT = 100
RAW_LIMIT = 32_768
Spec = dict[str, Any]


class OutputInvalid(Exception):
    """The model answered something that no protocol can say."""


def type_name(value: object) -> str:
    """Return the name of a value's type, at a length for messages."""
    return type(value).__name__[:100]


# ---- what comes in ------------------------------------------------------------------------------------------------


def untag(value: Any) -> Any:
    """Return a JSON value with its tagged bytes, dates and odd dicts as they were."""
    if type(value) is list:
        return [untag(v) for v in value]
    if type(value) is not dict:
        return value
    if len(value) == 1:
        ((key, inner),) = value.items()
        if key == "$bytes":
            return base64.b64decode(inner)
        if key == "$datetime":
            return np.datetime64(inner)
        if key == "$dict":
            return {k: untag(v) for k, v in inner}
    return {k: untag(v) for k, v in value.items()}


def take_json(buffer: memoryview) -> Any:
    """Return the tagged JSON value in a buffer."""
    return untag(json.loads(bytes(buffer)))


def take_array(spec: Spec, buffers: Sequence[memoryview]) -> Any:
    """Return the array that ``spec`` describes; numbers are views of their buffer."""
    buffer = buffers[spec["buffer"]]
    if spec["dtype"] not in ("O", "S"):
        return np.frombuffer(buffer, dtype=spec["dtype"]).reshape(spec["shape"])
    cells = _cut(buffer, spec["lengths"]) if spec["dtype"] == "S" else take_json(buffer)
    flat = np.empty(len(cells), dtype=object)
    for i, cell in enumerate(cells):  # one by one: numpy would take nested lists apart
        flat[i] = cell
    return flat.reshape(spec["shape"])


def _cut(buffer: memoryview, lengths: Sequence[int]) -> list[bytes]:
    ends = list(itertools.accumulate(lengths))
    return [bytes(buffer[end - length : end]) for length, end in zip(lengths, ends)]  # noqa: B905 -- Python 3.9 too


def take_input(spec: Spec, buffers: Sequence[memoryview]) -> Any:
    """Return what the model is to be called with: a DataFrame, an array, a dict of arrays or a plain value."""
    kind = spec["kind"]
    if kind == "tensor":
        return take_array(spec["array"], buffers)
    if kind == "tensors":
        return {name: take_array(spec["arrays"][i], buffers) for i, name in enumerate(spec["names"])}
    if kind == "json":
        return take_json(buffers[spec["buffer"]])
    return _take_table(spec, buffers)


def _take_table(spec: Spec, buffers: Sequence[memoryview]) -> Any:
    import pandas as pd

    blocks = [take_array(b, buffers) for b in spec["blocks"]]
    if len(blocks) == 1 and blocks[0].dtype != object:
        frame = pd.DataFrame(blocks[0].T, copy=False)  # one block: five times cheaper than column by column
    else:  # by position, since two columns may share a name; pandas judges each object column by itself
        columns = (column for block in blocks for column in block)
        frame = pd.DataFrame(dict(enumerate(columns)), index=pd.RangeIndex(spec["rows"]))
    if spec["named"]:
        if "index" not in spec:  # headers are kept, and making an index of names takes longer than the rest
            spec["index"] = pd.Index(spec["names"])
        frame.columns = spec["index"].copy()  # the names are shared, what a model may set on them is not
    return frame


# ---- what goes out ------------------------------------------------------------------------------------------------


def plain(value: Any, tagged: bool, depth: int = 0) -> Any:
    """Return a value as JSON can say it; ``tagged`` keeps bytes apart from text. Raises OutputInvalid for the rest."""
    if value is None or isinstance(value, (str, bool, int, float)):
        return _builtin(value)
    if depth > DEPTH_LIMIT:
        raise OutputInvalid(f"the model's answer is nested deeper than {DEPTH_LIMIT} levels")
    if isinstance(value, dict):
        pairs = [(_key(k), plain(v, tagged, depth + 1)) for k, v in value.items()]
        return {"$dict": pairs} if tagged and any(k.startswith("$") for k, _ in pairs) else dict(pairs)
    if isinstance(value, (list, tuple)):
        return [plain(v, tagged, depth + 1) for v in value]
    if isinstance(value, (bytes, bytearray)):  # untagged: as MLflow's scoring server says it, line feed and all
        return {"$bytes": base64.b64encode(value).decode()} if tagged else base64.encodebytes(value).decode()
    if isinstance(value, (datetime.date, datetime.time)):
        return None if str(value) == "NaT" else value.isoformat()
    if isinstance(value, decimal.Decimal):
        return float(value)
    return _library_value(value, tagged, depth + 1)


def _builtin(value: Any) -> Any:
    if value is None or type(value) in (str, bool, int, float):
        return value
    if isinstance(value, str):  # a subclass (an Enum of str, numpy.str_, numpy.float64) becomes what it stands for
        return str.__str__(value)
    return int(value) if isinstance(value, int) else float(value)


def _key(key: Any) -> str:
    if isinstance(key, str):
        return str.__str__(key)
    return json.dumps(key) if key is None or isinstance(key, bool) else str(key)


def _library_value(value: Any, tagged: bool, depth: int) -> Any:
    import pandas as pd

    if value is pd.NA:
        return None
    if isinstance(value, np.generic):
        return plain(_scalar(value), tagged, depth)
    if isinstance(value, np.ndarray):
        return plain(list(value) if value.ndim else value[()], tagged, depth)
    if isinstance(value, pd.DataFrame):
        return plain(value.to_dict(orient="records"), tagged, depth)
    if isinstance(value, (pd.Series, pd.Index)):
        return plain(value.tolist(), tagged, depth)
    if hasattr(value, "model_dump"):  # pydantic
        return plain(value.model_dump(), tagged, depth)
    raise OutputInvalid(f"the model answered a {type_name(value)}; answer an array, a DataFrame, or lists and dicts")


def _scalar(value: Any) -> Any:
    import pandas as pd

    kind = value.dtype.kind
    if kind == "M":
        return None if np.isnat(value) else str(value) if _beyond_pandas(value) else pd.Timestamp(value).isoformat()
    if kind == "f":
        return float(value)
    if kind in "biuUSO":
        return value.item()
    raise OutputInvalid(f"the model answered a {value.dtype}, which no protocol can say")


def _beyond_pandas(value: Any) -> bool:
    return bool(value != value.astype("M8[ns]").astype(value.dtype))


def lay_array(array: Any, buffers: list[Buffer]) -> Spec:
    """Append an array's bytes to ``buffers`` and return its description; raise OutputInvalid for exotic types."""
    array = _ordinary(array)
    _check_shape(array.shape)
    buffers.append(b"")
    spec = {"dtype": "O", "shape": array.shape, "buffer": len(buffers) - 1}
    if array.dtype.kind == "O":
        buffers[-1] = json.dumps([plain(v, True) for v in array.ravel().tolist()]).encode()
        return spec
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    large = little.nbytes > LARGE_BYTES and little.flags.c_contiguous
    buffers[-1] = memoryview(little).cast("B") if large else little.tobytes()
    return dict(spec, dtype=little.dtype.str)


def _check_shape(shape: Sequence[int]) -> None:
    if len(shape) > DIMENSION_LIMIT:
        raise OutputInvalid(
            f"the model answered an array of {len(shape)} dimensions; at most {DIMENSION_LIMIT} are sent"
        )
    if 0 in shape and math.prod(length for length in shape if length) > EMPTY_LIMIT:
        raise OutputInvalid("the model answered an array without values, of more rows than are sent")


def _named(names: list[str], what: str) -> list[str]:
    if len(names) > NAMES_LIMIT:
        raise OutputInvalid(f"the model answered {len(names)} {what}; at most {NAMES_LIMIT} are sent, or one array")
    if sum(map(len, names)) > NAMES_CHARACTERS:
        raise OutputInvalid(
            f"the names of the {what} that the model answered are longer than {NAMES_CHARACTERS} characters"
        )
    return names


def _ordinary(array: Any) -> Any:
    """Return ``array`` as bool, integers, floats up to 64 bits, datetime64[ns] or objects."""
    if np.ma.isMaskedArray(array):
        masked = np.ma.getmaskarray(array)
        array = np.ma.getdata(array).astype(object)
        array[masked] = None
    array = np.asarray(array)
    kind = array.dtype.kind
    if kind == "M":
        nanoseconds = array.astype("<M8[ns]")
        same = ((nanoseconds.astype(array.dtype) == array) | np.isnat(array)).all()  # numpy overflows in silence
        return nanoseconds if same else array.astype("U").astype(object)
    if kind in "UST":
        return array.astype(object)
    if kind == "f" and array.dtype.itemsize > 8:
        return array.astype("<f8")
    if kind == "V" and "float" in array.dtype.name:  # bfloat16 and its kin
        return array.astype("<f4")
    if kind not in "biufO":
        raise OutputInvalid(f"the model answered an array of {array.dtype}, which no protocol can say")
    return array


def lay_output(value: Any, buffers: list[Buffer]) -> Spec:
    """Append a prediction's bytes to ``buffers`` and return its description; raise OutputInvalid where it has none."""
    import pandas as pd

    if type(value).__module__.startswith("scipy.sparse"):
        value = _dense(value)
    if isinstance(value, pd.Series):
        value = value.to_frame(name="0" if value.name is None else value.name)
    if isinstance(value, pd.DataFrame):
        names = _named([str(n) for n in value.columns], "columns")
        arrays = [lay_array(_column(value.iloc[:, i]), buffers) for i in range(value.shape[1])]
        return {"kind": "table", "names": names, "rows": len(value), "arrays": arrays}
    value = _with_columns_of_bytes(value)
    if isinstance(value, dict) and value and all(isinstance(v, np.ndarray) for v in value.values()):
        names = _named([_key(k) for k in value], "arrays")
        return {"kind": "tensors", "names": names, "arrays": [lay_array(v, buffers) for v in value.values()]}
    foreign = hasattr(value, "__array__") and len(getattr(value, "shape", ())) > 0  # another library's tensor
    if isinstance(value, np.ndarray) or foreign:
        return {"kind": "array", "array": lay_array(value, buffers)}
    if _is_bytes(value):
        listed = isinstance(value, (list, tuple))
        buffers.extend(bytes(one) for one in (value if listed else [value]))
        return {"kind": "bytes", "listed": listed}
    buffers.append(json.dumps(plain(value, False)).encode())
    return {"kind": "json", "buffer": len(buffers) - 1}


def _with_columns_of_bytes(value: Any) -> Any:
    """Return a dict of flat columns, of which one is bytes, as one of arrays: as JSON, bytes would become text."""
    if not isinstance(value, dict) or not any(isinstance(v, (list, tuple)) and _is_bytes(v) for v in value.values()):
        return value
    if not all(isinstance(v, np.ndarray) or _is_flat(v) for v in value.values()):
        return value
    return {k: v if isinstance(v, np.ndarray) else _objects(v) for k, v in value.items()}


def _objects(values: Any) -> Any:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _is_flat(value: Any) -> bool:
    scalars = (bytes, bytearray, str, bool, int, float, type(None))
    return isinstance(value, (list, tuple)) and all(isinstance(one, scalars) for one in value)


def _is_bytes(value: Any) -> bool:
    """Tell whether a prediction is bytes, or a few of them: images, say, that somebody may want as they are."""
    if isinstance(value, (list, tuple)):
        return 0 < len(value) <= RAW_LIMIT and all(isinstance(one, (bytes, bytearray)) for one in value)
    return isinstance(value, (bytes, bytearray))


def _dense(value: Any) -> Any:
    if int(np.prod(value.shape, dtype=object)) * value.dtype.itemsize > BODY_LIMIT:
        raise OutputInvalid("the model answered a sparse matrix that is too large to be written out")
    return value.toarray()


def _column(series: Any) -> Any:
    # Extension types (nullable, categories, str, zones, Arrow) as numpy has them; missing values become None.
    import pandas as pd

    if not pd.api.types.is_extension_array_dtype(series.dtype):
        return series.to_numpy()
    base = getattr(series.dtype, "numpy_dtype", None)
    if base is not None and base.kind in "biuf" and not series.isna().any():
        return series.to_numpy(dtype=base)
    return series.astype(object).where(series.notna(), None).to_numpy(dtype=object)
