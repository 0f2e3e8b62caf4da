"""Mixtures of betting strategies: the mathematics under every verdict on a canary.

A *trial* is something that belonged to one arm or to the other: a bad request of either. A *win* is a trial that was
the canary's. If the canary is no worse than tolerated, a win has at most a known chance. Somebody who bets on wins at
odds that are fair at that chance then expects to gain nothing, whatever his strategy and however long he plays: his
fortune is an e-process, and reaches ``1 / alpha`` with a chance of at most ``alpha`` (Ville's inequality). If wins are
commoner, a strategy that suits them grows exponentially. So spread the stake over strategies that suit the effects
that matter, and over the moments at which the trouble may begin. Proofs and measurements: docs/evidence.md.

Not here: what is counted as a trial (``evidence.py``, ``predictions.py``).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

WORSE = (
    np.array([1.25, 1.6, 2.2, 3.0, 4.5, 8.0, 16.0, 50.0]),
    np.array([0.10, 0.17, 0.24, 0.24, 0.12, 0.07, 0.03, 0.03]),
)
"""By how many times more than tolerated the odds of a win may be, and the part of the stake on each. Fitted to ratios
of 2 to 4 (errors) and 1.3 to 2.5 (shares of slow requests) that are to be seen within minutes; ratios above 50 show at
once anyway."""
DIFFERENT = (
    np.array([0.05, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.6, 2.5, 5.0, 20.0]),
    np.array([0.03, 0.06, 0.08, 0.09, 0.09, 0.30, 0.09, 0.09, 0.08, 0.06, 0.03]),
)
"""The same for two sides; 1 keeps its stake where nothing differs."""
AT_ONCE = 0.9
"""The part of the stake that plays from the first trial on. The rest joins later, a part at a time, so that hours of
good service or an outage of both arms cannot have lost everything when a canary turns bad."""
NOTHING = -1e300
"""The logarithm of no stake at all: finite, so that no difference of two is undefined."""
SURE = 2.0
"""Standard errors by which a dispersion must exceed 1 before evidence is divided by what is left of it."""


def weigh(
    wins: Floats, trials: Floats, share: Floats, *, chance: Floats, prior: tuple[Floats, Floats] = WORSE
) -> tuple[Floats, Floats]:
    """Return the logarithm of the fortune after the last period, calmed, and the scatter that it was calmed by.

    All arrays have periods as their last axis; those before are kept.

    Args:
        wins: Wins of each period; may be fractional (sums of losses from 0 to 1).
        trials: Trials of each period, at least as many.
        share: A chance of a win, up to one factor to its odds that is the same in all periods: what scatter is measured
            around.
        chance: The largest chance of a win under the hypothesis.
        prior: Multiples of the odds of a win that are bet on, and the part of the stake on each.

    To divide the logarithm by the scatter takes nothing from the guarantee: where it is positive it only shrinks, so
    whoever fails would have failed without.
    """
    fortune = log_fortune(wins, trials, chance, prior)
    clumps = scatter(wins, trials, share)
    return np.where(fortune > 0, fortune / clumps, fortune), clumps


def log_fortune(wins: Floats, trials: Floats, chance: Floats, prior: tuple[Floats, Floats] = WORSE) -> Floats:
    """Return the logarithm of the fortune after the last period.

    The strategy of a multiple m gains ``log m`` with a win and loses ``log(1 + chance (m - 1))`` with every trial: its
    expected factor a trial is 1 at that chance.
    """
    multiples, weights = prior
    telling = (trials > 0) & (chance > 0) & (chance < 1)
    if not telling.any():
        return np.zeros(telling.shape[:-1])
    at = np.where(telling, chance, 0.0)[..., None]
    gains = np.where(telling, wins, 0.0)[..., None] * np.log(multiples)
    gains -= np.where(telling, trials, 0.0)[..., None] * np.log1p(at * (multiples - 1))
    fortunes = np.cumsum(gains, axis=-2)
    joined, waiting = _stakes(telling)
    since = fortunes[..., -1:, :] - (fortunes - gains)  # what each period's stake became by now
    playing = _log_sum(since + joined[..., None] + np.log(weights))
    return np.logaddexp(playing, waiting)


def _stakes(telling: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return the logarithms of what joins before each period, and of what still waits after the last.

    Only periods with trials count: before the n-th of them ``(1 - AT_ONCE) / (n (n - 1))`` joins.
    """
    number = np.maximum(np.cumsum(telling, axis=-1), 1).astype(np.float64)
    later = (1 - AT_ONCE) / (number * np.maximum(number - 1, 1))
    joined = np.where(number == 1, AT_ONCE, later)
    waiting = np.where(telling.any(axis=-1), (1 - AT_ONCE) / number[..., -1], 1.0)
    return np.where(telling, np.log(joined), NOTHING), np.log(waiting)


def _log_sum(logs: Floats) -> Floats:
    """Return the logarithm of the sum over the last two axes."""
    most = logs.max(axis=(-2, -1))
    return np.asarray(most + np.log(np.exp(logs - most[..., None, None]).sum(axis=(-2, -1))))


def scatter(wins: Floats, trials: Floats, share: Floats) -> Floats:
    """Return how many times more the wins scatter from period to period than independent trials would let them.

    1 for independent trials, about m where they come in clumps of m of one arm: a caller whose burst of requests all
    fail, a stall that all requests meet which are there. Pearson's statistic around the one odds ratio that fits all
    periods (Mantel and Haenszel's), less ``SURE`` of its standard errors; at least 1.
    """
    ours = np.sum(wins * (1 - share), axis=-1)
    others = np.sum((trials - wins) * share, axis=-1)
    known = (ours > 0) & (others > 0)
    ratio = np.where(known, ours, 1.0) / np.where(known, others, 1.0)
    chance = share * ratio[..., None] / (1 + share * (ratio[..., None] - 1))
    expected = trials * chance * (1 - chance)
    told = np.count_nonzero(expected, axis=-1)
    known &= told > 1
    freedom = np.maximum(told - 1, 1)
    squares = np.sum((wins - trials * chance) ** 2, axis=-1) / np.where(known, np.sum(expected, axis=-1), 1.0)
    sure = squares * (told / freedom) - SURE * np.sqrt(2 / freedom)
    return np.where(known, np.maximum(sure, 1.0), 1.0)


def log_mean(logs: npt.ArrayLike) -> Floats:
    """Return the logarithm of the mean of e-values, which is one again, along the first axis of their logarithms."""
    array = np.asarray(logs, dtype=np.float64)
    return np.asarray(np.logaddexp.reduce(array, axis=0) - np.log(len(array)))
