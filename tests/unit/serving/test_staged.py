"""Rows laid one behind the other: what comes out is what went in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from serving.exchange import ArrayOutput, Input, Output, Table, TensorInput, TensorsInput, TensorsOutput
from serving.telemetry.joined import Part
from serving.telemetry.staged import Stage, is_stageable, row_of

NAMES = ("a", "b")


def table(n: int) -> Table:
    """Return one row of two columns that lie in one block."""
    block = np.array([[float(n)], [n + 0.5]])
    return Table(NAMES, tuple(block), True, block)


def tensor(n: int) -> TensorInput:
    """Return one row of an unnamed array."""
    return TensorInput(np.array([[n, n + 0.5]]))


def named(n: int) -> TensorsInput:
    """Return one row of the only named array."""
    return TensorsInput({"x": np.array([[n, n + 0.5]], np.float32)})


def plain(n: int) -> Output:
    """Return an answer of one value."""
    return ArrayOutput(np.array([n * 10]))


def labelled(n: int) -> Output:
    """Return an answer of a label with its probabilities."""
    return TensorsOutput({"label": np.array([n]), "probabilities": np.array([[0.25, 0.75]], np.float32) * n})


@pytest.mark.parametrize("data", [table, tensor, named])
@pytest.mark.parametrize("output", [plain, labelled])
def test_rows_come_out_as_one_request(data: Any, output: Any) -> None:
    """Whatever their form, with their names, types and order."""
    first = row_of(data(0), output(0))
    assert first is not None and is_stageable(first)
    stage = Stage("churn", "1", first)
    for n in range(5):
        row = row_of(data(n), output(n))
        assert row is not None and stage.takes(row) and stage.add(row)
    inputs, answers = stage.parts()
    expected = np.array([[n, n + 0.5] for n in range(5)])
    assert stage.rows == 5
    if data is table:
        assert isinstance(inputs, tuple) and inputs[0] == NAMES and np.array_equal(inputs[1], expected.T)
    else:
        assert np.array_equal(_only(inputs), expected)
    whole = {"": answers} if not isinstance(answers, Mapping) else answers
    assert next(array.tolist()[:3] for array in whole.values() if isinstance(array, np.ndarray)) == (
        [0, 10, 20] if output is plain else [0, 1, 2]
    )
    assert all(np.asarray(array).shape[0] == 5 for array in whole.values())


def _only(part: Part) -> Any:
    return next(iter(part.values())) if isinstance(part, Mapping) else part


def test_what_is_not_alike_is_no_row_of_a_stage() -> None:
    """Another width, type or name of an answer."""
    first = row_of(tensor(1), labelled(1))
    assert first is not None
    stage = Stage("churn", "1", first)
    others: list[tuple[Input, Output]] = [
        (TensorInput(np.array([[1.0, 2.0, 3.0]])), labelled(1)),
        (TensorInput(np.array([[1, 2]])), labelled(1)),
        (tensor(1), plain(1)),
        (tensor(1), TensorsOutput({"label": np.array([1]), "other": np.array([[0.1, 0.9]], np.float32)})),
        (tensor(1), TensorsOutput({"label": np.array([1, 2]), "probabilities": np.array([[0.1, 0.9]], np.float32)})),
    ]
    rows = [row_of(*other) for other in others]
    assert not any(row is None or stage.takes(row) for row in rows)
    assert row_of(TensorsInput({"x": np.ones(1), "y": np.ones(1)}), plain(1)) is None
    two, words = (
        row_of(TensorInput(np.ones((2, 2))), plain(1)),
        row_of(TensorInput(np.array([["a"]], object)), plain(1)),
    )
    assert two is not None and words is not None
    assert not is_stageable(two) and not is_stageable(words)


def test_a_row_that_does_not_lie_in_one_piece_leaves_nothing_behind() -> None:
    """Neither its input nor the first of its answers."""
    first = row_of(tensor(1), labelled(1))
    assert first is not None
    stage = Stage("churn", "1", first)
    assert stage.add(first)
    scattered = TensorsOutput({"label": np.array([2]), "probabilities": np.ones((1, 4), np.float32)[:, ::2]})
    row = row_of(tensor(2), scattered)
    assert row is not None and stage.takes(row) and not stage.add(row)
    assert stage.add(first)
    inputs, answers = stage.parts()
    assert isinstance(answers, Mapping)
    assert _only(inputs).tolist() == [[1.0, 1.5]] * 2 and np.asarray(answers["label"]).tolist() == [1, 1]
