"""The types that a signature may ask of a value, and how each is called in a message. Pure.

One ``Kind`` stands for a column type of MLflow (``long``, ``string`` …) or for the dtype of a tensor. Not here: the
conversion itself (``cells`` for JSON and CSV values, ``typed`` for arrays that have a type already).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

Family = Literal["float", "int", "bool", "string", "binary", "datetime"]

# Above this a 64-bit float cannot tell an integer from its neighbour.
EXACT = 2**53


@dataclass(frozen=True, slots=True)
class Kind:
    """What a value must be.

    Attributes:
        family: Which JSON values fit.
        dtype: What the array gets; object for strings and bytes.
        noun: What a message calls one value of it.
        low: Smallest integer, for integers.
        high: Largest integer, for integers.
    """

    family: Family
    dtype: np.dtype[np.generic]
    noun: str
    low: int = 0
    high: int = 0


_OBJECT = np.dtype(object)
_NANOSECONDS = np.dtype("datetime64[ns]")
STRING = Kind("string", _OBJECT, "a string")
BINARY = Kind("binary", _OBJECT, "base64 text")
DATETIME = Kind("datetime", _NANOSECONDS, "an ISO 8601 date or time without offset")
BOOLEAN = Kind("bool", np.dtype(bool), "true or false")


def _floating(dtype: npt.DTypeLike) -> Kind:
    numpy_type = np.dtype(dtype)
    return Kind("float", numpy_type, f"a number ({numpy_type.name})")


def _integral(dtype: npt.DTypeLike) -> Kind:
    numpy_type = np.dtype(dtype)
    info = np.iinfo(numpy_type)
    return Kind("int", numpy_type, f"an integer ({numpy_type.name})", int(info.min), int(info.max))


_COLUMNS = {
    "boolean": BOOLEAN,
    "integer": _integral(np.int32),
    "long": _integral(np.int64),
    "float": _floating(np.float32),
    "double": _floating(np.float64),
    "string": STRING,
    "binary": BINARY,
    "datetime": DATETIME,
}
_BY_DTYPE_KIND = {"f": _floating, "i": _integral, "u": _integral}


def column_kind(name: str) -> Kind | None:
    """Return the kind of MLflow's scalar column type, or None for a nested one."""
    return _COLUMNS.get(name)


@lru_cache(256)
def tensor_kind(name: str) -> Kind | None:
    """Return the kind for a tensor's dtype name, or None where no JSON can say such values (complex, void)."""
    try:
        dtype = np.dtype(name)
    except TypeError:
        return None
    if dtype.kind in _BY_DTYPE_KIND:
        return _BY_DTYPE_KIND[dtype.kind](dtype)
    return {"b": BOOLEAN, "U": STRING, "O": STRING, "S": BINARY, "M": DATETIME}.get(dtype.kind)
