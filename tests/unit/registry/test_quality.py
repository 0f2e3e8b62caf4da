"""Live quality: the task, and figures that agree with scikit-learn's."""

from __future__ import annotations

from time import process_time
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as oracle

from registry.labels import Coverage, LabelledRow, Truth
from registry.monitoring.quality import DAY_MS, MOST_ROWS, Figures, quality_of
from registry.observed import PredictedRow
from registry.outcomes import Task, outcomes, task_of
from tests.support.labels import labelled


def rows_of(predicted: Any, truth: Any) -> list[LabelledRow]:
    """Return labelled rows."""
    return [labelled(one, other) for one, other in zip(predicted, truth, strict=True)]


def figures_of(predicted: Any, truth: Any) -> Figures:
    """Return the figures of one arm."""
    (arm,) = quality_of(rows_of(predicted, truth), [Coverage("stable", len(truth), len(truth))]).arms
    return arm.figures


def near(expected: float) -> Any:
    """Compare floats."""
    return pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(
    ("predicted", "truth", "task"),
    [
        ([1, 0], [1, 1], Task.CLASSIFICATION),
        ([1.0, 0.0], [1, 1], Task.CLASSIFICATION),
        ([0.7, 0.2], [1, 0], Task.CLASSIFICATION),
        ([0.7, 0.2], [True, False], Task.CLASSIFICATION),
        (["a", "b"], ["a", "a"], Task.CLASSIFICATION),
        ([(0.2, 0.8)], [1], Task.CLASSIFICATION),
        ([3.5, 2.0], [3, 2], Task.REGRESSION),
        ([0.7, 0.2], [1, 0.5], Task.REGRESSION),
        ([1, 2], [1.5, 2], Task.REGRESSION),
        (list(range(60)), list(range(60)), Task.REGRESSION),
    ],
)
def test_the_task_is_told_from_both_sides(predicted: list[PredictedRow], truth: list[Truth], task: Task) -> None:
    """Texts, booleans, probabilities and few whole numbers are classes; other numbers are numbers."""
    assert task_of(rows_of(predicted, truth)) is task
    assert task_of([]) is None


def test_classes_are_compared_as_words() -> None:
    """1, 1.0, "1" and true are one class; what was not predicted is wrong."""
    found = outcomes(rows_of([1, 1.0, "1", True, None, "no"], [True, "1", 1, 1.0, 1, "no"]))[1]
    assert [outcome.wrong for outcome in found] == [False, False, False, False, True, False]


def test_what_cannot_be_compared_is_left_out() -> None:
    """A text against probabilities, numbers that are no probabilities, a class that is not among them."""
    found = outcomes(rows_of([(0.2, 0.8), (0.2, 0.8), (3.0, 4.0), (0.2, 0.8)], [1, "yes", 1, 7]))[1]
    assert [outcome.predicted for outcome in found] == ["1"]


@pytest.mark.parametrize("names", [("0", "1"), (0, 1), ("no", "yes"), ("a", "b", "c"), (0, 1, 2, 3)])
def test_classes_agree_with_scikit_learn(names: tuple[Any, ...]) -> None:
    """Accuracy, precision, recall and F1: of class 1 where 0 and 1 are all, else the mean over classes."""
    chance = np.random.default_rng(len(names))
    truth = [names[n] for n in chance.integers(len(names), size=500)]
    predicted = [one if keep else names[0] for one, keep in zip(truth, chance.random(500) < 0.7, strict=True)]
    found = figures_of(predicted, truth)
    average = "binary" if set(names) in ({0, 1}, {"0", "1"}) else "macro"
    more = {"pos_label": names[1]} if average == "binary" else {}
    precision, recall, f1, _ = oracle.precision_recall_fscore_support(truth, predicted, average=average, **more)
    assert found.average == average
    assert found.metrics == near_all(
        {"accuracy": oracle.accuracy_score(truth, predicted), "precision": precision, "recall": recall, "f1": f1}
    )


def near_all(expected: dict[str, float]) -> Any:
    """Compare mappings of floats."""
    return pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_a_class_that_is_never_predicted_counts_as_nought() -> None:
    """As scikit-learn has it with zero_division=0."""
    found = figures_of(["a", "a", "a"], ["a", "b", "c"])
    expected = oracle.precision_recall_fscore_support(
        ["a", "b", "c"], ["a", "a", "a"], average="macro", zero_division=0
    )
    assert [found.metrics[name] for name in ("precision", "recall", "f1")] == near(list(expected[:3]))  # type: ignore[arg-type] # a list is compared one by one


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("form", ["score", "pair"])
def test_probabilities_of_two_classes_agree_with_scikit_learn(form: str, ties: bool) -> None:
    """Log loss and AUC, whether one number was answered or two."""
    chance = np.random.default_rng(7)
    scores = chance.beta(2, 3, 400)
    if ties:
        scores = np.round(scores, 1)
    truth = (chance.random(400) < scores).astype(int).tolist()
    predicted = scores.tolist() if form == "score" else [(1 - one, one) for one in scores.tolist()]
    found = figures_of(predicted, truth).metrics
    assert found["auc"] == near(oracle.roc_auc_score(truth, scores))
    assert found["log_loss"] == near(oracle.log_loss(truth, np.clip(scores, 1e-15, 1 - 1e-15)))
    chosen = scores >= 0.5 if form == "score" else scores > 0.5  # of two equal ones the first, as argmax has it
    assert found["accuracy"] == near(oracle.accuracy_score(truth, chosen))
    bins = np.minimum((scores * 10).astype(int), 9)
    parts = [(scores[bins == b].mean() - np.array(truth)[bins == b].mean(), (bins == b).mean()) for b in set(bins)]
    assert found["calibration_error"] == near(sum(abs(gap) * share for gap, share in parts))


def test_probabilities_of_several_classes_agree_with_scikit_learn() -> None:
    """AUC is the mean of each class against the rest; calibration is of the class that was chosen."""
    chance = np.random.default_rng(8)
    answers = chance.dirichlet((1, 1, 2), 600)
    truth = [int(chance.choice(3, p=one)) for one in answers]
    found = figures_of([tuple(one) for one in answers.tolist()], truth)
    assert found.average == "macro"
    assert found.metrics["auc"] == near(oracle.roc_auc_score(truth, answers, multi_class="ovr", average="macro"))
    assert found.metrics["log_loss"] == near(oracle.log_loss(truth, answers))
    assert found.metrics["accuracy"] == near(oracle.accuracy_score(truth, answers.argmax(axis=1)))
    assert 0 <= found.metrics["calibration_error"] < 0.1


def test_sure_and_wrong_is_finite() -> None:
    """A probability of 0 for what came true costs much, not everything; one class alone has no AUC."""
    found = figures_of([(1.0, 0.0), (0.5, 0.5)], [1, 1]).metrics
    assert 17 < found["log_loss"] < 18
    assert "auc" not in found


def test_numbers_agree_with_scikit_learn() -> None:
    """MAE, RMSE and R²; equal labels have no R²."""
    chance = np.random.default_rng(9)
    truth = chance.normal(100, 20, 300)
    predicted = truth + chance.normal(1, 5, 300)
    assert figures_of(predicted.tolist(), truth.tolist()).metrics == near_all(
        {
            "mae": oracle.mean_absolute_error(truth, predicted),
            "rmse": oracle.root_mean_squared_error(truth, predicted),
            "r2": oracle.r2_score(truth, predicted),
        }
    )
    assert figures_of([1.5, 2.5], [2.25, 2.25]).metrics.keys() == {"mae", "rmse"}


def test_arms_days_coverage_and_delay() -> None:
    """Each arm by itself, each day of predictions, newest first; delays from the answer to the label."""
    rows = [labelled(1, 1, at_ms=DAY_MS + n, came_ms=DAY_MS + n + 1_000 * n, arm="canary") for n in range(11)]
    rows += [labelled(1, 0, at_ms=5, came_ms=5)]
    coverage = [Coverage("alias", 3, 0), Coverage("canary", 44, 11), Coverage("stable", 1, 1)]
    found = quality_of(rows, coverage)
    alias, canary, stable = found.arms
    assert (alias.figures, alias.delay_p50, alias.since_ms) == (Figures(0), None, None)
    assert (canary.delay_p50, canary.delay_p90, canary.since_ms, canary.until_ms) == (5, 9, DAY_MS, DAY_MS + 10)
    assert (canary.figures.metrics["accuracy"], stable.figures.metrics["accuracy"]) == (1, 0)
    assert [(day.arm, day.day_ms, day.figures.rows) for day in found.days] == [("canary", DAY_MS, 11), ("stable", 0, 1)]
    assert found.coverage_ratio == 12 / 48
    assert quality_of([], []).coverage_ratio is None


def test_the_newest_rows_of_an_arm_count() -> None:
    """Ten thousand of them, however many there are."""
    rows = [labelled(1, int(n < MOST_ROWS)) for n in range(MOST_ROWS + 500)]
    (arm,) = quality_of(rows, []).arms
    assert (arm.figures.rows, arm.figures.metrics["accuracy"]) == (MOST_ROWS, 1)


def test_as_many_classes_as_labels_are_counted_at_once() -> None:
    """Callers may send any texts: the time is that of a sort, not of each class against all rows."""
    rows = [labelled(f"said {at}", f"meant {at}" if at else "said 0") for at in range(MOST_ROWS)]
    began = process_time()
    found = quality_of(rows, [Coverage("stable", MOST_ROWS, MOST_ROWS)])
    assert process_time() - began < 2.0  # it took eight seconds class by class, for two arms
    assert found.arms[0].figures.metrics["accuracy"] == 1 / MOST_ROWS
