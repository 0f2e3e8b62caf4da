"""How good a version's predictions were, by the labels that came: figures by arm and day. Pure.

    classification   accuracy; precision, recall and F1 (of class 1 where 0 and 1 are all there is, else the mean over
                     all classes seen, each counting alike: ``average`` says which); and where every answer had
                     probabilities: log loss, AUC (several classes: the mean of each against the rest), calibration
                     error (ten equal bins of the probability of class 1, or of the class that was chosen)
    regression       MAE, RMSE, R²

A figure that cannot be had (R² of equal labels, AUC of one class) is left out. Definitions are scikit-learn's, which
the tests compare with. Not here: which rows (``quality_watch.py``), what a label says (``registry/outcomes.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from registry.labels import Coverage, LabelledRow
from registry.outcomes import Outcome, Task, outcomes

MOST_ROWS = 10_000
"""Labelled rows of one arm that figures are made of: the newest."""
DAY_MS = 24 * 3_600_000
LEAST_PROBABILITY = 1e-15
BINS = 10
BINARY = {"0", "1"}
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Figures:
    """What labelled rows add up to: how many were compared, the metrics, and how several classes were averaged."""

    rows: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    average: str | None = None


@dataclass(frozen=True, slots=True)
class ArmQuality:
    """One arm. Delays are seconds from the answer to the label's coming; times are wall-clock milliseconds."""

    arm: str
    coverage: Coverage
    figures: Figures
    delay_p50: float | None
    delay_p90: float | None
    since_ms: int | None
    until_ms: int | None


@dataclass(frozen=True, slots=True)
class DayQuality:
    """One arm on one day (UTC) of predictions."""

    arm: str
    day_ms: int
    figures: Figures


@dataclass(frozen=True, slots=True)
class VersionQuality:
    """A version: its task, its arms, and each of the days that the newest labelled rows are of, newest first."""

    task: Task | None
    arms: tuple[ArmQuality, ...]
    days: tuple[DayQuality, ...]

    @property
    def coverage_ratio(self) -> float | None:
        """Return the share of kept predictions that have a label, of all arms together."""
        kept = sum(arm.coverage.predictions for arm in self.arms)
        return sum(arm.coverage.labelled for arm in self.arms) / kept if kept else None


def quality_of(rows: Sequence[LabelledRow], coverage: Sequence[Coverage]) -> VersionQuality:
    """Return the quality of one version.

    Args:
        rows: Labelled rows, the newest first; of each arm the first ``MOST_ROWS`` count.
        coverage: Of each arm that has kept predictions.
    """
    task, compared = outcomes(_newest(rows))
    arms = {one.arm: one for one in coverage}
    by_arm: dict[str, list[Outcome]] = {arm: [] for arm in arms}
    for outcome in compared:
        by_arm.setdefault(outcome.row.arm, []).append(outcome)
    days: dict[tuple[int, str], list[Outcome]] = {}
    for outcome in compared:
        at_ms = outcome.row.at_ms
        days.setdefault((at_ms - at_ms % DAY_MS, outcome.row.arm), []).append(outcome)
    return VersionQuality(
        task,
        tuple(_arm(task, arms.get(arm, Coverage(arm, 0, 0)), found) for arm, found in sorted(by_arm.items())),
        tuple(
            DayQuality(arm, day_ms, figures(task, found))
            for (day_ms, arm), found in sorted(days.items(), key=lambda pair: (-pair[0][0], pair[0][1]))
        ),
    )


def figures(task: Task | None, found: Sequence[Outcome]) -> Figures:
    """Return the figures of some outcomes of one task."""
    if not found or task is None:
        return Figures(len(found))
    if task is Task.REGRESSION:
        return Figures(len(found), _regression(found))
    truth = np.array([outcome.truth for outcome in found])
    predicted = np.array([outcome.predicted or "" for outcome in found])
    metrics, average = _classes(truth, predicted)
    widths = {len(outcome.probabilities) for outcome in found}
    if len(widths) == 1 and widths != {0}:
        metrics |= _probabilities(
            truth.astype(np.int64), np.array([outcome.probabilities for outcome in found], np.float64)
        )
    return Figures(len(found), metrics, average)


def _newest(rows: Sequence[LabelledRow]) -> list[LabelledRow]:
    taken: dict[str, int] = {}
    kept = []
    for row in rows:
        taken[row.arm] = taken.get(row.arm, 0) + 1
        if taken[row.arm] <= MOST_ROWS:
            kept.append(row)
    return kept


def _arm(task: Task | None, coverage: Coverage, found: Sequence[Outcome]) -> ArmQuality:
    if not found:
        return ArmQuality(coverage.arm, coverage, Figures(0), None, None, None, None)
    delays = [max(0, outcome.row.came_ms - outcome.row.at_ms) / 1000 for outcome in found]
    middle, late = np.quantile(delays, (0.5, 0.9)).tolist()
    moments = [outcome.row.at_ms for outcome in found]
    return ArmQuality(coverage.arm, coverage, figures(task, found), middle, late, min(moments), max(moments))


def _regression(found: Sequence[Outcome]) -> dict[str, float]:
    errors = np.array([outcome.error for outcome in found])
    labels = np.array([float(outcome.row.label) for outcome in found])
    squares = float(np.mean(errors**2))
    metrics = {"mae": float(np.mean(np.abs(errors))), "rmse": squares**0.5}
    scatter = float(np.mean((labels - labels.mean()) ** 2))
    if scatter > 0:
        metrics["r2"] = 1 - squares / scatter
    return _finite(metrics)


def _classes(truth: npt.NDArray[Any], predicted: npt.NDArray[Any]) -> tuple[dict[str, float], str]:
    """Return what classes alone tell. A class that was never predicted has precision 0."""
    # Counted at once, not class by class: callers may send as many classes as labels.
    names, places = np.unique(np.concatenate([truth, predicted]), return_inverse=True)
    meant, said = places[: len(truth)], places[len(truth) :]
    seen = set(names.tolist()) - {""}
    binary = seen <= BINARY
    counted = [np.bincount(some, minlength=len(names)) for some in (meant[meant == said], said, meant)]
    wanted = names == "1" if binary else names != ""
    each = [_of_one(*of_class) for of_class in np.stack(counted, axis=1)[wanted].tolist()] or [_of_one(0, 0, 0)]
    precision, recall, f1 = np.mean(each, axis=0).tolist()
    accuracy = float(np.mean(meant == said))
    metrics = {"accuracy": accuracy, "precision": precision, "recall": recall, "f1": f1}
    return metrics, "binary" if binary else "macro"


def _of_one(hits: int, claimed: int, there: int) -> tuple[float, float, float]:
    precision, recall = hits / claimed if claimed else 0.0, hits / there if there else 0.0
    return precision, recall, 2 * hits / (claimed + there) if claimed + there else 0.0


def _probabilities(truth: npt.NDArray[np.int64], answers: Floats) -> dict[str, float]:
    clipped = np.clip(answers, LEAST_PROBABILITY, 1)
    chosen = clipped[np.arange(len(truth)), truth] / clipped.sum(axis=1)
    metrics = {"log_loss": float(-np.mean(np.log(chosen))), "calibration_error": _calibration(truth, answers)}
    classes = [1] if answers.shape[1] == 2 else range(answers.shape[1])
    areas = [_area(truth == number, answers[:, number]) for number in classes]
    known = [area for area in areas if area is not None]
    if len(known) == len(areas):
        metrics["auc"] = float(np.mean(known))
    return _finite(metrics)


def _area(truth: npt.NDArray[np.bool_], scores: Floats) -> float | None:
    """Return the area under the ROC curve, by ranks (Mann and Whitney); equal scores share their rank."""
    ours = int(np.count_nonzero(truth))
    others = len(truth) - ours
    if not ours or not others:
        return None
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    return float((ranks[truth].sum() - ours * (ours + 1) / 2) / (ours * others))


def _calibration(truth: npt.NDArray[np.int64], answers: Floats) -> float:
    """Return by how much probabilities and what came true differ, averaged over bins by their rows (ECE)."""
    if answers.shape[1] == 2:
        sure, came = answers[:, 1], truth == 1
    else:
        sure, came = answers.max(axis=1), answers.argmax(axis=1) == truth
    places = np.minimum((sure * BINS).astype(np.int64), BINS - 1)
    gaps = np.bincount(places, weights=sure - came, minlength=BINS)
    return float(np.abs(gaps).sum() / len(truth))


def _finite(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in metrics.items() if np.isfinite(value)}
