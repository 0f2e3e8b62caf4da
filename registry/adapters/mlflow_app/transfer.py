"""``GET`` and ``PUT …/mlflow-artifacts/artifacts/<path>``: artifacts of any size, streamed to and from the bucket.

MLflow's own route writes each file to a temporary disk first, and a download begins only when all of it is there.
Here a chunk is passed on as it comes, at most one part of an upload is in memory, and a connection that stalls is
ended. Not here: which folder is whose.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
from botocore.exceptions import BotoCoreError, ClientError

from registry.adapters.mlflow_app.answers import send_error
from registry.adapters.mlflow_app.bucket import BucketRepository, OpenFile, Upload
from registry.adapters.mlflow_app.private import content_disposition, guess_mime_type
from registry.adapters.mlflow_app.sources import UPLOADS
from registry.edge.gate import Receive, Scope, Send
from registry.edge.patience import Places, Sender
from registry.errors import HeadgateError, InvalidRequest

PREFIXES = ("/api/2.0/mlflow-artifacts/artifacts/", "/ajax-api/2.0/mlflow-artifacts/artifacts/")
IDLE_SECONDS = 30
AT_ONCE = 16
"""Transfers of one kind that run at the same time; the others wait with their bodies unread."""
_CHUNK = 1 << 20


class ArtifactTransfer:
    """An ASGI application for paths that begin with one of ``PREFIXES``."""

    def __init__(self, artifacts: BucketRepository) -> None:
        self._artifacts = artifacts
        self._uploads = Places(AT_ONCE)
        self._downloads = Places(AT_ONCE)
        # Apart from the threads that answer everything else, so that slow storage holds up transfers alone.
        self._threads = anyio.CapacityLimiter(2 * AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].partition("/mlflow-artifacts/artifacts/")[2]
        try:
            if scope["method"] == "PUT":
                async with self._uploads.one():
                    await self._put(path, receive)
                await _answer(send, [(b"content-type", b"application/json")], b"{}")
            else:
                async with self._downloads.one():
                    await self._get(path, scope["method"], send)
        except HeadgateError as error:
            await send_error(send, error)

    async def _put(self, path: str, receive: Receive) -> None:
        if path.startswith(UPLOADS):
            raise InvalidRequest(
                "invalid_argument", "files below uploads/ come by /registry/v1/uploads alone, with their digests"
            )
        upload = await self._thread(self._artifacts.upload, path)
        try:
            await self._receive_into(upload, receive)
            await self._thread(upload.finish)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._thread(upload.abort)
            raise

    async def _receive_into(self, upload: Upload, receive: Receive) -> None:
        sender = Sender()
        more = True
        while more:
            began = time.monotonic()
            with anyio.move_on_after(sender.seconds_left()) as waiting:
                message = await receive()
            if waiting.cancelled_caught or message["type"] == "http.disconnect":
                raise InvalidRequest("request_timeout", "the file did not arrive whole; send it again")
            body = message.get("body", b"")
            sender.sent(len(body), time.monotonic() - began)
            if upload.add(body):
                await self._thread(upload.flush)
            more = message.get("more_body", False)

    async def _get(self, path: str, method: str, send: Send) -> None:
        opened: OpenFile = await self._thread(self._artifacts.open, path)
        name = path.rpartition("/")[2]
        headers = [
            (b"content-type", str(guess_mime_type(name)).encode("latin-1", "replace")),
            (b"content-length", str(opened.size).encode()),
            (b"content-disposition", str(content_disposition(name)).encode("latin-1", "replace")),
            (b"x-content-type-options", b"nosniff"),
        ]
        try:
            if method == "HEAD":
                await _answer(send, headers, b"")
                return
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await self._send_body(opened, send)
        finally:
            await self._thread(opened.body.close)

    async def _send_body(self, opened: OpenFile, send: Send) -> None:
        left = opened.size
        while left > 0:
            try:
                chunk: bytes = await self._thread(partial(opened.body.read, _CHUNK))
            except (BotoCoreError, ClientError, OSError) as error:
                raise ConnectionAbortedError("the bucket ended the download early") from error
            if not chunk:
                # Ending the connection is the only way left to say that the file is not whole.
                raise ConnectionAbortedError("the bucket sent less than it announced")
            left -= len(chunk)
            with anyio.fail_after(IDLE_SECONDS):
                await send({"type": "http.response.body", "body": chunk, "more_body": left > 0})
        if opened.size == 0:
            await send({"type": "http.response.body", "body": b""})

    async def _thread(self, work: Any, *arguments: Any) -> Any:
        return await anyio.to_thread.run_sync(partial(work, *arguments), limiter=self._threads)


async def _answer(send: Send, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    if body:
        headers = [*headers, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
