"""The runtime of versions in processes of their own: an environment's parent forks a host for each loaded version.

Not here: when to load and unload (``serving/pool``), how an environment comes to be (``environments.py``).
"""

from __future__ import annotations

import asyncio
import socket
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Protocol

from registry.errors import ModelFault, Unavailable
from registry.snapshots import ServableVersion
from serving.ports import LoadFault
from serving.runtimes.host.child.courtesy import answer_first
from serving.runtimes.host.confinement import Confinement
from serving.runtimes.host.homes import remove
from serving.runtimes.host.nursery import Nursery
from serving.runtimes.host.output import OutputTail
from serving.runtimes.host.parent import ParentDied
from serving.runtimes.host.process import HostProcess
from serving.runtimes.host.shared import share
from serving.runtimes.host.version import Bounds, HostedVersion

PARALLEL_LOADS = 2
"""How many models are loaded at once: each takes a processor for itself."""
SEND_BYTES = 2 << 20
TURN_SECONDS = 2.0
"""How long a load keeps its turn; one that takes longer goes on beside the next."""
IDLE_SECONDS = 300.0
"""After what time without a host the parent of an environment ends, so that its memory returns."""


class Pythons(Protocol):
    """Where the interpreters of versions come from; ``Environments`` in a running node."""

    async def python_for(self, version: ServableVersion, seconds: float) -> Path:
        """Return the interpreter of an environment that satisfies the version."""
        ...

    def start(self, vacate: Callable[[Path], Awaitable[bool]]) -> None:
        """Begin to tidy; ``vacate`` ends an interpreter's parent where no host of it runs, and tells if none does."""
        ...

    def retain(self, versions: Iterable[ServableVersion]) -> None:
        """Say which versions there are."""
        ...

    async def close(self) -> None:
        """End what is under way."""
        ...


class HostRuntime:
    """Binds ``Runtime``. Call ``start`` once, in the loop's own thread.

    Args:
        environments: Where interpreters come from.
        directory: Where hosts have their temporary directories; this node's own, so leftovers in it are removed.
        bounds: How many rows may wait for one version, and share a batch.
        confinement: How hosts are confined.
    """

    def __init__(
        self,
        environments: Pythons,
        directory: Path,
        bounds: Bounds | None = None,
        confinement: Confinement | None = None,
    ) -> None:
        self._environments, self._directory, self._bounds = environments, directory, bounds or Bounds()
        self._confinement = confinement or Confinement()
        self._home: Path | None = None
        self._nurseries: dict[Path, Nursery] = {}
        self._versions: set[HostedVersion] = set()
        self._turns = asyncio.Semaphore(PARALLEL_LOADS)

    async def start(self) -> None:
        """Begin to warm the platform's own environment, in the background."""
        answer_first()
        self._home = await asyncio.to_thread(_own_directory, self._directory)
        self._environments.start(self._vacate)
        self._nursery(Path(sys.executable)).warm_up()

    async def load(self, version: ServableVersion, directory: Path, seconds: float) -> HostedVersion:
        """Load a version in processes of its own, as many as its plan says; see ``Runtime``."""
        until = time.monotonic() + seconds
        python = await self._environments.python_for(version, seconds)

        async def start() -> HostProcess:
            return await self._start_host(python, directory, version.background)

        try:
            async with asyncio.timeout(max(until - time.monotonic(), 0)):
                hosts = await _all_or_none(start() for _ in range(max(version.instances, 1)))
        except TimeoutError:
            raise Unavailable(
                "loading", f"the version could not be loaded within {seconds:.3g} s; retry later"
            ) from None
        except ParentDied:
            raise Unavailable("loading", "the process that starts this version ended; it is started again") from None
        signed = bool((version.signature or {}).get("inputs"))
        loaded = HostedVersion(hosts, start, bounds=self._bounds, signed=signed, name=version.digest)
        self._versions = {v for v in self._versions if v.alive} | {loaded}
        return loaded

    def retain(self, versions: Iterable[ServableVersion]) -> None:
        """Say which versions there are: environments that none of them needs go, some minutes later."""
        self._environments.retain(versions)

    async def _vacate(self, python: Path) -> bool:
        nursery = self._nurseries.get(python)
        if nursery is not None and nursery.idle:
            del self._nurseries[python]
            await nursery.close()
            return True
        return nursery is None

    async def close(self) -> None:
        """End every host, every parent, and builds that are under way."""
        await self._environments.close()
        await asyncio.gather(*(version.close() for version in self._versions))
        await asyncio.gather(*(nursery.close() for nursery in self._nurseries.values()))
        if self._home is not None:
            await asyncio.to_thread(remove, self._home)

    def _nursery(self, python: Path) -> Nursery:
        assert self._home is not None, "start() comes first"
        if python not in self._nurseries:
            own = python == Path(sys.executable)  # most versions run in it, so it stays warm
            idle = None if own else IDLE_SECONDS
            self._nurseries[python] = Nursery(python, self._home, idle, confinement=self._confinement)
        return self._nurseries[python]

    async def _start_host(self, python: Path, directory: Path, background: bool) -> HostProcess:
        nursery = self._nursery(python)
        # Not in a turn of its own: a parent that cannot be started must not hold up the others.
        await nursery.ready()
        await self._turns.acquire()
        turn = asyncio.get_running_loop().create_future()
        turn.add_done_callback(lambda _: self._turns.release())
        # A model that hangs while it is loaded must not keep others from being loaded: after a while it is overtaken.
        overtaken = asyncio.get_running_loop().call_later(TURN_SECONDS, turn.cancel)
        try:
            return await self._fork_host(nursery, directory, background)
        finally:
            overtaken.cancel()
            turn.cancel()

    async def _fork_host(self, nursery: Nursery, directory: Path, background: bool) -> HostProcess:
        home = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="host-", dir=self._home))
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        for end in (ours, theirs):  # so that a batch of a thousand rows goes in one piece; the kernel may give less
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)
        output = OutputTail()
        try:
            shared = share(ours)
            with theirs:
                descriptors = theirs.fileno(), output.write_end
                fork = await nursery.fork(directory, home, *descriptors, background=background)
        except BaseException:
            ours.close()
            output.close()
            await asyncio.to_thread(remove, home)
            raise
        output.given()
        host = HostProcess(fork, output, home, shared=shared)
        try:
            ours.setblocking(False)
            await asyncio.get_running_loop().create_unix_connection(lambda: host, sock=ours)
            await host.loaded()
            self._confinement.tell(host.ready.confined, host.ready.unconfined)
        except BaseException as error:
            await host.close()
            if isinstance(error, ModelFault):
                raise LoadFault.of(error, died=not host.spoke, last_output=host.last_output) from None
            raise
        return host


async def _all_or_none(starts: Iterable[Awaitable[HostProcess]]) -> list[HostProcess]:
    """Return all hosts, or end those that came and raise what the first of the others raised."""
    tasks = [asyncio.ensure_future(start) for start in starts]
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException:
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, HostProcess):
                await outcome.close()
        raise


def _own_directory(directory: Path) -> Path:
    """Make a directory below ``directory``, and remove what nodes before this one have left there."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    for old in directory.glob("node-*"):
        remove(old)
    return Path(tempfile.mkdtemp(prefix="node-", dir=directory))
