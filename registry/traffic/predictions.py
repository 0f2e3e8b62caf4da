"""Whether a canary predicts otherwise than stable: a shift in the distribution of its predictions.

A new model may differ on purpose, so a shift is no failure: it holds a rollout until somebody looks. Not here: what a
verdict leads to (``rollout.py``); whether the predictions are right (``evidence.py``, quality).
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from registry.traffic.evidence import Period
from registry.traffic.mixtures import DIFFERENT, Floats, log_mean, weigh
from registry.windows import OTHER, Bins, merged_bins, value_edge

DISTANCE_THAT_MATTERS = 0.1
"""Of all predictions, the share that must lie elsewhere before a rollout is held.

With enough requests any two models differ surely, if only by rounding: certainty alone says nothing about size. A tenth
is a number that an operator can judge without knowing the model: one caller in ten gets another kind of answer."""
GROUPS = 12
"""So many groups of values are told apart: with more, each has too few to say anything within minutes."""
LEARNT_FROM = 200
"""Predictions of both arms from which the groups are made; before that, nothing is said."""


@dataclass(frozen=True, slots=True)
class Shift:
    """How the canary's predictions compare with stable's.

    Attributes:
        log_e: Natural logarithm of the e-value against "both predict alike".
        limit: ``log(1 / alpha)``.
        distance: Total variation between both distributions, 0 to 1: the share of predictions that lie elsewhere.
        canary: Predicted values of the canary; ``stable``: of stable.
        groups: ``(name, canary's share, stable's share)`` of each group of values, most different first.
    """

    log_e: float
    limit: float
    distance: float
    canary: int
    stable: int
    groups: tuple[tuple[str, float, float], ...]

    @property
    def evidence(self) -> float:
        """Return ``log_e / limit``: 1 and more says that the distributions differ, wrongly in at most ``alpha``."""
        return self.log_e / self.limit

    @property
    def shifted(self) -> bool:
        """Return whether they differ, surely and by enough to matter (``DISTANCE_THAT_MATTERS``)."""
        return self.log_e >= self.limit and self.distance > DISTANCE_THAT_MATTERS

    def to_json(self) -> dict[str, Any]:
        """Return the comparison, JSON-ready."""
        return {
            "evidence": self.evidence,
            "distance": self.distance,
            "shifted": self.shifted,
            "canary": {"predictions": self.canary},
            "stable": {"predictions": self.stable},
            "groups": [{"name": name, "canary": canary, "stable": stable} for name, canary, stable in self.groups],
        }


def prediction_shift(periods: Sequence[Period], *, alpha: float) -> Shift:
    """Compare the distributions of both arms' predictions.

    Values are put into at most ``GROUPS`` groups: numbers with their neighbours, labels by how frequent they are. Under
    "both predict alike" each prediction of a group is the canary's with a chance of its share of all predictions: bet
    on more and on fewer, in each group. A request that asked about many rows counts once, its rows by halves, tenths …,
    because they may be alike.

    Args:
        periods: What both arms did, in the order of time.
        alpha: The chance of finding a difference where there is none; above 0 and below 1.
    """
    if not 0 < alpha < 1:
        raise ValueError("alpha is a probability above 0 and below 1, such as 0.05")
    folded = [_folded(period.canary.predictions, period.stable.predictions) for period in periods]
    groups = _Groups.learnt_from(folded)
    canary = groups.counts(mine for mine, _ in folded)
    stable = groups.counts(theirs for _, theirs in folded)
    ours, others = _shares(canary, stable)
    apart = np.abs(ours - others)
    names = groups.names
    return Shift(
        _log_e(canary, stable, _rows_each(periods)) if canary.sum() + stable.sum() >= LEARNT_FROM else 0.0,
        math.log(1 / alpha),
        float(apart.sum() / 2),
        int(canary.sum()),
        int(stable.sum()),
        tuple((names[group], float(ours[group]), float(others[group])) for group in np.argsort(-apart, kind="stable")),
    )


@dataclass(frozen=True, slots=True)
class _Groups:
    """Which values belong together.

    Attributes:
        words: Names that are a group of their own, to its number.
        bounds: The smallest number of every further group of numbers but the first; empty where there are none.
        numbers: How many groups of numbers follow those of the words.
    """

    words: Mapping[str, int]
    bounds: tuple[float, ...]
    numbers: int

    @classmethod
    def learnt_from(cls, folded: Sequence[tuple[Bins, Bins]]) -> _Groups:
        """Make groups of about equal size from the first predictions, of both arms together.

        Whose they were plays no part, so nothing is learnt that the comparison could profit from; and they stay the
        same however long one looks.
        """
        pooled: dict[str, int] = {}
        for mine, theirs in folded:
            if sum(pooled.values()) >= LEARNT_FROM:
                break
            pooled = merged_bins(merged_bins(pooled, mine), theirs)
        if len(pooled) <= GROUPS:
            return cls({name: number for number, name in enumerate(sorted(pooled))}, (), 0)
        values = {name: value for name in pooled if (value := _number(name)) is not None}
        words = sorted((name for name in pooled if name not in values), key=lambda name: (-pooled[name], name))
        kept = words[: GROUPS // 2 if values else GROUPS - 1]
        bounds = _even_bounds({value: pooled[name] for name, value in values.items()}, GROUPS - len(kept))
        return cls({name: number for number, name in enumerate(kept)}, bounds, len(bounds) + 1 if values else 0)

    @property
    def names(self) -> tuple[str, ...]:
        """Return what each group is called: a word, ``< 0.5``, ``0.5 to 2``, ``>= 2``, or ``other``."""
        ends = [f"{bound:.4g}" for bound in self.bounds]
        ranges = [f"{low} to {high}" for low, high in itertools.pairwise(ends)]
        numbers = (f"< {ends[0]}", *ranges, f">= {ends[-1]}") if ends else ("numbers",) * self.numbers
        return (*(name.removeprefix("c:") for name in self.words), *numbers, OTHER)

    def counts(self, arms: Iterable[Bins]) -> Floats:
        """Return how many values lie in each group; shape (groups, periods)."""
        columns = []
        place: dict[str, int] = {}
        for bins in arms:
            column = [0] * (len(self.words) + self.numbers + 1)
            for name, count in bins.items():
                if name not in place:
                    place[name] = self._group(name)
                column[place[name]] += count
            columns.append(column)
        return np.array(columns, dtype=np.float64).reshape(len(columns), len(self.names)).T

    def _group(self, name: str) -> int:
        if name in self.words:
            return self.words[name]
        value = _number(name) if self.numbers else None
        return len(self.words) + (self.numbers if value is None else bisect.bisect_right(self.bounds, value))


def _even_bounds(counts: Mapping[float, int], groups: int) -> tuple[float, ...]:
    """Return the numbers at which further groups begin, so that each holds about as many."""
    bounds: list[float] = []
    total, before = sum(counts.values()), 0
    for value in sorted(counts):
        if before >= total * (len(bounds) + 1) / groups:
            bounds.append(value)
        before += counts[value]
    return tuple(bounds)


def _number(name: str) -> float | None:
    """Return the number that a bin stands for; None where it is a word."""
    if name.startswith("c:") and name[2:].removeprefix("-").isdecimal():
        return float(name[2:])
    return value_edge(name)


def _folded(mine: Bins, theirs: Bins) -> tuple[Bins, Bins]:
    """Return both with all that one of them may have counted as ``other`` counted so in the other as well."""
    if OTHER not in mine and OTHER not in theirs:
        return mine, theirs

    def fold(bins: Bins, beside: Bins) -> Bins:
        both = {name: count for name, count in bins.items() if name in beside and name != OTHER}
        return {**both, OTHER: sum(bins.values()) - sum(both.values())}

    return fold(mine, theirs), fold(theirs, mine)


def _shares(canary: Floats, stable: Floats) -> tuple[Floats, Floats]:
    """Return each group's share of either arm, period by period with equal weight in both, so that a distribution that
    changes with the hour, beside a share of traffic that changes too, makes no difference between arms."""
    ours, theirs = canary.sum(axis=0), stable.sum(axis=0)
    weight = ours * theirs / np.maximum(ours + theirs, 1)
    weight = weight / max(float(weight.sum()), 1e-300)
    return (canary / np.maximum(ours, 1)) @ weight, (stable / np.maximum(theirs, 1)) @ weight


def _rows_each(periods: Sequence[Period]) -> Floats:
    """Return how many predicted values a request of each period has on average, at least 1."""
    arms = [(period.canary, period.stable) for period in periods]
    values = np.array([sum(sum(arm.predictions.values()) for arm in pair) for pair in arms], dtype=np.float64)
    requests = np.array([sum(max(0, arm.requests - arm.errors) for arm in pair) for pair in arms], dtype=np.float64)
    return np.where(requests > 0, np.maximum(values / np.maximum(requests, 1), 1), 1.0)


def _log_e(canary: Floats, stable: Floats, rows_each: Floats) -> float:
    """Bet on every group at once, and on each alone: the mean finds small shifts of all and large ones of one."""
    share = canary.sum(axis=0) / np.maximum(canary.sum(axis=0) + stable.sum(axis=0), 1)
    wins, trials = canary / rows_each, (canary + stable) / rows_each
    share = np.broadcast_to(share, wins.shape)
    logs, _ = weigh(wins, trials, share, chance=share, prior=DIFFERENT)
    return float(log_mean([logs.sum(), float(log_mean(logs))]))
