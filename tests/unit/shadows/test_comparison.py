"""Two answers beside each other: what counts as equal, by how much they differ, and what cannot be compared."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from serving.exchange import ArrayOutput, JsonOutput, Output, Table, TableOutput, TensorsOutput
from serving.outputs import MOST_VALUES
from serving.shadows.comparison import PIECE_VALUES, Incomparable, Piece, pieces

NAN, INF = math.nan, math.inf


def array(*values: Any, dtype: Any = None) -> ArrayOutput:
    """Return an answer that is an array."""
    return ArrayOutput(np.array(values, dtype=dtype))


def table(**columns: Any) -> TableOutput:
    """Return an answer that is a table."""
    return TableOutput(Table(tuple(columns), tuple(np.array(values) for values in columns.values())))


def compared(primary: Output, shadow: Output) -> Piece:
    """Return the comparison of two small answers of one output."""
    (piece,) = pieces(primary, shadow)
    return piece


@pytest.mark.parametrize(
    ("primary", "shadow", "differs"),
    [
        (1.0, 1.0, False), (1.0, 1.0 + 1e-7, False), (1.0, 1.0 + 1e-5, True), (0.0, 1e-300, True), (0.0, -0.0, False),
        (NAN, NAN, False), (NAN, 1.0, True), (1.0, NAN, True), (INF, INF, False), (INF, -INF, True), (INF, 1.0, True),
        (1e308, -1e308, True), (5000, 5000, False), (5000, 5001, True), (10**400, 10**400, False), (10**400, 1, True),
        (3, 3, False), (3, 4, True), (3, 3.0, False), (1000, 1001, True),
        (True, True, False), (True, False, True), (True, 1, True), ("a", "a", False), ("a", "b", True),
        ("1", 1, True), (None, None, False), (None, NAN, False), (None, "a", True), (2.5, None, True),
        ({"a": [1, NAN]}, {"a": [1, NAN]}, False), ({"a": [1, 2]}, {"a": [1, 3]}, True), (b"x", b"x", False),
    ],
)  # fmt: skip
def test_what_differs(primary: Any, shadow: Any, differs: bool) -> None:
    """Numbers by more than one in a million, all else by not being the same; what is missing equals itself."""
    ours, theirs = np.empty(1, dtype=object), np.empty(1, dtype=object)
    ours[0], theirs[0] = primary, shadow
    piece = compared(ArrayOutput(ours), ArrayOutput(theirs))
    assert (piece.compared, piece.differed) == (1, differs)


def test_numbers_have_differences_and_labels_have_pairs() -> None:
    """Floats and large integers are told apart by how much, words, flags and small integers by which."""
    floats = compared(array(2.0, -4.0, 0.0), array(2.0, -5.0, 0.5))
    assert (floats.absolute, floats.relative, floats.pairs) == ([0.0, 1.0, 0.5], [0.0, 0.25], [])
    large = compared(array(2000, 10**6), array(1000, 10**6))
    assert (large.absolute, large.relative) == ([1000.0, 0.0], [0.5, 0.0])
    small = compared(array(0, 1, 1), array(0, 1, 0))
    assert (small.pairs, small.absolute, small.differed) == ([("0", "0"), ("1", "1"), ("1", "0")], [], 1)
    assert compared(array("yes", "no"), array("yes", "yes")).pairs == [("yes", "yes"), ("no", "yes")]
    assert compared(array(True), array(False)).pairs == [("True", "False")]


def test_dates_are_compared_as_seconds() -> None:
    """A day later is 86,400 seconds; not a time is missing."""
    ours = array("2024-01-01", "NaT", dtype="datetime64[s]")
    piece = compared(ours, array("2024-01-02", "NaT", dtype="datetime64[ns]"))
    assert (piece.absolute, piece.differed) == ([86_400.0, 0.0], 1)


def test_each_output_by_its_name() -> None:
    """Columns, named tensors and members of objects are compared with their namesakes, whatever the order."""
    found = list(pieces(table(a=[1.5], b=["x"]), table(b=["y"], a=[1.5])))
    assert [(p.name, p.differed) for p in found] == [("a", 0), ("b", 1)]
    ours, theirs = {"p": np.array([0.5]), "q": np.array([1.5])}, {"q": np.array([1.5]), "p": np.array([0.25])}
    found = list(pieces(TensorsOutput(ours), TensorsOutput(theirs)))
    assert [(p.name, p.differed) for p in found] == [("p", 1), ("q", 0)]
    found = list(pieces(JsonOutput({"a": 1.5, "b": [1, 2]}), JsonOutput({"b": [1, 3], "a": 1.5})))
    assert [(p.name, p.differed) for p in found] == [("a", 0), ("b", 1)]
    found = list(pieces(JsonOutput([{"a": 1.5}, {"a": 2.5}]), JsonOutput([{"a": 1.5}, {"a": 3.5}])))
    assert [(p.name, p.compared, p.differed) for p in found] == [("a", 2, 1)]


def test_an_array_is_the_list_that_its_caller_gets() -> None:
    """What is written alike is compared, however the model returned it."""
    assert compared(array(1.0, 2.0), JsonOutput([1.0, 2.5])).differed == 1
    assert compared(JsonOutput([[1.5, 2.5]]), array([1.5, 2.5])).differed == 0


@pytest.mark.parametrize(
    ("primary", "shadow"),
    [
        (array(1.0, 2.0), array(1.0)),
        (array(1.0, 2.0), array([1.0, 2.0])),
        (array([1.0, 2.0]), array([1.0], [2.0])),
        (array(1.0), table(a=[1.0])),
        (table(a=[1.0]), table(b=[1.0])),
        (table(a=[1.0]), table(a=[1.0], b=[1.0])),
        (TensorsOutput({"a": np.zeros(1)}), TensorsOutput({"a": np.zeros(2)})),
        (JsonOutput([[1, 2], [3]]), JsonOutput([[1], [2, 3]])),
        (JsonOutput([1, [2]]), JsonOutput([1, 2])),
        (JsonOutput([1, [2]]), JsonOutput([[1], 2])),
        (JsonOutput([]), JsonOutput([[]])),
        (JsonOutput("text"), JsonOutput(["text"])),
        (JsonOutput([{"a": 1}] * 3), JsonOutput([{"a": 1}] * 2)),
        (JsonOutput([{"a": 1}]), JsonOutput([{"b": 1}])),
        (JsonOutput({"a": 1}), JsonOutput([1])),
    ],
)
def test_other_outputs_or_shapes_are_incomparable(primary: Output, shadow: Output) -> None:
    """A caller could not read the one as the other."""
    with pytest.raises(Incomparable):
        list(pieces(primary, shadow))


def test_only_the_first_values_are_looked_at_and_a_few_at_a_time() -> None:
    """However long an answer is, ten thousand values are compared, shared among its outputs."""
    found = list(pieces(ArrayOutput(np.zeros((100_000, 2))), ArrayOutput(np.zeros((100_000, 2)))))
    assert sum(p.compared for p in found) == MOST_VALUES
    assert max(p.compared for p in found) == PIECE_VALUES
    wide = TensorsOutput({name: np.zeros(50_000) for name in "abcd"})
    assert {p.name for p in pieces(wide, wide)} == set("abcd")
    assert sum(p.compared for p in pieces(wide, wide)) == MOST_VALUES
    records = JsonOutput([{"a": 1.5, "b": 2.5}] * 30_000)
    assert sum(p.compared for p in pieces(records, records)) == MOST_VALUES


numbers = hnp.arrays(
    st.sampled_from(["f4", "f8", "i4", "u8", "?", "<M8[s]"]), hnp.array_shapes(min_dims=0, max_dims=3, max_side=5)
)
leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
trees = st.recursive(
    leaves, lambda i: st.lists(i, max_size=4) | st.dictionaries(st.text(max_size=3), i, max_size=3), max_leaves=20
)
outputs = (
    numbers.map(ArrayOutput)
    | trees.map(JsonOutput)
    | st.dictionaries(st.text(min_size=1, max_size=3), numbers, max_size=3).map(TensorsOutput)
    | st.lists(leaves, min_size=1, max_size=5).map(
        lambda cells: ArrayOutput(np.array([*cells, "x"], dtype=object)[:-1])
    )
)


@given(outputs)
def test_an_answer_does_not_differ_from_itself(output: Output) -> None:
    """Whatever a model answers: the same again differs nowhere, and all distances are 0."""
    for piece in pieces(output, output):
        assert piece.differed == 0
        assert not any(piece.absolute)
        assert not any(piece.relative)
        assert all(one == other for one, other in piece.pairs)


@given(outputs, outputs)
def test_any_two_answers_are_compared_or_incomparable(one: Output, other: Output) -> None:
    """No two answers raise anything else, and no more differs than was compared."""
    try:
        found = list(pieces(one, other))
    except Incomparable:
        return
    assert all(0 <= piece.differed <= piece.compared for piece in found)
