"""Signatures of tensors, and ONNX graphs that tell their own inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from registry.signature import Schema, Tensor
from serving.exchange import TensorInput, TensorsInput
from tests.unit.protocols.signatures import NOTHING, column, data, refusal, signed, tensor

PAIRS = signed(tensor(None, "float64", -1, 2))
TWO = signed(tensor("x", "float32", -1, 2), tensor("y", "int64", -1))


@pytest.mark.parametrize(
    "request_",
    [{"inputs": [[1.5, 2], [3, 4]]}, {"instances": [[1.5, 2], [3, 4]]}, {"dataframe_split": {"columns": ["p", "q"],
     "data": [[1.5, 2], [3, 4]]}},
     {"dataframe_records": [{"p": 1.5, "q": 2}, {"p": 3, "q": 4}]}, {"dataframe_records": [{"p": [1.5, 2]}, {"p": [3,
      4]}]}, {"inputs": [[1.5, 2.0], [3.0, 4.0]]}],
)  # fmt: skip
def test_every_form_gives_the_unnamed_tensor(request_: dict[str, Any]) -> None:
    """Nested lists and tables become one array."""
    shaped = data(request_, PAIRS)
    assert isinstance(shaped, TensorInput)
    assert shaped.array.dtype == np.float64
    assert shaped.array.tolist() == [[1.5, 2.0], [3.0, 4.0]]


@pytest.mark.parametrize(
    "request_",
    [{"inputs": {"y": [7, 8], "x": [[1, 2], [3, 4]]}}, {"instances": [{"x": [1, 2], "y": 7}, {"x": [3, 4], "y": 8}]},
     {"dataframe_split": {"columns": ["x", "y"], "data": [[[1, 2], 7], [[3, 4], 8]]}}],
)  # fmt: skip
def test_named_tensors_go_by_name(request_: dict[str, Any]) -> None:
    """Columns and rows of named tensors become arrays in the signature's order."""
    shaped = data(request_, TWO)
    assert isinstance(shaped, TensorsInput)
    assert list(shaped.arrays) == ["x", "y"]
    assert shaped.arrays["x"].dtype == np.float32
    assert (shaped.arrays["x"].tolist(), shaped.arrays["y"].tolist()) == ([[1, 2], [3, 4]], [7, 8])


@pytest.mark.parametrize(
    ("dtype", "value", "reason"),
    [("int64", 1.0, "wrong_type"), ("int64", True, "wrong_type"), ("uint8", -1, "out_of_range"),
     ("uint8", 256, "out_of_range"), ("int64", 2**63, "out_of_range"),
     ("int64", None, "wrong_type"), ("float32", "1", "wrong_type"), ("float64", False, "wrong_type"),
     ("float64", 2**53 + 1, "out_of_range"), ("float16", 70000.0, "out_of_range"),
     ("float32", 1e300, "out_of_range"), ("bool", 1, "wrong_type"), ("str", 1, "wrong_type"),
     ("object", {"a": 1}, "wrong_type"), ("datetime64[ns]", "x", "wrong_type"),
     ("int64", {"a": 1}, "wrong_type")],
)  # fmt: skip
def test_tensor_values_are_never_cast_silently(dtype: str, value: Any, reason: str) -> None:
    """A value of the wrong type or size is refused by its index."""
    good: dict[str, Any] = {"b": True, "U": "x", "O": "x", "M": "2024-01-01"}
    first = good.get(np.dtype(dtype).kind, 1)
    error = refusal({"inputs": [[first], [value]]}, signed(tensor(None, dtype, -1, 1)))
    assert (error.details["path"], error.details["row"], error.details["reason"]) == ("inputs[1][0]", 1, reason)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "int32", "uint64", "bool", "str",
 "object", "datetime64[ns]"])  # fmt: skip
def test_each_dtype_is_made(dtype: str) -> None:
    """Each dtype that JSON can say comes out as itself, strings as objects."""
    good: dict[str, Any] = {"b": True, "U": "x", "O": "x", "M": "2024-01-01"}
    shaped = data({"inputs": [good.get(np.dtype(dtype).kind, 1)]}, signed(tensor(None, dtype, -1)))
    assert isinstance(shaped, TensorInput)
    assert shaped.array.dtype == (object if dtype == "str" else np.dtype(dtype))


def test_null_is_a_missing_float() -> None:
    """Null in a float tensor is NaN."""
    shaped = data({"inputs": [[1.5, None]]}, PAIRS)
    assert isinstance(shaped, TensorInput)
    assert np.isnan(shaped.array[0, 1])


@pytest.mark.parametrize(
    ("value", "spot"),
    [([[1, 2], [3]], "inputs[1]"), ([[1, 2], 3], "inputs[1]"), ([[[1], 2]], "inputs[0][1]"), ([1, [2]], "inputs[1]"),
     ([[1, 2], [3, [4]]], "inputs[1][1]")],
)  # fmt: skip
def test_ragged_lists_name_the_spot(value: Any, spot: str) -> None:
    """The first part whose length differs is named."""
    error = refusal({"inputs": value}, PAIRS)
    assert (error.details["reason"], error.details["path"]) == ("ragged", spot)


@pytest.mark.parametrize("value", [[[1, 2, 3]], [1, 2], [], [[]], [[], []], 5, [[[1, 2]]], {"x": [[1, 2]]}, None, "x"])
def test_other_shapes_are_refused(value: Any) -> None:
    """Shapes that the signature does not have, and empty batches, are invalid input."""
    assert refusal({"inputs": value}, PAIRS).code == "invalid_input"


def test_a_row_without_its_brackets_gets_a_hint() -> None:
    """Somebody who sends one row flat is told so."""
    assert "[[…]]" in refusal({"inputs": [1, 2]}, PAIRS).message


def test_names_missing_or_unknown_are_refused() -> None:
    """Named tensors must be all there, and no others."""
    assert refusal({"inputs": {"x": [[1, 2]]}}, TWO).details["reason"] == "missing"
    assert refusal({"inputs": {"x": [[1, 2]], "y": [1], "z": [1]}}, TWO).details["reason"] == "unknown"
    assert refusal({"inputs": [[1, 2]]}, TWO).code == "invalid_input"
    assert refusal({"instances": [{"x": [1, 2], "y": 1}, {"x": [1, 2]}]}, TWO).details["reason"] == "missing"


def test_dtypes_that_json_cannot_say_are_not_servable() -> None:
    """A model of complex numbers cannot be asked."""
    assert refusal({"inputs": [1]}, signed(tensor(None, "complex128", -1))).code == "not_servable"


GRAPH = Schema(tensors=(Tensor("X", "float32", (-1, 2)),))


@pytest.mark.parametrize(
    "request_",
    [{"inputs": [[1.5, 2]]}, {"inputs": {"X": [[1.5, 2]]}}, {"instances": [{"X": [1.5, 2]}]},
     {"dataframe_split": {"columns": ["p", "q"], "data": [[1.5, 2]]}},
     {"dataframe_records": [{"p": 1.5, "q": 2}]}],
)  # fmt: skip
def test_a_graph_of_one_input_takes_arrays_and_tables(request_: dict[str, Any]) -> None:
    """Without a signature, an ONNX graph's own input is enforced, by name or without."""
    shaped = data(request_, NOTHING, GRAPH)
    assert isinstance(shaped, TensorsInput)
    assert (shaped.arrays["X"].dtype.name, shaped.arrays["X"].tolist()) == ("float32", [[1.5, 2.0]])


def test_the_signature_goes_before_the_graph() -> None:
    """Where a signature declares inputs, the graph is not asked; where it is broken, the graph refuses."""
    assert isinstance(data({"inputs": [[1.5, 2]]}, PAIRS, GRAPH), TensorInput)
    assert refusal({"inputs": [[1, 2, 3]]}, NOTHING, graph=GRAPH).code == "invalid_input"
    assert refusal({"inputs": [[1, 2, 3]]}, signed(column("a", "double")), graph=GRAPH).code == "invalid_input"
