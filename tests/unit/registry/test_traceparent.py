"""The ``traceparent`` header: what is one, what is none, and which traces are recorded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.edge.traceparent import Traceparent, is_chosen, read

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{SPAN}-01"


def test_the_standards_own_example_is_read() -> None:
    """Ids and the sampled flag come out as they are written."""
    assert read(GOOD.encode()) == Traceparent(int(TRACE, 16), int(SPAN, 16), sampled=True)


@pytest.mark.parametrize(("flags", "sampled"), [("00", False), ("01", True), ("02", False), ("03", True), ("ff", True)])
def test_only_the_sampled_flag_counts(flags: str, sampled: bool) -> None:
    """Flags that have no meaning yet change nothing."""
    said = read(f"00-{TRACE}-{SPAN}-{flags}".encode())
    assert said is not None and said.sampled is sampled


@pytest.mark.parametrize(
    "value",
    [
        "",
        "00",
        GOOD.upper(),
        GOOD + "-",
        GOOD + "-more",
        GOOD + " ",
        " " + GOOD,
        f"{GOOD}, {GOOD}",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}0-01",
        f"00-{TRACE}-{SPAN}-1",
        f"0x-{TRACE}-{SPAN}-01",
        f"cc-{TRACE}-{SPAN}-01.more",
        GOOD.replace("4", "４"),
    ],
)
def test_what_is_not_exactly_of_the_form_is_none(value: str) -> None:
    """A header that is nearly right is ignored, as the standard asks."""
    assert read(value.encode()) is None


def test_a_later_version_may_say_more() -> None:
    """What a version that is not known yet adds is not looked at."""
    assert read(f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be".encode()) == read(GOOD.encode())


def test_no_header_is_no_trace() -> None:
    """Nothing was said."""
    assert read(None) is None


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.booleans())
def test_what_is_written_is_read_back(trace: int, span: int, sampled: bool) -> None:
    """Writing and reading are each other's reverse."""
    place = Traceparent(trace, span, sampled)
    assert read(place.header()) == place


@given(st.binary(max_size=80))
def test_no_bytes_raise(value: bytes) -> None:
    """A header may be anything."""
    said = read(value)
    assert said is None or len(value) >= 55


@given(st.integers(0, 2**128 - 1), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_only_adds_traces(trace: int, one: float, other: float) -> None:
    """What is recorded at a share is recorded at every larger one; none at 0, all at 1."""
    small, large = sorted((one, other))
    assert is_chosen(trace, small) <= is_chosen(trace, large)
    assert is_chosen(trace, 1) and not is_chosen(trace, 0)
