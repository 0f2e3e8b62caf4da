"""The picture of a rollout: what a newcomer reads off it, in any width and alphabet. Pure."""

from __future__ import annotations

import datetime as dt
import io
from typing import Any

import pytest
from headgate import Rollout
from headgate.cli.board import board, event_line, glyphs_for, outcome
from headgate.cli.show import ago, period, seconds
from rich.cells import cell_len
from rich.console import Console

from tests.support.fake_rollouts import JOURNAL, event, rollout_json

NOW = dt.datetime(2026, 11, 20, 8, 12, 15, tzinfo=dt.UTC)


def drawn(width: int = 80, encoding: str = "utf-8", **more: Any) -> str:
    """Return the picture as text."""
    out = io.StringIO()
    console = Console(file=out, width=width, highlight=False, color_system=None)
    console.print(board(Rollout.from_json(rollout_json(**more)), NOW, width, glyphs_for(encoding)))
    return out.getvalue()


def test_it_tells_who_steps_arms_evidence_and_why_it_waits() -> None:
    """Everything that decides is there, in words and numbers."""
    shown = drawn()
    for words in (
        "churn: version 3 → 4  running for 12m 15s  new features",
        "✓ 5 %",
        "▶ 25 %",
        "7m 48s left",
        "until resumed",
        "canary 4   25 %     1,410  0.85 %  2.9 ms    19 ms",
        "evidence against version 4  at 1 it is rolled back",
        "0.62",
        "canary 12 of 1,410 (0.85 %), stable 61 of 12,640 (0.48 %)",
        "over 23.3 ms",
        "no labels yet",
        "3.1 % of the predictions lie elsewhere",
        "waits  too little traffic: 120 of 200 requests in this step",
        "08:10:33  holds at step 2 of 3 (25 %): too little traffic",
    ):
        assert words in shown
    assert shown.index("08:10:33") < shown.index("08:00:00")


@pytest.mark.parametrize("width", [60, 70, 80, 120])
@pytest.mark.parametrize("state", ["running", "failed"])
def test_every_width_from_60_columns_on_is_kept(width: int, state: str) -> None:
    """No line is wider than the terminal, and no number is cut."""
    ended = None if state == "running" else "2026-11-20T08:12:00.000Z"
    shown = drawn(width, state=state, ended_at=ended, reason="error-rate: " + "31 of 1,410 " * 12)
    assert all(cell_len(line) <= width for line in shown.splitlines())
    assert {"12,640", "21.3", "0.62", "-0.21"} <= set(shown.split())


def test_each_arm_is_shown_with_its_own_threshold() -> None:
    """A slow answer of the canary took longer by the margin than one of stable; both are told, in any width."""
    wide = drawn(120)
    assert "canary 11 of 1,398 over 23.3 ms (0.79 %), stable 126 of 12,579 over 21.3 ms (1.00 %)" in wide
    assert "stable 126 of 12,579 over 21.3 ms (1.00 %)" in drawn(60)


def test_a_bar_is_full_at_one() -> None:
    """The evidence that ends a rollout fills its bar, less fills a part, and evidence for the canary none of it."""

    def bar(evidence: float) -> str:
        line = next(x for x in drawn(evidence={"latency": {"evidence": evidence}}).splitlines() if "latency" in x)
        return "".join(c for c in line if c in "█░")

    assert set(bar(1.0)) == set(bar(7.0)) == {"█"}
    assert bar(0.5).count("█") == len(bar(0.5)) / 2
    assert set(bar(-3.0)) == {"░"}


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ("succeeded", "churn version 4 is stable now: all 3 steps are over"),
        ("failed", "churn version 4 was rolled back and 3 has all traffic again: all 3 steps are over"),
        ("aborted", "the rollout of churn version 4 was aborted: all 3 steps are over"),
        ("expired", "the rollout of churn version 4 expired and 3 has all traffic again: all 3 steps are over"),
    ],
)
def test_the_end_is_one_sentence(state: str, sentence: str) -> None:
    """It says what has the traffic now, and why; nothing is waited for any more."""
    raw = rollout_json(state=state, reason="all 3 steps are over", ended_at="2026-11-20T08:12:00.000Z")
    assert outcome(Rollout.from_json(raw)) == sentence
    shown = drawn(200, state=state, reason="all 3 steps are over", ended_at="2026-11-20T08:12:00.000Z")
    assert sentence in shown and "waits" not in shown and f"{state} after 12m" in shown


def test_an_output_without_unicode_gets_plain_signs() -> None:
    """Bars, marks and arrows are ASCII where nothing else can be written."""
    assert drawn(encoding="ascii").isascii()


def test_many_steps_show_the_present_ones() -> None:
    """Fifty steps do not fill the screen: those around the present one are there, and how many are not."""
    steps = [{"setWeight": share, "pause": "1m"} for share in range(1, 51)]
    shown = drawn(steps=steps, step=30, weight=31)
    assert "27 before, 17 after not shown" in shown and "▶ 31 %" in shown
    assert "50 %" not in shown.partition("ARM")[0]


def test_what_people_wrote_steers_no_terminal() -> None:
    """Control characters and markup in notes, reasons and journals are shown, not obeyed."""
    bad = "\x1b[31m[bold]x"
    shown = drawn(note=bad, holding=bad, journal=[event("08:00:00", "started", bad)])
    assert "\x1b" not in shown and shown.count("[bold]x") == 3


def test_an_event_is_one_line() -> None:
    """When, what and why, and the revision that came of it."""
    found = Rollout.from_json(
        rollout_json(journal=[JOURNAL[1], event("09:00:00", "held", "a\nb"), event("09:00:01", "paused", "")])
    )
    assert [event_line(line) for line in found.journal] == [
        "08:10:03  goes on to step 2 of 3 (25 %) (revision 9)",
        "09:00:00  a�b",
        "09:00:01  paused",
    ]


def test_a_platform_that_says_less_is_read_too() -> None:
    """What is missing is not there, rather than wrong: a list has neither evidence nor journals."""
    raw = {"id": "1", "model": "churn", "version": "4", "state": "running"}
    out = io.StringIO()
    Console(file=out, width=80).print(board(Rollout.from_json(raw), NOW, 80, glyphs_for("utf-8")))
    assert "none yet" in out.getvalue()


def test_lengths_of_time_are_short() -> None:
    """Two units at most; short times in three digits."""
    told = [period(x) for x in (0, 59.6, 75, 3600, 3725, 100_000)]
    assert told == ["0s", "1m", "1m 15s", "1h", "1h 2m", "1d 3h"]
    assert [seconds(x) for x in (None, 0.0031, 0.9999, 12.345)] == ["-", "3.1 ms", "1 s", "12.3 s"]
    assert ago(75) == "1m 15s ago"
