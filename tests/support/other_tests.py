"""Other ways to judge a canary's errors, for comparison only: what they cost in false rollbacks and in time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import betainc, betaln, ndtri

from tests.support.canaries import Arms, Floats


def beta_mixture(tolerance: float) -> Callable[[Arms], Floats]:
    """Return the e-process of one truncated beta prior over the canary's part of bad requests, for one share.

    After Lindon and Malek, NeurIPS 2022.
    """

    def judge(arms: Arms) -> Floats:
        ours, others = arms.canary_bad.sum(axis=1), arms.stable_bad.sum(axis=1)
        share = arms.canary.sum(axis=1) / np.maximum((arms.canary + arms.stable).sum(axis=1), 1)
        part = np.clip(share * tolerance / (share * tolerance + 1 - share), 1e-9, 1 - 1e-9)
        prior = (1 - part) / part
        tails = np.maximum(1 - betainc(1 + ours, prior + others, part), 1e-300) / (1 - betainc(1, prior, part))
        mixed = betaln(1 + ours, prior + others) - betaln(1, prior) + np.log(tails)
        return np.asarray(mixed - ours * np.log(part) - others * np.log1p(-part))

    return judge


def z_test(arms: Arms) -> Floats:
    """Return ``log 20`` where a one-sided test of two proportions at 5 %, made anew at every look, rejects; else 0."""
    ours, others = arms.canary.sum(axis=1), arms.stable.sum(axis=1)
    bad, good = arms.canary_bad.sum(axis=1), arms.stable_bad.sum(axis=1)
    pooled = (bad + good) / np.maximum(ours + others, 1)
    error = np.sqrt(np.maximum(pooled * (1 - pooled) * (1 / np.maximum(ours, 1) + 1 / np.maximum(others, 1)), 1e-300))
    z = (bad / np.maximum(ours, 1) - good / np.maximum(others, 1)) / error
    return np.where(z > ndtri(0.95), np.log(20), 0.0)


def five_bad_minutes(arms: Arms) -> Floats:
    """Return ``log 20`` where five minutes had less than 99 % successes (a rule in the manner of Flagger); else 0."""
    bad_minutes = (arms.canary_bad > 0.01 * arms.canary).sum(axis=1)
    return np.where(bad_minutes >= 5, np.log(20), 0.0)
