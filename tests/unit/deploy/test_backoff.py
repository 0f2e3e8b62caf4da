"""The delays between restarts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from deploy.local.backoff import FIRST_SECONDS, LONGEST_SECONDS, STEADY_SECONDS, delay_after, failures_after


def test_the_delay_doubles_up_to_half_a_minute() -> None:
    """Half a second, one, two, four, eight, sixteen, then thirty for ever."""
    assert [delay_after(n) for n in range(1, 9)] == [0.5, 1, 2, 4, 8, 16, 30, 30]


@given(st.integers(min_value=1, max_value=10**9))
def test_the_delay_is_bounded_and_never_shrinks(failures: int) -> None:
    """However often a child died, it is tried again within half a minute."""
    assert FIRST_SECONDS <= delay_after(failures) <= delay_after(failures + 1) <= LONGEST_SECONDS


@given(st.integers(min_value=0, max_value=1000), st.floats(min_value=0, max_value=1e6), st.booleans())
def test_only_a_steady_run_begins_a_new_row(failures: int, lived: float, ready: bool) -> None:
    """A child that was ready and ran for a while starts over; any other death adds to the row."""
    steady = ready and lived >= STEADY_SECONDS
    assert failures_after(failures, lived, ready) == (1 if steady else failures + 1)
