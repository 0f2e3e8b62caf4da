"""The classification extension: the largest values of each row, as ``"<value>:<index>"``. Pure.

Labels are left out: no signature has any. Source: triton-inference-server, ``extension_classification.md``.
"""

from __future__ import annotations

import math

import numpy as np

from registry.errors import InvalidRequest, quote
from serving.exchange import Array
from serving.protocols.oip.byte_strings import objects_of


def largest(array: Array, most: int, name: str) -> Array:
    """Return the ``most`` largest values of each row as text, shape [rows, most or as many as there are].

    Equal values come in the order of their index, NaN last. Raises InvalidRequest ``invalid_argument`` where the output
    holds no numbers.
    """
    if array.dtype.kind not in "fiub":
        message = f"output '{quote(name)}' holds no numbers, so it has no classes"
        raise InvalidRequest("invalid_argument", message, {"output": quote(name)})
    rows = array.reshape(len(array), math.prod(array.shape[1:])) if array.ndim else array.reshape(1, 1)
    count = min(most, rows.shape[1])
    descending = np.argsort(_falling(rows), axis=1, kind="stable")[:, :count]
    values = np.take_along_axis(rows, descending, axis=1)
    texts = [
        f"{value}:{index}"
        for line, places in zip(values.tolist(), descending.tolist(), strict=True)
        for value, index in zip(_said(line, array), places, strict=True)
    ]
    return objects_of(texts, (len(rows), count))


def _falling(rows: Array) -> Array:
    """Return what sorts up as ``rows`` sort down."""
    if rows.dtype.kind == "f":
        return -rows  # NaN sorts last
    if rows.dtype.kind == "i":
        return ~rows  # -x would overflow for the least
    return np.invert(rows)


def _said(line: list[object], array: Array) -> list[object]:
    if array.dtype in (np.float32, np.float16):
        return [str(array.dtype.type(value)) for value in line]
    return [int(value) if isinstance(value, bool) else value for value in line]
