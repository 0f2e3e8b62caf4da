"""What must be had before anything starts: the state directory, its lock, and the ports.

Each failure is a StartError, whose text is the one line that the user sees.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local.settings import StartError

LOCK_NAME = "up.lock"
# Children of a supervisor that was just killed are still letting go of their ports.
PORT_PATIENCE_SECONDS = 2.0


@contextmanager
def hold_home(home: Path) -> Iterator[None]:
    """Make the state directory and keep it to ourselves for as long as the block runs.

    The lock is the kernel's (flock): it goes when this process goes, however it ends. Children do not inherit it.
    """
    try:
        (home / "logs").mkdir(parents=True, exist_ok=True)
        descriptor = os.open(home / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StartError(
            f"cannot write to {home} ({error.strerror}); set HEADGATE_HOME to a directory that you may write to"
        ) from None
    try:
        _lock(descriptor, home)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, home: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
        who = f" (process {pid})" if pid.isdigit() else ""
        raise StartError(
            f"another `make up`{who} is using {home}; stop it, or set HEADGATE_HOME to another directory"
        ) from None
    except OSError as error:
        raise StartError(f"cannot lock {home} ({error.strerror}); HEADGATE_HOME must be on a local disk") from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)


def require_port(host: str, port: int, variable: str, patience: float = PORT_PATIENCE_SECONDS) -> None:
    """Raise StartError, naming ``variable``, where nobody could listen there; wait a little for a port in use."""
    deadline = time.monotonic() + patience
    while (error := _try_port(host, port)) is not None:
        if error.errno != errno.EADDRINUSE or time.monotonic() >= deadline:
            raise StartError(_port_message(error, host, port, variable))
        time.sleep(0.1)


def _try_port(host: str, port: int) -> OSError | None:
    """Listen for a moment; return what went wrong."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            # As servers do: connections of a former run in TIME_WAIT are no obstacle, a listener is.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except OSError as error:
        return error
    return None


def _port_message(error: OSError, host: str, port: int, variable: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is in use; stop what listens there, or set {variable} to a free port"
    if error.errno == errno.EACCES:
        return f"port {port} needs privileges; set {variable} to a port above 1023"
    return f"cannot listen on {host}, port {port} ({error.strerror}); check {variable.replace('_PORT', '_HOST')}"
