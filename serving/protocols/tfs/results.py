"""What in a model's answer is a class with its score, and what a value: the results of classify and regress. Pure.

TensorFlow's signatures name such outputs ``classes`` and ``scores``; models logged with MLflow seldom do. So: outputs
of these names, or of those that scikit-learn's and other converters use, are taken first; else one output of floats is
scores, one of anything else labels, and several outputs of one number each are the scores of classes that they name.
A label that has no score gets 1.0, a score that has no label the empty string, as theirs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from registry.errors import InvalidRequest, ModelFault
from serving.protocols.refusals import name_some

_SCORES = ("scores", "probabilities", "probability", "output_probability")
_CLASSES = ("classes", "class", "labels", "label", "output_label")
_VALUES = ("outputs", "output", "predictions", "prediction")
_SURE = 1.0


def classifications(outputs: Mapping[str, Any], rows: int) -> list[Any]:
    """Return ``[label, score]`` pairs, a list of them a row.

    Args:
        outputs: By name, one entry a row each; empty where the answer has no such form.
        rows: How many examples were asked about.

    Raises InvalidRequest ``invalid_argument`` where nothing in it can be read as classes, ModelFault
    ``model_output_invalid`` where there is not one entry an example.
    """
    _check_rows(outputs, rows)
    scores, classes = _first(outputs, _SCORES), _first(outputs, _CLASSES)
    if scores is None and classes is None:
        if len(outputs) != 1:
            return _by_columns(outputs, rows)
        (only,) = outputs.values()
        if any(type(leaf) is float for cell in only for leaf in _leaves(cell)):
            scores = only
        else:
            classes = only
    none: Sequence[Any] = [None] * rows
    return [_pairs(*row) for row in zip(classes or none, scores or none, strict=True)]


def regressions(outputs: Mapping[str, Any], rows: int) -> list[Any]:
    """Return one number a row; arguments and errors are those of ``classifications``."""
    _check_rows(outputs, rows)
    values = next(iter(outputs.values())) if len(outputs) == 1 else _first(outputs, _VALUES)
    if values is None:
        raise _unfit("regressions", f"it has the outputs {name_some(list(outputs)) or 'of no form that it can be'}")
    return [_number(cell) for cell in values]


def _check_rows(outputs: Mapping[str, Any], rows: int) -> None:
    for cells in outputs.values():
        if type(cells) is not list or len(cells) != rows:
            got = f"{len(cells)} entries" if type(cells) is list else "a single value"
            message = f"the model answered {rows} examples with {got}; results need one an example"
            raise ModelFault("model_output_invalid", message, {"rows": rows})


def _first(outputs: Mapping[str, Any], names: Sequence[str]) -> list[Any] | None:
    return next((outputs[name] for name in names if name in outputs), None)


def _by_columns(outputs: Mapping[str, Any], rows: int) -> list[Any]:
    if not outputs:
        raise _unfit("classes", "it is neither an array nor a table nor a list of records")
    return [[[name, _number(cells[at], "classes")] for name, cells in outputs.items()] for at in range(rows)]


def _pairs(classes: Any, scores: Any) -> list[list[Any]]:
    if isinstance(scores, dict) and "b64" not in scores:  # as converters write probabilities: by class
        return [[str(name), _number(score, "classes")] for name, score in scores.items()]
    labels = None if classes is None else [_label(leaf) for leaf in _leaves(classes)]
    numbers = None if scores is None else [_number(leaf, "classes") for leaf in _leaves(scores)]
    if numbers is None:
        return [[label, _SURE] for label in labels or ()]
    if labels is None:
        return [["", number] for number in numbers]
    if len(labels) == len(numbers):
        return [list(pair) for pair in zip(labels, numbers, strict=True)]
    if len(labels) == 1:  # the winner, whose score is the highest of all
        return [[labels[0], max((number for number in numbers if number is not None), default=None)]]
    raise _unfit("classes", f"a row has {len(labels)} labels and {len(numbers)} scores")


def _leaves(cell: Any) -> Sequence[Any]:
    return cell if type(cell) is list else (cell,)


def _label(leaf: Any) -> str:
    if type(leaf) is bool:
        return "true" if leaf else "false"
    if isinstance(leaf, str | int | float):
        return str(leaf)
    raise _unfit("classes", "a label is neither text nor a number")


def _number(cell: Any, what: str = "regressions") -> float | None:
    while type(cell) is list and len(cell) == 1:
        cell = cell[0]
    if cell is None:
        return None
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        raise _unfit(what, "a value is not one number")
    try:
        return float(cell)
    except OverflowError:
        raise _unfit(what, "a value is larger than any float") from None


def _unfit(what: str, why: str) -> InvalidRequest:
    return InvalidRequest(
        "invalid_argument", f"this model's answer cannot be read as {what}: {why}; ask it to :predict"
    )
