"""Which loaded version must go to make room. Pure: a situation in, at most one victim out.

    in use (a lease, a waiter)      never
    in the background (a shadow)    first
    named by a warm plan            last, and only for a request that waits
    used a moment ago               not for what is loaded ahead
    everything else                 the least recently used first; nobody for a shadow

Nobody goes in vain: where all that may go is not enough, all stay. Whoever asks applies the answer and asks again. Not
here: who counts the bytes (``room.py``), how a version ends (``pool.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Generic, TypeVar

QUIET_SECONDS = 60.0
"""How long a version must have been idle to make room for one that nobody has asked for yet."""

Key = TypeVar("Key")


class Claim(IntEnum):
    """On whose behalf room is needed; lower is stronger."""

    REQUEST = 0
    """Somebody waits for the version."""
    SWAP = 1
    """A plan waits for it, while another version answers."""
    AHEAD = 2
    """A warm plan names it, and nobody waits."""
    BACKGROUND = 3
    """A shadow: nobody gets its answers, so nobody goes for it."""


@dataclass(frozen=True, slots=True)
class Resident(Generic[Key]):
    """A loaded version that could go. ``used_at`` is when it was last used or loaded; ``kept``: it should go last;
    ``background``: nobody waits for its answers."""

    key: Key
    memory_bytes: int
    used_at: float
    in_use: bool = False
    kept: bool = False
    background: bool = False


@dataclass(frozen=True, slots=True)
class Situation(Generic[Key]):
    """Who is there, and how many bytes are missing beyond what is free or about to be.

    ``claim`` is None where nothing wants to come and what is there has grown beyond the budget.
    """

    residents: Sequence[Resident[Key]]
    missing: int
    claim: Claim | None
    now: float


def choose_victim(situation: Situation[Key]) -> Key | None:
    """Return who must go next; None where nobody must, or where it would not help."""
    if situation.missing <= 0:
        return None
    if situation.claim is None and len(situation.residents) <= 1:
        return None  # alone it may be larger than the budget: it would only be loaded again
    free_to_go = [r for r in situation.residents if _may_go(r, situation)]
    if situation.claim is not None and sum(r.memory_bytes for r in free_to_go) < situation.missing:
        return None
    victim = min(free_to_go, key=lambda r: (not r.background, r.kept, r.used_at), default=None)
    return None if victim is None else victim.key


def _may_go(resident: Resident[Key], situation: Situation[Key]) -> bool:
    if resident.in_use or resident.memory_bytes <= 0 or situation.claim is Claim.BACKGROUND:
        return False
    if situation.claim is Claim.SWAP:
        return resident.background or not resident.kept
    if situation.claim is Claim.AHEAD:
        idle = situation.now - resident.used_at >= QUIET_SECONDS
        return resident.background or (idle and not resident.kept)
    return True
