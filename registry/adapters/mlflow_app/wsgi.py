"""The bridge from ASGI to MLflow's Flask application, with bounds.

Starlette's is deprecated, keeps request bodies of any size and an answer of any size in memory, and waits for ever.
Here a body has a limit, an answer is sent at the reader's pace, each wait has a deadline, and MLflow has threads of its
own. Not here: routing.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread

from registry.adapters.mlflow_app.answers import send_error
from registry.edge.gate import Receive, Scope, Send
from registry.edge.patience import PLACE_SECONDS, Places
from registry.errors import HeadgateError, InvalidRequest

BODY_BYTES = 16 * 1024 * 1024
BODY_SECONDS = 30
SEND_SECONDS = 60
THREADS = 32


class WsgiBridge:
    """An ASGI application that answers HTTP requests by calling a WSGI application in a thread.

    Args:
        app: The WSGI application.
        check: Called with the path and the body of each request that may have one; raises to refuse it.
        body_bytes: The longest body that is passed on.
        wait_seconds: How long a request may wait for one of the threads.
    """

    def __init__(
        self,
        app: Any,
        check: Callable[[str, bytes], None] = lambda path, body: None,
        *,
        body_bytes: int = BODY_BYTES,
        wait_seconds: float = PLACE_SECONDS,
    ) -> None:
        self._app = app
        self._check = check
        self._body_bytes = body_bytes
        self._places = Places(THREADS, wait_seconds)
        self._threads = anyio.CapacityLimiter(THREADS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await self._body(scope, receive)
            if body is not None:
                async with self._places.one():
                    await self._answer(scope, body, send)
        except HeadgateError as error:
            await send_error(send, error)

    async def _answer(self, scope: Scope, body: bytes, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            # In a thread: parsing 16 MiB takes longer than the loop may stand still.
            await anyio.to_thread.run_sync(self._check, scope["path"], body, limiter=self._threads)
        await anyio.to_thread.run_sync(self._run, environ_of(scope, body), send, limiter=self._threads)

    async def _body(self, scope: Scope, receive: Receive) -> bytes | None:
        declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if declared.isdigit() and int(declared) > self._body_bytes:
            raise self._too_large()
        chunks: list[bytes] = []
        size = 0
        with anyio.move_on_after(BODY_SECONDS) as waiting:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                chunks.append(message.get("body", b""))
                size += len(chunks[-1])
                if size > self._body_bytes:
                    raise self._too_large()
                if not message.get("more_body", False):
                    break
        if waiting.cancelled_caught:
            raise InvalidRequest("request_timeout", f"the body took longer than {BODY_SECONDS} s; send it faster")
        return b"".join(chunks)

    def _too_large(self) -> InvalidRequest:
        return InvalidRequest(
            "body_too_large",
            f"a request here has at most {self._body_bytes} bytes; send less at once, files as artifacts",
        )

    def _run(self, environ: dict[str, Any], send: Send) -> None:
        answer = _Answer(send)
        chunks: Iterable[bytes] = self._app(environ, answer.start)
        try:
            for chunk in chunks:
                if chunk:
                    answer.send(chunk, more=True)
            answer.send(b"", more=False)
        finally:
            close = getattr(chunks, "close", None)
            if close is not None:
                close()


class _Answer:
    """What the WSGI application says, passed to ASGI from its thread."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._head: dict[str, Any] | None = None
        self._begun = False

    def start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
        if exc_info is not None and self._begun:
            raise exc_info[1].with_traceback(exc_info[2])
        self._head = {
            "type": "http.response.start",
            "status": int(status[:3]),
            "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers],
        }

    def send(self, chunk: bytes, *, more: bool) -> None:
        if not self._begun:
            self._begun = True
            anyio.from_thread.run(self._deliver, self._head or _nothing())
        anyio.from_thread.run(self._deliver, {"type": "http.response.body", "body": chunk, "more_body": more})

    async def _deliver(self, message: dict[str, Any]) -> None:
        with anyio.fail_after(SEND_SECONDS):
            await self._send(message)


def _nothing() -> dict[str, Any]:
    return {"type": "http.response.start", "status": HTTPStatus.INTERNAL_SERVER_ERROR, "headers": []}


def environ_of(scope: Scope, body: bytes) -> dict[str, Any]:
    """Return the WSGI environment (PEP 3333) of a request whose body has been read."""
    server = scope.get("server") or ("localhost", 80)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": scope["path"].encode("utf-8").decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("ascii", "replace"),
        "SERVER_PROTOCOL": f"HTTP/{scope.get('http_version', '1.1')}",
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1] or 80),
        "REMOTE_ADDR": (scope.get("client") or ("", 0))[0],
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for raw_name, raw_value in scope["headers"]:
        # A name with an underscore would be taken for the one with hyphens, which something in front may have checked.
        if b"_" in raw_name or raw_name == b"content-length":
            continue
        name = raw_name.decode("latin-1").upper().replace("-", "_")
        key = name if name == "CONTENT_TYPE" else f"HTTP_{name}"
        value = raw_value.decode("latin-1")
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    return environ
