"""How wrong both arms of a rollout were, by the labels that came: what ``quality_evidence`` weighs. Pure.

A wrong class is a loss of 1, a right one of 0. Of a regression it is the absolute error as a part of the largest one
that counts, at most 1: so large an error that of the labels that came *before* only one in a hundred had a larger one.
What is judged never sets its own measure, so the evidence stays a bet that nobody can rig; the first
``CALIBRATION`` errors set the first measure and are weighed by none.

Labels are cut into periods by plan revision and by the minute in which they came, and after ``MOST_TOGETHER``: within a
revision both arms' shares stand still, so whichever predictions are labelled sooner, they are of both arms alike. Not
here: the test (``evidence.py``), what a label says (``registry/outcomes.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from registry.labels import LabelledRow
from registry.outcomes import Outcome, Task, outcomes
from registry.traffic.evidence import Losses
from registry.windows import CANARY

CALIBRATION = 50
MOST_TOGETHER = 200
LARGEST = 0.99
MINUTE_MS = 60_000
MOST_WEIGHED = 20_000
"""Labelled rows that are read of one rollout: the newest."""


def losses_of(rows: Sequence[LabelledRow]) -> list[Losses]:
    """Return the losses of labelled rows of the arms ``stable`` and ``canary``, a period each, in the order of time."""
    task, found = outcomes(rows)
    periods = _periods(found)
    if task is not Task.REGRESSION:
        return [_together(part, [float(outcome.wrong) for outcome in part]) for part in periods]
    return list(_of_errors(periods))


def _periods(found: Sequence[Outcome]) -> Iterator[list[Outcome]]:
    def place(outcome: Outcome) -> tuple[int, int]:
        return outcome.row.came_ms // MINUTE_MS, outcome.row.revision

    part: list[Outcome] = []
    for outcome in sorted(found, key=lambda one: (*place(one), one.row.came_ms, one.row.at_ms)):
        if part and (place(part[0]) != place(outcome) or len(part) >= MOST_TOGETHER):
            yield part
            part = []
        part.append(outcome)
    if part:
        yield part


def _of_errors(periods: Iterator[list[Outcome]]) -> Iterator[Losses]:
    known: list[float] = []
    for part in periods:
        errors = [abs(outcome.error) for outcome in part]
        if len(known) >= CALIBRATION:
            largest = float(np.quantile(known, LARGEST))
            yield _together(part, [min(1.0, error / largest) if largest else float(error > 0) for error in errors])
        known += errors


def _together(part: Sequence[Outcome], losses: Sequence[float]) -> Losses:
    ours = [loss for outcome, loss in zip(part, losses, strict=True) if outcome.row.arm == CANARY]
    return Losses(len(ours), sum(ours), len(part) - len(ours), sum(losses) - sum(ours))
