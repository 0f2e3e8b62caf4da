"""When a version that keeps dying is left alone, and for how long. Pure: time is an argument.

    1st death          loaded again by the next request, at once
    2nd, 3rd, 4th …    left alone for 1, 2, 4 … seconds
    5th in 10 minutes  quarantined: an operator, a new plan or other bytes must let it out

A process that lived for five minutes before it died was well: it starts again from the first. One that was ended
because a prediction ran too long is no death: it is loaded again by the next request. Not here: what a death does to
the version (``setbacks.py``).
"""

from __future__ import annotations

from serving.pool.state import backoff_seconds

WINDOW_SECONDS = 600.0
MOST_CRASHES = 5
HEALTHY_SECONDS = 300.0


class Crashes:
    """The deaths of one version that still count."""

    __slots__ = ("_at",)

    def __init__(self) -> None:
        self._at: list[float] = []

    def note(self, now: float, lived: float) -> None:
        """Take note of a death.

        Args:
            now: Monotonic seconds.
            lived: How many seconds it was loaded; 0 where it died while it was loaded.
        """
        recent = [] if lived >= HEALTHY_SECONDS else [at for at in self._at if at > now - WINDOW_SECONDS]
        self._at = [*recent, now]

    def forget(self) -> None:
        """Begin anew."""
        self._at = []

    @property
    def count(self) -> int:
        """How many count."""
        return len(self._at)

    @property
    def too_many(self) -> bool:
        """Whether it must not be tried again by itself."""
        return len(self._at) >= MOST_CRASHES

    @property
    def pause_seconds(self) -> float:
        """How long it is left alone after the last of them."""
        return backoff_seconds(len(self._at) - 1) if len(self._at) > 1 else 0.0
