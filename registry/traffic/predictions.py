"""Whether a canary predicts otherwise than stable: a shift in the distribution of its predictions.

A new model may differ on purpose, so a shift is no failure: it holds a rollout until somebody looks. Not here: what a
verdict leads to (``rollout.py``); whether the predictions are right (``evidence.py``, quality).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from registry.traffic.evidence import Period


@dataclass(frozen=True, slots=True)
class Shift:
    """How the canary's predictions compare with stable's.

    Attributes:
        log_e: Natural logarithm of the e-value against "both predict alike".
        limit: ``log(1 / alpha)``.
        distance: Total variation between both distributions, 0 to 1: the share of predictions that lie elsewhere.
        canary: Predicted values of the canary; ``stable``: of stable.
        groups: ``[name, canary's share, stable's share]`` of each group of values, most different first.
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
        raise NotImplementedError


DISTANCE_THAT_MATTERS = 0.1


def prediction_shift(periods: Sequence[Period], *, alpha: float) -> Shift:
    """Compare the distributions of both arms' predictions."""
    raise NotImplementedError
