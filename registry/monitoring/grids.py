"""How the values of a feature are told apart: the grid of a feature of numbers, the names of a feature of words. Pure.

A grid is made of values with weights (all values, or those that a KLL sketch kept). Its edges are quantiles, about a
hundred and twenty, from the smallest value to the largest, and some more where quantiles lie far apart. A value that
holds more rows than a cell should (0 in many columns, each class of few) gets a cell of its own, so that no cell holds
more of the baseline than a quantile's share unless it is that one value. Why grids: docs/adr/0020-grids.md.

Not here: counting rows into cells (``counting.py``), distances (``distances.py``), which columns of a table are taken
(``wanted.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from registry.baselines import MOST_CATEGORIES, MOST_EDGES, MOST_OTHERS, Feature, Kind
from registry.columns import Measure

QUANTILES = 126
"""Cells of a grid without repeated values. With a cell for each repeated one, edges stay below ``MOST_EDGES``."""
SPLITS = 32
"""Further edges, in the widest cells that hold rows: in long tails and across gaps one mean would hide too much."""
COARSE = 10
TEXT_WORDS = 200
"""Different words from which on a column may be text."""
TEXT_SHARE = 0.5
"""A column is text where its most frequent words cover less than this share of its rows …"""
TEXT_REPEATS = 10
"""… and a word comes less often than this, on average: three hundred codes in ten thousand rows are no text."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What a feature is taken of, as in ``Feature``: its name, side, source, measure and channel."""

    name: str
    side: str
    source: str
    measure: Measure
    channel: int | None = None


def grid(
    values: npt.ArrayLike, weights: npt.ArrayLike, smallest: float, largest: float
) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Return the edges of a grid and the positions in them between which its coarse bins lie.

    Nothing where there are no values. Raises ValueError where values and weights are not of one length.

    Args:
        values: Finite numbers, in any order; equal ones may come several times.
        weights: For how many rows each stands, at least 0.
        smallest: Of all finite values; a sketch may not have kept it. ``largest`` too.
    """
    at, upto = _distribution(values, weights)
    if not len(at):
        return (), ()
    quantiles = at[np.minimum(np.searchsorted(upto, np.arange(1, QUANTILES) / QUANTILES), len(at) - 1)]
    shares = np.diff(upto, prepend=0.0)
    repeated = at[(shares > 1 / QUANTILES) & (at > smallest)]
    edges = np.unique(np.concatenate([quantiles, repeated, np.nextafter(repeated, -np.inf), [smallest, largest]]))
    edges = edges[(edges >= smallest) & (edges <= largest)] + 0.0  # -0.0 becomes 0.0: the two are one edge
    edges = _split(edges, at, upto)
    return tuple(edges.tolist()), _coarse(edges, at, upto)


def _split(
    edges: npt.NDArray[np.float64], at: npt.NDArray[np.float64], upto: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the edges with the widest cells that hold rows halved, the widest again and again."""
    for _ in range(min(SPLITS, MOST_EDGES - len(edges))):
        halves = edges / 2  # two edges may be further apart than the largest number
        middles, held = halves[:-1] + halves[1:], np.diff(_shares(edges, at, upto)) > 0
        widths = np.where(held & (edges[:-1] < middles) & (middles < edges[1:]), np.diff(halves), 0.0)
        if not widths.any():
            break
        widest = int(widths.argmax())
        edges = np.insert(edges, widest + 1, middles[widest])
    return edges


def _shares(
    edges: npt.NDArray[np.float64], at: npt.NDArray[np.float64], upto: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the share of the weight that lies up to each edge."""
    return np.concatenate([[0.0], upto])[np.searchsorted(at, edges, side="right")]


def _distribution(
    values: npt.ArrayLike, weights: npt.ArrayLike
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return different values, ascending, and the share of all weight up to each."""
    at, weight = np.asarray(values, np.float64), np.asarray(weights, np.float64)
    if at.shape != weight.shape:
        raise ValueError("each value has one weight")
    at, place = np.unique(at[weight > 0], return_inverse=True)
    upto: npt.NDArray[np.float64] = np.cumsum(np.bincount(place, weight[weight > 0], len(at)))
    return at, upto / upto[-1] if len(at) else upto


def _coarse(
    edges: npt.NDArray[np.float64], at: npt.NDArray[np.float64], upto: npt.NDArray[np.float64]
) -> tuple[int, ...]:
    """Return the positions of the edges whose shares are nearest to the tenths; none that leaves a bin without rows."""
    shares = _shares(edges, at, upto)
    # Of edges with equal shares only the first: between them is nothing of the baseline.
    useful = np.flatnonzero((shares > 0) & (shares < 1) & (np.diff(shares, prepend=0.0) > 0))
    if not len(useful):
        return ()
    tenths = np.arange(1, COARSE) / COARSE
    nearest = np.abs(shares[useful][None, :] - tenths[:, None]).argmin(axis=1)
    return tuple(useful[np.unique(nearest)].tolist())


def numeric_feature(
    watched: Watched, values: npt.ArrayLike, weights: npt.ArrayLike, smallest: float, largest: float
) -> Feature:
    """Return a feature of numbers, its grid as ``grid`` makes it; sums are made around the median."""
    edges, bins = grid(values, weights, smallest, largest)
    at, upto = _distribution(values, weights)
    center = float(at[np.searchsorted(upto, 0.5)]) if len(at) else 0.0
    return Feature(
        watched.name,
        watched.side,
        watched.source,
        watched.measure,
        Kind.NUMBER,
        watched.channel,
        edges=edges,
        bins=bins,
        center=center,
    )


def category_feature(watched: Watched, words: Mapping[str, int], more: int = 0) -> Feature:
    """Return a feature of words: the most frequent by name, further ones known, more than those not known to be new.

    Args:
        watched: What it is taken of.
        words: How often each word was seen; equally frequent ones go by the alphabet.
        more: Rows with words that are not among ``words``.
    """
    ranked = sorted((word for word, count in words.items() if count > 0), key=lambda word: (-words[word], word))
    return Feature(
        watched.name,
        watched.side,
        watched.source,
        watched.measure,
        Kind.CATEGORY,
        watched.channel,
        categories=tuple(ranked[:MOST_CATEGORIES]),
        others=tuple(sorted(ranked[MOST_CATEGORIES : MOST_CATEGORIES + MOST_OTHERS])),
        open_ended=more > 0 or len(ranked) > MOST_CATEGORIES + MOST_OTHERS,
    )


def is_text(words: Mapping[str, int], more: int = 0) -> bool:
    """Tell whether a column of words is text, of which only the length can be watched.

    Arguments as above; where there is ``more``, there were too many different words to keep them all.
    """
    if not more and len(words) < TEXT_WORDS:
        return False
    rows = sum(words.values()) + more
    if not more and rows >= TEXT_REPEATS * len(words):
        return False
    return sum(sorted(words.values(), reverse=True)[:MOST_CATEGORIES]) < TEXT_SHARE * rows
