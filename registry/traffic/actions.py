"""What can be done to a rollout, by evidence, by time or by a person, and why one waits. Values only.

Not here: which of it is due, and what it makes of the record (``rollout.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Wait(StrEnum):
    """Why a rollout that runs does not go on. All but the first are worth a line in its journal."""

    PAUSE = "pause"
    REQUESTS = "requests"
    PERSON = "person"
    PREDICTIONS = "predictions"


@dataclass(frozen=True, slots=True)
class Findings:
    """What the evidence says now, in words with the numbers: empty where it says nothing against the canary.

    ``failing`` ends the rollout; ``shifted`` (the predictions differ) holds it until somebody has looked.
    """

    failing: str = ""
    shifted: str = ""


@dataclass(frozen=True, slots=True)
class Advance:
    """Go to the next step."""


@dataclass(frozen=True, slots=True)
class Promote:
    """Make the version stable: its last step is over, or a person said so."""

    reason: str
    by_hand: bool = False


@dataclass(frozen=True, slots=True)
class RollBack:
    """Go back to stable: the evidence says that the canary is worse."""

    reason: str


@dataclass(frozen=True, slots=True)
class Expire:
    """Go back to stable: its time is over."""

    reason: str


@dataclass(frozen=True, slots=True)
class Hold:
    """Stay at this step, and say why."""

    wait: Wait
    message: str


@dataclass(frozen=True, slots=True)
class Release:
    """What held it is over."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Stop the clocks: a person said so."""

    reason: str


@dataclass(frozen=True, slots=True)
class Resume:
    """Let the clocks go on, or else lift what holds the rollout: a person has looked."""

    reason: str


@dataclass(frozen=True, slots=True)
class Abort:
    """Go back to stable: a person said so."""

    reason: str


@dataclass(frozen=True, slots=True)
class Yield:
    """End, and leave the plan alone: somebody replaced it, in ``revision``."""

    revision: int


Decision = Advance | Promote | RollBack | Expire | Hold | Release
Action = Decision | Pause | Resume | Abort | Yield
