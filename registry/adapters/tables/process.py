"""The registry's end of reading a table: a process for each, bounded in time, memory and what it may answer.

Of the answer nothing is believed: it is parsed as a baseline like any other, an error is one that a table may cause,
and nothing is ever unpickled. Not here: the other end (``child.py``).
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Mapping
from threading import BoundedSemaphore
from typing import Any, BinaryIO

from registry.baselines import Baseline
from registry.errors import HeadgateError, Internal, InvalidRequest, Refused
from registry.log import WARNING, event
from registry.monitoring.ports import MadeOfTable, TableOrder

AT_ONCE = 2
PLACE_SECONDS = 30.0
SECONDS = 600
ANSWER_BYTES = 64 << 20
_KEPT = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH")
# malloc itself: the other allocators reserve more address space than they use, and give less of it back.
_SET = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "ARROW_IO_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
}


class TableProcesses:
    """The ``Tables`` port (``monitoring/ports.py``).

    Args:
        seconds: How long reading one table may take.
        place_seconds: How long to wait while others read.
    """

    def __init__(self, seconds: int = SECONDS, place_seconds: float = PLACE_SECONDS) -> None:
        self._seconds = seconds
        self._place_seconds = place_seconds
        self._places = BoundedSemaphore(AT_ONCE)

    def make(self, file: BinaryIO, order: TableOrder) -> MadeOfTable:
        """Read a table that is a file of this machine; see ``Tables.make``."""
        if not self._places.acquire(timeout=self._place_seconds):
            raise Refused("overloaded", "other tables are being read; send this one again", retry_after=10)
        try:
            return understood(_run(file, order_json(order, self._seconds), self._seconds))
        finally:
            self._places.release()


def order_json(order: TableOrder, seconds: int) -> bytes:
    """Return what the process is told."""
    told = {
        "form": order.form.value,
        "signature": None if order.signature is None else dict(order.signature),
        "prediction": order.prediction,
        "origin": order.origin.value,
        "seconds": seconds,
    }
    return json.dumps(told).encode()


def _run(file: BinaryIO, order: bytes, seconds: int) -> bytes:
    descriptor = file.fileno()
    process = subprocess.Popen(  # noqa: S603 -- our own interpreter and module, and two numbers
        [sys.executable, "-I", "-B", "-m", "registry.adapters.tables.child", str(descriptor), str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pass_fds=(descriptor,),
        env=environment(os.environ),
        cwd="/",
        start_new_session=True,
    )
    try:
        return _talk(process, order, time.monotonic() + seconds)
    finally:
        process.kill()
        process.wait()


def environment(ours: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that a reader gets: named ones only, so no credential."""
    return {name: ours[name] for name in _KEPT if name in ours} | _SET


def _talk(process: subprocess.Popen[bytes], order: bytes, deadline: float) -> bytes:
    """Give the order, then return the answer; raise InvalidRequest where it takes too long or the process dies."""
    assert process.stdin is not None and process.stdout is not None
    answer = bytearray()
    with process.stdin, process.stdout, selectors.DefaultSelector() as selector:
        try:
            process.stdin.write(order)  # it reads all of it before it does anything else
            process.stdin.close()
        except BrokenPipeError:
            raise _lost("died") from None
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise _lost("slow")
            piece = os.read(process.stdout.fileno(), 1 << 20)
            if not piece:
                break
            answer += piece
            if len(answer) > ANSWER_BYTES:
                raise _lost("died")
    if not answer:
        raise _lost("died")
    return bytes(answer)


def _lost(reason: str) -> HeadgateError:
    event("baseline.reader_lost", WARNING, reason=reason)
    if reason == "slow":
        return InvalidRequest(
            "body_too_large", "the table took too long to read; send a sample of its rows", {"reason": "too_slow"}
        )
    return InvalidRequest("invalid_input", "the table is damaged, or of another format", {"reason": "unreadable"})


def understood(answer: bytes) -> MadeOfTable:
    """Return what the process said; raise the refusal, or InvalidRequest where it said nothing sensible."""
    try:
        told: dict[str, Any] = json.loads(answer)
        if "refused" not in told:
            made = Baseline.from_bytes(str(told["baseline"]).encode())
            return MadeOfTable(made, tuple(str(name) for name in told["ignored"]))
        refused = told["refused"]
        error = _error(str(refused["code"]), str(refused["message"]), dict(refused["details"]))
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        raise _lost("died") from None
    raise error


def _error(code: str, message: str, details: dict[str, Any]) -> HeadgateError:
    if code in InvalidRequest.codes:
        return InvalidRequest(code, message, details)
    return Internal("internal", "the table could not be read, which is a fault of the platform")
