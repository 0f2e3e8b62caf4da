"""The node's end of one warm parent: start it, have it fork hosts, learn of their ends. The other: ``child/parent.py``.

A parent that dies takes its hosts with it (the kernel kills them), so its death settles everything that waits for it.
Not here: which environments there are and when a parent is started anew (``nursery.py``).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving.runtimes.host.confinement import Confinement
from serving.runtimes.host.output import OutputTail

CHILD = Path(__file__).parent / "child" / "__main__.py"
CLOSE_SECONDS = 3.0
_KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH")
_KEPT_PREFIXES = ("OMP_", "OPENBLAS_", "MKL_")
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class ParentDied(Exception):
    """The parent ended before it answered."""


class CannotFork(Exception):
    """The parent has threads that a fork could leave holding locks."""


@dataclass(frozen=True, slots=True)
class Fork:
    """A forked host: its process id, a descriptor for it where the kernel has them, and its exit status to come.

    The status is negative for a signal, and None where the parent died and nobody could tell.
    """

    pid: int
    pidfd: int | None
    exited: asyncio.Future[int | None]

    def kill(self) -> None:
        """End it. Nothing happens where it has ended."""
        if self.exited.done():
            return
        with contextlib.suppress(ProcessLookupError):
            if self.pidfd is None:
                os.kill(self.pid, signal.SIGKILL)
            else:
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def release(self) -> None:
        """Let go of the descriptor; call once, last."""
        if self.pidfd is not None:
            os.close(self.pidfd)


def scrubbed(environ: Mapping[str, str], home: Path) -> dict[str, str]:
    """Return the environment of a process that runs models: named variables only, so no credential by default."""
    kept = {k: v for k, v in environ.items() if k in _KEPT_VARIABLES or k.startswith(_KEPT_PREFIXES)}
    return kept | dict.fromkeys(_THREADS, "1") | {
        "HOME": str(home),
        "TMPDIR": str(home),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "GIT_PYTHON_REFRESH": "quiet",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONNOUSERSITE": "1",
    }  # fmt: skip


class WarmParent:
    """One running parent. ``start`` it, wait for ``ready``, ``fork``, ``close``."""

    def __init__(self, python: Path, home: Path, warm: bool, confinement: Confinement | None = None) -> None:
        self._python, self._home, self._warm = python, home, warm
        self._confinement = confinement or Confinement()
        self._loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[Mapping[str, Any]] = self._loop.create_future()
        self._orders: dict[int, asyncio.Future[Fork]] = {}
        self._hosts: dict[int, asyncio.Future[int | None]] = {}
        self._number = 0
        self._control: socket.socket | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._output = OutputTail()

    @property
    def alive(self) -> bool:
        """Whether it can still be asked."""
        return self._control is not None

    @property
    def hosts(self) -> int:
        """How many of its hosts live."""
        return len(self._hosts)

    @property
    def pid(self) -> int:
        """Its process id; 0 before it is started."""
        return self._process.pid if self._process else 0

    async def start(self) -> None:
        """Start the process; ``ready`` tells when it has imported what it imports."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        self._control = ours
        self._loop.add_reader(ours.fileno(), self._hear)
        with theirs:
            # The kernel ties its life to this thread's: call from the loop's own, never from a worker.
            self._process = await asyncio.create_subprocess_exec(
                *(self._python, "-I", "-B", "-u", CHILD, str(theirs.fileno()), str(os.getpid())),
                *(self._confinement.mode, self._confinement.hidden, "warm" if self._warm else "bare"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=self._output.write_end,
                stderr=self._output.write_end,
                pass_fds=(theirs.fileno(),),
                env=scrubbed(os.environ, self._home),
                cwd=self._home,
                start_new_session=True,
            )
        self._output.given()

    async def fork(self, model: Path, home: Path, connection: int, output: int, *, background: bool = False) -> Fork:
        """Have it fork a host with the given ends of its socket and its output, which comes after all others where it
        is for the ``background``. Raises ParentDied, CannotFork."""
        if self._control is None:
            raise ParentDied
        self._number += 1
        number = self._number
        confined = self._confinement.order()
        order = {
            "op": "fork",
            "id": number,
            "model": str(model),
            "home": str(home),
            "background": background,
            **confined,
        }
        answer: asyncio.Future[Fork] = self._loop.create_future()
        answer.add_done_callback(lambda fork: self._keep_user(fork, confined["user"]))
        self._orders[number] = answer
        try:
            socket.send_fds(self._control, [json.dumps(order).encode()], [connection, output])
        except OSError as error:
            self._orders.pop(number, None)
            raise ParentDied from error
        return await answer

    async def childless(self) -> None:
        """Return when its last host has ended and none is on its way."""
        while self._orders or self._hosts:
            await asyncio.wait(self._orders.values() or self._hosts.values())

    async def close(self) -> None:
        """End it and its hosts; return when it has ended."""
        self._died()
        self._output.close()
        if self._process is not None and self._process.returncode is None:
            try:
                await asyncio.wait_for(self._process.wait(), CLOSE_SECONDS)
            except TimeoutError:  # stopped, or stuck in an import: its hosts die with it
                self._process.kill()
                await self._process.wait()

    def _hear(self) -> None:
        while self._control is not None:
            try:
                text, descriptors, _, _ = socket.recv_fds(self._control, 1 << 16, 4)
            except BlockingIOError:
                return
            except OSError:
                text, descriptors = b"", []
            if text:
                self._take(json.loads(text), descriptors)
            else:
                self._died()

    def _take(self, message: Mapping[str, Any], descriptors: list[int]) -> None:
        operation = message["op"]
        if operation == "ready" and not self.ready.done():
            self.ready.set_result(message)
        elif operation == "forked":
            exited: asyncio.Future[int | None] = self._loop.create_future()
            self._hosts[message["pid"]] = exited
            pidfd = descriptors[0] if descriptors else None
            fork = Fork(_number_here(pidfd) or message["pid"], pidfd, exited)
            answer = self._orders.pop(message["id"])
            if answer.done():  # whoever asked has gone
                fork.kill()
                fork.release()
            else:
                answer.set_result(fork)
        elif operation == "refused":
            answer = self._orders.pop(message["id"])
            if not answer.done():
                answer.set_exception(CannotFork(", ".join(message["threads"])))
        elif operation == "exited":
            self._hosts.pop(message["pid"]).set_result(message["status"])

    def _keep_user(self, answer: asyncio.Future[Fork], user: int) -> None:
        if answer.cancelled() or answer.exception() is not None:
            self._confinement.give_back(user)
        else:
            answer.result().exited.add_done_callback(lambda _: self._confinement.give_back(user))

    def _died(self) -> None:
        if self._control is None:
            return
        self._loop.remove_reader(self._control.fileno())
        self._control.close()
        self._control = None
        if not self.ready.done():
            self.ready.set_exception(ParentDied())
            self.ready.exception()  # seen, whether or not anybody waits for it
        for answer in self._orders.values():
            if not answer.done():
                answer.set_exception(ParentDied())
        for exited in self._hosts.values():
            exited.set_result(None)
        self._orders.clear()
        self._hosts.clear()


def _number_here(pidfd: int | None) -> int | None:
    # A parent in a process namespace of its own knows its hosts by other numbers than we do.
    if pidfd is not None:
        with contextlib.suppress(OSError, ValueError):
            for line in Path(f"/proc/self/fdinfo/{pidfd}").read_text().splitlines():
                if line.startswith("Pid:"):
                    return max(int(line.split()[1]), 0) or None
    return None
