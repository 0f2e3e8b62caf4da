"""What the picture of a rollout says once, whole, and only where it is true; and what a person's verb answers. Pure."""

from __future__ import annotations

import datetime as dt
import io
from typing import Any

import pytest
from headgate import Rollout
from headgate.cli.board import answered, board, glyphs_for
from rich.cells import cell_len
from rich.console import Console

from tests.support.fake_rollouts import event, rollout_json

NOW = dt.datetime(2026, 11, 20, 8, 12, 15, tzinfo=dt.UTC)


def drawn(width: int = 80, *, journal: bool = True, **more: Any) -> str:
    """Return the picture as text."""
    out = io.StringIO()
    console = Console(file=out, width=width, highlight=False, color_system=None)
    console.print(board(Rollout.from_json(rollout_json(**more)), NOW, width, glyphs_for("utf-8"), journal=journal))
    return out.getvalue()


def test_the_narrowest_picture_has_every_count() -> None:
    """In 60 columns no count is left out and no bracket is torn off: each arm has a line."""
    lines = [line.rstrip() for line in drawn(60).splitlines()]
    assert "  canary 12 of 1,410 (0.85 %)" in lines and "  stable 61 of 12,640 (0.48 %)" in lines
    assert "  canary 11 of 1,398 over 23.3 ms (0.79 %)" in lines
    assert any(line.startswith("predictions") and line.endswith("(holds only)") for line in lines)


@pytest.mark.parametrize(("strength", "shown"), [(12_345_678.9, "> 999"), (-5000.0, "< -99"), (42.5, "42.50")])
def test_a_wide_number_breaks_no_line(strength: float, shown: str) -> None:
    """Evidence far beyond what decides is told as that."""
    found = drawn(60, evidence={"predictions": {"evidence": strength, "canary": {"predictions": 5}, "distance": 0.5}})
    assert shown in next(line for line in found.splitlines() if line.startswith("predictions"))
    assert all(cell_len(line) <= 60 for line in found.splitlines())


def test_what_nobody_has_counted_is_told_as_that() -> None:
    """Before the first report there are neither noughts nor shares of nothing."""
    none = {"requests": 0, "bad": 0, "ratio": None}
    shown = drawn(
        evidence={
            "error-rate": {"evidence": 0.0, "canary": none, "stable": none},
            "predictions": {"evidence": 0.0, "distance": 0.0, "canary": {"predictions": 0}},
        }
    )  # fmt: skip
    assert shown.count("nothing counted yet") == 2
    assert "0 of 0" not in shown and "lie elsewhere" not in shown


def test_the_clock_is_shown_once() -> None:
    """What is left of a pause stands beside its step, so it is not waited for a second time."""
    shown = drawn(holding="7m 48s of its pause are left")
    assert "7m 48s left" in shown and "waits" not in shown


@pytest.mark.parametrize(
    "more",
    [
        {"step": 2, "weight": 50, "holding": "this step has no pause: it waits until somebody resumes or promotes"},
        {"holding": "12 % of the predictions lie elsewhere; look, then resume, promote or abort"},
    ],
)
def test_a_person_is_asked_for(more: dict[str, Any]) -> None:
    """Where only somebody can move it, the picture says so; where traffic can, it does not."""
    assert "waits for you  " in drawn(200, **more)
    assert "waits for you" not in drawn()


def test_counts_have_an_age_and_the_journal_may_be_left_out() -> None:
    """A running rollout says how old its counts may be; who saw the journal go by does not get it twice."""
    assert "counts are up to 10 s old" in drawn()
    assert "s old" not in drawn(state="failed", ended_at="2026-11-20T08:12:00.000Z")
    assert "journal" not in drawn(journal=False)


@pytest.mark.parametrize(
    ("state", "reason", "answer"),
    [
        (
            "aborted",
            "aborted by hand: not today",
            "the rollout of churn version 4 was aborted (not today); version 3 has all traffic again, revision 10",
        ),
        (
            "aborted",
            "aborted by hand",
            "the rollout of churn version 4 was aborted; version 3 has all traffic again, revision 10",
        ),
        ("succeeded", "promoted by hand: seen", "churn version 4 is stable now (seen), revision 10"),
        ("aborted", "replaced by hand", "the rollout of churn version 4 was aborted: replaced by hand"),
    ],
)
def test_a_person_is_answered(state: str, reason: str, answer: str) -> None:
    """Who ended a rollout reads who has the traffic now, by which revision, and their own reason."""
    journal = [event("08:00:00", "started", "x", 9), event("08:12:00", state, reason, 10)]
    assert answered(Rollout.from_json(rollout_json(state=state, reason=reason, journal=journal))) == answer
