"""How large a distance must be before it means something, given how many rows were seen. Pure.

The PSI of two samples of one distribution is never 0: with ``B`` bins, ``n`` rows in the window and ``N`` in the
baseline it is about ``(1/n + 1/N)`` times a chi-square with ``B - 1`` degrees of freedom, and where the true PSI is
``delta`` a noncentral one, its noncentrality ``delta / (1/n + 1/N)`` (Yurdakul 2018; Potgieter and others,
arXiv 2307.11878). Its quantiles are the critical values here.

Not here: PSI itself (``distances.py``), what follows from it (``drift.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from registry.baselines import Counts64

CONFIDENCE = 0.99
"""How sure a verdict is that the true PSI is above its delta: at delta itself one window in a hundred is called."""


@lru_cache(maxsize=4096)
def critical_psi(delta: float, bins: int, rows: int, baseline_rows: int) -> float:
    """Return the PSI above which the true one is above ``delta``, wrongly in 1 % of windows at most.

    Args:
        delta: The true PSI that is still allowed; at least 0.
        bins: How many bins the PSI was measured over; one is taken for two.
        rows: Rows of the window; ``baseline_rows``: of the baseline; both above 0.
    """
    from scipy.special import chndtrix  # late: takes a third of a second and 30 MB, and most processes judge nothing

    scale = 1 / rows + 1 / baseline_rows
    return float(scale * chndtrix(CONFIDENCE, max(bins, 2) - 1, delta / scale))


def same_shares_p(baseline: Counts64, window: Counts64) -> float:
    """Return the p-value of the two-sample chi-square test that both have the same shares of the bins.

    Bins that are empty in both are left out; 1 where one bin is left. Raises ValueError where either has no rows.
    """
    from scipy.special import chdtrc  # late, as above

    ours, theirs = float(baseline.sum()), float(window.sum())
    if not ours or not theirs:
        raise ValueError("a test needs rows on both sides")
    filled = (baseline + window) > 0
    first, second = baseline[filled].astype(np.float64), window[filled].astype(np.float64)
    statistic = float(((theirs * first - ours * second) ** 2 / (ours * theirs * (first + second))).sum())
    return float(chdtrc(int(filled.sum()) - 1, statistic)) if filled.sum() > 1 else 1.0


def adjusted(p_values: Sequence[float]) -> list[float]:
    """Return the p-values made larger for their number: those at most ``q`` hold ``q`` false ones of a hundred at most.

    Benjamini and Hochberg 1995; in the order given.
    """
    if not p_values:
        return []
    given = np.asarray(p_values, np.float64)
    order = np.argsort(-given, kind="stable")
    ranks = np.arange(len(given), 0, -1)
    raised = np.minimum(np.minimum.accumulate(given[order] * len(given) / ranks), 1.0)
    result = np.empty_like(given)
    result[order] = raised
    return [float(one) for one in result]
