"""Runs an ASGI application with uvicorn: binds first, says in one line why it cannot, stops in order.

Shared by both processes, so that they start and stop alike.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import signal
import socket
from collections.abc import Callable, Iterator
from types import FrameType

import uvicorn

from registry.edge.connection import MAX_CHUNKS, Connection
from registry.edge.errand import Errands
from registry.edge.gate import ASGIApp
from registry.edge.heads import Heads

KEEP_ALIVE_SECONDS = 5
DRAIN_SECONDS = 30
BACKLOG = 2048


class CannotListen(Exception):
    """The address cannot be had; ``str()`` is one clear line."""


def listen(host: str, port: int, variable: str) -> socket.socket:
    """Return a listening socket; raise CannotListen naming the ``variable`` that would change the port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    server = socket.socket(family, socket.SOCK_STREAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind((host.strip("[]"), port))
        server.listen(BACKLOG)
    except OSError as error:
        server.close()
        raise _cannot(error, host, port, variable) from None
    server.set_inheritable(False)
    return server


def reserve(host: str, port: int, variable: str) -> socket.socket:
    """Return a socket that keeps a port for a server which binds it by itself, in this process or in children of it.

    Whoever asks for the port after that is refused, but for sockets that share it (SO_REUSEPORT) and are this user's;
    as it does not listen, it takes no connection. Raises CannotListen as ``listen`` does.
    """
    with listen(host, port, variable) as alone:  # nobody else has it, not even somebody who would share it
        family, address = alone.family, alone.getsockname()
    place = socket.socket(family, socket.SOCK_STREAM)
    # Not SO_REUSEADDR: a socket that does not listen would let others in by it.
    place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        place.bind(address)
    except OSError as error:
        place.close()
        raise _cannot(error, host, port, variable) from None
    return place


def _cannot(error: OSError, host: str, port: int, variable: str) -> CannotListen:
    if error.errno == errno.EADDRINUSE:
        return CannotListen(f"port {port} on {host} is in use; stop what uses it, or set {variable}")
    return CannotListen(f"cannot listen on {host} port {port}: {error.strerror}")


def serve(app: ASGIApp, listener: socket.socket, *, leave: Callable[[], None], max_chunks: int = MAX_CHUNKS) -> None:
    """Answer requests until SIGTERM or Ctrl-C; then let those in flight finish, and run the application's shutdown.

    Args:
        app: The process's whole application.
        listener: What ``listen`` returned.
        leave: Called at the signal: readiness ends there.
        max_chunks: Most chunks of one chunked body.
    """
    own = {"max_chunks": max_chunks, "heads": Heads(), "errands": Errands()}
    connection: type[Connection] = type("Connection", (Connection,), own)
    config = uvicorn.Config(
        app,
        http=connection,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    # uvicorn raises the signal again once it is done, for whoever was there before: that is us, and all is well then.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    _Server(config, connection, leave).run(sockets=[listener])


class _Server(uvicorn.Server):
    """uvicorn, which says that it leaves from the moment of the signal on, and leaves nobody unanswered."""

    def __init__(self, config: uvicorn.Config, connection: type[Connection], leave: Callable[[], None]) -> None:
        super().__init__(config)
        self._connection = connection
        self._leave = leave

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end."""
        self._leave()
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take those who have knocked, then close the door; uvicorn does the rest."""
        self._connection.ending = True
        # No await up to the closing of the listeners, which is the first thing that uvicorn does: who connects between
        # the two would be reset by the kernel.
        knocked = [client for listener in sockets or () for client in _knocked(listener)]
        taking = asyncio.gather(*(self._take(client) for client in knocked), return_exceptions=True)
        await super().shutdown(sockets)
        await taking

    async def _take(self, client: socket.socket) -> None:
        def protocol() -> Connection:
            return self._connection(
                config=self.config, server_state=self.server_state, app_state=self.lifespan.state, _loop=None
            )

        _, connection = await asyncio.get_running_loop().connect_accepted_socket(protocol, client)
        connection.shutdown()


def _knocked(listener: socket.socket) -> Iterator[socket.socket]:
    """Yield the connections that the kernel has made and nobody has taken yet."""
    with contextlib.suppress(OSError):  # none is left
        listener.setblocking(False)
        while True:
            client, _ = listener.accept()
            client.setblocking(False)
            yield client


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)
