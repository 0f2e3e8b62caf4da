"""What an answer weighs, and that one is taken apart the same way whatever it came as."""

from __future__ import annotations

import numpy as np
import pytest

from serving.exchange import Array, ArrayOutput, JsonOutput, Output, Table, TableOutput, TensorsOutput
from serving.outputs import AS_OBJECTS, MOST_VALUES, Column, arrays_of, beginning, columns, weight


@pytest.mark.parametrize(
    ("output", "size"),
    [
        (ArrayOutput(np.zeros(4), 999), 32),
        (TableOutput(Table(("a", "b"), (np.zeros(2), np.zeros(2, dtype="f4")))), 24),
        (TensorsOutput({"a": np.zeros(2), "b": np.zeros(1)}), 24),
        (JsonOutput(["text"], 10), 10 * AS_OBJECTS),
        (ArrayOutput(np.array(["a", None], dtype=object), 10), 10 * AS_OBJECTS + 16),
    ],
)
def test_what_an_answer_holds_on_to(output: Output, size: int) -> None:
    """Arrays count what they hold, objects more than they took on their way."""
    assert weight(output) == size


def test_columns_come_by_name_and_arrays_in_their_order() -> None:
    """A table and named arrays have the same columns; the first output stays the first of the arrays."""
    two, one = np.array([2.0]), np.array([1.0])
    table, named = TableOutput(Table(("b", "a"), (two, one))), TensorsOutput({"b": two, "a": one})
    assert columns(table) == columns(named) == [Column("a", (1,), [1.0]), Column("b", (1,), [2.0])]
    assert columns(JsonOutput([{"b": 2.0, "a": 1.0}])) == columns(table)
    assert arrays_of(table)[0] is arrays_of(named)[0] is two


@pytest.mark.parametrize("array", [np.arange(12).reshape(3, 4), np.arange(12).reshape(4, 3).T, np.arange(24)[::2]])
def test_the_beginning_is_in_row_major_order(array: Array) -> None:
    """However an array lies in memory, its first values are those that a caller reads first."""
    assert beginning(array, 5).tolist() == array.ravel().tolist()[:5]
    assert len(beginning(array, MOST_VALUES)) == array.size
