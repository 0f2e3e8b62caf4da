"""What models answer, as tensors: names, datatypes, the wanted ones, classes, and what no tensor can hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from registry.errors import InvalidRequest, ModelFault
from registry.signature import Column, Schema, Signature, Tensor
from serving.exchange import ArrayOutput, JsonOutput, Output, Table, TableOutput, TensorsOutput
from serving.protocols.limits import Limits
from serving.protocols.oip.outputs import outputs_of, raw_of
from serving.protocols.oip.values import Inference, WantedOutput

LIMITS = Limits()


def tensors(output: Output, schema: Schema | None = None, *wanted: WantedOutput) -> list[tuple[str, str, Any, Any]]:
    """Return name, datatype, shape and values of each tensor."""
    found = outputs_of(output, Inference((), wanted), Signature(outputs=schema), LIMITS)
    return [(each.name, each.datatype, each.array.shape, each.array.tolist()) for each in found]


def columns(*names: str | None) -> Schema:
    """Return columns of doubles."""
    return Schema(columns=tuple(Column(name, "double", True, {}) for name in names))


def table(named: bool = True, **cells: list[Any]) -> TableOutput:
    """Return a table of objects and numbers."""
    arrays = tuple(
        np.array(values, dtype=None if all(type(v) in (int, float) for v in values) else object)
        for values in cells.values()
    )
    return TableOutput(Table(tuple(cells), arrays, named))


@pytest.mark.parametrize(
    ("output", "schema", "names"),
    [
        (ArrayOutput(np.zeros(2)), None, ["output-1"]),
        (ArrayOutput(np.zeros(2)), columns(None), ["output-1"]),
        (ArrayOutput(np.zeros(2)), columns("y"), ["y"]),
        (ArrayOutput(np.zeros((2, 2))), columns("p", "q"), ["p", "q"]),
        (ArrayOutput(np.zeros((2, 3))), columns("p", "q"), ["output-1"]),
        (TensorsOutput({"label": np.zeros(2)}), None, ["label"]),
        (TensorsOutput({"label": np.zeros(2)}), Schema(tensors=(Tensor("y", "float64", (-1,)),)), ["y"]),
        (TensorsOutput({"a": np.zeros(2), "b": np.zeros(2)}), None, ["a", "b"]),
        (table(a=[1], b=[2]), None, ["a", "b"]),
        (table(False, **{"0": [1]}), None, ["output-1"]),
        (table(False, **{"0": [1], "1": [2]}), columns("p", "q"), ["p", "q"]),
        (JsonOutput({"a": [1], "b": ["x"]}), None, ["a", "b"]),
        (JsonOutput({"a": [1], "b": "x"}), None, ["output-1"]),
    ],
)
def test_names(output: Output, schema: Schema | None, names: list[str]) -> None:
    """The signature names outputs where their number fits; else the model; else there is one name for all."""
    assert [name for name, *_ in tensors(output, schema)] == names


@pytest.mark.parametrize(
    ("value", "datatype", "shape", "values"),
    [
        ([1, 2], "INT64", (2,), [1, 2]),
        ([[1, 2.5], [3, None]], "FP64", (2, 2), None),
        ([True], "BOOL", (1,), [True]),
        ([2**64 - 1], "UINT64", (1,), [2**64 - 1]),
        ([2**70], "BYTES", (1,), None),
        (["a", None], "BYTES", (2,), ["a", None]),
        ([[1], [2, 3]], "BYTES", (2,), ["[1]", "[2,3]"]),
        ([{"a": 1}, {"a": None}], "BYTES", (2,), ['{"a":1}', '{"a":null}']),
        ({"choices": [{"text": "x"}], "n": 1}, "BYTES", (1,), ['{"choices":[{"text":"x"}],"n":1}']),
        ("text", "BYTES", (1,), ["text"]),
        (1.5, "FP64", (1,), [1.5]),
        (None, "BYTES", (1,), [None]),
        ([], "BYTES", (0,), []),
        ([1, "a"], "BYTES", (2,), ["1", '"a"']),
    ],
)
def test_json(value: Any, datatype: str, shape: tuple[int, ...], values: list[Any] | None) -> None:
    """Even lists of one kind of value are tensors of it; the rest is JSON text."""
    if datatype == "BYTES" and values is None:
        with pytest.raises(ModelFault, match="cannot be written"):
            tensors(JsonOutput(value))
        return
    ((_, found, got, cells),) = tensors(JsonOutput(value))
    assert (found, got) == (datatype, shape)
    if values is not None:
        assert cells == values


@pytest.mark.parametrize(("value", "shape"), [(["/w==\n", "YQ==\n"], (2,)), ("/w==\n", (1,))])
def test_bytes_are_answered_as_they_are(value: Any, shape: tuple[int, ...]) -> None:
    """A model that answers bytes gives BYTES, not the base64 that JSON would hold."""
    raw = (b"\xff", b"a")[: shape[0]]
    assert tensors(JsonOutput(value, raw=raw)) == [("output-1", "BYTES", shape, list(raw))]


def test_columns_of_objects() -> None:
    """Text is text, bytes are bytes, numbers with missing ones are floats, and lists are JSON texts."""
    output = TableOutput(
        Table(
            ("s", "b", "n", "l", "t"),
            (
                np.array(["a", None], dtype=object),
                np.array([b"\xff", None], dtype=object),
                np.array([1, None], dtype=object),
                np.fromiter([[1], [2, 3]], dtype=object, count=2),
                np.array(["2026-01-31", "NaT"], dtype="datetime64[ns]"),
            ),
        )
    )
    found = {name: (datatype, cells) for name, datatype, _, cells in tensors(output)}
    assert found["s"] == ("BYTES", ["a", None])
    assert found["b"] == ("BYTES", [b"\xff", None])
    assert found["n"][0] == "FP64"
    assert found["n"][1][0] == 1.0
    assert found["l"] == ("BYTES", ["[1]", "[2,3]"])
    assert found["t"] == ("BYTES", ["2026-01-31T00:00:00", None])


def test_odd_arrays_become_ones_that_have_a_datatype() -> None:
    """Long doubles, other byte orders, fixed-width text and single values all have a form."""
    assert tensors(ArrayOutput(np.array([1.5], dtype=np.longdouble)))[0][1:] == ("FP64", (1,), [1.5])
    assert tensors(ArrayOutput(np.array([1], dtype=">i4")))[0][1:] == ("INT32", (1,), [1])
    assert tensors(ArrayOutput(np.array(["ab"])))[0][1:] == ("BYTES", (1,), ["ab"])
    assert tensors(ArrayOutput(np.array(2)))[0][1:] == ("INT64", (1,), [2])
    with pytest.raises(ModelFault, match="no tensor"):
        tensors(ArrayOutput(np.array([1j])))


def test_the_wanted_ones_in_their_order() -> None:
    """Outputs that are asked for come as asked, also by the model's own name; others are refused by name."""
    output = TensorsOutput({"a": np.zeros(1), "b": np.ones(1)})
    assert [name for name, *_ in tensors(output, None, WantedOutput("b"), WantedOutput("a"))] == ["b", "a"]
    alone = TensorsOutput({"own": np.zeros(1)})
    assert [name for name, *_ in tensors(alone, columns("y"), WantedOutput("own"))] == ["own"]
    with pytest.raises(InvalidRequest, match=r"no output 'c'; it has 'a', 'b'"):
        tensors(output, None, WantedOutput("c"))


def test_an_output_is_asked_for_once() -> None:
    """A short request for the same output again and again would have a very long answer."""
    output = TensorsOutput({"a": np.zeros(1), "b": np.ones(1)})
    with pytest.raises(InvalidRequest, match=r"output 'b' is asked for more than once"):
        tensors(output, None, WantedOutput("b"), WantedOutput("a"), WantedOutput("b", classes=1))


def test_what_was_chosen_must_fit_into_an_answer() -> None:
    """One small output of a large answer can be had; a large one by two names is counted twice."""
    limits = Limits(response_bytes=100)
    output = TensorsOutput({"large": np.zeros(1000), "small": np.zeros(2)})
    asked = Inference((), (WantedOutput("small"),))
    assert [each.name for each in outputs_of(output, asked, Signature(), limits)] == ["small"]
    alone, signature = TensorsOutput({"own": np.zeros(40)}), Signature(outputs=columns("y"))
    for names, fits in ((("y",), True), (("y", "own"), False)):
        asked = Inference((), tuple(map(WantedOutput, names)))
        if fits:
            outputs_of(alone, asked, signature, limits)
        else:
            with pytest.raises(ModelFault, match="80 values"):
                outputs_of(alone, asked, signature, limits)


@pytest.mark.parametrize(
    ("array", "most", "shape", "values"),
    [
        (np.array([[0.25, 0.5], [1, 2]]), 1, (2, 1), [["0.5:1"], ["2.0:1"]]),
        (np.array([[0.1, 0.2]], "f4"), 5, (1, 2), [["0.2:1", "0.1:0"]]),
        (np.array([[np.nan, 1.0]]), 2, (1, 2), [["1.0:1", "nan:0"]]),
        (np.array([[-128, 127]], "i1"), 2, (1, 2), [["127:1", "-128:0"]]),
        (np.array([[0, 2**64 - 1]], "u8"), 1, (1, 1), [[f"{2**64 - 1}:1"]]),
        (np.array([[True, False]]), 2, (1, 2), [["1:0", "0:1"]]),
        (np.array([3, 4]), 1, (2, 1), [["3:0"], ["4:0"]]),
        (np.array([[1.0, 1.0]]), 2, (1, 2), [["1.0:0", "1.0:1"]]),
    ],
)
def test_classes(array: Any, most: int, shape: tuple[int, ...], values: list[Any]) -> None:
    """The largest values of each row, equal ones in the order of their index, NaN last."""
    ((_, datatype, found, cells),) = tensors(ArrayOutput(array), columns("y"), WantedOutput("y", classes=most))
    assert (datatype, found, cells) == ("BYTES", shape, values)


def test_text_has_no_classes() -> None:
    """It is refused: the request is wrong, not the model."""
    with pytest.raises(InvalidRequest, match="no numbers"):
        tensors(ArrayOutput(np.array(["a"])), columns("y"), WantedOutput("y", classes=1))


def test_zero_rows_have_no_bytes() -> None:
    """A tensor without elements is written, in no bytes."""
    (tensor,) = outputs_of(ArrayOutput(np.zeros((0, 3))), Inference(()), Signature(), LIMITS)
    assert raw_of(tensor) == b""
    (classes,) = outputs_of(
        ArrayOutput(np.zeros((0, 3))), Inference((), (WantedOutput("output-1", 2),)), Signature(), LIMITS
    )
    assert classes.array.shape == (0, 2)


def test_numbers_are_not_copied() -> None:
    """Binary outputs are views of what the model answered."""
    array = np.arange(8.0)
    (tensor,) = outputs_of(ArrayOutput(array), Inference(()), Signature(), LIMITS)
    assert np.shares_memory(np.frombuffer(raw_of(tensor)), array)
