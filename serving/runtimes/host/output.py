"""What a process prints: drained as fast as it comes, of which only the end is kept.

A model that prints a gigabyte must neither block on a full pipe nor fill the node's memory. Not here: making anything
of the text; it may hold inputs, so it never enters an error or a log line.
"""

from __future__ import annotations

import asyncio
import contextlib
import os

KEEP_BYTES = 8192
_READ_BYTES = 1 << 16


class OutputTail:
    """A pipe whose last 8 KB are kept. Give ``write_end`` to a process, then call ``given``."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._read_end, self.write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        self._kept = b""
        self._given = False
        self._closed = False
        self._loop.add_reader(self._read_end, self._drain)

    @property
    def text(self) -> str:
        """The last bytes as text, without control characters but line feeds and tabs."""
        decoded = self._kept.decode("utf-8", "replace")
        return "".join(c for c in decoded if c.isprintable() or c in "\n\t")

    def given(self) -> None:
        """Close our copy of the write end: a process has its own now. Idempotent."""
        if not self._given:
            self._given = True
            os.close(self.write_end)

    def close(self) -> None:
        """Let go of the pipe; the text stays. Idempotent."""
        self.given()
        if not self._closed:
            self._drain()
            self._end()

    def _drain(self) -> None:
        # One read a turn of the loop: a flood takes its share of the loop and no more.
        with contextlib.suppress(BlockingIOError):
            data = os.read(self._read_end, _READ_BYTES)
            self._kept = (self._kept + data)[-KEEP_BYTES:]
            if not data:
                self._end()

    def _end(self) -> None:
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._read_end)
            os.close(self._read_end)
