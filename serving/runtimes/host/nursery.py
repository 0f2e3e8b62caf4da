"""One environment's parent: started once, again when it has died (with back-off), or bare where it cannot fork safely.

Not here: what a parent is (``parent.py``), and which environments there are (``runtime.py``).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path

from registry.log import event
from serving.runtimes.host.parent import CannotFork, Fork, ParentDied, WarmParent

BACKOFF_SECONDS = 0.2
BACKOFF_LIMIT_SECONDS = 10.0
FAILURES_UNTIL_BARE = 2


class Nursery:
    """Gives forks of a parent that is ready.

    Args:
        python: The environment's interpreter.
        home: A directory for its parents to live in.
    """

    def __init__(self, python: Path, home: Path) -> None:
        self._python, self._home = python, home
        self._parent: WarmParent | None = None
        self._starting: asyncio.Task[WarmParent] | None = None
        self._warm = True
        self._failures = 0
        self._closed = False

    @property
    def parent(self) -> WarmParent | None:
        """The parent now, ready or not."""
        return self._parent

    def warm_up(self) -> None:
        """Begin to start a parent, unless one is there or on its way."""
        if self._starting is None or (self._starting.done() and not (self._parent and self._parent.alive)):
            self._starting = asyncio.get_running_loop().create_task(self._start())
            self._starting.add_done_callback(_seen)

    async def fork(self, model: Path, home: Path, connection: int, output: int) -> Fork:
        """Return a forked host, from a bare parent where a warm one cannot fork. Raises ParentDied."""
        parent = await self._ready()
        try:
            return await parent.fork(model, home, connection, output)
        except CannotFork as refusal:
            if self._warm:
                self._give_up_warmth(f"threads: {refusal}")
                await parent.close()
            return await (await self._ready()).fork(model, home, connection, output)

    async def close(self) -> None:
        """End the parent and its hosts."""
        self._closed = True
        if self._starting is not None:
            self._starting.cancel()
            with contextlib.suppress(asyncio.CancelledError, ParentDied):
                await self._starting
        if self._parent is not None:
            await self._parent.close()

    async def _ready(self) -> WarmParent:
        self.warm_up()
        assert self._starting is not None
        return await asyncio.shield(self._starting)  # whoever gives up waiting must not stop it for the others

    async def _start(self) -> WarmParent:
        while True:
            if self._failures:
                await asyncio.sleep(min(BACKOFF_SECONDS * 2**self._failures, BACKOFF_LIMIT_SECONDS))
            if self._parent is not None:
                await self._parent.close()
            self._parent = parent = WarmParent(self._python, self._home, self._warm)
            await parent.start()
            try:
                await parent.ready
            except ParentDied:
                self._failures += 1
                if not self._warm and self._failures > 2 * FAILURES_UNTIL_BARE:
                    raise
                if self._warm and self._failures >= FAILURES_UNTIL_BARE:
                    self._give_up_warmth("it died while importing")
            else:
                self._failures = 0
                return parent

    def _give_up_warmth(self, reason: str) -> None:
        self._warm = False
        event("warm_parent_unusable", logging.WARNING, reason=reason, instead="fresh processes, slower to load")


def _seen(task: asyncio.Task[WarmParent]) -> None:
    # Failures are told to whoever waits; where nobody does, there is nobody to tell.
    if not task.cancelled():
        task.exception()
