"""Sealed artifacts from S3, off the event loop.

boto3 is imported when the first artifact is fetched, in a thread: a node that starts with everything in its cache never
pays for it. Not here: verifying files and keeping them (``cache.py``); retrying beyond what the client does.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from registry.digest import decode_manifest
from registry.errors import Unavailable
from registry.layout import blob_key, manifest_key
from registry.records import Digest, Manifest

_T = TypeVar("_T")
_PIECE = 2 * 1024 * 1024
_MANIFEST_LIMIT = 64 * 1024 * 1024
_THREADS = 8
_CONNECT_SECONDS = 3
_READ_SECONDS = 20


class S3SealedSource:
    """``serving.ports.SealedSource`` on a bucket. Credentials come from the AWS chain.

    Args:
        endpoint: The server's address, or None for AWS.
        region: The bucket's region; servers other than AWS take any.
        bucket: The bucket's name.
    """

    def __init__(self, endpoint: str | None, region: str, bucket: str) -> None:
        self._endpoint = endpoint
        self._region = region
        self._bucket = bucket
        self._client: Any = None
        self._making = threading.Lock()
        # Threads of its own: a store that hangs must not take the threads that other work of the node needs.
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="s3")

    async def manifest(self, digest: Digest) -> Manifest:
        """Return a verified manifest."""
        return await self._run(lambda: decode_manifest(self._read(manifest_key(digest)), digest))

    async def stream(self, digest: Digest) -> AsyncIterator[bytes]:
        """Yield the bytes of a sealed file, unverified, in pieces of at most 2 MiB."""
        body = await self._run(lambda: self._open(blob_key(digest)))
        try:
            while piece := await self._run(lambda: _read_piece(body)):
                yield piece
        finally:
            # In a thread and not waited for: closing waits for a read that a cancelled caller left behind.
            with contextlib.suppress(RuntimeError):  # the threads are gone, and the connection with them
                self._threads.submit(body.close)

    async def put(self, key: str, data: bytes) -> None:
        """Store an object that is no sealed file; raise Unavailable ``artifact_unavailable``."""
        await self._run(lambda: self._put(key, data))

    async def close(self) -> None:
        """Let go of connections and threads; a read under way ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._client is not None:
            self._client.close()

    async def _run(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _read(self, key: str) -> bytes:
        body = self._open(key)
        try:
            data = bytearray()
            while piece := _read_piece(body):
                data += piece
                if len(data) > _MANIFEST_LIMIT:
                    raise Unavailable("artifact_corrupt", "the manifest of this version cannot be read", retry_after=30)
            return bytes(data)
        finally:
            body.close()

    def _open(self, key: str) -> Any:
        with _reaching_s3():
            return self._connected().get_object(Bucket=self._bucket, Key=key)["Body"]

    def _put(self, key: str, data: bytes) -> None:
        with _reaching_s3():
            self._connected().put_object(Bucket=self._bucket, Key=key, Body=data)

    def _connected(self) -> Any:
        with self._making:
            if self._client is None:
                import boto3
                from botocore.config import Config

                config = Config(
                    connect_timeout=_CONNECT_SECONDS,
                    read_timeout=_READ_SECONDS,
                    retries={"mode": "standard", "total_max_attempts": 2},
                    max_pool_connections=_THREADS,
                    s3={"addressing_style": "path" if self._endpoint else "auto"},
                    tcp_keepalive=True,
                    response_checksum_validation="when_required",  # every byte is hashed by whoever asked for it
                )
                self._client = boto3.session.Session().client(
                    "s3", endpoint_url=self._endpoint, region_name=self._region, config=config
                )
            return self._client


def _read_piece(body: Any) -> bytes:
    with _reaching_s3():
        piece: bytes = body.read(_PIECE)
        return piece


@contextmanager
def _reaching_s3() -> Iterator[None]:
    """Turn every failure of S3 within into ours. Messages name no bucket, key or address."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code")
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if status == 404 and code != "NoSuchBucket":
            raise Unavailable("artifact_corrupt", "a sealed file of this version is missing", retry_after=30) from error
        if status in (401, 403):
            message = "the object store refused this node's credentials; they need read access to its bucket"
        else:
            message = "the object store answered with an error; try again"
        raise Unavailable("artifact_unavailable", message) from error
    except BotoCoreError as error:
        raise Unavailable("artifact_unavailable", "the object store cannot be reached; try again") from error
