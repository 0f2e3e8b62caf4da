"""Versions without a signature get what MLflow would hand them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from serving.exchange import JsonInput, Table, TensorInput, TensorsInput
from tests.unit.protocols.signatures import data, refusal


@pytest.mark.parametrize(
    ("cells", "dtype"),
    [([1, 2], "int64"), ([1, 2.5], "float64"), ([1, None], "float64"), ([True, False], "bool"),
     ([True, None], "object"), (["a", None], "object"), ([1, "a"], "object"),
     ([[1], [2]], "object"), ([None, None], "object"), ([2**63, 1], "uint64")],
)  # fmt: skip
def test_columns_get_the_type_of_their_values(cells: list[Any], dtype: str) -> None:
    """A table's columns are typed as pandas would type them."""
    for request in ({"dataframe_records": [{"a": cell} for cell in cells]}, {"dataframe_split": {"columns": ["a"],
     "data": [[cell] for cell in cells]}}):  # fmt: skip
        shaped = data(request)
        assert isinstance(shaped, Table)
        assert shaped.arrays[0].dtype == np.dtype(dtype)


def test_tables_without_names_are_numbered() -> None:
    """Rows without names become numbered columns that the DataFrame leaves unnamed."""
    shaped = data({"dataframe_split": {"data": [[1, 2.5]]}})
    assert isinstance(shaped, Table)
    assert (shaped.names, shaped.named) == (("0", "1"), False)


@pytest.mark.parametrize(
    ("value", "dtype", "shape"),
    [([[1, 2], [3, 4]], "int64", (2, 2)), ([[1, 2.5]], "float64", (1, 2)), ([1.5, None], "float64", (2,)),
     (["a", None], "object", (2,)), ([True], "bool", (1,)), (5, "int64", ()),
     ("text", "object", ()), ([[["a"]]], "object", (1, 1, 1)), ([2**63], "uint64", (1,))],
)  # fmt: skip
@pytest.mark.parametrize("form", ["inputs", "instances"])
def test_lists_become_one_array(value: Any, dtype: str, shape: tuple[int, ...], form: str) -> None:
    """Nested lists and single values become one array."""
    shaped = data({form: value})
    assert isinstance(shaped, TensorInput)
    assert (shaped.array.dtype, shaped.array.shape) == (np.dtype(dtype), shape)


def test_objects_of_lists_become_named_arrays() -> None:
    """Columns become named arrays, and so do rows in ``instances``."""
    columns = data({"inputs": {"a": [1, 2], "b": [[1.5], [2.5]]}})
    rows = data({"instances": [{"a": 1, "b": [1.5]}, {"a": 2, "b": [2.5]}]})
    for shaped in (columns, rows):
        assert isinstance(shaped, TensorsInput)
        assert {name: array.tolist() for name, array in shaped.arrays.items()} == {"a": [1, 2], "b": [[1.5], [2.5]]}


@pytest.mark.parametrize("value", [[{"a": 1}, {"a": 2}], {"a": {"b": 1}}, {"a": [{"b": 1}]}])
def test_objects_inside_are_handed_on_as_they_are(value: Any) -> None:
    """What is no array is a JSON input."""
    assert data({"inputs": value}) == JsonInput(value)


@pytest.mark.parametrize(
    "value", [[1, "a"], [1, True], [True, 1.5], ["a", 1], [[1, 2], [3]], [], [[]], {}, None, [None], [1, {"a": 1}],
     [2**53 + 1, 0.5]]
)  # fmt: skip
def test_mixed_ragged_and_empty_lists_are_refused(value: Any) -> None:
    """Lists that numpy would cast or could not shape are invalid input."""
    assert refusal({"inputs": value}).code == "invalid_input"
