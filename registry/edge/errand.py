"""A request's coroutine, run without an asyncio task where it need not wait for anything.

A task takes its first step a turn of the loop later; a small predict that is answered at once needs no other. So the
first step is taken where the request's last byte came, and only what waits goes on as a task. Timeouts, and whatever
else asks for ``asyncio.current_task``, ask for one first (``in_task``). Not here: which requests are run so
(``connection.py``).
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Coroutine, Generator
from typing import Any

SPARED = 15
Work = Coroutine[Any, Any, None]


async def in_task() -> None:
    """Go on in an asyncio task: for whoever may be run as an errand, and needs timeouts, or a thing that does."""
    if asyncio.current_task() is None:
        await asyncio.sleep(0)


class Errands:
    """Begins requests of one server.

    One that had to wait says that the next will have to as well, and to be begun twice costs more than a task: so only
    one of the next few is tried.
    """

    def __init__(self) -> None:
        self._as_tasks = 0

    def begin(self, work: Work, loop: asyncio.AbstractEventLoop) -> asyncio.Task[None] | None:
        """Begin ``work``, outside of any task; return the task that goes on with it, None where it has ended."""
        if self._as_tasks:
            self._as_tasks -= 1
            return loop.create_task(work)
        try:
            awaited = work.send(None)
        except StopIteration:
            return None
        self._as_tasks = SPARED
        return loop.create_task(_go_on(work, awaited))


async def _go_on(work: Work, awaited: Any) -> None:
    await _pass_on(work, awaited)


@types.coroutine
def _pass_on(work: Work, awaited: Any) -> Generator[Any, Any, None]:
    """Hand what ``work`` waits for, ``awaited`` first, to the task that runs this, and what comes of it to ``work``."""
    try:
        while True:
            try:
                sent = None if awaited is None else (yield awaited)
            except BaseException as error:  # noqa: BLE001 -- a cancellation too is for the work to take
                awaited = work.throw(error)
            else:
                awaited = work.send(sent)
    except StopIteration:
        return
