"""Signatures of columns: names, types, missing values, nested cells, and where an error points."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from registry.errors import InvalidRequest
from serving.exchange import Table
from serving.protocols.limits import Limits
from tests.unit.protocols.signatures import column, data, refusal, signed, table

DOUBLES = signed(column("a", "double"), column("b", "double"))
LONGS = signed(column("a", "long"), column("b", "long"))


def split(columns: list[Any], *rows: list[Any]) -> dict[str, Any]:
    """Return a dataframe_split request."""
    return {"dataframe_split": {"columns": columns, "data": list(rows)}}


@pytest.mark.parametrize(
    "request_",
    [split(["a", "b"], [1.5, 2], [3, 4.5]), split(["b", "a"], [2, 1.5], [4.5, 3]),
     {"dataframe_records": [{"a": 1.5, "b": 2}, {"b": 4.5, "a": 3}]},
     {"inputs": {"b": [2, 4.5], "a": [1.5, 3]}}, {"instances": [{"a": 1.5, "b": 2}, {"a": 3, "b": 4.5}]},
      {"inputs": [[1.5, 2], [3, 4.5]]},
     {"instances": [[1.5, 2], [3, 4.5]]}, {"dataframe_split": {"data": [[1.5, 2], [3, 4.5]]}},
      {"dataframe_split": {"index": [7, 8], "columns": ["a", "b"], "data": [[1.5, 2], [3, 4.5]]}}],
)  # fmt: skip
def test_every_form_gives_the_same_table(request_: dict[str, Any]) -> None:
    """Rows, records and columns, in any order, become the signature's columns in its order."""
    shaped = data(request_, DOUBLES)
    assert isinstance(shaped, Table)
    assert (shaped.names, shaped.named, shaped.rows) == (("a", "b"), True, 2)
    assert [array.dtype for array in shaped.arrays] == [np.float64, np.float64]
    assert [array.tolist() for array in shaped.arrays] == [[1.5, 3.0], [2.0, 4.5]]


@pytest.mark.parametrize(
    ("kind", "values", "dtype"),
    [("double", [1.5, None, 3], "float64"), ("float", [0.1, None], "float32"),
     ("long", [2**63 - 1, -(2**63)], "int64"), ("integer", [2**31 - 1], "int32"),
     ("boolean", [True, False], "bool"), ("string", ["x", None, "😀\u202e"], "object"),
     ("datetime", ["2024-01-31", None, "2024-01-31T10:00:00.123456789"], "datetime64[ns]")],
)  # fmt: skip
def test_each_type_gets_its_dtype(kind: str, values: list[Any], dtype: str) -> None:
    """Scalar types become the arrays that MLflow makes of them, with missing values where they have one."""
    shaped = data({"dataframe_records": [{"a": value} for value in values]}, signed(column("a", kind)))
    assert isinstance(shaped, Table)
    assert shaped.arrays[0].dtype == np.dtype(dtype)
    for value, got in zip(values, shaped.arrays[0].tolist(), strict=True):
        if value is None:
            assert got is None or (isinstance(got, float) and math.isnan(got))
        elif kind == "float":
            assert got == float(np.float32(value))
        elif kind != "datetime":
            assert got == value


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [("long", 0.1, "wrong_type"), ("long", 1.0, "wrong_type"), ("long", "5", "wrong_type"),
     ("long", True, "wrong_type"), ("long", None, "wrong_type"),
     ("long", 2**63, "out_of_range"), ("long", 2**64, "out_of_range"), ("integer", 2**31, "out_of_range"),
     ("double", "5", "wrong_type"), ("double", True, "wrong_type"),
     ("double", 2**53 + 1, "out_of_range"), ("double", [1], "wrong_type"), ("float", 1e39, "out_of_range"),
     ("boolean", 1, "wrong_type"), ("boolean", "true", "wrong_type"),
     ("boolean", None, "wrong_type"), ("string", 5, "wrong_type"), ("string", {"a": 1}, "wrong_type"),
     ("binary", "a", "bad_base64"), ("binary", "ab!d", "bad_base64"), ("binary", 5, "wrong_type"),
     ("datetime", "tomorrow", "wrong_type"), ("datetime", "2024-13-01", "wrong_type"),
     ("datetime", "2024-01-01T00:00:00Z", "wrong_type"),
     ("datetime", "9999-01-01", "out_of_range"), ("datetime", 1.5, "wrong_type"), ("datetime", 2**63, "wrong_type")],
)  # fmt: skip
@pytest.mark.parametrize("form", ["split", "records", "inputs"])
def test_nothing_is_cast_silently(kind: str, value: Any, reason: str, form: str) -> None:
    """A value of the wrong type or size is refused, naming column, row and path, wherever it stands."""
    good: dict[str, Any] = {"long": 1, "integer": 1, "double": 1.5, "float": 1.5, "boolean": True, "string": "x",
     "binary": "YQ==", "datetime": "2024-01-01"}  # fmt: skip
    request = {
        "split": split(["a", "n"], [good[kind], 1], [value, 2]),
        "records": {"dataframe_records": [{"a": good[kind], "n": 1}, {"a": value, "n": 2}]},
        "inputs": {"inputs": {"a": [good[kind], value], "n": [1, 2]}},
    }[form]
    path = {"split": "dataframe_split.data[1][0]", "records": "dataframe_records[1].a", "inputs": "inputs.a[1]"}[form]
    error = refusal(request, signed(column("a", kind), column("n", "long")))
    assert (error.code, error.details["column"], error.details["row"]) == ("invalid_input", "a", 1)
    assert (error.details["reason"], error.details["path"]) == (reason, path)
    assert {"expected", "got"} <= set(error.details)


def test_true_among_numbers_is_found_in_the_fast_way_too() -> None:
    """A boolean in a block of numbers is refused, though numpy would make it 1."""
    error = refusal(split(["a", "b"], [1.5, 2], [3, True]), DOUBLES)
    assert (error.details["column"], error.details["row"], error.details["got"]) == ("b", 1, "true")


def test_columns_called_true_or_null_are_but_names() -> None:
    """Literals inside of names and strings mislead nobody."""
    signature = signed(column("true", "double"), column('nu"ll:[', "double"))
    assert table(split(["true", 'nu"ll:['], [1, 2]), signature) == {"true": [1.0], 'nu"ll:[': [2.0]}


def test_missing_and_unknown_columns_are_named() -> None:
    """What is missing or too much is named, in whatever form."""
    missing = refusal(split(["a"], [1]), DOUBLES)
    assert (missing.details["column"], missing.details["reason"]) == ("b", "missing")
    extra = refusal(split(["a", "b", "zz"], [1, 2, 3]), DOUBLES)
    assert (extra.details["column"], extra.details["reason"]) == ("zz", "unknown")
    assert "zz" in extra.message
    assert refusal({"inputs": [[1, 2, 3]]}, DOUBLES).details["got"] == "3 column(s)"
    assert "[[…]]" in refusal({"inputs": [1, 2]}, DOUBLES).message


def test_a_record_without_a_required_key_is_refused_by_row() -> None:
    """A key that one record lacks is missing there; null would be a missing value."""
    error = refusal({"dataframe_records": [{"a": 1, "b": 2}, {"a": 1}]}, DOUBLES)
    assert (error.details["column"], error.details["row"]) == ("b", 1)


def test_optional_columns_may_be_left_out() -> None:
    """An optional column may be absent in all rows or in some, and booleans may then be null."""
    signature = signed(column("a", "double"), column("b", "double", required=False),
     column("c", "boolean", required=False))  # fmt: skip
    assert table({"dataframe_records": [{"a": 1}]}, signature) == {"a": [1.0]}
    some = table({"dataframe_records": [{"a": 1, "c": True}, {"a": 2, "b": 3, "c": None}]}, signature)
    assert math.isnan(some["b"][0])
    assert some["c"] == [True, None]


@pytest.mark.parametrize(
    "request_",
    [split(["a", "b"]),
     {"dataframe_records": []}, {"inputs": []}, {"instances": []}, {"inputs": {"a": [], "b": []}}, {"inputs": {}},
      {"inputs": [[]]},
     split(["a", "b"], [1, 2], [3]), split(["a", "b"], [1], [3]), split(["a", "a"], [1, 2]), split([], [1, 2]),
      split(["a", None], [1, 2]), split(["a", ""], [1, 2]),
     {"dataframe_split": {"columns": ["a", "b"]}}, {"dataframe_split": {"data": [[1, 2]], "x": 1}},
      {"dataframe_split": [[1, 2]]}, {"dataframe_split": {"data": 5}},
     {"dataframe_split": {"index": [1], "data": [[1, 2], [3, 4]]}}, {"dataframe_records": {"a": 1}},
      {"dataframe_records": [{"a": 1, "b": 2}, 5]}, {"inputs": {"a": [1], "b": [1, 2]}},
     {"inputs": {"a": [1], "b": 2}}, {"inputs": [[1, 2], {"a": 1}]}, {"inputs": None}, {"instances": [None]},
      {"dataframe_records": [{}]}],
)  # fmt: skip
def test_shapes_that_are_no_table_are_refused(request_: dict[str, Any]) -> None:
    """Empty, ragged, duplicate and malformed tables are invalid input, never an exception of another kind."""
    assert refusal(request_, DOUBLES).code == "invalid_input"


def test_ragged_rows_name_the_row() -> None:
    """The first row of another length is named."""
    error = refusal(split(["a", "b"], [1, 2], [3]), DOUBLES)
    assert (error.details["row"], error.details["reason"]) == (1, "ragged")


def test_unnamed_signatures_go_by_position() -> None:
    """A signature without names counts columns; the caller's names, if any, are kept as MLflow keeps them."""
    signature = signed(column(None, "double"), column(None, "long"))
    shaped = data({"inputs": [[1.5, 2]]}, signature)
    assert isinstance(shaped, Table)
    assert (shaped.names, shaped.named) == (("0", "1"), False)
    kept = data(split(["x", "y"], [1.5, 2]), signature)
    assert isinstance(kept, Table)
    assert (kept.names, kept.named) == (("x", "y"), True)
    assert refusal({"inputs": [[1.5]]}, signature).code == "invalid_input"


def test_a_dataframe_without_names_keeps_its_numbers() -> None:
    """Integer column names 0, 1, … are what a DataFrame without names has, and the model gets the same."""
    signature = signed(column(0, "double"), column(1, "double"))
    shaped = data(split([0, 1], [1.5, 2]), signature)
    assert isinstance(shaped, Table)
    assert (shaped.names, shaped.named) == (("0", "1"), False)


def test_a_single_column_takes_a_plain_list() -> None:
    """One column may be sent as a list of values, as a list of rows of one, or as one value."""
    signature = signed(column("text", "string"))
    assert table({"inputs": ["u", "v"]}, signature) == {"text": ["u", "v"]}
    assert table({"inputs": "u"}, signature) == {"text": ["u"]}
    assert table({"inputs": [["u"], ["v"]]}, signature) == {"text": ["u", "v"]}


def test_binary_is_base64_with_or_without_line_breaks() -> None:
    """Base64 as MLflow's clients write it becomes bytes."""
    assert table({"dataframe_records": [{"x": "aGVs\nbG8=\n"}]}, signed(column("x", "binary"))) == {"x": [b"hello"]}


@pytest.mark.parametrize("number", [1_700_000_000, 1_700_000_000_000_000_000, 1.5e18, True])
def test_numbers_are_no_dates(number: float) -> None:
    """A number in a datetime column is refused: seconds taken for nanoseconds would be a date that nobody meant."""
    with pytest.raises(InvalidRequest) as caught:
        data({"dataframe_records": [{"t": number}]}, signed(column("t", "datetime")))
    assert caught.value.details["column"] == "t"


ARRAY = signed(column("x", "array", items={"type": "long"}))
OBJECT = signed(column("o", "object", properties={"k": {"type": "string"}, "v": {"type": "double", "required": False}}))
MAP = signed(column("m", "map", values={"type": "array", "items": {"type": "string"}}))
VECTOR = signed(column("v", "sparkml_vector"))
ANY = signed(column("z", "any"))


def test_nested_cells_stay_lists_and_objects() -> None:
    """Arrays, objects, maps, vectors and untyped cells are checked and handed on as JSON-like values."""
    assert table({"dataframe_records": [{"x": [1, 2]}, {"x": []}]}, ARRAY) == {"x": [[1, 2], []]}
    assert table({"dataframe_records": [{"o": {"k": "s", "v": 1}}, {"o": {"k": "s", "v": None}}]},
     OBJECT) == {"o": [{"k": "s", "v": 1.0}, {"k": "s", "v": None}]}  # fmt: skip
    assert table({"dataframe_records": [{"m": {"p": ["a"]}}]}, MAP) == {"m": [{"p": ["a"]}]}
    assert table({"dataframe_records": [{"v": [1, 2.5]}]}, VECTOR) == {"v": [[1.0, 2.5]]}
    assert table({"dataframe_records": [{"z": {"p": [1, None]}}, {"z": 5}]}, ANY) == {"z": [{"p": [1, None]}, 5]}
    assert table({"inputs": {"x": [1, 2]}}, ARRAY) == {"x": [[1, 2]]}
    assert table({"inputs": [1, 2]}, ARRAY) == {"x": [[1, 2]]}


@pytest.mark.parametrize(
    ("cell", "signature", "path"),
    [({"x": 5}, ARRAY, "dataframe_records[0].x"), ({"x": [1, "2"]}, ARRAY, "dataframe_records[0].x[1]"),
     ({"x": [1.5]}, ARRAY, "dataframe_records[0].x[0]"),
     ({"x": None}, ARRAY, "dataframe_records[0].x"), ({"o": {}}, OBJECT, "dataframe_records[0].o"),
     ({"o": {"k": 1}}, OBJECT, "dataframe_records[0].o.k"),
     ({"o": {"k": "s", "w": 1}}, OBJECT, "dataframe_records[0].o"), ({"o": [1]}, OBJECT, "dataframe_records[0].o"),
     ({"m": {"p": "a"}}, MAP, "dataframe_records[0].m.p"),
     ({"m": []}, MAP, "dataframe_records[0].m"), ({"m": {"p": [1]}}, MAP, "dataframe_records[0].m.p[0]"),
     ({"v": ["a"]}, VECTOR, "dataframe_records[0].v[0]")],
)  # fmt: skip
def test_nested_errors_name_the_path(cell: dict[str, Any], signature: Any, path: str) -> None:
    """A wrong part of a nested cell is named by its whole path."""
    error = refusal({"dataframe_records": [cell]}, signature)
    assert (error.code, error.details["path"]) == ("invalid_input", path)


ITEM = signed(column(None, "object", properties={"k": {"type": "string"}}))
LISTS = signed(column(None, "array", items={"type": "double"}))
MAPS = signed(column(None, "map", values={"type": "double"}))


@pytest.mark.parametrize("form", ["inputs", "instances"])
def test_each_item_for_a_type_hint_is_a_row(form: str) -> None:
    """MLflow writes ``list[Item]`` as one column without a name; a list of items has as many rows."""
    assert table({form: [{"k": "a"}, {"k": "b"}]}, ITEM) == {"0": [{"k": "a"}, {"k": "b"}]}
    assert table({form: [[1, 2.5], []]}, LISTS) == {"0": [[1.0, 2.5], []]}
    assert table({form: [{"a": 1, "b": 2}, {"c": 3}]}, MAPS) == {"0": [{"a": 1.0, "b": 2.0}, {"c": 3.0}]}


def test_what_needs_no_type_hint_is_read_as_before() -> None:
    """One row of numbers is the only cell; a record without the column's name has it as its only value."""
    assert table({"inputs": [1, 2]}, LISTS) == {"0": [[1.0, 2.0]]}
    assert table({"inputs": [{"x": {"a": 1}}, {"x": {"b": 2}}]}, MAPS) == {"x": [{"a": 1.0}, {"b": 2.0}]}


@pytest.mark.parametrize(
    ("items", "signature", "path"),
    [([{"k": "a"}, {"k": 1}], ITEM, "inputs[1].k"), ([{"k": "a"}, 5], ITEM, "inputs[1]"), ([{}], ITEM, "inputs[0]"),
     ([], ITEM, "inputs"), ([[1], ["2"]], LISTS, "inputs[1][0]"), ([{"a": 1}, {"a": "b"}], MAPS, "inputs[1].a")],
)  # fmt: skip
def test_an_item_that_is_no_such_thing_is_named_by_its_place(items: list[Any], signature: Any, path: str) -> None:
    """The reading that most callers mean is the one whose refusal is told."""
    error = refusal({"inputs": items}, signature)
    assert (error.code, error.details["path"]) == ("invalid_input", path)


def test_sparse_records_are_counted_before_they_expand() -> None:
    """Records with a key each would become a square; it is counted first."""
    records = [{f"k{at}": 1} for at in range(100)]
    assert refusal({"dataframe_records": records}, limits=Limits(values=5000)).code == "too_many_values"
