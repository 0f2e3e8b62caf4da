"""The shaped input is what MLflow's own scoring server would hand to the model, except where we mean to be stricter.

Every signature meets every payload, in MLflow's code and in ours. Both accept: the same frame or arrays. Only MLflow
accepts: our refusal must be one of the intended kinds. Only we accept: the pair is listed.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

from registry.errors import HeadgateError
from registry.signature import parse_signature
from serving.exchange import JsonInput, Table, TensorInput, TensorsInput
from tests.unit.protocols.signatures import column, data, tensor

SIGNATURES: dict[str, list[dict[str, Any]] | None] = {
    "doubles": [column("a", "double"), column("b", "double")],
    "longs": [column("a", "long"), column("b", "long")],
    "mixed": [column("a", "double"), column("b", "long"), column("c", "string"), column("d", "boolean")],
    "narrow": [column("a", "integer"), column("b", "float")],
    "optional": [column("a", "double"), column("b", "long", required=False)],
    "one double": [column("a", "double")],
    "one string": [column("a", "string")],
    "date": [column("t", "datetime")],
    "binary": [column("x", "binary")],
    "array": [column("x", "array", items={"type": "long"})],
    "array beside": [column("x", "array", items={"type": "string"}), column("y", "double")],
    "object": [column("o", "object", properties={"k": {"type": "string"}, "v": {"type": "double", "required": False}})],
    "map": [column("m", "map", values={"type": "long"})],
    "any": [column("z", "any")],
    "unnamed": [column(None, "double"), column(None, "long")],
    "unnamed one": [column(None, "double")],
    "tensor": [tensor(None, "float64", -1, 2)],
    "tensor32": [tensor(None, "float32", -1, 2)],
    "tensor int": [tensor(None, "int64", -1)],
    "tensor deep": [tensor(None, "float32", -1, 2, 2)],
    "named tensor": [tensor("x", "float64", -1, 2)],
    "named tensors": [tensor("x", "float64", -1, 2), tensor("y", "int64", -1)],
    "strings": [tensor(None, "str", -1)],
    "bools": [tensor(None, "bool", -1)],
    "none": None,
}


def split(columns: list[Any], *rows: list[Any]) -> dict[str, Any]:
    """Return a dataframe_split payload."""
    return {"dataframe_split": {"columns": columns, "data": list(rows)}}


def records(*rows: dict[str, Any]) -> dict[str, Any]:
    """Return a dataframe_records payload."""
    return {"dataframe_records": list(rows)}


PAYLOADS: list[dict[str, Any]] = [
    split(["a", "b"], [1.5, 2.5], [3.5, 4.0]),
    split(["b", "a"], [1, 2], [3, 4]),
    split(["a", "b"], [1, 2.5], [3, 4]),
    split(["a", "b"], [1, None], [3, 4]),
    split(["a", "b"], [1, "5"], [3, 4]),
    split(["a", "b"], [1, True], [3, 4]),
    split(["a"], [1], [3]),
    split(["a", "b", "zz"], [1, 2, 3]),
    split([0, 1], [1.5, 2]),
    split(["a", "b", "c", "d"], [1.5, 2, "x", True], [2.5, 3, None, False]),
    {"dataframe_split": {"data": [[1.5, 2.5]]}},
    records({"a": 1.5, "b": 2, "c": "x", "d": True}),
    records({"a": 1.5, "b": 2}, {"a": 2.5, "b": 3}),
    records({"a": 1.5, "b": 2}, {"a": 2.5}),
    records({"a": "x"}, {"a": None}),
    records({"t": "2024-01-01T10:00:00"}, {"t": "2024-02-01T10:00:00"}),
    records({"t": "2024-01-01T10:00:00Z"}),
    records({"t": 1_700_000_000_000_000_000}),
    records({"t": None}, {"t": "2024-01-01"}),
    records({"x": "aGVsbG8="}),
    records({"x": [1, 2]}, {"x": [3]}),
    records({"x": ["p"], "y": 1.5}, {"x": [], "y": 2.5}),
    records({"o": {"k": "s", "v": 1.5}}, {"o": {"k": "s"}}),
    records({"m": {"p": 1, "q": 2}}),
    records({"z": {"p": [1, {"u": None}]}}, {"z": 5}),
    {"inputs": [[1.5, 2.5], [3.5, 4.5]]},
    {"inputs": [[1, 2], [3, 4]]},
    {"inputs": [1, 2, 3]},
    {"inputs": [1.5, 2.5]},
    {"inputs": ["u", "v"]},
    {"inputs": [True, False]},
    {"inputs": "text"},
    {"inputs": 2.5},
    {"inputs": {"a": [1.5, 2.5], "b": [3, 4]}},
    {"inputs": {"a": 1.5, "b": 2}},
    {"inputs": {"x": [[1.5, 2.5]], "y": [4]}},
    {"inputs": {"x": [1, 2, 3]}},
    {"inputs": [{"a": 1.5, "b": 2}, {"a": 2.5, "b": 3}]},
    {"inputs": [[[1, 2], [3, 4]]]},
    {"inputs": [[1.5, None]]},
    {"inputs": [[1], [2]]},
    {"instances": [[1.5, 2.5], [3.5, 4.5]]},
    {"instances": [{"a": 1.5, "b": 2}, {"a": 2.5, "b": 3}]},
    {"instances": [{"x": [1.5, 2.5], "y": 1}, {"x": [3.5, 4.5], "y": 2}]},
    {"instances": {"a": [1.5, 2.5], "b": [3, 4]}},
    {"instances": [1, 2, 3]},
]

# MLflow casts, drops unknown columns, and makes NaN of keys that a record lacks; we refuse.
STRICTER = {"wrong_type", "out_of_range", "bad_base64", "unknown", "missing"}

# Both accept, and what the model gets differs on purpose.
DIFFERENT = {
    ("any", '{"inputs": ["u", "v"]}'): "a list of strings is two rows, as a list of numbers is",
    ("strings", '{"dataframe_records": [{"a": "x"}, {"a": null}]}'): "a missing string is None, not the word nan",
    ("strings", '{"dataframe_records": [{"t": null}, {"t": "2024-01-01"}]}'): "likewise",
    ("none", '{"inputs": [[1.5, null]]}'): "null among numbers is NaN in a float array, not None in one of objects",
}


def theirs(spec: list[dict[str, Any]] | None, payload: dict[str, Any]) -> Any:
    """Return what MLflow's scoring server hands to the model."""
    from mlflow.models.utils import _enforce_schema
    from mlflow.pyfunc.scoring_server import _split_data_and_params, infer_and_parse_data
    from mlflow.types.schema import Schema

    schema = None if spec is None else Schema.from_json(json.dumps(spec))
    split_data: Any = _split_data_and_params
    infer: Any = infer_and_parse_data
    parsed = infer(split_data(json.dumps(payload))[0], schema)
    return parsed if schema is None else _enforce_schema(parsed, schema)


def ours(spec: list[dict[str, Any]] | None, payload: dict[str, Any]) -> Any:
    """Return what a host makes of our input: a DataFrame, an array, or a dict of arrays."""
    shaped = data(payload, parse_signature({"inputs": spec}))
    if isinstance(shaped, Table):
        names = shaped.names if shaped.named else range(len(shaped.names))
        return pd.DataFrame(dict(zip(names, shaped.arrays, strict=True)))
    if isinstance(shaped, TensorInput):
        return shaped.array
    if isinstance(shaped, TensorsInput):
        return dict(shaped.arrays)
    assert isinstance(shaped, JsonInput)
    return shaped.value


def plain(value: Any) -> Any:
    """Return a value that compares: pandas' string type is object, every missing value None, nested arrays lists."""
    if isinstance(value, pd.DataFrame):
        return "frame", [(name, plain(value[name].to_numpy())) for name in value.columns]
    if isinstance(value, np.ndarray):
        text = value.dtype.kind in "OUT"
        cells = [plain_cell(cell) for cell in value.ravel().tolist()]
        return "array", "object" if text else value.dtype.name, value.shape, cells
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [plain(part) for part in value]
    return value


def plain_cell(cell: Any) -> Any:
    """Return a cell that compares."""
    if isinstance(cell, np.ndarray):
        return cell.tolist()
    return None if not isinstance(cell, list | dict) and pd.isna(cell) else cell


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Keep MLflow's warnings to itself."""
    logging.disable(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("name", SIGNATURES)
def test_the_model_gets_what_mlflow_would_give_it(name: str) -> None:
    """For every payload that both accept, the frame or array is the same; the differences are the intended ones."""
    spec = SIGNATURES[name]
    for payload in PAYLOADS:
        key = (name, json.dumps(payload))
        try:
            expected = plain(theirs(spec, payload))
        except Exception:
            continue  # what MLflow refuses, we may take or refuse
        try:
            got = plain(ours(spec, payload))
        except HeadgateError as error:
            loose = name.startswith("unnamed") and error.details["reason"] == "wrong_shape"  # MLflow drops the rest
            text = name in ("one string", "binary") and error.details["reason"] == "wrong_shape"  # lists as text
            assert loose or text or error.details["reason"] in STRICTER, (key, error.message)
            continue
        if name == "none" and isinstance(got, list):
            continue  # a list of objects is handed on as it is; MLflow makes arrays of zero dimensions of its values
        assert (got == expected) != (key in DIFFERENT), (key, got, expected)


def test_answers_hold_the_numbers_that_mlflow_writes() -> None:
    """The predictions in our JSON are the ones in MLflow's, for arrays, tables, series and dicts of arrays."""
    import io

    from mlflow.pyfunc.scoring_server import predictions_to_json

    from serving.exchange import ArrayOutput, Output, TableOutput, TensorsOutput
    from serving.protocols.answer import encode_answer
    from serving.protocols.limits import Limits

    write: Any = predictions_to_json
    random = np.random.default_rng(0)
    block = random.normal(size=(5, 2)).astype(np.float32)
    times = np.array(["2024-01-01T10:00:00", "2024-01-01T10:00:00.25"], "M8[ns]")
    pairs: list[tuple[Any, Output]] = [
        (block, ArrayOutput(block)),
        (block.astype(float), ArrayOutput(block.astype(float))),
        (np.array([1, 2]), ArrayOutput(np.array([1, 2]))),
        (pd.DataFrame({"p": block[:2, 0], "t": times}), TableOutput(Table(("p", "t"), (block[:2, 0], times)))),
        (pd.Series([1.5, 2.5]), TableOutput(Table(("0",), (np.array([1.5, 2.5]),)))),
        ({"x": block}, TensorsOutput({"x": block})),
    ]
    for their_output, output in pairs:
        sink = io.StringIO()
        write(their_output, sink)
        answer = encode_answer(output, "application/json", model="m", version="1", request_id="r", limits=Limits())
        assert json.loads(answer.body)["predictions"] == json.loads(sink.getvalue())["predictions"]
