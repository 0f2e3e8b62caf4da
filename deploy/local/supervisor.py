"""The story of `make up`: start all, say when they are ready, restart who dies, stop in reverse order.

One keeper task owns each child from its first start to its last stop; the supervisor only tells them when. Not here:
what the children are (``children.py``), whether we may run at all (``home.py``), signals and printing
(``__main__.py``).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.local import messages
from deploy.local.backoff import delay_after, failures_after
from deploy.local.children import ChildSpec, names_of
from deploy.local.logs import ChildLog
from deploy.local.probes import answers_200
from deploy.local.process import Run

PROBE_SECONDS = 0.1
PATIENCE_SECONDS = 30.0
LOG_SECONDS = 5.0
REFUSED_STATUS = 2
EXIT_STOPPED = 0
EXIT_REFUSED = 2
EXIT_FORCED = 130

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Orders:
    """What the outside may ask of a supervisor at any time."""

    stop: asyncio.Event
    force: asyncio.Event


class Keeper:
    """Keep one child running until told to stop.

    A child that ends with status 2 before it was ever ready has refused its settings; starting it again cannot help,
    so ``refused`` is set instead. Any other death leads to a restart, however often.
    """

    def __init__(self, spec: ChildSpec, log: ChildLog, say: Say, orders: Orders) -> None:
        self.spec = spec
        self.ready = asyncio.Event()
        self.refused = asyncio.Event()
        self.stop = asyncio.Event()
        self.pid: int | None = None
        self.log = log
        self._say = say
        self._orders = orders
        self._was_ever_ready = False

    async def run(self) -> None:
        """Start, watch, restart; return once told to stop and the child is gone."""
        failures = 0
        while not self.stop.is_set():
            began = time.monotonic()
            status = await self._run_once(told=failures > 0)
            was_ready = self.ready.is_set()
            self.ready.clear()
            if self.stop.is_set() or self._orders.stop.is_set():
                return
            if status == REFUSED_STATUS and not self._was_ever_ready:
                self._say(messages.refused_text(self.spec.name, self.log.tail()))
                self.refused.set()
                return
            failures = failures_after(failures, time.monotonic() - began, was_ready)
            self._say(messages.died_text(self.spec.name, status, delay_after(failures), self.log.path))
            if failures == 2 and not self._was_ever_ready:
                self._say(messages.tail_text(self.spec.name, self.log.tail()))
            await _first(self.stop.wait(), self._orders.stop.wait(), seconds=delay_after(failures))

    async def _run_once(self, told: bool) -> int | None:
        """Run the child to its end, or stop it when told to; return its status, None where it could not be started."""
        try:
            run = await Run.start(self.spec, self.log)
        except OSError:
            return None
        self.pid = run.pid
        watching = asyncio.create_task(self._watch(told))
        try:
            await _first(asyncio.shield(run.ended), self.stop.wait())
            if not run.ended.done():
                await run.stop(self._orders.force)
            return await run.ended
        finally:
            watching.cancel()
            run.kill()
            self.pid = None

    async def _watch(self, told: bool) -> None:
        while not await answers_200(self.spec.ready_url):  # noqa: ASYNC110 - another process's state has no event
            await asyncio.sleep(PROBE_SECONDS)
        if told and self._was_ever_ready:
            self._say(f"{self.spec.name} is ready again")
        self._was_ever_ready = True
        self.ready.set()


class Supervisor:
    """Run children until told to stop.

    Args:
        specs: In the order of their start; they stop in reverse.
        logs: The directory for their log files.
        say: Takes each message for the user.
        on_ready: Called once, with the seconds it took, when all are ready for the first time.
    """

    def __init__(
        self, specs: Sequence[ChildSpec], logs: Path, say: Say, on_ready: Callable[[float], None] | None = None
    ) -> None:
        self._specs = specs
        self._logs = logs
        self._say = say
        self._on_ready = on_ready
        self._orders = Orders(asyncio.Event(), asyncio.Event())

    def ask_to_stop(self, *, impatient: bool = False) -> None:
        """Stop everything in order; asked again ``impatient``-ly, at once. Call it on the loop."""
        if self._orders.stop.is_set() and impatient:
            self._orders.force.set()
        self._orders.stop.set()

    @property
    def stopping(self) -> bool:
        """Tell whether it was asked to stop."""
        return self._orders.stop.is_set()

    async def run(self) -> int:
        """Start all, keep them running, stop them; return the exit code."""
        keepers = [Keeper(spec, ChildLog(log_path(self._logs, spec)), self._say, self._orders) for spec in self._specs]
        tasks = [asyncio.create_task(keeper.run()) for keeper in keepers]
        aside = [asyncio.create_task(self._announce(keepers)), asyncio.create_task(self._bound_logs(keepers))]
        refusals = [keeper.refused.wait() for keeper in keepers]
        # A keeper only ends when told to: ending otherwise is a fault of ours, and must not pass in silence.
        await _first(self._orders.stop.wait(), *refusals, *(asyncio.shield(task) for task in tasks))
        for task in aside:
            task.cancel()
        refused = any(keeper.refused.is_set() for keeper in keepers)
        self._orders.stop.set()
        for keeper, keeping in reversed(list(zip(keepers, tasks, strict=True))):
            keeper.stop.set()
            await asyncio.wait([keeping])
        for keeping in tasks:
            keeping.result()
        if self._orders.force.is_set():
            return EXIT_FORCED
        return EXIT_REFUSED if refused else EXIT_STOPPED

    async def _announce(self, keepers: Sequence[Keeper]) -> None:
        began = time.monotonic()
        while not all(keeper.ready.is_set() for keeper in keepers):
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await asyncio.gather(*(keeper.ready.wait() for keeper in keepers))
            except TimeoutError:
                waiting = [keeper.spec for keeper in keepers if not keeper.ready.is_set()]
                self._say(messages.waiting_text(names_of(waiting), time.monotonic() - began, self._logs))
        if self._on_ready is not None:
            self._on_ready(time.monotonic() - began)

    async def _bound_logs(self, keepers: Sequence[Keeper]) -> None:
        while True:
            await asyncio.sleep(LOG_SECONDS)
            for keeper in keepers:
                keeper.log.keep_bounded()


def log_path(logs: Path, spec: ChildSpec) -> Path:
    """Return the place of a child's log."""
    return logs / f"{spec.name.lower()}.log"


async def _first(*things: Awaitable[object], seconds: float | None = None) -> None:
    """Wait until one of several awaitables is done, or the time is over; cancel the others."""
    tasks = [asyncio.ensure_future(thing) for thing in things]
    try:
        await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
