"""One environment's parent: started once, again when it has died (with back-off), or bare where it cannot fork safely.

A parent that turns out to be unsafe is kept, beside its successor, until its last host has gone: its hosts are loaded
versions. Not here: what a parent is (``parent.py``), and which environments there are (``runtime.py``).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path

from registry.log import event
from serving.runtimes.host.confinement import Confinement
from serving.runtimes.host.parent import CannotFork, Fork, ParentDied, WarmParent

BACKOFF_SECONDS = 0.2
BACKOFF_LIMIT_SECONDS = 10.0
START_SECONDS = 120.0
FAILURES_UNTIL_BARE = 2
WARM_AGAIN_SECONDS, WARM_AGAIN_LIMIT_SECONDS = 60.0, 3600.0
"""After what time a parent that died while importing is tried warm again, doubled each time: it may have been killed by
somebody, or the machine was short of something. One that got threads will get them again, and is not."""


class Nursery:
    """Gives forks of a parent that is ready.

    Args:
        python: The environment's interpreter.
        home: A directory for its parents to live in.
        idle_seconds: After what time without hosts its parent ends; the next fork starts another. None: never.
        start_seconds: How long a parent may take to import what it imports.
        again_seconds: After what time without warmth it is tried again.
        confinement: How its hosts are confined.
    """

    def __init__(
        self,
        python: Path,
        home: Path,
        idle_seconds: float | None = None,
        *,
        start_seconds: float = START_SECONDS,
        again_seconds: float = WARM_AGAIN_SECONDS,
        confinement: Confinement | None = None,
    ) -> None:
        self._python, self._home, self._confinement = python, home, confinement or Confinement()
        self._idle_seconds, self._start_seconds = idle_seconds, start_seconds
        self._parent: WarmParent | None = None
        self._starting: asyncio.Task[WarmParent] | None = None
        self._leaving: dict[WarmParent, asyncio.Task[None]] = {}
        self._rest: asyncio.TimerHandle | None = None
        self._callers = 0
        self._warm = True
        self._warm_again_at: float | None = None
        self._again_seconds = again_seconds
        self._failures = 0

    @property
    def parent(self) -> WarmParent | None:
        """The parent now, ready or not."""
        return self._parent

    @property
    def warm(self) -> bool:
        """Whether its parents import ahead."""
        return self._warm

    @property
    def idle(self) -> bool:
        """True where no host of it runs, and nobody waits for one."""
        starting = self._starting is not None and not self._starting.done()
        hosts = self._parent is not None and self._parent.hosts
        return not (self._callers or starting or hosts or self._leaving)

    def warm_up(self) -> None:
        """Begin to start a parent, unless one is there or on its way."""
        if self._starting is None or (self._starting.done() and not (self._parent and self._parent.alive)):
            self._starting = asyncio.get_running_loop().create_task(self._start())
            self._starting.add_done_callback(_seen)

    async def ready(self) -> WarmParent:
        """Return a parent that is ready, started if need be. Raises ParentDied where it cannot be."""
        self._look_again_later()
        self.warm_up()
        assert self._starting is not None
        return await asyncio.shield(self._starting)  # whoever gives up waiting must not stop it for the others

    async def fork(self, model: Path, home: Path, connection: int, output: int, *, background: bool = False) -> Fork:
        """Return a forked host, from a bare parent where a warm one cannot fork. Raises ParentDied."""
        self._callers += 1
        try:
            self.try_warmth_again()
            parent = await self.ready()
            try:
                return await parent.fork(model, home, connection, output, background=background)
            except CannotFork as refusal:
                if self._warm:
                    self._give_up_warmth(f"threads: {refusal}")
                    self._replace(parent)
                another = await self.ready()
                return await another.fork(model, home, connection, output, background=background)
        finally:
            self._callers -= 1

    async def close(self) -> None:
        """End the parents and their hosts."""
        if self._rest is not None:
            self._rest.cancel()
        if self._starting is not None:
            self._starting.cancel()
            with contextlib.suppress(asyncio.CancelledError, ParentDied):
                await self._starting
        parents = [*self._leaving, *([self._parent] if self._parent is not None else [])]
        for outliving in self._leaving.values():
            outliving.cancel()
        await asyncio.gather(*(parent.close() for parent in parents))

    async def _start(self) -> WarmParent:
        while True:
            if self._failures:
                await asyncio.sleep(min(BACKOFF_SECONDS * 2 ** min(self._failures, 10), BACKOFF_LIMIT_SECONDS))
            if self._parent is not None:
                await self._parent.close()
            self._parent = parent = WarmParent(self._python, self._home, self._warm, self._confinement)
            await parent.start()
            try:
                async with asyncio.timeout(self._start_seconds):
                    await parent.ready
            except (ParentDied, TimeoutError):
                self._failures += 1
                if not self._warm and self._failures > 2 * FAILURES_UNTIL_BARE:
                    raise ParentDied from None
                if self._warm and self._failures >= FAILURES_UNTIL_BARE:
                    self._give_up_warmth("it died while importing, or took too long")
                    self._warm_again_at = asyncio.get_running_loop().time() + self._again_seconds
                    self._again_seconds = min(2 * self._again_seconds, WARM_AGAIN_LIMIT_SECONDS)
            else:
                self._failures = 0
                return parent

    def _give_up_warmth(self, reason: str) -> None:
        self._warm, self._warm_again_at = False, None
        event("warm_parent_unusable", logging.WARNING, reason=reason, instead="fresh processes, slower to load")

    def try_warmth_again(self) -> None:
        """Have the next fork come from a warm parent, where warmth was given up and that is long enough ago."""
        starting = self._starting is not None and not self._starting.done()
        if self._warm_again_at is None or starting or asyncio.get_running_loop().time() < self._warm_again_at:
            return
        self._warm, self._warm_again_at, self._failures = True, None, 0
        event("warm_parent_tried_again")
        if self._parent is not None:
            self._replace(self._parent)
        self._starting = None

    def _replace(self, parent: WarmParent) -> None:
        """Have the next fork come from a new parent; the old one ends after its hosts."""
        if self._parent is parent:
            self._parent = None
        self._leaving[parent] = asyncio.get_running_loop().create_task(self._outlive(parent))

    async def _outlive(self, parent: WarmParent) -> None:
        await parent.childless()
        await parent.close()
        self._leaving.pop(parent, None)

    def _look_again_later(self) -> None:
        if self._idle_seconds is not None:
            if self._rest is not None:
                self._rest.cancel()
            self._rest = asyncio.get_running_loop().call_later(self._idle_seconds, self._rest_if_idle)

    def _rest_if_idle(self) -> None:
        parent = self._parent
        starting = self._starting is not None and not self._starting.done()
        if self._callers or starting or (parent is not None and parent.hosts):
            self._look_again_later()
        elif parent is not None and parent.alive:
            self._replace(parent)


def _seen(task: asyncio.Task[WarmParent]) -> None:
    # Failures are told to whoever waits; where nobody does, there is nobody to tell.
    if not task.cancelled():
        task.exception()
