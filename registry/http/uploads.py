"""Routes of uploads: declare the files of a model directory, send each, commit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from fastapi import APIRouter, Request

from registry.errors import InvalidRequest
from registry.http.bodies import UploadBody
from registry.http.render import upload_file_json, upload_json
from registry.http.strict import StrictRoute
from registry.operations import Operations
from registry.records import Digest, UploadFile

IDLE_SECONDS = 30


def upload_routes(operations: Operations) -> APIRouter:
    """Return the routes, bound to ``operations``."""
    routes = APIRouter(prefix="/registry/v1/uploads", tags=["uploads"], route_class=StrictRoute)

    @routes.post("", status_code=201)
    def begin(body: UploadBody) -> Any:
        """Begin an upload of exactly these files."""
        files = [UploadFile(f.path, f.size, Digest(f"sha256:{f.sha256}")) for f in body.files]
        return upload_json(operations.begin_upload(files, int(time.time() * 1000)))

    @routes.get("/{upload_id}")
    def show(upload_id: str) -> Any:
        """Show which files have arrived, to go on after an interruption."""
        return upload_json(operations.upload(upload_id))

    @routes.put(
        "/{upload_id}/files/{path:path}",
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
            }
        },
    )
    async def receive(upload_id: str, path: str, request: Request) -> Any:
        """Send one file; it becomes visible only if its size and sha256 are as declared."""
        loop = asyncio.get_running_loop()
        chunks = _blocking(request.stream(), loop)
        return upload_file_json(await asyncio.to_thread(operations.receive, upload_id, path, chunks))

    @routes.post("/{upload_id}/commit")
    def commit(upload_id: str) -> Any:
        """Close the upload; every declared file must have arrived."""
        return upload_json(operations.commit_upload(upload_id))

    return routes


def _blocking(stream: AsyncIterator[bytes], loop: asyncio.AbstractEventLoop) -> Iterator[bytes]:
    """Read an async stream from a thread, one piece at a time: the sender waits while the store is slow."""
    while True:
        future = asyncio.run_coroutine_threadsafe(_next(stream), loop)
        try:
            chunk = future.result(IDLE_SECONDS)
        except TimeoutError as error:
            future.cancel()
            raise InvalidRequest(
                "request_timeout", f"no byte came for {IDLE_SECONDS} s; send the file again"
            ) from error
        if chunk is None:
            return
        yield chunk


async def _next(stream: AsyncIterator[bytes]) -> bytes | None:
    return await anext(stream, None)
