"""How long to wait before a child that died is started again. Pure."""

from __future__ import annotations

FIRST_SECONDS = 0.5
LONGEST_SECONDS = 30.0
STEADY_SECONDS = 30.0


def failures_after(failures: int, lived_seconds: float, was_ready: bool) -> int:
    """Return the number of deaths in a row, this one included: one that had run steadily begins a new row."""
    return 1 if was_ready and lived_seconds >= STEADY_SECONDS else failures + 1


def delay_after(failures: int) -> float:
    """Return the seconds to wait after ``failures`` deaths in a row: doubling from half a second, at most 30."""
    if failures < 1:
        return 0.0
    return min(LONGEST_SECONDS, FIRST_SECONDS * 2.0 ** min(failures - 1, 16))
