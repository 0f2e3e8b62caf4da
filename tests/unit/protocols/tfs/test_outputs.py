"""Answers of models that TensorFlow never gave: deep, scalar, unnamed, mixed, too long."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest

from registry.errors import HeadgateError, InvalidRequest
from registry.signature import Schema, Signature, Tensor, parse_signature
from serving.exchange import ArrayOutput, JsonOutput, Output, Table, TableOutput, TensorsOutput
from serving.protocols.limits import Limits
from serving.protocols.request import Head, Told
from serving.protocols.tfs.predict import read_predict


def answered(output: Output, form: str = "instances", signature: Signature | None = None, **limits: int) -> Any:
    """Return what two rows are answered with."""
    request = read_predict(orjson.dumps({form: [1, 2]}), Head(), Limits())
    told = Told("half", "1", "r", "stable", 1, signature or Signature())
    return orjson.loads(request.encode(output, told, Limits(**limits)).body)


@pytest.mark.parametrize("form", ["instances", "inputs"])
def test_a_lone_value_stays_one(form: str) -> None:
    """A model that answers one number for all rows is answered so, though theirs refuses it."""
    key = {"instances": "predictions", "inputs": "outputs"}[form]
    assert answered(ArrayOutput(np.array(3.5)), form) == {key: 3.5}
    assert answered(JsonOutput("yes"), form) == {key: "yes"}


def test_text_of_the_only_output_is_bytes_where_the_signature_says_so() -> None:
    """An array has the name that the signature gives its only output."""
    named = {"outputs": [{"type": "tensor", "name": "x_bytes", "tensor-spec": {"dtype": "object", "shape": [-1]}}]}
    array = np.array(["a", None], dtype=object)
    assert answered(ArrayOutput(array), signature=parse_signature(named)) == {"predictions": [{"b64": "YQ=="}, None]}
    assert answered(ArrayOutput(array)) == {"predictions": ["a", None]}


@pytest.mark.parametrize("form", ["instances", "inputs"])
def test_bytes_are_written_as_bytes(form: str) -> None:
    """A model that answers bytes, or a list of them, is answered with their notation, whatever the output is called."""
    key = {"instances": "predictions", "inputs": "outputs"}[form]
    several = JsonOutput(["/w==\n", "YQ==\n"], raw=(b"\xff", b"a"))
    assert answered(several, form) == {key: [{"b64": "/w=="}, {"b64": "YQ=="}]}
    assert answered(JsonOutput("/w==\n", raw=(b"\xff",)), form) == {key: {"b64": "/w=="}}


def test_bytes_for_a_graphs_text_are_text() -> None:
    """A graph knows no bytes: base64 of UTF-8 is text to it, and other bytes are refused."""
    graph = Schema(tensors=(Tensor("s", "str", (-1,)),))

    def given(text: str) -> Any:
        body = orjson.dumps({"instances": [{"b64": text}]})
        return read_predict(body, Head(), Limits()).shape(Signature(), graph, Limits()).data

    assert given("YWJj").arrays["s"].tolist() == ["abc"]
    with pytest.raises(InvalidRequest, match="UTF-8"):
        given("/w==")


def test_dates_are_text() -> None:
    """Dates are written as on our own routes."""
    array = np.array(["2026-01-31T12:00:00", "NaT"], dtype="datetime64[ns]")
    assert answered(ArrayOutput(array)) == {"predictions": ["2026-01-31T12:00:00", None]}


def test_records_that_differ_are_answered_as_they_are() -> None:
    """Only records with the same keys are outputs."""
    records = [{"a": 1}, {"b": 2}]
    assert answered(JsonOutput(records)) == {"predictions": records}
    assert answered(JsonOutput([{"a": 1}, {"a": 2}])) == {"predictions": [1, 2]}


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "output",
    [
        JsonOutput(_nested(80)),
        JsonOutput([{"a_bytes": _nested(100_000)}] * 2),
        ArrayOutput(np.zeros(1000)),
        TensorsOutput({"a": np.zeros(2), "b": np.zeros(1000)}),
        TableOutput(Table(("a", "a"), (np.zeros(2), np.zeros(2)))),
        TensorsOutput({"a": np.zeros(2), "b": np.array(1)}),
    ],
)
def test_what_cannot_be_written_is_said(output: Output) -> None:
    """Too deep, too long, two columns of one name, a scalar among rows: an error of the model or of the question."""
    with pytest.raises(HeadgateError) as refused:
        answered(output, response_bytes=1000)
    assert refused.value.code in ("model_output_invalid", "invalid_argument")
