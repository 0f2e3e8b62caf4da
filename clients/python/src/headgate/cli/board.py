"""A rollout as a picture of text: steps, arms, evidence, what it waits for, its newest journal lines.

``board`` draws for a width and a moment that are given to it; it fits 60 columns. Not here: looking at a rollout again
and again (``watch.py``).
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headgate.cli import show
from headgate.cli.rollout_options import seconds
from headgate.cli.session import printable
from headgate.rollouts import Arm, Evidence, Rollout, RolloutEvent

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

JOURNAL_LINES = 5
_BY_HAND = re.compile(r"(?:aborted|promoted) by hand(?:: (.*))?", re.DOTALL)
_REPORT_SECONDS = 10
_STEPS_SHOWN = 6
_LABEL = 12
_LONGEST_BAR = 40
_WIDE, _WIDE_WITH_TIMES = 75, 95
_STATE_STYLES = {
    "running": "cyan", "paused": "yellow", "succeeded": "green", "failed": "red", "aborted": "yellow",
    "expired": "yellow",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Glyphs:
    """The signs to draw with, for what the output can show."""

    full: str = "█"
    empty: str = "░"
    done: str = "✓"
    here: str = "▶"
    failed: str = "✗"
    arrow: str = "→"


PLAIN = Glyphs("#", ".", "+", ">", "x", "->")


def glyphs_for(encoding: str | None) -> Glyphs:
    """Return the signs that can be written in ``encoding``."""
    return Glyphs() if (encoding or "").lower().replace("-", "").startswith("utf") else PLAIN


def board(rollout: Rollout, now: dt.datetime, width: int, glyphs: Glyphs, *, journal: bool = True) -> RenderableType:
    """Draw a rollout as it stands at ``now``, in ``width`` columns; its newest journal lines with ``journal``."""
    from rich.console import Group

    rows: list[RenderableType] = [_heading(rollout, now, glyphs), ""]
    rows += [*_steps(rollout, now, glyphs), ""]
    rows += [_arms(rollout, width), ""]
    rows += list(_evidence(rollout, width, glyphs))
    if rollout.holding and not rollout.ended and not _counted_down(rollout):
        label = "waits for you  " if _waits_for_a_person(rollout) else "waits  "
        rows += ["", styled((label, "yellow"), (rollout.holding, ""))]
    if rollout.ended:
        rows += ["", styled((outcome(rollout), f"bold {_STATE_STYLES.get(rollout.state, '')}"))]
    if journal:
        rows += ["", styled(("journal (UTC), newest first", "bold")), *(_line(event) for event in newest(rollout))]
    return Group(*rows)


def outcome(rollout: Rollout) -> str:
    """Return how a rollout ended, in one sentence."""
    version, model, stable = rollout.version, rollout.model, rollout.stable
    said = {
        "succeeded": f"{model} version {version} is stable now",
        "failed": f"{model} version {version} was rolled back and {stable} has all traffic again",
        "aborted": f"the rollout of {model} version {version} was aborted",
        "expired": f"the rollout of {model} version {version} expired and {stable} has all traffic again",
    }.get(rollout.state, f"the rollout of {model} version {version} is {rollout.state}")
    return printable(f"{said}: {rollout.reason}" if rollout.reason else said)


def answered(rollout: Rollout) -> str:
    """Return what came of a person's ending a rollout: how it ended, who has the traffic, and the plan's revision."""
    version, model, (by_hand, why) = rollout.version, rollout.model, _by_hand(rollout.reason)
    if not by_hand or rollout.state not in ("aborted", "succeeded"):
        return outcome(rollout)
    told = f" ({why})" if why else ""
    revision = next((f", revision {e.revision}" for e in reversed(rollout.journal) if e.revision is not None), "")
    if rollout.state == "succeeded":
        return printable(f"{model} version {version} is stable now{told}{revision}")
    return printable(
        f"the rollout of {model} version {version} was aborted{told}; "
        f"version {rollout.stable} has all traffic again{revision}"
    )


def _by_hand(reason: str) -> tuple[bool, str]:
    """Tell whether a person ended it, and why in their words."""
    done = _BY_HAND.fullmatch(reason)
    return done is not None, (done[1] or "") if done else ""


def event_line(event: RolloutEvent) -> str:
    """Return a journal line on one line of text: when (UTC), what, and the revision that came of it."""
    return printable(f"{clock(event.at)}  {_said(event)}")


def newest(rollout: Rollout) -> list[RolloutEvent]:
    """Return the newest lines of the journal, newest first."""
    return list(rollout.journal[: -JOURNAL_LINES - 1 : -1])


def clock(at: str) -> str:
    """Return the time of day of a moment, in UTC, to the second."""
    parsed = show.parsed_time(at)
    return at if parsed is None else parsed.strftime("%H:%M:%S")


def _heading(rollout: Rollout, now: dt.datetime, glyphs: Glyphs) -> Text:
    state = (rollout.state, f"bold {_STATE_STYLES.get(rollout.state, '')}")
    ended = show.parsed_time(rollout.ended_at) or now
    started = show.parsed_time(rollout.started_at)
    since = "" if started is None else f" for {show.period((ended - started).total_seconds())}"
    if rollout.ended:
        since = since.replace(" for ", " after ")
    title = (f"{rollout.model}: version {rollout.stable} {glyphs.arrow} {rollout.version}", "bold")
    note = (f"  {rollout.asked.note}", "italic") if rollout.asked.note else ("", "")
    return styled(title, ("  ", ""), state, (since, ""), note)


def _steps(rollout: Rollout, now: dt.datetime, glyphs: Glyphs) -> Iterator[Text]:
    """Draw the steps around the present one, and who is stable at the end."""
    asked = rollout.asked.steps
    first = max(0, min(rollout.step - _STEPS_SHOWN // 2, len(asked) - _STEPS_SHOWN))
    shown = asked[first : first + _STEPS_SHOWN]
    yield styled(("steps", "bold"), (_beyond(first, len(asked) - first - len(shown)), "dim"))
    for number, step in enumerate(shown, first):
        here = number == rollout.step and rollout.state not in ("succeeded", "expired")
        past = number < rollout.step or rollout.state == "succeeded"
        mark, style = (glyphs.here, "bold") if here else (glyphs.done, "green") if past else (" ", "dim")
        if here and rollout.ended:
            mark, style = glyphs.failed, _STATE_STYLES.get(rollout.state, "")
        pause = "until resumed" if step.pause is None else f"at least {step.pause}"
        yield styled(
            (f"  {mark} ", style), (f"{step.weight:g} %".ljust(8), style), (f"{pause:<20}", "" if here else "dim"),
            (_left(rollout, step.pause, now) if here else "", "cyan"),
        )  # fmt: skip


def _beyond(before: int, after: int) -> str:
    hidden = [f"{before} before" if before else "", f"{after} after" if after else ""]
    told = ", ".join(word for word in hidden if word)
    return f"  ({told} not shown)" if told else ""


def _left(rollout: Rollout, pause: str | None, now: dt.datetime) -> str:
    """Tell how much of the present step is left, as far as the clock goes."""
    length, since = seconds(pause), show.parsed_time(rollout.step_started_at)
    if rollout.state != "running" or length is None or since is None:
        return ""
    left = length - (now - since).total_seconds()
    return f"{show.period(left)} left" if left > 0 else "its time is over"


def _counted_down(rollout: Rollout) -> bool:
    """Tell whether what it waits for is the clock, which the present step shows already."""
    return rollout.state == "running" and (rollout.holding or "").endswith("of its pause are left")


def _waits_for_a_person(rollout: Rollout) -> bool:
    asked = rollout.asked.steps
    pauseless = 0 <= rollout.step < len(asked) and asked[rollout.step].pause is None
    holding = rollout.holding or ""
    return "look, then resume" in holding or (pauseless and "until somebody" in holding)


def _arms(rollout: Rollout, width: int) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2 if width >= 70 else 1, 0, 0), pad_edge=False, show_edge=False)
    for heading in ("arm", "share", "requests", "errors", "p50", "p99"):
        justify = "left" if heading == "arm" else "right"
        table.add_column(Text(heading.upper(), style="bold"), justify=justify, no_wrap=True)  # type: ignore[arg-type]  # rich names the words
    # Once it has ended well, all requests are the new version's; what was counted is what was seen before.
    rows = (("stable", rollout.stable, 100 - rollout.weight), ("canary", rollout.version, rollout.weight))
    for arm, version, share in rows:
        found = rollout.arms.get(arm, Arm())
        table.add_row(
            Text(f"{arm} {version}"),
            f"{share:.4g} %",
            f"{found.requests:,}",
            _ratio(found.errors / found.requests if found.requests else None),
            show.seconds(found.p50),
            show.seconds(found.p99),
        )
    return table


def _evidence(rollout: Rollout, width: int, glyphs: Glyphs) -> Iterator[RenderableType]:
    yield styled((f"evidence against version {rollout.version}", "bold"), ("  at 1 it is rolled back", "dim"))
    if not rollout.ended:
        yield styled((f"  counts are up to {_REPORT_SECONDS} s old, as nodes report by default", "dim"))
    if not rollout.evidence:
        yield styled(("  none yet", "dim"))
    for name, found in rollout.evidence.items():
        yield from _metric(name, found, width, glyphs)


def _metric(name: str, found: Evidence, width: int, glyphs: Glyphs) -> Iterator[Text]:
    if found.evidence is None:
        yield styled((f"{name:<{_LABEL}}", ""), (found.message or "nothing can be said yet", "dim"))
        return
    style = "green" if found.evidence < 0.5 else "yellow" if found.evidence < 1 else "bold red"
    length = max(10, min(_LONGEST_BAR, width - _LABEL - 24))
    filled = round(max(0.0, min(1.0, found.evidence)) * length)
    over = f" {glyphs.failed}" if found.evidence >= 1 else ""
    holds = " (holds only)" if name == "predictions" else ""
    yield styled(
        (f"{name:<{_LABEL}}", ""), (glyphs.full * filled, style), (glyphs.empty * (length - filled), "dim"),
        (f" {_strength(found.evidence)}{over}", style), (holds, "dim"),
    )  # fmt: skip
    for line in _counted(name, found, width).split("\n"):
        yield styled((line, "dim"))


def _strength(evidence: float) -> str:
    """Return evidence in six characters, so that no number of it breaks a line."""
    return "> 999" if evidence >= 999.995 else "< -99" if evidence <= -99.995 else f"{evidence:6.2f}"


def _counted(name: str, found: Evidence, width: int) -> str:
    """Tell what one metric counted, on one line, or on one for each arm where there is not the room."""
    if not (found.canary.requests or found.stable.requests):
        return "  nothing counted yet"
    if name == "predictions":
        if found.distance is None:
            return "  nothing compared yet"
        return f"  {found.distance:.1%} of the predictions lie elsewhere than stable's".replace("%", " %")
    canary, stable = found.canary, found.stable
    slow = usual = ""
    if found.threshold is not None:
        slow = f" over {show.seconds(found.threshold + found.margin)}"
        usual = f" over {show.seconds(found.threshold)}"
    gap = ", " if width >= (_WIDE if found.threshold is None else _WIDE_WITH_TIMES) else "\n  "
    return (
        f"  canary {canary.bad:,.0f} of {canary.requests:,}{slow} ({_ratio(canary.ratio)}){gap}"
        f"stable {stable.bad:,.0f} of {stable.requests:,}{usual} ({_ratio(stable.ratio)})"
    )


def _line(event: RolloutEvent) -> Text:
    return styled((f"{clock(event.at)}  ", "dim"), (_said(event), ""))


def _said(event: RolloutEvent) -> str:
    """Return what happened: a message is a sentence of its own, so the event's name stands in only where none is."""
    revision = f" (revision {event.revision})" if event.revision is not None else ""
    return f"{event.message or event.event}{revision}"


def _ratio(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio * 100:.2f} %"


def styled(*parts: tuple[str, str]) -> Text:
    """Return text in styles: never markup, since what people wrote stands in it."""
    from rich.text import Text

    return Text.assemble(*((printable(words), style) for words, style in parts), overflow="fold")
