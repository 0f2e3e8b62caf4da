"""Whether what clients saw of one journal can have happened one after the other, at one moment each. Pure.

A journal with compare-and-set fixes the order of everything by itself: the write that made revision r, then all who saw
r, then the write that made r + 1. So a history is linearizable exactly where nothing in that order began after
something later in it had ended. Not here: the clients (``plan_clients.py``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

Plan = Mapping[str, Any]


class Answer(Enum):
    """What a writer was told; LOST where no answer came, or one that tells nothing (503)."""

    DONE = "done"
    REFUSED = "refused"
    LOST = "lost"


@dataclass(frozen=True)
class Write:
    """One attempt to replace the plan at ``expected``. ``revision``: what it made, or what stood in its way."""

    plan: Plan
    expected: int
    start: float
    end: float
    answer: Answer
    revision: int = 0


@dataclass(frozen=True)
class Read:
    """Somebody saw that a revision is the newest."""

    revision: int
    start: float
    end: float


def violations(writes: Sequence[Write], reads: Sequence[Read], journal: Sequence[tuple[int, Plan]]) -> list[str]:
    """Return what cannot be, in words; nothing where all is well. ``journal`` is oldest first; notes are unique."""
    found = [f"place {at} of the journal holds {n}" for at, (n, _) in enumerate(journal, 1) if n != at]
    kept = {plan["note"]: (revision, plan) for revision, plan in journal}
    if len(kept) != len(journal):
        found.append("some write stands in the journal twice")
    tried = {write.plan["note"] for write in writes}
    found += [f"nobody wrote revision {n}" for note, (n, _) in kept.items() if note not in tried]
    ordered: list[tuple[int, int, float, float]] = [(read.revision, 1, read.start, read.end) for read in reads]
    for write in writes:
        revision, plan = kept.get(write.plan["note"], (0, write.plan))
        found += _judge(write, revision, plan)
        if revision:
            ordered.append((revision, 0, write.start, write.end))
        if write.answer is Answer.REFUSED:
            ordered.append((write.revision, 1, write.start, write.end))
    return found + _out_of_order(ordered, len(journal))


def _judge(write: Write, revision: int, plan: Plan) -> list[str]:
    note = write.plan["note"]
    if write.answer is Answer.DONE and write.revision != revision:
        return [f"{note} was acknowledged as {write.revision} and is {revision or 'nowhere'} in the journal"]
    if write.answer is Answer.REFUSED and revision:
        return [f"{note} was refused and is revision {revision}"]
    if write.answer is Answer.REFUSED and write.revision == write.expected:
        return [f"{note} was refused although revision {write.expected} was the newest"]
    if revision and revision != write.expected + 1:
        return [f"{note} expected {write.expected} and is revision {revision}"]
    return [f"revision {revision} is not what {note} sent"] if revision and plan != write.plan else []


def _out_of_order(ordered: list[tuple[int, int, float, float]], newest: int) -> list[str]:
    found = []
    began = -math.inf  # the latest beginning of all that stands strictly before
    pending: tuple[tuple[int, int], float] = ((0, 0), -math.inf)
    for revision, kind, start, end in sorted(ordered):
        if revision > newest:
            found.append(f"revision {revision} was seen and is not in the journal")
        if (revision, kind) != pending[0]:
            began = max(began, pending[1])
            pending = ((revision, kind), -math.inf)
        if end < began:
            what = "seen" if kind else "made"
            found.append(f"revision {revision} was {what} before something that it follows had begun")
        pending = (pending[0], max(pending[1], start))
    return found
