"""One child's log file: rotated at every start of the supervisor, bounded while it runs, its last lines on request.

The child writes to the file itself. A pipe through the supervisor would stop the child as soon as the supervisor is
suspended (Ctrl-Z) and the pipe is full, and would break the child's output when the supervisor is killed.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from deploy.local.messages import TAIL_LINES

MAX_BYTES = 16 * 1024 * 1024
KEPT = 3
TAIL_BYTES = 32 * 1024


class ChildLog:
    """The log of one child over its runs.

    A log that cannot be written (a full disk, a directory that was removed) never keeps the child from running.

    Args:
        path: The file; older ones get ``.1`` to ``.3`` appended, ``.1`` being the youngest.
        max_bytes: The size above which ``keep_bounded`` moves the content to ``.1``.
    """

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._begin = 0
        with suppress(OSError):
            self._shift()
            if path.exists():
                path.replace(self._older(1))

    def open(self, note: str) -> int:
        """Open the file for a new run, with a line that says so; return a descriptor that the caller closes."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        try:
            descriptor = os.open(self.path, flags, 0o600)
        except OSError:
            return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        with suppress(OSError):
            os.write(descriptor, f"--- {note}\n".encode())
        self._begin = os.fstat(descriptor).st_size
        return descriptor

    def tail(self) -> list[str]:
        """Return the last lines that the present run wrote."""
        try:
            with self.path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                # After a move to `.1` the file is shorter than where the run began: all of it is the run's.
                begin = self._begin if self._begin <= size else 0
                file.seek(max(begin, size - TAIL_BYTES))
                lines = file.read(TAIL_BYTES).decode("utf-8", "replace").splitlines()
        except OSError:
            return []
        return [line for line in lines if line.strip()][-TAIL_LINES:]

    def keep_bounded(self) -> None:
        """Move the content to ``.1`` where there is too much of it.

        The child keeps the file open, so it is copied and emptied; what it writes in the moment between is lost.
        """
        with suppress(OSError):
            if self.path.stat().st_size > self._max_bytes:
                self._shift()
                shutil.copyfile(self.path, self._older(1))
                os.truncate(self.path, 0)
                self._begin = 0

    def _older(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")

    def _shift(self) -> None:
        for number in range(KEPT - 1, 0, -1):
            if self._older(number).exists():
                self._older(number).replace(self._older(number + 1))
