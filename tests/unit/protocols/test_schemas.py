"""What a version takes and answers as JSON Schema, and the body that is made up where no example was saved."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from registry.errors import HeadgateError
from registry.signature import parse_signature
from serving.exchange import Call
from serving.protocols.limits import Limits
from serving.protocols.made_up import MOST_CELLS, made_up_body
from serving.protocols.native import parse_body, shape
from serving.protocols.schemas import body_schemas, plain, predictions_schema, type_of

SCALARS = ("boolean", "integer", "long", "float", "double", "string", "binary", "datetime")
COLUMNS = [
    {"type": "double", "name": "age", "required": True},
    {"type": "long", "name": "calls", "required": True},
    {"type": "string", "name": "plan", "required": False},
]
PARAMS = [
    {"name": "threshold", "type": "double", "default": 0.5, "shape": None},
    {"name": "labels", "type": "string", "default": ["a"], "shape": [-1]},
]


def tensor(shape: list[int], name: str | None = None, dtype: str = "float64") -> dict[str, Any]:
    """Return a tensor as a signature has it."""
    spec: dict[str, Any] = {"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": shape}}
    return spec if name is None else {**spec, "name": name}


def validator(inputs: list[Any] | None, params: list[Any] | None = None) -> Draft202012Validator:
    """Return what checks a body of a version with this signature."""
    signature = parse_signature({"inputs": inputs, "params": params})
    schemas = body_schemas(signature.inputs, signature.params)
    document = {"$ref": "#/components/schemas/Request", "components": {"schemas": schemas}}
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    return Draft202012Validator(document)


def taken(body: Any, inputs: list[Any] | None, params: list[Any] | None = None) -> Call | None:
    """Return what serving makes of a body; None where it refuses it."""
    signature = parse_signature({"inputs": inputs, "params": params})
    try:
        return shape(parse_body(None, json.dumps(body).encode(), Limits()), signature, None, Limits())
    except HeadgateError:
        return None


GOOD: list[tuple[Any, list[Any] | None]] = [
    ({"dataframe_records": [{"age": 41.5, "calls": 2}, {"age": None, "calls": 0}]}, COLUMNS[:2]),
    ({"dataframe_records": [{"age": 41.5, "calls": 2, "plan": "basic"}, {"age": 1, "calls": 0}]}, COLUMNS),
    ({"dataframe_records": [{"age": 41, "calls": 2}]}, COLUMNS),
    ({"dataframe_split": {"columns": ["calls", "age"], "data": [[2, 41.5]]}}, COLUMNS),
    ({"dataframe_split": {"columns": ["calls", "age"], "index": [7], "data": [[2, 41.5]]}}, COLUMNS),
    ({"inputs": {"age": [1.0, 2.0], "calls": [1, 2]}}, COLUMNS),
    ({"inputs": {"age": 1.0, "calls": 1}}, COLUMNS),
    ({"instances": [{"age": 1.0, "calls": 1}]}, COLUMNS),
    ({"inputs": [[1.0, 1, "basic"]]}, COLUMNS),
    ({"inputs": [[1.0], [2.5]]}, [{"type": "double"}]),
    ({"inputs": [1.0, 2.5]}, [{"type": "double"}]),
    ({"inputs": [[1.0, 2.0, 3.0]]}, [tensor([-1, 3])]),
    ({"instances": {"a": [[1]], "b": [2.5]}}, [tensor([-1, 1], "a", "int64"), tensor([-1], "b")]),
    ({"inputs": [[1.0, 2.0]]}, None),
    ({"dataframe_records": [{"x": 1}]}, None),
]
BAD: list[tuple[Any, list[Any] | None]] = [
    ({"dataframe_records": [{"age": 41.5}]}, COLUMNS),
    ({"dataframe_records": [{"age": "41", "calls": 2}]}, COLUMNS),
    ({"dataframe_records": [{"age": 41.5, "calls": 2, "plann": "basic"}]}, COLUMNS),
    ({"dataframe_records": [{"age": 41.5, "calls": 2.5}]}, COLUMNS),
    ({"dataframe_records": [{"age": 41.5, "calls": 2**63}]}, COLUMNS),
    ({"dataframe_records": []}, COLUMNS),
    ({"dataframe_split": {"columns": ["age"], "data": [[1.0]]}}, COLUMNS),
    ({"dataframe_split": {"columns": ["age", "calls"]}}, COLUMNS),
    ({"inputs": [[1.0, 2.0]]}, [tensor([-1, 3])]),
    ({"inputs": []}, [tensor([-1, 3])]),
    ({"inputs": {"a": [1.0]}}, [tensor([-1], "a"), tensor([-1], "b")]),
    ({"inputs": [[1.0]], "instances": [[1.0]]}, None),
    ({}, None),
    ({"inputs": [[1.0]], "parms": {}}, None),
]


@pytest.mark.parametrize(("body", "inputs"), GOOD)
def test_what_serving_takes_is_valid(body: Any, inputs: list[Any] | None) -> None:
    """Every form of the native body that fits the signature fits its schema."""
    assert taken(body, inputs) is not None
    validator(inputs).validate(body)


@pytest.mark.parametrize(("body", "inputs"), BAD)
def test_what_serving_refuses_is_not_valid(body: Any, inputs: list[Any] | None) -> None:
    """A missing, misspelt or wrongly typed column, a wrong shape and two forms at once are refused by both."""
    assert taken(body, inputs) is None
    assert not validator(inputs).is_valid(body)


def test_params_have_types_and_defaults() -> None:
    """Parameters are described with what they are without being sent; unknown ones are refused."""
    check = validator(None, PARAMS)
    check.validate({"inputs": [[1.0]], "params": {"threshold": 0.7, "labels": ["a", "b"]}})
    assert not check.is_valid({"inputs": [[1.0]], "params": {"treshold": 0.7}})
    assert not check.is_valid({"inputs": [[1.0]], "params": {"threshold": "0.7"}})
    assert not validator(None).is_valid({"inputs": [[1.0]], "params": {"any": 1}})
    schemas = body_schemas(None, parse_signature({"params": PARAMS}).params)
    assert schemas["Params"]["properties"]["labels"]["default"] == ["a"]


def test_names_that_are_numbers_may_be_sent_as_numbers() -> None:
    """MLflow's clients send the integer labels of a DataFrame as they are."""
    inputs = [{"type": "double", "name": 0}, {"type": "double", "name": 1}]
    body = {"dataframe_split": {"columns": [0, 1], "data": [[1.0, 2.0]]}}
    assert taken(body, inputs) is not None
    validator(inputs).validate(body)


def test_nested_types_are_described_as_deep_as_anybody_reads() -> None:
    """Arrays, objects and maps have their own types; a signature of a thousand levels ends in anything."""
    address = {"type": "object", "properties": {"zip": {"type": "string"}, "no": {"type": "long", "required": False}}}
    inputs: list[Any] = [{"type": "array", "items": address, "name": "homes", "required": True}]
    body = {"dataframe_records": [{"homes": [{"zip": "10115", "no": 7}, {"zip": "20095"}]}]}
    assert taken(body, inputs) is not None
    validator(inputs).validate(body)
    assert not validator(inputs).is_valid({"dataframe_records": [{"homes": [{"no": 7}]}]})
    column = parse_signature({"inputs": inputs}).inputs
    assert column is not None
    assert type_of(column.columns[0]) == "array of object with zip, no"

    deep: dict[str, Any] = {"type": "double"}
    for _ in range(1000):
        deep = {"type": "array", "items": deep}
    validator([{**deep, "name": "deep"}])


_names = st.text(max_size=12)
_cell = st.recursive(
    st.sampled_from(SCALARS).map(lambda name: {"type": name}),
    lambda inner: st.one_of(
        inner.map(lambda items: {"type": "array", "items": items}),
        inner.map(lambda values: {"type": "map", "values": values}),
        st.dictionaries(_names, inner, min_size=1, max_size=3).map(lambda p: {"type": "object", "properties": p}),
    ),
    max_leaves=4,
)
_columns = st.dictionaries(
    st.text(min_size=1, max_size=12), st.tuples(_cell, st.booleans()), min_size=1, max_size=5
).map(lambda named: [{**cell, "name": name, "required": required} for name, (cell, required) in named.items()])
_tensors = st.builds(
    lambda dtype, rest: [tensor([-1, *rest], dtype=dtype)],
    st.sampled_from(["float32", "float64", "int8", "uint64", "bool", "object", "datetime64[ns]"]),
    st.lists(st.integers(min_value=1, max_value=4), max_size=3),
)


@settings(max_examples=40, deadline=None)
@given(st.one_of(_columns, _tensors))
def test_a_made_up_body_is_one_that_serving_takes(inputs: list[Any]) -> None:
    """Whatever the signature: the body made up from it fits the schema made of it, and the model would get it."""
    body = made_up_body(parse_signature({"inputs": inputs}).inputs)
    assert body is not None
    validator(inputs).validate(body)
    assert taken(body, inputs) is not None


@settings(max_examples=40, deadline=None)
@given(st.one_of(_columns, _tensors))
def test_any_promise_of_outputs_makes_a_schema(outputs: list[Any]) -> None:
    """The schema of the answer is valid, and takes no rows and missing values too."""
    Draft202012Validator.check_schema(predictions_schema(parse_signature({"outputs": outputs}).outputs))


def test_outputs_are_described_as_they_are_answered() -> None:
    """Named columns are records; one column may be a list or records; a tensor is nested lists; unknown is anything."""

    def valid(outputs: list[Any] | None, answer: Any) -> bool:
        schema = predictions_schema(parse_signature({"outputs": outputs}).outputs)
        return bool(Draft202012Validator(schema).is_valid(answer))

    assert valid(COLUMNS, [{"age": 1.0, "calls": 1, "plan": None}])
    assert not valid(COLUMNS, [{"age": "old"}])
    assert valid([{"type": "double"}], [1.5, None])
    assert valid([{"type": "double"}], [{"0": 1.5}])
    assert valid([tensor([-1, 2])], [[1.0, None]])
    assert not valid([tensor([-1, 2])], [[1.0, 2.0, 3.0]])
    assert valid([tensor([-1], "a")], {"a": []})
    assert valid(None, "anything")


def test_a_huge_tensor_is_not_made_up() -> None:
    """A body that nobody could read helps nobody; what is not known cannot be made up."""
    assert made_up_body(parse_signature({"inputs": [tensor([-1, MOST_CELLS + 1])]}).inputs) is None
    assert made_up_body(parse_signature({"inputs": [tensor([-1] * 40)]}).inputs) is None
    assert made_up_body(None) is None


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": [float("-inf")]}, [[[[1]]]], "x", True, None, 3])
def test_defaults_are_plain_json(value: Any) -> None:
    """NaN and infinities are null: a default is whatever a model's author wrote."""
    json.dumps(plain(value), allow_nan=False)
