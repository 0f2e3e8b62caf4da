"""In which bucket a window is counted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from registry.traffic.buckets import LATE_MS, bucket
from registry.traffic.ports import BUCKET_MS

DAY_MS = 24 * 3_600_000
moments = st.integers(0, 10 * DAY_MS)


@given(moments, moments, moments)
def test_a_bucket_holds_its_window(start_ms: int, planned_ms: int, now_ms: int) -> None:
    """It begins before the window does, by less than a minute while the plan is young, and never in the future."""
    found = bucket(start_ms, planned_ms, now_ms)
    within = min(max(start_ms, now_ms - LATE_MS), now_ms)
    assert found <= within <= now_ms
    assert found % BUCKET_MS == 0
    assert within - found < max(BUCKET_MS, (within - planned_ms) / 30)


def test_a_day_has_few_buckets() -> None:
    """A minute each in the first hour, and 200 in the first day, so that a look at a long rollout is quick."""
    by_hour = [len({bucket(n * 10_000, 0, DAY_MS) for n in range(hours * 360)}) for hours in (1, 2, 24)]
    assert by_hour[:2] == [60, 90]
    assert by_hour[2] < 220
