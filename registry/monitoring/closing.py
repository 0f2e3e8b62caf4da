"""When an open window of features is closed, and what is closed first. Pure.

A window that is compared with a baseline closes when it has enough rows and is old enough, whichever comes later, and
after a day in any case: with too few rows it says so. One that a provisional baseline is made of has only rows to wait
for. Not here: the loop that closes windows (``registry/monitor.py``).
"""

from __future__ import annotations

from dataclasses import dataclass

PROVISIONAL_ROWS = 10_000
"""Rows of a version without a baseline that its provisional one is made of."""
LONGEST_MS = 24 * 3_600_000
LATE_MS = 24 * 3_600_000
"""A node's window that began earlier is counted as if it had begun then: its clock may be anything."""


@dataclass(frozen=True, slots=True)
class Closing:
    """The rule: ``rows`` and ``age_ms`` must both be reached."""

    rows: int = 1_000
    age_ms: int = 300_000

    def is_due(self, rows: int, opened_ms: int, now_ms: int, *, provisional: bool) -> bool:
        """Tell whether a window of ``rows`` is to be closed; ``provisional``: there is no baseline to compare it
        with."""
        if provisional:
            return rows >= PROVISIONAL_ROWS
        age_ms = now_ms - opened_ms
        return age_ms >= LONGEST_MS or (rows >= self.rows and age_ms >= self.age_ms)

    def needed_rows(self, *, provisional: bool) -> int:
        """Return how many rows close a window."""
        return PROVISIONAL_ROWS if provisional else self.rows

    def closes_ms(self, rows: int, opened_ms: int, *, provisional: bool) -> int | None:
        """Return when a window closes if no more rows come; None: not before more do."""
        if provisional:
            return None
        return opened_ms + (self.age_ms if rows >= self.rows else LONGEST_MS)


def within(start_ms: int, now_ms: int) -> int:
    """Return when a node's window began, as far as that can be believed."""
    return min(max(start_ms, now_ms - LATE_MS), now_ms)
