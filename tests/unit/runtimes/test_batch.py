"""Joining requests and taking answers apart: what fits, what does not, and that nothing gets mixed up."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from serving.exchange import (
    ArrayOutput,
    Call,
    Input,
    JsonInput,
    JsonOutput,
    Output,
    Table,
    TableOutput,
    TensorInput,
    TensorsInput,
    TensorsOutput,
)
from serving.runtimes.lane.batch import BATCH_BYTES, key_of, merge, split

DTYPES = st.sampled_from([np.dtype(d) for d in ("?", "i8", "f4", "f8", "M8[ns]", "O")])


def column(dtype: np.dtype[Any], rows: int, start: int) -> np.ndarray[Any, Any]:
    """Return a column whose values tell where they come from."""
    values = np.arange(start, start + rows)
    if dtype.kind == "O":
        column = np.empty(rows, dtype=object)
        for i, value in enumerate(values):
            column[i] = [f"cell {value}", None]  # lists stay cells
        return column
    return values.astype(dtype)


@settings(max_examples=100, deadline=None)
@given(st.lists(DTYPES, min_size=1, max_size=4), st.lists(st.integers(1, 4), min_size=1, max_size=5))
def test_joined_tables_are_their_rows_in_order(dtypes: list[np.dtype[Any]], lengths: list[int]) -> None:
    """Each column of the joined table is the columns of all, one after another, in its own type."""
    names = tuple(f"c{i}" for i in range(len(dtypes)))
    tables = [Table(names, tuple(column(d, rows, 100 * at) for d in dtypes)) for at, rows in enumerate(lengths)]
    calls = [Call(table) for table in tables]
    assert all(key_of(call) == key_of(calls[0]) for call in calls)
    joined = merge(calls).data
    assert isinstance(joined, Table)
    assert joined.rows == sum(lengths)
    for i, dtype in enumerate(dtypes):
        expected = [v for table in tables for v in table.arrays[i].tolist()]
        assert joined.arrays[i].dtype == dtype
        assert joined.arrays[i].tolist() == expected


@settings(max_examples=100, deadline=None)
@given(hnp.arrays("f8", hnp.array_shapes(min_dims=1, max_dims=3, max_side=4)), st.data())
def test_taking_apart_undoes_joining(array: np.ndarray[Any, Any], data: st.DataObject) -> None:
    """What was joined comes apart into the same rows, for arrays, tables, named arrays and lists."""
    rows = len(array)
    cuts = sorted(data.draw(st.sets(st.integers(1, rows - 1)) if rows > 1 else st.just(set())))
    parts = np.split(array, cuts)
    lengths = [len(p) for p in parts]
    joined = merge([Call(TensorInput(p)) for p in parts]).data
    assert isinstance(joined, TensorInput)
    assert joined.array.tobytes() == array.tobytes()
    flat = array.reshape(rows, -1)[:, 0]
    outputs: list[Output] = [
        ArrayOutput(array, 80),
        TableOutput(Table(("a", "b"), (flat, flat)), 80),
        TensorsOutput({"m": array}, 80),
        JsonOutput(flat.tolist(), 80),
    ]
    for output in outputs:
        pieces = split(output, lengths)
        assert pieces is not None
        assert sum(piece.size for piece in pieces) <= 80
    arrays = split(outputs[0], lengths)
    assert arrays is not None
    assert all(a.array.tobytes() == p.tobytes() for a, p in zip(arrays, parts, strict=True))  # type: ignore[union-attr]


def test_several_named_arrays_are_joined_each_by_itself() -> None:
    """A dict of arrays keeps its names and trailing shapes."""
    calls = [Call(TensorsInput({"a": np.full((n, 2), n), "b": np.full(n, n)})) for n in (1, 2)]
    assert key_of(calls[0]) == key_of(calls[1])
    joined = merge(calls).data
    assert isinstance(joined, TensorsInput)
    assert joined.arrays["a"].tolist() == [[1, 1], [2, 2], [2, 2]]
    assert joined.arrays["b"].tolist() == [1, 2, 2]


X = np.ones((2, 3))
TABLE = Table(("a", "b"), (X[:, 0], X[:, 1]))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Call(TensorInput(X)), Call(TensorInput(X.astype("f4")))),
        (Call(TensorInput(X)), Call(TensorInput(X[:, :2]))),
        (Call(TensorInput(X)), Call(TensorsInput({"x": X}))),
        (Call(TABLE), Call(Table(("a", "c"), TABLE.arrays))),
        (Call(TABLE), Call(Table(("a", "b"), TABLE.arrays, named=False))),
        (Call(TABLE), Call(Table(("a", "b"), (X[:, 0], X[:, 1].astype("i8"))))),
        (Call(TABLE, {"n": 1}), Call(TABLE)),
        (Call(TABLE, {"n": 1}), Call(TABLE, {"n": True})),
        (Call(TABLE, {"n": 1}), Call(TABLE, {"n": 1.0})),
        (Call(TABLE, {"n": [1]}), Call(TABLE, {"n": [2]})),
        (Call(TensorsInput({"a": X})), Call(TensorsInput({"b": X}))),
    ],
)
def test_whatever_a_model_could_tell_apart_is_not_joined(one: Call, other: Call) -> None:
    """Another type, shape, name or parameter is another batch."""
    assert key_of(one) is not None
    assert key_of(one) != key_of(other)


@pytest.mark.parametrize(
    "data",
    [
        JsonInput([1]),
        TensorInput(np.array(1.0)),
        TensorInput(np.empty((0, 3))),
        TensorInput(np.zeros(BATCH_BYTES + 1, dtype="u1")),
        Table(("a",), (np.empty(0),)),
        TensorsInput({"a": X, "b": X[:1]}),
    ],
)
def test_some_requests_go_alone(data: Input) -> None:
    """Values without rows, no rows at all, and very large ones share with nobody."""
    assert key_of(Call(data)) is None


@pytest.mark.parametrize(
    "output",
    [
        ArrayOutput(np.array(1.0)),
        ArrayOutput(np.ones(2)),
        TableOutput(Table(("a",), (np.ones(4),))),
        TensorsOutput({"a": np.ones(3), "b": np.ones(1)}),
        JsonOutput({"a": 1}),
        JsonOutput([1, 2]),
        JsonOutput("abc"),
    ],
)
def test_an_answer_without_an_item_for_each_row_cannot_be_taken_apart(output: Output) -> None:
    """Three rows need three items."""
    assert split(output, [1, 2]) is None
