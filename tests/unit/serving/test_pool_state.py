"""The state machine of a version on a node."""

from __future__ import annotations

import itertools

import pytest

from serving.pool.state import IllegalMoveError, Lifecycle, State, backoff_seconds, may_move

LEGAL = {
    ("cold", "loading"),
    ("loading", "ready"),
    ("loading", "failed"),
    ("loading", "quarantined"),
    ("loading", "cold"),
    ("ready", "draining"),
    ("ready", "cold"),
    ("ready", "failed"),
    ("ready", "quarantined"),
    ("draining", "ready"),
    ("draining", "cold"),
    ("failed", "loading"),
    ("failed", "quarantined"),
    ("failed", "cold"),
    ("quarantined", "cold"),
}


@pytest.mark.parametrize(("before", "after"), list(itertools.product(State, State)))
def test_exactly_the_drawn_arrows_are_legal(before: State, after: State) -> None:
    """Every pair of states is either drawn or refused."""
    assert may_move(before, after) == ((before.value, after.value) in LEGAL)


def test_an_illegal_move_raises_and_changes_nothing() -> None:
    """The machine stays where it was."""
    life = Lifecycle()
    with pytest.raises(IllegalMoveError, match="a cold version cannot become ready"):
        life.move(State.READY)
    assert life.state is State.COLD


def test_the_back_off_doubles_up_to_thirty_seconds() -> None:
    """A broken version is tried ever more rarely."""
    assert [backoff_seconds(n) for n in range(1, 8)] == [1, 2, 4, 8, 16, 30, 30]
    assert backoff_seconds(10_000) == 30
