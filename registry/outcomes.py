"""What labels say of predictions: which task it is, which class was meant, which probability it had. Pure.

The task is told from what was predicted and what came true, of all rows together:

    a text or true/false on either side, or probabilities by class     classification
    labels 0 and 1, predictions from 0 to 1, some between              classification: the probability of class 1
    whole numbers alone, at most ``MOST_CLASSES`` different ones       classification: the numbers are classes
    any other numbers                                                  regression

Classes are compared as words: ``1``, ``1.0``, ``"1"`` and ``true`` are the same class, ``0`` and ``false`` too. A row
of several numbers is probabilities of the classes 0, 1, 2 … if they are from 0 to 1 and add up to 1. Not here: figures
(``monitoring/quality.py``), and what they mean for a canary (``traffic/losses.py``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from registry.labels import LabelledRow
from registry.observed import PredictedRow

MOST_CLASSES = 50
_NEARLY = 1e-3
NUMBERS = (int, float)


class Task(StrEnum):
    """What a model does."""

    CLASSIFICATION = "classification"
    REGRESSION = "regression"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One row whose label can be compared with what was predicted.

    Attributes:
        row: The row.
        truth: The class, of a classification; else the number as a text, unused.
        predicted: The class that was predicted; None where nothing was.
        probabilities: Of the classes 0, 1, 2 …, where they were answered.
        error: Prediction less label, of a regression; else 0.
    """

    row: LabelledRow
    truth: str = ""
    predicted: str | None = None
    probabilities: tuple[float, ...] = ()
    error: float = 0.0

    @property
    def wrong(self) -> bool:
        """Tell whether another class was predicted."""
        return self.truth != self.predicted


def task_of(rows: Sequence[LabelledRow]) -> Task | None:
    """Return the task; None without rows."""
    if not rows:
        return None
    labels, answers = [row.label for row in rows], [row.predicted for row in rows]
    if any(isinstance(one, (str, bool, tuple)) for one in (*labels, *answers)):
        return Task.CLASSIFICATION
    if _are_scores(rows) or _are_classes(rows):
        return Task.CLASSIFICATION
    return Task.REGRESSION


def outcomes(rows: Sequence[LabelledRow]) -> tuple[Task | None, list[Outcome]]:
    """Return the task, and the rows that can be compared.

    Left out are rows whose label and prediction are of two kinds: a text against probabilities, numbers that are no
    probabilities, no number where one was due.
    """
    task = task_of(rows)
    if task is Task.REGRESSION:
        return task, [
            Outcome(row, error=float(row.predicted) - float(row.label))
            for row in rows
            if isinstance(row.predicted, NUMBERS) and isinstance(row.label, NUMBERS)
        ]
    scores = _are_scores(rows)
    found = (_of_class(row, scores) for row in rows)
    return task, [outcome for outcome in found if outcome is not None]


def class_of(value: object) -> str:
    """Return the word for a class."""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _of_class(row: LabelledRow, scores: bool) -> Outcome | None:
    truth, answer = class_of(row.label), row.predicted
    if answer is None:
        return Outcome(row, truth)
    if isinstance(answer, tuple):
        known = truth.isdecimal() and int(truth) < len(answer)
        if not known or not _add_up(answer):
            return None
        return Outcome(row, truth, str(answer.index(max(answer))), answer)
    if scores:
        assert isinstance(answer, NUMBERS)
        sure = float(answer)
        return Outcome(row, truth, str(int(sure >= 0.5)), (1 - sure, sure))
    return Outcome(row, truth, class_of(answer))


def _are_scores(rows: Sequence[LabelledRow]) -> bool:
    """Tell whether predictions are the probability of class 1."""
    answers = [row.predicted for row in rows if row.predicted is not None]
    if any(class_of(row.label) not in ("0", "1") for row in rows):
        return False
    if not all(isinstance(one, NUMBERS) and not isinstance(one, bool) and 0 <= one <= 1 for one in answers):
        return False
    return any(isinstance(one, float) and not one.is_integer() for one in answers)


def _are_classes(rows: Sequence[LabelledRow]) -> bool:
    seen: set[PredictedRow] = set()
    for row in rows:
        for one in (row.label, row.predicted):
            if isinstance(one, float) and not one.is_integer():
                return False
            seen.add(one)
            if len(seen) > MOST_CLASSES:
                return False
    return True


def _add_up(answer: tuple[float, ...]) -> bool:
    return all(-_NEARLY <= one <= 1 + _NEARLY for one in answer) and math.isclose(
        math.fsum(answer), 1, abs_tol=_NEARLY * 10
    )
