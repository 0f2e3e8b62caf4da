"""An answer as one prediction a row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from registry.observed import Answered, PredictedRow
from serving.exchange import ArrayOutput, JsonOutput, Output, Table, TableOutput, TensorsOutput
from serving.telemetry.predicted_rows import predicted_rows, values_of
from tests.support.labels import answered

NAN = float("nan")


def table(**columns: Any) -> TableOutput:
    """Return a table."""
    return TableOutput(Table(tuple(columns), tuple(np.array(one) for one in columns.values())))


@pytest.mark.parametrize(
    ("output", "rows"),
    [
        (ArrayOutput(np.array([1, 2])), (1, 2)),
        (ArrayOutput(np.array([1, 2], np.uint8)), (1, 2)),
        (ArrayOutput(np.array([[0.5], [NAN]])), (0.5, None)),
        (ArrayOutput(np.array([True, False])), (True, False)),
        (ArrayOutput(np.array(["no", "x" * 70])), ("no", "x" * 64)),
        (ArrayOutput(np.array(["no", None, b"yes", 2**70], object)), ("no", None, "yes", None)),
        (ArrayOutput(np.array([[0.25, 0.75], [np.inf, 0]])), ((0.25, 0.75), None)),
        (ArrayOutput(np.array(7.5)), (7.5,)),
        (table(label=["a", "b"], p=[0.5, 0.25]), ("a", "b")),
        (table(no=[0.5, 0.25], yes=[0.5, 0.75]), ((0.5, 0.5), (0.25, 0.75))),
        (table(low=[1.5, 0.25], high=[2.5, 0.75]), (1.5, 0.25)),
        (TensorsOutput({"label": np.array([3, 4]), "p": np.zeros((2, 2))}), (3, 4)),
        (JsonOutput([1, "a", None]), (1, "a", None)),
        (JsonOutput([{"class": "a", "p": 1}, {"class": "b"}]), ("a", "b")),
        (JsonOutput({"answers": [1, 2]}), (1, 2)),
        (JsonOutput("text"), ("text",)),
    ],
)
def test_an_answer_has_a_prediction_a_row(output: Output, rows: tuple[PredictedRow, ...]) -> None:
    """Numbers, words, probabilities; what is no value is missing; and a report can carry it."""
    found = predicted_rows(output, len(rows))
    assert found == rows
    said = answered("r", *rows)
    assert Answered.from_json(said.to_json()) == said


@pytest.mark.parametrize(
    ("output", "rows"),
    [
        (ArrayOutput(np.zeros((2, 8, 8))), 2),
        (ArrayOutput(np.zeros((2, 65))), 2),
        (ArrayOutput(np.zeros(3)), 2),
        (ArrayOutput(np.zeros(1001)), 1001),
        (ArrayOutput(np.zeros(2)), 0),
        (JsonOutput([[1], [2]]), 2),
        (JsonOutput({}), 2),
        (TensorsOutput({}), 1),
    ],
)
def test_what_has_no_rows_is_not_kept(output: Output, rows: int) -> None:
    """Pictures, wide rows, other numbers of rows than were asked about, very many."""
    assert predicted_rows(output, rows) is None


def test_words_and_probabilities_take_room() -> None:
    """As many numbers' as they have."""
    assert values_of((1, None, "x" * 64, (0.5, 0.25, 0.25))) == 1 + 1 + 9 + 3


def test_half_a_pair_of_surrogates_is_replaced() -> None:
    """It could not be said in JSON, and the report that held it would be lost."""
    assert predicted_rows(ArrayOutput(np.array(["half \ud800", "é"], object)), 2) == ("half ?", "é")
