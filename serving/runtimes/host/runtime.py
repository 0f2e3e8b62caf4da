"""The runtime of versions in processes of their own: an environment's parent forks a host for each loaded version.

Not here: when to load and unload (``serving/pool``), how an environment comes to be (``environments.py``).
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Protocol

from registry.errors import Unavailable
from registry.records import ServableVersion
from serving.runtimes.host.nursery import Nursery
from serving.runtimes.host.output import OutputTail
from serving.runtimes.host.parent import ParentDied
from serving.runtimes.host.process import HostProcess

QUEUE_ROWS = 1024
PARALLEL_LOADS = 2
"""How many models are loaded at once: each takes a processor for itself."""
IDLE_SECONDS = 300.0
"""After what time without a host the parent of an environment ends, so that its memory returns."""


class Pythons(Protocol):
    """Where the interpreters of versions come from; ``Environments`` in a running node."""

    async def python_for(self, version: ServableVersion, seconds: float) -> Path:
        """Return the interpreter of an environment that satisfies the version."""
        ...

    async def close(self) -> None:
        """End what is under way."""
        ...


class HostRuntime:
    """Binds ``Runtime``. Call ``start`` once, in the loop's own thread.

    Args:
        environments: Where interpreters come from.
        directory: Where hosts have their temporary directories; this node's own, so leftovers in it are removed.
        queue_rows: How many rows may wait for one version.
    """

    def __init__(self, environments: Pythons, directory: Path, queue_rows: int = QUEUE_ROWS) -> None:
        self._environments, self._directory, self._queue_rows = environments, directory, queue_rows
        self._home: Path | None = None
        self._nurseries: dict[Path, Nursery] = {}
        self._hosts: set[HostProcess] = set()
        self._turns = asyncio.Semaphore(PARALLEL_LOADS)

    async def start(self) -> None:
        """Begin to warm the platform's own environment, in the background."""
        self._home = await asyncio.to_thread(_own_directory, self._directory)
        self._nursery(Path(sys.executable)).warm_up()

    async def load(self, version: ServableVersion, directory: Path, seconds: float) -> HostProcess:
        """Load a version in a process of its own; see ``Runtime``."""
        until = time.monotonic() + seconds
        python = await self._environments.python_for(version, seconds)
        try:
            async with asyncio.timeout(max(until - time.monotonic(), 0)):
                host = await self._start_host(python, directory)
        except TimeoutError:
            raise Unavailable(
                "loading", f"the version could not be loaded within {seconds:.3g} s; retry later"
            ) from None
        except ParentDied:
            raise Unavailable("loading", "the process that starts this version ended; it is started again") from None
        if (version.signature or {}).get("inputs"):
            host.forget_graph_inputs()
        return host

    async def close(self) -> None:
        """End every host, every parent, and builds that are under way."""
        await self._environments.close()
        await asyncio.gather(*(host.close() for host in self._hosts))
        await asyncio.gather(*(nursery.close() for nursery in self._nurseries.values()))
        if self._home is not None:
            await asyncio.to_thread(shutil.rmtree, self._home, ignore_errors=True)

    def _nursery(self, python: Path) -> Nursery:
        assert self._home is not None, "start() comes first"
        if python not in self._nurseries:
            own = python == Path(sys.executable)  # most versions run in it, so it stays warm
            self._nurseries[python] = Nursery(python, self._home, None if own else IDLE_SECONDS)
        return self._nurseries[python]

    async def _start_host(self, python: Path, directory: Path) -> HostProcess:
        nursery = self._nursery(python)
        # Not in a turn of its own: a parent that cannot be started must not hold up the others.
        await nursery.ready()
        async with self._turns:
            return await self._fork_host(nursery, directory)

    async def _fork_host(self, nursery: Nursery, directory: Path) -> HostProcess:
        home = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="host-", dir=self._home))
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        output = OutputTail()
        try:
            with theirs:
                fork = await nursery.fork(directory, home, theirs.fileno(), output.write_end)
        except BaseException:
            ours.close()
            output.close()
            shutil.rmtree(home, ignore_errors=True)
            raise
        output.given()
        host = HostProcess(fork, output, home, self._queue_rows)
        try:
            ours.setblocking(False)
            await asyncio.get_running_loop().create_unix_connection(lambda: host, sock=ours)
            await host.loaded()
        except BaseException:
            await host.close()
            raise
        self._hosts = {h for h in self._hosts if h.alive} | {host}
        return host


def _own_directory(directory: Path) -> Path:
    """Make a directory below ``directory``, and remove what nodes before this one have left there."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    for old in directory.glob("node-*"):
        shutil.rmtree(old, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix="node-", dir=directory))
