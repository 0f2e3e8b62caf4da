"""Quantiles read off bins (``registry/windows.py``): as good as these, 9 % for times and 3 to 6 % for numbers. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from registry.windows import LATENCY_BINS, SHORTEST_SECONDS, Bins, bin_number, latency_edge, number_edge

Piece = tuple[float, float, int]
"""From, to, and how many lie between."""


def latency_quantile(bins: Mapping[int, int], share: float) -> float | None:
    """Return the seconds below which ``share`` (0 to 1) of the counted times lie; None where nothing was counted."""
    pieces = [
        (
            latency_edge(n),
            latency_edge(n + 1) if 0 < n < LATENCY_BINS - 1 else max(SHORTEST_SECONDS, latency_edge(n)),
            c,
        )
        for n, c in sorted(bins.items())
        if c
    ]
    return _quantile(pieces, share)


def value_quantiles(bins: Bins, shares: Mapping[str, float]) -> dict[str, float | None]:
    """Return numbers, one for each name in ``shares``, below which that share of the counted finite values lies."""
    numbers = ((bin_number(name), count) for name, count in bins.items() if count)
    pieces = sorted(_piece(number, count) for number, count in numbers if number is not None)
    return {name: _quantile(pieces, share) for name, share in shares.items()}


def _piece(number: int, count: int) -> Piece:
    if number == 0:
        return 0.0, 0.0, count
    near, far = number_edge(number), number_edge(number + (1 if number > 0 else -1))
    return min(near, far), max(near, far), count


def _quantile(pieces: Sequence[Piece], share: float) -> float | None:
    total = sum(count for _, _, count in pieces)
    if not total:
        return None
    wanted, before = share * total, 0
    for low, high, count in pieces:
        if before + count >= wanted:
            return low + (high - low) * max(0.0, wanted - before) / count
        before += count
    return pieces[-1][1]
