"""Routes of uploads: declare the files of a model directory, send each, commit."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fastapi import APIRouter, Request

from registry.edge.patience import Places
from registry.http.arriving import blocking
from registry.http.bodies import UploadBody
from registry.http.render import upload_file_json, upload_json
from registry.http.strict import StrictRoute
from registry.operations import Operations
from registry.records import Digest, UploadFile

AT_ONCE = 16
"""Files that are received at the same time; the others wait with their bodies unread."""


def upload_routes(operations: Operations) -> APIRouter:
    """Return the routes, bound to ``operations``."""
    routes = APIRouter(prefix="/registry/v1/uploads", tags=["uploads"], route_class=StrictRoute)
    places = Places(AT_ONCE)
    # Of their own: an upload holds its thread for as long as the sender takes, and others must be answered meanwhile.
    threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="upload")

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
        async with places.one():
            chunks = blocking(request.stream(), loop)
            return upload_file_json(await loop.run_in_executor(threads, operations.receive, upload_id, path, chunks))

    @routes.post("/{upload_id}/commit")
    def commit(upload_id: str) -> Any:
        """Close the upload; every declared file must have arrived."""
        return upload_json(operations.commit_upload(upload_id))

    return routes
