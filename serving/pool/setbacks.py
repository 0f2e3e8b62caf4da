"""What failed loads and deaths mean for a version: back-off, quarantine, and what it printed last.

Bookkeeping on a slot; time is an argument. Not here: how many deaths are too many (``crashes.py``), and loading again
(``pool.py``).
"""

from __future__ import annotations

from registry.errors import HeadgateError, Unavailable
from serving.pool.slot import Residence, Slot
from serving.pool.state import State, backoff_seconds
from serving.ports import Interruptible, LoadFault

KEEP_CHARACTERS = 4096
QUARANTINE_RETRY_SECONDS = 60.0


def note_failed_load(slot: Slot, error: HeadgateError, now: float) -> None:
    """Move a loading version to where ``error`` leaves it: failed for a while, quarantined, or cold.

    Want of room is nobody's fault: it costs no back-off, and the next request may try again.
    """
    slot.failure = again(error, 1.0)
    if error.code == "no_capacity":
        slot.lifecycle.move(State.COLD)
        return
    if isinstance(error, LoadFault):
        slot.last_output = error.last_output[-KEEP_CHARACTERS:]
        if error.died:
            slot.crashes.note(now, 0.0)
            if slot.crashes.too_many:
                _quarantine(slot)
                return
    slot.lifecycle.move(State.FAILED)
    slot.failures += 1
    slot.retry_at = now + backoff_seconds(slot.failures)


def note_death(slot: Slot, residence: Residence, now: float) -> None:
    """Move a version whose process died to where that leaves it: cold, failed for a while, or quarantined."""
    keep_output(slot, residence)
    slot.residence = None
    # Who asked for more than it can do, or for less time than it takes, is no sign that it cannot live.
    overran = isinstance(residence.loaded, Interruptible) and residence.loaded.overran
    if not overran:
        slot.crashes.note(now, now - residence.since)
    if overran or slot.state is State.DRAINING:
        slot.lifecycle.move(State.COLD)
    elif slot.crashes.too_many:
        _quarantine(slot)
    elif slot.crashes.pause_seconds:
        slot.lifecycle.move(State.FAILED)
        slot.retry_at = now + slot.crashes.pause_seconds
        slot.failure = Unavailable(
            "loading",
            f"the process of version {slot.name[1]} died {slot.crashes.count} times within ten minutes; it is started "
            "again shortly",
            {"state": str(slot.state), "reason": "crashed"},
        )
    else:
        slot.lifecycle.move(State.COLD)


def keep_output(slot: Slot, residence: Residence) -> None:
    """Keep the end of what a copy printed, for whoever asks why it ended."""
    slot.last_output = residence.loaded.last_output[-KEEP_CHARACTERS:]


def forgive(slot: Slot) -> None:
    """Forget all that went wrong; one that failed or was quarantined is cold, and the next request loads it."""
    slot.failure, slot.failures, slot.retry_at = None, 0, 0.0
    slot.crashes.forget()
    if slot.state in (State.FAILED, State.QUARANTINED):
        slot.lifecycle.move(State.COLD)


def refusal(slot: Slot, now: float) -> HeadgateError | None:
    """Return why a version may not be loaded now; None where it may be tried."""
    if slot.failure is None:
        return None
    if slot.state is State.QUARANTINED:
        return again(slot.failure, QUARANTINE_RETRY_SECONDS)
    if slot.state is State.FAILED and now < slot.retry_at:
        return again(slot.failure, slot.retry_at - now)
    return None


def again(error: HeadgateError, seconds: float) -> HeadgateError:
    """Return the error anew, with a retry after ``seconds``.

    One that promised nothing of a retry still does not, though a retry is let through after the back-off.
    """
    told = error.anew()
    if told.retry_after is not None:
        told.retry_after = max(1.0, seconds)
    return told


def _quarantine(slot: Slot) -> None:
    slot.lifecycle.move(State.QUARANTINED)
    model, version = slot.name
    slot.failure = Unavailable(
        "model_quarantined",
        f"the process of version {version} of {model} died {slot.crashes.count} times within ten minutes, so it is not "
        f"tried again by itself; GET /models/{model}/versions/{version} shows what it printed last, and POST …/load "
        "tries it again",
        {"crashes": slot.crashes.count},
        retry_after=QUARANTINE_RETRY_SECONDS,
    )
