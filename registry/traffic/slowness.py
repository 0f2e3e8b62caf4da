"""Which requests are slow: thresholds found in what both arms did, and how many of either arm reach them.

All arrays have ``LATENCY_BINS + 1`` counts as their last axis: how many requests lie in each latency bin or above it
(in the last, none). Not here: what follows from the counts (``evidence.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from registry.traffic.mixtures import Floats
from registry.windows import LATENCY_BINS, ArmCounts, latency_bin, latency_edge

Edges = npt.NDArray[np.int64]
SLOWEST = (0.25, 0.1, 0.05, 0.01)
"""Shares of a period's requests, slowest first, whose arms are compared. (The slower half says little: a canary that
takes 1.25 times as long has 1.3 times as many above the median, but twice as many above the 90th percentile.)"""
MOST_SLOW = 0.9
"""A threshold that more than this share reach says nothing: all times are alike then, up to the width of a bin. Not a
half: a canary with half the traffic whose times are all in one bin, far above stable's, is just what must be seen."""


MARGIN_SECONDS = 0.002
"""By how much a canary may be slower for nothing. A process with a twentieth of the traffic finds its caches and its
core cold more often than one with the rest, by half a millisecond or so: surely slower, and nobody's loss."""


def slower(arms: Iterable[ArmCounts]) -> Floats:
    """Return how many successes of each arm given lie in each latency bin or above it."""
    bins: list[int] = []
    counts: list[int] = []
    sizes = []
    for arm in arms:
        bins.extend(arm.latency.keys())
        counts.extend(arm.latency.values())
        sizes.append(len(arm.latency))
    at = np.array(bins, dtype=np.int64) + (LATENCY_BINS + 1) * np.repeat(np.arange(len(sizes)), sizes)
    table = np.bincount(at, np.array(counts, dtype=np.float64), (LATENCY_BINS + 1) * len(sizes))
    return reaching(np.asarray(table, dtype=np.float64).reshape(len(sizes), LATENCY_BINS + 1))


# Just above its edge, because that is where a bin begins.
_LESS = [latency_bin(max(0.0, latency_edge(number) * (1 + 1e-9) - MARGIN_SECONDS)) for number in range(LATENCY_BINS)]


def with_margin(arms: Iterable[ArmCounts]) -> Iterator[ArmCounts]:
    """Yield canaries as if each request had taken ``MARGIN_SECONDS`` less."""
    for arm in arms:
        latency: dict[int, int] = {}
        for number, count in arm.latency.items():
            latency[_LESS[number]] = latency.get(_LESS[number], 0) + count
        yield ArmCounts(arm.requests, latency=latency)


def reaching(counts: Floats) -> Floats:
    """Return counts by bin as counts of each bin or above it."""
    return np.asarray(np.cumsum(counts[..., ::-1], axis=-1)[..., ::-1])


def edges_of_slowest(both: Floats, share: float) -> Edges:
    """Return the highest bin that at least this share of both arms' requests reach.

    Where more than ``MOST_SLOW`` reach it, the bin is ``LATENCY_BINS``, which none reach. Going down from the slowest
    request one stops by what both arms did together, not by what one of them did: that is what keeps a threshold from
    being chosen against the canary.
    """
    enough = both >= np.maximum(share * both[..., :1], 1)
    edges = LATENCY_BINS - np.argmax(enough[..., ::-1], axis=-1)
    return np.where(above(both, edges) <= MOST_SLOW * both[..., 0], edges, LATENCY_BINS)


def edge_of(seconds: float) -> int:
    """Return the first bin all of which takes longer than ``seconds``; ``LATENCY_BINS`` where there is none."""
    return next((number for number in range(LATENCY_BINS) if latency_edge(number) >= seconds), LATENCY_BINS)


def above(arm: Floats, edges: Edges) -> Floats:
    """Return how many requests lie in the bins given or above them."""
    return np.asarray(np.take_along_axis(arm, edges[..., None], axis=-1)[..., 0])
