"""One run of one child: start it, learn how it ended, end it.

Every run is a session and process group of its own: Ctrl-C in the terminal reaches only the supervisor, which then
stops all in order, and what a child leaves behind can be swept away with its group.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, STDOUT
from contextlib import suppress
from pathlib import Path

from deploy.local.children import ChildSpec
from deploy.local.logs import ChildLog

LAUNCHER = Path(__file__).with_name("child.py")


class Run:
    """A child that runs. Make it with ``start``, on a loop in the main thread (see ``child.py``)."""

    def __init__(self, spec: ChildSpec, process: asyncio.subprocess.Process) -> None:
        self.pid = process.pid
        self._spec = spec
        self._process = process
        self._swept = False
        self.ended: asyncio.Task[int] = asyncio.create_task(self._wait())

    @classmethod
    async def start(cls, spec: ChildSpec, log: ChildLog) -> Run:
        """Start the child; raise OSError where the system refuses."""
        output = log.open(f"{spec.name} starts")
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", str(LAUNCHER), "--parent", str(os.getpid()), "--", *spec.argv),
                env=dict(spec.env),
                stdin=DEVNULL,
                stdout=output,
                stderr=STDOUT,
                start_new_session=True,
            )
        finally:
            os.close(output)
        return cls(spec, process)

    async def stop(self, force: asyncio.Event) -> None:
        """End it: SIGTERM, a bounded wait that ``force`` cuts short, SIGKILL. Return once it is gone."""
        with suppress(ProcessLookupError):
            self._process.terminate()
        forced = asyncio.create_task(force.wait())
        await asyncio.wait((self.ended, forced), timeout=self._spec.stop_seconds, return_when=asyncio.FIRST_COMPLETED)
        forced.cancel()
        self.kill()
        await asyncio.wait([self.ended])

    def kill(self) -> None:
        """End it and all of its group at once; nothing happens once it has ended."""
        if self._swept:
            return  # the number may be another group's by now
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    async def _wait(self) -> int:
        status = await self._process.wait()
        # Nothing that it forked may live on beside its successor.
        self.kill()
        self._swept = True
        return status
