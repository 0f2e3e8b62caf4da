"""What an answer's values tell."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from registry.windows import value_bins
from serving.exchange import Array, ArrayOutput, JsonOutput, Output, Table, TableOutput, TensorsOutput
from serving.outputs import MOST_VALUES
from serving.telemetry.answers import by_type, is_finite, misses_rows, predicted


def array(*values: Any, dtype: Any = None) -> ArrayOutput:
    """Return an array as an answer."""
    return ArrayOutput(np.array(values, dtype=dtype))


def table(**columns: Any) -> TableOutput:
    """Return a table as an answer."""
    return TableOutput(Table(tuple(columns), tuple(np.array(c) for c in columns.values())))


def words(output: Output) -> dict[str, int]:
    """Return how an answer's predictions are counted."""
    values = predicted(output)
    counted: dict[str, int] = {}
    for part in by_type(values) if isinstance(values, list) else [values]:
        counted |= value_bins(part)
    return counted


@pytest.mark.parametrize(
    "output",
    [
        array(1.0, math.nan),
        array(1.0, -math.inf, dtype=np.float32),
        array(1.0, math.inf, dtype=np.float16),
        array(complex(1, math.nan)),
        array(None, "x", math.nan, dtype=object),
        JsonOutput([[1.0, math.inf], "x"]),
        table(label=["a", "b"], score=[0.5, math.nan]),
        TensorsOutput({"label": np.array([1]), "score": np.array([[math.nan]])}),
        JsonOutput({"a": {"b": [1, 2, {"c": math.nan}]}}),
        JsonOutput(math.inf),
        JsonOutput([np.float64(math.nan)]),
        JsonOutput({"a": np.array([1.0, math.nan])}),
    ],
)
def test_what_is_no_number_is_seen_wherever_it_is(output: Output) -> None:
    """NaN and infinities are found in every part of an answer, at every depth."""
    assert not is_finite(output)


@pytest.mark.parametrize(
    "output",
    [
        array(1.0, -2.0),
        array(1, 2),
        array("nan", None, dtype=object),
        array(True),
        array(np.datetime64("NaT")),
        array(1e308, 1e308),
        table(),
        TensorsOutput({}),
        JsonOutput([None, "inf", True, 10**400, {"a": []}]),
        JsonOutput([[]] * 100_000),
    ],
)
def test_what_is_missing_or_a_word_is_valid(output: Output) -> None:
    """Nulls, labels, dates and integers of any size are values."""
    assert is_finite(output)


@pytest.mark.parametrize(
    ("output", "rows", "misses"),
    [
        (array(1.0, 2.0), 2, False),
        (array(1.0, 2.0), 3, True),
        (array([1.0, 2.0]), 2, True),
        (array(1.0, 2.0), 0, False),
        (ArrayOutput(np.array(3.0)), 1, False),
        (ArrayOutput(np.array(3.0)), 2, True),
        (table(a=[1, 2]), 2, False),
        (table(a=[1, 2]), 1, True),
        (table(), 1, True),
        (TensorsOutput({"boxes": np.zeros((7, 4))}), 1, False),
        (JsonOutput(["a", "b"]), 1, False),
    ],
)
def test_arrays_and_tables_answer_as_many_rows_as_were_asked_about(output: Output, rows: int, misses: bool) -> None:
    """Named arrays and JSON may hold what they like; where nobody knows how many were asked about, nothing misses."""
    assert misses_rows(output, rows) is misses


@pytest.mark.parametrize(
    ("output", "counted"),
    [
        (array(1, 1, -7), {"c:1": 2, "c:-7": 1}),
        (array(0.0, 0.0), {"n:0": 2}),
        (array("yes", "no", "yes"), {"c:yes": 2, "c:no": 1}),
        (array("yes", None, dtype=object), {"c:yes": 1, "nan": 1}),
        (array(True, False, True), {"c:True": 2, "c:False": 1}),
        (array(math.nan), {"nan": 1}),
        (table(label=["a", "b"], score=[0.5, 0.7]), {"c:a": 1, "c:b": 1}),
        (TensorsOutput({"label": np.array([[3], [4]]), "p": np.zeros((2, 2))}), {"c:3": 1, "c:4": 1}),
        (JsonOutput(["spam", "ham", "spam"]), {"c:spam": 2, "c:ham": 1}),
        (JsonOutput([{"label": "spam", "score": 0.9}, {"label": "ham", "score": 0.5}]), {"c:spam": 1, "c:ham": 1}),
        (JsonOutput({"labels": [1, 2], "scores": [0.5, 0.5]}), {"c:1": 1, "c:2": 1}),
        (JsonOutput([1, 0.0, True, None, "x"]), {"c:1": 1, "n:0": 1, "c:True": 1, "nan": 1, "c:x": 1}),
        (JsonOutput(10**30), {f"c:{10**30}": 1}),
        (JsonOutput("yes"), {"c:yes": 1}),
        (JsonOutput({}), {}),
        (table(), {}),
        (TensorsOutput({}), {}),
    ],
)
def test_the_first_output_is_what_was_predicted(output: Output, counted: dict[str, int]) -> None:
    """An array itself, a table's first column, the first of named arrays, what JSON lists and objects say first."""
    assert words(output) == counted


@pytest.mark.parametrize(
    "values",
    [np.zeros(5 * MOST_VALUES), np.zeros((5 * MOST_VALUES, 2))[:, 0], np.zeros((2, 5 * MOST_VALUES)).T],
    ids=["flat", "a column", "transposed"],
)
def test_the_beginning_of_a_long_answer_speaks_for_it(values: Array) -> None:
    """However an array lies in memory, only its first values are looked at."""
    late = values.copy()
    late[-1] = math.nan
    assert is_finite(ArrayOutput(late))
    assert sum(words(ArrayOutput(values)).values()) == MOST_VALUES
    assert sum(words(JsonOutput(values.tolist())).values()) <= MOST_VALUES


def test_many_columns_share_what_is_looked_at() -> None:
    """Each column's first value is looked at, however many there are."""
    columns = [np.zeros(3) for _ in range(2 * MOST_VALUES)]
    columns[-1][0] = math.nan
    assert not is_finite(TensorsOutput({str(n): c for n, c in enumerate(columns)}))
