"""What travels between a protocol and a runtime: input, parameters, output. Values only; numpy, no pandas.

A *protocol* turns bytes into an ``Input``; a *runtime* turns an ``Input`` into an ``Output``; the protocol turns that
into bytes. Arrays are row-major; axis 0 counts rows. An output's ``size`` is how many bytes it took on its way from the
model, 0 where there was no way to go: it tells what writing it costs without walking it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import IntEnum
from typing import Any

import numpy.typing as npt

from serving.values import value

Array = npt.NDArray[Any]


@value
class Table:
    """Columns of equal length, in order; the host makes a pandas DataFrame of it.

    Attributes:
        names: Column names; empty strings never occur. Where ``named`` is False they are ``"0"``, ``"1"`` … and the
            DataFrame gets the default integer columns.
        arrays: One 1-D array a column: bool, int8…uint64, float32/64, ``datetime64[ns]``, or object. An object column
            holds str, bytes, bool, int, float, None, or JSON-like lists and dicts.
        named: Whether the caller or the signature gave names.
        block: All columns as one array of shape (columns, rows), where they are its rows; for who joins many tables.
    """

    names: tuple[str, ...]
    arrays: tuple[Array, ...]
    named: bool = True
    block: Array | None = field(default=None, compare=False, repr=False)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.arrays[0]) if self.arrays else 0


@value
class TensorInput:
    """One unnamed array: numeric, bool, ``datetime64``, or object holding str, bytes or None."""

    array: Array

    @property
    def rows(self) -> int:
        """Length of axis 0; 1 for a scalar."""
        return int(self.array.shape[0]) if self.array.ndim else 1


@value
class TensorsInput:
    """Named arrays; the host hands the model a dict."""

    arrays: Mapping[str, Array]

    @property
    def rows(self) -> int:
        """Length of axis 0 of the first array; 1 for a scalar."""
        first = next(iter(self.arrays.values()))
        return int(first.shape[0]) if first.ndim else 1


@value
class JsonInput:
    """A JSON value handed to the model as it is (lists, dicts, strings): MLflow's unified LLM input, untyped
    objects."""

    value: Any

    @property
    def rows(self) -> int:
        """Always 1: the value is one request."""
        return 1


Input = Table | TensorInput | TensorsInput | JsonInput


@value
class Call:
    """One request to a model, as any runtime takes it."""

    data: Input
    params: Mapping[str, Any] = field(default_factory=dict)


class Priority(IntEnum):
    """Who goes first where requests wait; lower is sooner."""

    HIGH = 0
    NORMAL = 1
    LOW = 2


@value
class ArrayOutput:
    """The model answered an array."""

    array: Array
    size: int = field(default=0, compare=False)


@value
class TableOutput:
    """The model answered a DataFrame or a Series (one column; ``"0"`` where it had no name)."""

    table: Table
    size: int = field(default=0, compare=False)


@value
class TensorsOutput:
    """The model answered a dict of arrays."""

    arrays: Mapping[str, Array]
    size: int = field(default=0, compare=False)


@value
class JsonOutput:
    """The model answered anything else that JSON can say: a list, dict, str, number, bool or None.

    Where it answered bytes, or a list of nothing else, ``value`` is their base64, as MLflow writes it, and ``raw`` is
    what they were.
    """

    value: Any
    size: int = field(default=0, compare=False)
    raw: tuple[bytes, ...] = field(default=(), compare=False, repr=False)


Output = ArrayOutput | TableOutput | TensorsOutput | JsonOutput
