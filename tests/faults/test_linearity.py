"""The check of a journal sees what it is there to see."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.faults.linearity import Answer, Read, Write, violations


def plan(note: str) -> dict[str, Any]:
    """Return a plan that is told apart by its note."""
    return {"stable": "1", "note": note}


def done(note: str, revision: int, start: float, end: float) -> Write:
    """Return a write that was acknowledged."""
    return Write(plan(note), revision - 1, start, end, Answer.DONE, revision)


def refused(note: str, expected: int, revision: int, start: float, end: float) -> Write:
    """Return a write that lost against ``revision``."""
    return Write(plan(note), expected, start, end, Answer.REFUSED, revision)


def lost(note: str, expected: int, start: float) -> Write:
    """Return a write of which nobody knows."""
    return Write(plan(note), expected, start, math.inf, Answer.LOST)


A, B = done("a", 1, 0, 1), done("b", 2, 2, 3)
JOURNAL = [(1, plan("a")), (2, plan("b"))]


@pytest.mark.parametrize(
    ("writes", "reads", "journal"),
    [
        ([A, B], [], JOURNAL),
        ([A, B], [Read(0, 0, 0.5), Read(1, 0.5, 9), Read(1, 1.5, 1.6), Read(2, 2.5, 9)], JOURNAL),
        ([done("a", 1, 0, 9), done("b", 2, 0, 9)], [], JOURNAL),
        ([A, lost("b", 1, 0)], [], JOURNAL),
        ([A, lost("x", 0, 0)], [], JOURNAL[:1]),
        ([A, B, refused("x", 0, 1, 0.5, 1.5), refused("y", 0, 2, 0, 9)], [], JOURNAL),
        ([], [], []),
    ],
)
def test_what_may_be(writes: list[Write], reads: list[Read], journal: Any) -> None:
    """Overlapping writes in either order, lost ones there or not, and readers of what was newest."""
    assert violations(writes, reads, journal) == []


@pytest.mark.parametrize(
    ("writes", "reads", "journal", "words"),
    [
        ([A, B], [], JOURNAL[:1], "nowhere"),  # an acknowledged write is lost
        ([A, B], [], [(1, plan("a")), (3, plan("b"))], "place 2"),  # a gap
        ([A, B], [], [(1, plan("b")), (2, plan("a"))], "acknowledged as"),  # another order
        ([A, B], [], [*JOURNAL, (3, plan("b"))], "twice"),
        ([A], [], JOURNAL, "nobody wrote"),
        ([A, B], [], [(1, plan("a")), (2, plan("b") | {"stable": "2"})], "not what b sent"),
        ([A, B, refused("x", 0, 1, 0, 9)], [], [*JOURNAL, (3, plan("x"))], "refused and is"),
        ([A, B, refused("x", 1, 1, 0, 9)], [], JOURNAL, "although"),
        ([A, lost("b", 0, 0)], [], JOURNAL, "expected 0"),
        ([done("a", 1, 5, 6), done("b", 2, 2, 3)], [], JOURNAL, "made before"),  # against real time
        ([A, B], [Read(1, 4, 5)], JOURNAL, ""),  # an old revision, after the next was acknowledged
        ([A, B], [Read(2, 0, 1.5)], JOURNAL, "seen before"),  # from the future
        ([A, B], [Read(2, 2.2, 2.3), Read(1, 2.4, 2.5)], JOURNAL, ""),  # two readers, backwards
        ([A, B], [Read(7, 0, 9)], JOURNAL, "not in the journal"),
        ([A, B, refused("x", 0, 1, 4, 5)], [], JOURNAL, ""),  # refused by what was no longer the newest
    ],
)
def test_what_cannot_be(writes: list[Write], reads: list[Read], journal: Any, words: str) -> None:
    """Lost, doubled, changed, reordered and stale: each is found."""
    found = violations(writes, reads, journal)
    assert found and any(words in sentence for sentence in found)
