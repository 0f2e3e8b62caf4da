"""The copies that wait: bounded in number and bytes, the oldest goes."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from registry.records import ModelName, VersionNumber
from registry.signature import Signature
from serving.exchange import ArrayOutput, Output
from serving.routing.split import RoutedVersion
from serving.shadows.backlog import Answered, Backlog, Line
from tests.support.protocols import native
from tests.support.serving_fakes import servable

ROUTED = RoutedVersion(servable("2"), Signature())
ONE = ArrayOutput(np.zeros(1))


def line(model: str = "m") -> Line:
    """Return an empty line."""
    return Line(ModelName(model), VersionNumber("2"))


def answered(size: int, name: str = "", output: Output = ONE) -> Answered:
    """Return an exchange that keeps ``size`` bytes and eight."""
    return Answered(b"x" * size, None, name, output, 0.001, native(b""))


def names(of: Line) -> list[str]:
    """Return whose copies wait."""
    return [copy.answered.request_id for copy in of.copies.values()]


def test_the_oldest_goes_where_a_line_is_full() -> None:
    """The third copy pushes out the first; what comes out is in order."""
    backlog, mine = Backlog(most_copies=2), line()
    gone = [backlog.add(mine, ROUTED, 1, answered(1, name)) for name in "abc"]
    assert [[copy.answered.request_id for _, copy in each] for each in gone] == [[], [], ["a"]]
    taken = [backlog.take(mine) for _ in range(3)]
    assert [copy and copy.answered.request_id for copy in taken] == ["b", "c", None]
    assert (backlog.size, len(backlog)) == (0, 0)


def test_the_oldest_of_all_goes_where_bytes_are_short() -> None:
    """A copy for one version pushes out those of others that came before."""
    backlog, mine, other = Backlog(most_bytes=100), line(), line("other")
    backlog.add(other, ROUTED, 1, answered(32, "a"))
    backlog.add(mine, ROUTED, 1, answered(32, "b"))
    gone = backlog.add(mine, ROUTED, 1, answered(52, "c"))
    assert [(owner is other, copy.answered.request_id) for owner, copy in gone] == [(True, "a")]
    assert (names(other), names(mine), backlog.size) == ([], ["b", "c"], 100)


def test_a_copy_larger_than_everything_goes_itself() -> None:
    """Nothing is pushed out for what will never fit."""
    backlog, mine = Backlog(most_bytes=100), line()
    backlog.add(mine, ROUTED, 1, answered(10, "a"))
    ((_, copy),) = backlog.add(mine, ROUTED, 1, answered(1000, "b"))
    assert (copy.answered.request_id, names(mine)) == ("b", ["a"])


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 60) | st.none()), max_size=60))
def test_bounds_hold_whatever_comes(steps: list[tuple[str, int | None]]) -> None:
    """After any adding and taking: as many bytes as there are copies, never beyond the bounds, none twice."""
    backlog = Backlog(most_copies=3, most_bytes=100)
    lines: dict[str, Line] = {name: line(name) for name in "ab"}
    came, went = 0, 0
    for name, size in steps:
        if size is None:
            went += backlog.take(lines[name]) is not None
        else:
            came += 1
            went += len(backlog.add(lines[name], ROUTED, 1, answered(size)))
        held: list[Any] = [copy for each in lines.values() for copy in each.copies.values()]
        assert backlog.size == sum(copy.size for copy in held) <= 100
        assert all(len(each.copies) <= 3 for each in lines.values())
        assert len(held) == len(backlog) == came - went
