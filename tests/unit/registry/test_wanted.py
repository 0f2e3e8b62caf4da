"""Which columns of a table are taken: those of the signature, and the prediction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from registry.errors import InvalidRequest
from registry.monitoring.wanted import Family, Wanted, choose
from registry.signature import parse_signature
from tests.support.tables import signature, tensor

TWO = signature(("age", "double"), ("city", "string"))


def chosen(raw: dict[str, Any] | None, names: Sequence[str], prediction: str | None = None) -> Wanted:
    """Return what is taken of a table with these columns."""
    return choose(parse_signature(raw), names, prediction)


def taken(wanted: Wanted) -> list[tuple[str, tuple[int, ...]]]:
    """Return labels with columns."""
    return [(part.label, part.columns) for part in wanted.parts]


def test_columns_are_taken_by_name() -> None:
    """The order in the table does not matter; what the model does not take is ignored, and said to be."""
    wanted = chosen(TWO, ["id", "city", "prediction", "age"])
    assert taken(wanted) == [("age", (3,)), ("city", (1,)), ("prediction", (2,))]
    assert wanted.ignored == ("id",)
    assert [part.family for part in wanted.parts] == [Family.NUMBER, Family.WORD, Family.ANY]


def test_optional_columns_may_be_missing() -> None:
    """A required one may not: the refusal names it."""
    assert taken(chosen(signature(("age", "double"), ("city?", "string")), ["age"])) == [("age", (0,))]
    with pytest.raises(InvalidRequest, match="no column 'city'") as refused:
        chosen(TWO, ["age"])
    assert refused.value.details["column"] == "city"


def test_without_a_signature_every_column_is_taken() -> None:
    """All but the prediction are inputs."""
    assert taken(chosen(None, ["a", "y", "b"], "y")) == [("a", (0,)), ("b", (2,)), ("prediction", (1,))]


def test_unnamed_columns_are_taken_in_order() -> None:
    """The table's first columns, the prediction left out, are called by their numbers."""
    raw = {"inputs": [{"type": "double"}, {"type": "long"}], "outputs": None, "params": None}
    wanted = chosen(raw, ["prediction", "x", "y", "z"])
    assert taken(wanted) == [("0", (1,)), ("1", (2,)), ("prediction", (0,))]


def test_a_matrix_takes_as_many_columns_as_it_has() -> None:
    """In order, under the tensor's name; any number where it has any."""
    inputs = {"inputs": [tensor([-1, 2], "float32")], "outputs": None, "params": None}
    wanted = chosen(inputs, ["a", "prediction", "b", "c"])
    assert taken(wanted) == [("input", (0, 2)), ("prediction", (1,))]
    assert [w.name for w, _ in wanted.parts[0].watched()] == ["input[0]", "input[1]"]
    assert wanted.parts[0].narrow and wanted.ignored == ("c",)
    any_width = {"inputs": [tensor([-1, -1], name="x")], "outputs": None, "params": None}
    assert taken(chosen(any_width, ["a", "b"])) == [("x", (0, 1))]
    with pytest.raises(InvalidRequest, match="takes 2 columns"):
        chosen(inputs, ["a"])


def test_several_tensors_are_taken_by_name() -> None:
    """One column by the tensor's name, several by name and number."""
    raw = {"inputs": [tensor([-1], name="a"), tensor([-1, 2], name="b")], "outputs": None, "params": None}
    assert taken(chosen(raw, ["b[1]", "a", "b[0]"])) == [("a", (1,)), ("b", (2, 0))]


def test_a_wide_matrix_is_watched_as_a_whole() -> None:
    """Beyond a thousand columns there are mean and deviation of the row."""
    raw = {"inputs": [tensor([-1, 1001])], "outputs": None, "params": None}
    watched = list(chosen(raw, [str(at) for at in range(1001)]).parts[0].watched())
    assert [(w.name, len(columns)) for w, columns in watched] == [("input.mean", 1001), ("input.deviation", 1001)]


@pytest.mark.parametrize(
    ("raw", "names", "prediction", "said"),
    [
        ({"inputs": [tensor([-1, 28, 28, 3])], "outputs": None}, ["a"], None, "no table can hold"),
        (TWO, ["age", "age", "city"], None, "two columns called 'age'"),
        (TWO, ["age", "city"], "y", "no column 'y'"),
        (None, ["prediction"], None, "no column of the model's inputs"),
    ],
)
def test_tables_that_cannot_be(raw: dict[str, Any], names: list[str], prediction: str | None, said: str) -> None:
    """Images, double names and predictions that are not there are refused in words."""
    with pytest.raises(InvalidRequest, match=said):
        chosen(raw, names, prediction)


ONE = [{"type": "float", "name": "score"}]
SEVERAL = [{"type": "double", "name": "p"}, {"type": "string", "name": "label"}]


@pytest.mark.parametrize(
    ("outputs", "names", "prediction", "found"),
    [
        (ONE, ["score"], None, {"prediction": "score"}),
        (ONE, ["score", "prediction"], None, {"prediction": "prediction"}),
        (ONE, ["score", "mine"], "mine", {"prediction": "mine"}),
        (SEVERAL, ["p", "prediction.label"], None, {"prediction": "p", "prediction.label": "prediction.label"}),
        (SEVERAL, ["prediction", "label"], None, {"prediction": "prediction", "prediction.label": "label"}),
        (SEVERAL, ["mine", "label"], "mine", {"prediction": "mine"}),
        ([tensor([-1])], ["prediction"], None, {"prediction": "prediction"}),
        ([tensor([-1, 2])], ["prediction[0]"], None, {}),
        ([], ["other"], None, {}),
        ([], ["mine.label", "mine.p"], "mine", {"prediction": "mine.label", "prediction.p": "mine.p"}),
        ([], ["prediction", "prediction.p"], None, {"prediction": "prediction"}),
        ([], ["prediction[0]", "prediction[1]"], None, {"prediction": "prediction[0]"}),
    ],
)
def test_the_prediction_is_found(
    outputs: list[dict[str, Any]], names: list[str], prediction: str | None, found: dict[str, str]
) -> None:
    """By the caller's word, else ``prediction``, else the output's own name; of several outputs each, the first being
    the prediction itself; and without a description what the names say."""
    table = ["age", *names]
    wanted = chosen(signature(("age", "double"), outputs=outputs), table, prediction)
    assert {p.label: table[p.columns[0]] for p in wanted.parts if p.side == "output"} == found


def test_probabilities_are_taken_by_number() -> None:
    """An output of k columns is ``prediction[0]`` and on."""
    raw = signature(("age", "double"), outputs=[tensor([-1, 2])])
    wanted = chosen(raw, ["prediction[1]", "age", "prediction[0]"])
    assert [w.name for w, _ in wanted.parts[1].watched()] == ["prediction[0]", "prediction[1]"]
    assert wanted.parts[1].columns == (2, 0)


def test_an_input_may_be_called_as_predictions_are() -> None:
    """Its column is the input's, whatever the outputs are called, unless the caller says that it is the prediction; and
    its feature is told apart."""
    raw = signature(("prediction", "double"), ("y", "double"), outputs=[{"type": "double", "name": "y"}])
    wanted = chosen(raw, ["prediction", "y"])
    assert taken(wanted) == [("prediction", (0,)), ("y", (1,))]
    assert [watched.name for part in wanted.parts for watched, _ in part.watched()] == ["input.prediction", "y"]
    named = chosen(raw, ["prediction", "y", "said"], "said")
    assert taken(named)[2] == ("prediction", (2,))
    tensors = {"inputs": [tensor([-1, 2], name="prediction"), tensor([-1], name="x")], "outputs": None, "params": None}
    assert len(chosen(tensors, ["prediction[0]", "prediction[1]", "x"]).parts) == 2
