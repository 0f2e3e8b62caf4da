"""Which interpreter a version runs in: the platform's own where that satisfies its requirements, else one built for it.

    our own libraries satisfy it                    ─► this interpreter
    it has a lock, made for machines of this kind   ─► the environment of that lock
    otherwise (admitted before locks were made,
    or on another kind of machine)                  ─► its requirements are resolved here

Environments are known by their lock, shared by all versions with an equal one, kept across restarts, and removed some
minutes after the last version that needs them left the snapshot. A caller waits for as long as it has; the build goes
on for whoever asks next. Not here: the steps of a build (``builds.py``), what lies on the disk (``shelter.py``), which
requirement lines are let in at all (``registry/requirements.py``).
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import platform
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import TypeVar

from packaging.requirements import Requirement

from registry.errors import HeadgateError, Unavailable
from registry.libraries.lockfile import fits, this_machine
from registry.libraries.satisfied import (
    Installed,
    chosen_python,
    installed,
    is_satisfied,
    parse_requirements,
    wanted,
)
from registry.log import event
from registry.records import Digest
from registry.snapshots import ServableVersion
from serving.ports import SealedSource
from serving.runtimes.builds import Builder
from serving.runtimes.locks import Locks
from serving.runtimes.shelter import Shelter

FAILURE_SECONDS = 30.0
RETRY_SECONDS = 5.0
TIDY_SECONDS = 60.0
KEEP_SECONDS = 600.0
"""How long after its last use an environment that nothing needs is kept: rollbacks and restarts come soon."""
PRUNE_SECONDS = 86_400.0
MOST_REMEMBERED = 1000
"""How many sets of requirements are remembered, of those that were asked for last."""

Vacate = Callable[[Path], Awaitable[bool]]
Work = Callable[[], Awaitable[Path]]
K = TypeVar("K")
V = TypeVar("V")


class Environments:
    """Finds or builds interpreters; binds ``Pythons``. One for a node; several nodes may share a home.

    Args:
        home: The directory below which ``environments/`` lies.
        source: Where locks are fetched from; without it, every version is resolved here.
        have: Tells what the platform's own environment holds.
        keep_seconds: How long an environment that nothing needs is kept after its last use.
    """

    def __init__(
        self,
        home: Path,
        source: SealedSource | None = None,
        have: Installed = installed,
        *,
        keep_seconds: float = KEEP_SECONDS,
        tidy_seconds: float = TIDY_SECONDS,
    ) -> None:
        self._shelter = Shelter(home.absolute() / "environments")
        self._locks = None if source is None else Locks(self._shelter.home / "locks", source)
        self._have, self._keep_seconds, self._tidy_seconds = have, keep_seconds, tidy_seconds
        self._builder = Builder(self._shelter)
        self._builds: dict[str, asyncio.Task[Path]] = {}
        self._failures: dict[str, tuple[float, HeadgateError]] = {}
        self._own: dict[tuple[tuple[str, ...], str | None], bool] = {}
        self._needed: tuple[ServableVersion, ...] | None = None  # None: nobody has said yet, so nothing may go
        self._tidying: asyncio.Task[None] | None = None
        self._pruned = time.monotonic()

    async def python_for(self, version: ServableVersion, seconds: float) -> Path:
        """Return the interpreter of an environment that satisfies the version.

        Raises Unavailable ``environment_unavailable`` where there can be none, saying why, ``loading`` where the time
        was not enough to build one (the build goes on), and what the bucket raises where its lock cannot be had.
        """
        requirements = _parsed(version)
        if self._is_own(version, requirements):
            return Path(sys.executable)
        python = chosen_python(version.python)
        lock = version.lock
        if lock is not None and self._locks is not None:
            key = lock_key(lock, python)
            ready = await asyncio.to_thread(self._shelter.hold, key)
            return ready or await self._built(key, lambda: self._from_lock(lock, version, python), seconds)
        goal = self._goal(requirements, python)
        ready = await asyncio.to_thread(self._known, goal)
        return ready or await self._built(goal, lambda: self._resolved(requirements, python), seconds)

    def start(self, vacate: Vacate) -> None:
        """Begin to remove, now and then, what is not needed any more.

        ``vacate`` ends what runs in an interpreter's environment where no model does, and tells whether nothing is
        left.
        """
        self._tidying = asyncio.get_running_loop().create_task(self._tidy_for_ever(vacate))

    def retain(self, versions: Iterable[ServableVersion]) -> None:
        """Say which versions there are: environments that none of them needs go, some minutes later. Any thread's."""
        self._needed = tuple(versions)

    async def close(self) -> None:
        """Stop builds that are under way, and let go of every environment."""
        tasks: list[asyncio.Task[Path] | asyncio.Task[None]] = [*self._builds.values()]
        if self._tidying is not None:
            tasks.append(self._tidying)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.to_thread(self._shelter.close)

    def _is_own(self, version: ServableVersion, requirements: list[Requirement]) -> bool:
        asked = (version.requirements, version.python)
        if asked not in self._own:
            _make_room(self._own)
            self._own[asked] = is_satisfied(requirements, version.python, self._have)
        return self._own[asked]

    def _goal(self, requirements: list[Requirement], python: str) -> str:
        lines = wanted(requirements, self._have)
        return hashlib.sha256("\n".join([python, platform.machine(), *lines]).encode()).hexdigest()

    def _known(self, goal: str) -> Path | None:
        key = self._builder.known(goal)
        return None if key is None else self._shelter.hold(key)

    async def _from_lock(self, digest: Digest, version: ServableVersion, python: str) -> Path:
        assert self._locks is not None
        lock = await self._locks.read(digest)
        if fits(lock, python, this_machine()):
            return await self._sheltered(await self._builder.build(lock_key(digest, python), lock, python))
        requirements = _parsed(version)
        known = await asyncio.to_thread(self._known, self._goal(requirements, python))
        return known or await self._resolved(requirements, python)

    async def _resolved(self, requirements: list[Requirement], python: str) -> Path:
        lines = wanted(requirements, self._have)
        return await self._sheltered(
            await self._builder.resolve_and_build(self._goal(requirements, python), lines, python)
        )

    async def _sheltered(self, key: str) -> Path:
        ready = await asyncio.to_thread(self._shelter.hold, key)
        if ready is None:
            message = "the environment of this version was damaged as soon as it was built; is the disk in order?"
            raise Unavailable("environment_unavailable", message)
        return ready

    async def _built(self, goal: str, work: Work, seconds: float) -> Path:
        failed = self._failures.get(goal)
        if failed is not None and time.monotonic() - failed[0] < FAILURE_SECONDS:
            raise failed[1].anew()
        if goal not in self._builds:
            self._builds[goal] = asyncio.get_running_loop().create_task(self._build(goal, work))
        build = self._builds[goal]
        done, _ = await asyncio.wait([build], timeout=seconds)
        if not done:
            message = "the libraries of this version are being installed; retry in a few seconds"
            raise Unavailable("loading", message, retry_after=RETRY_SECONDS)
        return build.result()

    async def _build(self, goal: str, work: Work) -> Path:
        try:
            return await work()
        except HeadgateError as error:
            self._failures.pop(goal, None)
            if error.code == "environment_unavailable":  # the bucket has its own patience
                _make_room(self._failures)
                self._failures[goal] = (time.monotonic(), error)
            raise
        finally:
            del self._builds[goal]

    async def _tidy_for_ever(self, vacate: Vacate) -> None:
        while True:
            await asyncio.sleep(self._tidy_seconds)
            try:
                await self.tidy(vacate)
            except (OSError, HeadgateError) as error:  # a disk that is full or away: what is not tidied today stays
                code = error.code if isinstance(error, HeadgateError) else type(error).__name__
                event("environments_not_tidied", logging.WARNING, code=code)

    async def tidy(self, vacate: Vacate) -> None:
        """Remove what no version needs, nobody runs in, and was not used for some minutes."""
        versions = self._needed
        if versions is None:
            return
        needed = await asyncio.to_thread(self._keys_of, versions)
        gone = 0
        for key in await asyncio.to_thread(self._shelter.keys):
            if key in needed or await asyncio.to_thread(self._shelter.idle_seconds, key) < self._keep_seconds:
                continue
            if self._shelter.holds(key):
                if await vacate(self._shelter.python(key)):
                    # Which counts as a use, so that it is removed some minutes from now.
                    await asyncio.to_thread(self._shelter.release, key, self._keep_seconds)
                continue
            gone += await asyncio.to_thread(self._shelter.remove, key, self._keep_seconds)
        await asyncio.to_thread(self._shelter.sweep)
        if self._locks is not None:
            locks = {version.lock for version in versions if version.lock is not None}
            await asyncio.to_thread(self._locks.sweep, locks, self._keep_seconds)
        if gone:
            event("environments_removed", count=gone)
        if time.monotonic() - self._pruned > PRUNE_SECONDS:
            self._pruned = time.monotonic()
            await self._builder.prune()

    def _keys_of(self, versions: Iterable[ServableVersion]) -> set[str]:
        keys: set[str] = set()
        for version in versions:
            try:
                requirements = _parsed(version)
            except Unavailable:
                continue  # it can have no environment
            if self._is_own(version, requirements):
                continue
            python = chosen_python(version.python)
            if version.lock is not None:
                keys.add(lock_key(version.lock, python))
            if (known := self._builder.known(self._goal(requirements, python))) is not None:
                keys.add(known)
        return keys


def lock_key(lock: Digest, python: str) -> str:
    """Return the key of a lock's environment, of the machine's kind too, because disks are shared."""
    return hashlib.sha256("\n".join([lock, python, sys.platform, platform.machine()]).encode()).hexdigest()[:32]


def _parsed(version: ServableVersion) -> list[Requirement]:
    try:
        return parse_requirements(version.requirements)
    except ValueError as error:
        raise Unavailable("environment_unavailable", str(error), retry_after=None) from None


def _make_room(remembered: dict[K, V]) -> None:
    if len(remembered) >= MOST_REMEMBERED:
        del remembered[next(iter(remembered))]
