"""Verbs of rollouts, as flows: start one, look at it, move it, wait for its end. No I/O.

Where no id is given, the model's rollout that goes on is meant; for looking, else the newest.
"""

from __future__ import annotations

from headgate import answers, requests
from headgate.errors import PASSING, Conflict, HeadgateError, NotFound, Timeout
from headgate.flows import ask
from headgate.rollouts import Rollout, RolloutSpec
from headgate.wire import Flow, Now, Pause

_FIRST_POLL_SECONDS = 0.25
_LONGEST_POLL_SECONDS = 5.0


def start(name: str, spec: RolloutSpec) -> Flow[Rollout]:
    """Start a rollout."""
    answer = yield from ask(requests.post_rollout(name, spec))
    return answers.read_as(answer, Rollout.from_json)


def rollouts(name: str) -> Flow[list[Rollout]]:
    """Return a model's rollouts, newest first."""
    answer = yield from ask(requests.get_rollouts(name))
    return answers.read_as(answer, lambda raw: [Rollout.from_json(one) for one in raw["rollouts"]])


def rollout(name: str, rollout_id: str | None) -> Flow[Rollout]:
    """Return one rollout; without an id the one that goes on, else the newest."""
    if rollout_id is None:
        found = yield from rollouts(name)
        if not found:
            raise NotFound(f"{name} has no rollout yet; `headgate rollout start {name} VERSION` starts one")
        rollout_id = next((one.id for one in found if not one.ended), found[0].id)
    answer = yield from ask(requests.get_rollout(name, rollout_id))
    return answers.read_as(answer, Rollout.from_json)


def move(name: str, rollout_id: str | None, verb: str, why: str) -> Flow[Rollout]:
    """``pause``, ``resume``, ``promote`` or ``abort`` a rollout; without an id, the one that goes on."""
    if rollout_id is None:
        found = yield from rollouts(name)
        going = next((one for one in found if not one.ended), None)
        if going is None:
            last = f"; the last one (version {found[0].version}) has {found[0].state}" if found else ""
            raise Conflict(f"no rollout of {name} is going on{last}", details={"model": name})
        rollout_id = going.id
    answer = yield from ask(requests.move_rollout(name, rollout_id, verb, why))
    return answers.read_as(answer, Rollout.from_json)


def wait(name: str, rollout_id: str | None, timeout: float | None) -> Flow[Rollout]:
    """Return a rollout once it has ended, however; look on through outages.

    Raises:
        Timeout: Where it had not after ``timeout`` seconds; the rollout goes on without us.
    """
    start_time = yield Now()
    pause, state = _FIRST_POLL_SECONDS, "unknown"
    while True:
        trouble: HeadgateError | None = None
        try:
            found = yield from rollout(name, rollout_id)
            if found.ended:
                return found
            rollout_id, state = found.id, found.state
        except PASSING as error:
            trouble = error
        now = yield Now()
        if timeout is not None and now - start_time + pause > timeout:
            raise still_going(name, state, timeout) from trouble
        yield Pause(pause)
        pause = min(pause * 1.5, _LONGEST_POLL_SECONDS)


def still_going(name: str, state: str, timeout: float) -> Timeout:
    """Return the error of waiting too short."""
    return Timeout(
        f"the rollout of {name} is still {state} after {timeout:g} s and goes on; "
        f"`headgate rollout watch {name}` shows how",
        code="wait_timeout",
    )
