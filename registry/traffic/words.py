"""A verdict in words: how many requests of either arm were bad, and by which threshold. Pure.

Not here: the numbers (``evidence.py``), and what follows from them (``judgement.py``, ``comparison.py``).
"""

from __future__ import annotations

from registry.traffic.evidence import Verdict


def both_arms(verdict: Verdict, bad: str = "", *, canary: str = "the canary", stable: str = "stable") -> str:
    """Return how often either arm was bad.

    Args:
        verdict: With its numbers.
        bad: What makes a request bad; left out for latency, whose thresholds the verdict has: one for each arm, because
            the canary's has a margin.
        canary: What the one arm is called; ``stable``: the other.
    """
    of_stable = ""
    if not bad:
        threshold = verdict.threshold_seconds or 0
        bad = f"took longer than {_ms(threshold + verdict.margin_seconds)}"
        of_stable = f" took longer than {_ms(threshold)}" if verdict.margin_seconds else ""
    ours, theirs = verdict.canary, verdict.stable
    return (
        f"{ours.bad:,.0f} of {ours.requests:,.0f} requests of {canary} {bad} ({ours.ratio or 0:.2%}), "
        f"of {stable} {theirs.bad:,.0f} of {theirs.requests:,.0f}{of_stable} ({theirs.ratio or 0:.2%})"
    )


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:,.3g} ms"
