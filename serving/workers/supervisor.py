"""Several processes on one port: starts the workers, starts anew those that end, ends all of them in good order.

Each worker is a whole node of its own (snapshot, cache, pool, hosts) with its share of the memory. All take connections
from the one listening socket, so that a worker that ends takes none with it that it has not begun. Not here: what they
tell one another (``siblings.py``).
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from registry import log

STEADY_SECONDS = 10.0
"""How long a worker must have lived for its end to count as the first one."""
BACKOFF_SECONDS = (0.0, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
END_SECONDS = 60.0


@dataclass(slots=True)
class _Post:
    """One worker's place: its process, how often it ended in a row, and when it may be started."""

    number: int
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    ends: int = 0
    due: float = 0.0


class Supervisor:
    """Runs ``count`` workers on a listening socket. ``run`` returns once they have ended at a signal's word."""

    def __init__(self, listener: socket.socket, count: int) -> None:
        self._listener = listener
        self._posts = [_Post(number) for number in range(count)]
        self._ending = False

    def run(self) -> int:
        """Run until SIGTERM or Ctrl-C; return the exit code."""
        with tempfile.TemporaryDirectory(prefix="headgate-") as meeting, _Signals() as signals:
            try:
                while not (self._ending and all(post.process is None for post in self._posts)):
                    self._start_due(Path(meeting))
                    if signals.wait(self._until_due()):
                        self._end()
                    self._reap()
            finally:
                self._kill()
        return 0

    def _start_due(self, meeting: Path) -> None:
        for post in self._posts:
            if post.process is None and not self._ending and time.monotonic() >= post.due:
                post.started = time.monotonic()
                post.process = self._start(post.number, meeting)

    def _start(self, number: int, meeting: Path) -> subprocess.Popen[bytes]:
        descriptor = self._listener.fileno()
        place = f"{number}:{len(self._posts)}:{descriptor}:{meeting}"
        # By way of a program that asks the kernel to end it with this process: a supervisor that is killed ends nobody.
        return subprocess.Popen(  # noqa: S603 -- the platform's own words, and no shell
            (
                *(sys.executable, "-m", "serving.runtimes.launch", str(os.getpid())),
                *(sys.executable, "-m", "serving", "--worker", place),
            ),
            pass_fds=(descriptor,),
            start_new_session=True,  # Ctrl-C reaches this process alone, which tells the others once
        )

    def _until_due(self) -> float | None:
        waiting = [post.due for post in self._posts if post.process is None]
        return max(0.0, min(waiting) - time.monotonic()) if waiting and not self._ending else None

    def _reap(self) -> None:
        for post in self._posts:
            if post.process is None or post.process.poll() is None:
                continue
            status = post.process.returncode
            post.process = None
            if self._ending:
                continue
            now = time.monotonic()
            post.ends = post.ends + 1 if now - post.started < STEADY_SECONDS else 1
            post.due = now + BACKOFF_SECONDS[min(post.ends, len(BACKOFF_SECONDS)) - 1]
            log.event("worker_ended", logging.WARNING, worker=post.number, status=status, times=post.ends)

    def _end(self) -> None:
        if not self._ending:
            self._ending = True
            log.event("workers_ending", workers=len(self._posts))
        for post in self._posts:
            if post.process is not None:
                post.process.terminate()

    def _kill(self) -> None:
        until = time.monotonic() + END_SECONDS
        for post in self._posts:
            if post.process is not None:
                post.process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    post.process.wait(max(0.0, until - time.monotonic()))
                post.process.kill()


class _Signals:
    """Signals as something to wait for."""

    def __enter__(self) -> _Signals:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._read, selectors.EVENT_READ)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(-1)
        self._selector.close()
        os.close(self._read)
        os.close(self._write)

    def wait(self, seconds: float | None) -> bool:
        """Wait for a signal; tell whether it asks to end. Without ``seconds``, for as long as it takes."""
        if not self._selector.select(seconds):
            return False
        came = os.read(self._read, 4096)
        return any(number in came for number in (signal.SIGTERM, signal.SIGINT))
