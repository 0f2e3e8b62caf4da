"""Runs an ASGI application with uvicorn: binds first, says in one line why it cannot, stops in order.

Shared by both processes, so that they start and stop alike.
"""

from __future__ import annotations

import errno
import socket

import uvicorn

KEEP_ALIVE_SECONDS = 5
DRAIN_SECONDS = 30


class CannotListen(Exception):
    """The address cannot be had; ``str()`` is one clear line."""


def listen(host: str, port: int, variable: str) -> socket.socket:
    """Return a listening socket; raise CannotListen naming the ``variable`` that would change the port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    server = socket.socket(family, socket.SOCK_STREAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind((host.strip("[]"), port))
        server.listen(2048)
    except OSError as error:
        server.close()
        if error.errno == errno.EADDRINUSE:
            raise CannotListen(f"port {port} on {host} is in use; stop what uses it, or set {variable}") from None
        raise CannotListen(f"cannot listen on {host} port {port}: {error.strerror}") from None
    server.set_inheritable(False)
    return server


def serve(app: object, server: socket.socket, *, drain_seconds: int = DRAIN_SECONDS) -> None:
    """Answer requests until SIGTERM or SIGINT; then let those in flight finish, and run the application's shutdown."""
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]  # any ASGI application
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=drain_seconds,
        backlog=2048,
    )
    uvicorn.Server(config).run(sockets=[server])
