"""Moving bytes in bounded memory: hashing an object as it is read, copying one inside the store, sending one in parts.

An object is read by ranges, a few at a time, in order, all bound to one ETag: whatever the file's size, a reader holds
``RANGES_AHEAD + 1`` pieces. Not here: which key means what (``artifacts.py``).
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError

from registry.adapters.s3.client import S3Client, is_precondition, reaching_s3
from registry.errors import InvalidRequest
from registry.records import Digest

MIB = 1024 * 1024
PIECE = 8 * MIB
RANGES_AHEAD = 3
_COPY_PART = 64 * MIB
_COPIES_AHEAD = 3
_MAX_PARTS = 10_000  # S3's own limit
_MAX_UPLOAD = _MAX_PARTS * 2 * PIECE
_BODY_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Place:
    """An object of the bucket."""

    client: S3Client
    bucket: str
    key: str

    def at(self) -> dict[str, str]:
        """Return the arguments that every call about it takes."""
        return {"Bucket": self.bucket, "Key": self.key}


class Changed(Exception):
    """The object is gone, or is not the one whose ETag or size was expected."""


def hash_object(place: Place, size: int, etag: str) -> Digest:
    """Read an object by ranges and return its digest; raise Changed where it is not of ``size`` and ``etag``."""
    total = hashlib.sha256()
    with ThreadPoolExecutor(RANGES_AHEAD, thread_name_prefix="s3-read") as pool:
        ahead: deque[Future[bytes]] = deque()
        try:
            for start in range(0, size, PIECE):
                ahead.append(pool.submit(read_range, place, start, min(size, start + PIECE), etag))
                if len(ahead) >= RANGES_AHEAD:
                    total.update(ahead.popleft().result())
            while ahead:
                total.update(ahead.popleft().result())
        finally:
            for future in ahead:
                future.cancel()
    return Digest("sha256:" + total.hexdigest())


def read_range(place: Place, start: int, end: int, etag: str) -> bytes:
    """Return bytes ``start`` to ``end`` (excluded) of the object with that ETag, again if the connection breaks."""
    attempts = 0
    with reaching_s3():
        while True:
            attempts += 1
            try:
                return _read_once(place, start, end, etag)
            except EndpointConnectionError:
                raise  # the client itself has tried often enough; it does not retry a body that breaks off
            except BotoCoreError:
                if attempts == _BODY_ATTEMPTS:
                    raise


def _read_once(place: Place, start: int, end: int, etag: str) -> bytes:
    try:
        answer = place.client.get_object(**place.at(), Range=f"bytes={start}-{end - 1}", IfMatch=etag)
    except ClientError as error:
        if _names_another(error):
            raise Changed from error
        raise
    data: bytes = answer["Body"].read()
    if len(data) != end - start:
        raise Changed
    return data


def _names_another(error: ClientError) -> bool:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return is_precondition(error) or status in (404, 416)


def copy_object(source: Place, target: Place, size: int, etag: str, *, replace: bool) -> None:
    """Copy inside the store, by parts of which nothing is visible before all are there.

    ``replace`` overwrites; otherwise an object that is there already stays as it is. Raises Changed where the source no
    longer has that ETag.
    """
    part = max(_COPY_PART, -(-size // _MAX_PARTS))
    origin = {"Bucket": source.bucket, "Key": source.key}

    def copy_part(number: int) -> dict[str, object]:
        start = (number - 1) * part
        try:
            answer = target.client.upload_part_copy(
                **target.at(),
                UploadId=upload,
                PartNumber=number,
                CopySource=origin,
                CopySourceIfMatch=etag,
                CopySourceRange=f"bytes={start}-{min(size, start + part) - 1}",
            )
        except ClientError as error:
            if _names_another(error):
                raise Changed from error
            raise
        return {"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"]}

    with reaching_s3():
        upload = target.client.create_multipart_upload(**target.at())["UploadId"]
        try:
            with ThreadPoolExecutor(_COPIES_AHEAD, thread_name_prefix="s3-copy") as pool:
                parts = _in_order(pool, copy_part, -(-size // part))
            _complete(target, upload, parts, replace=replace)
        except BaseException:
            _abort(target, upload)
            raise


def _in_order(
    pool: ThreadPoolExecutor, work: Callable[[int], dict[str, object]], count: int
) -> list[dict[str, object]]:
    futures = [pool.submit(work, number) for number in range(1, count + 1)]
    try:
        return [future.result() for future in futures]
    except BaseException:
        pool.shutdown(wait=True, cancel_futures=True)  # a part still on its way would outlive the abort
        raise


def _complete(target: Place, upload: str, parts: list[dict[str, object]], *, replace: bool) -> None:
    condition = {} if replace else {"IfNoneMatch": "*"}
    try:
        target.client.complete_multipart_upload(
            **target.at(), UploadId=upload, MultipartUpload={"Parts": parts}, **condition
        )
    except ClientError as error:
        if replace or not is_precondition(error):
            raise
        _abort(target, upload)  # somebody else sealed the same content first


def _abort(target: Place, upload: str) -> None:
    with contextlib.suppress(ClientError, BotoCoreError):  # what stays behind, sweep_multipart finds
        target.client.abort_multipart_upload(**target.at(), UploadId=upload)


def put_whole(target: Place, data: bytes, *, replace: bool) -> bool:
    """Store a small object in one request; return False where one was there and ``replace`` is not set."""
    condition = {} if replace else {"IfNoneMatch": "*"}
    with reaching_s3():
        try:
            target.client.put_object(**target.at(), Body=data, ContentMD5=_md5(data), **condition)
        except ClientError as error:
            if replace or not is_precondition(error):
                raise
            return False
    return True


def _md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def store_verified(target: Place, chunks: Iterable[bytes], size: int, digest: Digest) -> None:
    """Send bytes of a declared size and digest; they become visible only once both have proved right.

    Raises InvalidRequest ``digest_mismatch``, or ``body_too_large`` for a file that no multipart upload in bounded
    memory can hold.
    """
    if size > _MAX_UPLOAD:
        raise InvalidRequest(
            "body_too_large", f"a file may have at most {_MAX_UPLOAD // MIB:,} MiB; it has {size:,} bytes"
        )
    pieces = _pieces(_checked(chunks, size, digest), PIECE if size <= _MAX_PARTS * PIECE else 2 * PIECE)
    if size <= PIECE:
        put_whole(target, b"".join(pieces), replace=True)
        return
    with reaching_s3():
        upload = target.client.create_multipart_upload(**target.at())["UploadId"]
        try:
            parts = _send_parts(target, upload, pieces)
            _complete(target, upload, parts, replace=True)
        except BaseException:
            _abort(target, upload)
            raise


def _send_parts(target: Place, upload: str, pieces: Iterator[bytes]) -> list[dict[str, object]]:
    """Upload while the next piece is still coming in; at most two pieces are on their way."""

    def send(number: int, data: bytes) -> dict[str, object]:
        answer = target.client.upload_part(
            **target.at(), UploadId=upload, PartNumber=number, Body=data, ContentMD5=_md5(data)
        )
        return {"PartNumber": number, "ETag": answer["ETag"]}

    parts: list[dict[str, object]] = []
    with ThreadPoolExecutor(2, thread_name_prefix="s3-send") as pool:
        ahead: deque[Future[dict[str, object]]] = deque()
        for number, piece in enumerate(pieces, start=1):
            ahead.append(pool.submit(send, number, piece))
            if len(ahead) == 2:
                parts.append(ahead.popleft().result())
        parts.extend(future.result() for future in ahead)
    return parts


def _pieces(chunks: Iterable[bytes], length: int) -> Iterator[bytes]:
    buffer = bytearray()
    for chunk in chunks:
        buffer += chunk
        while len(buffer) >= length:
            yield bytes(buffer[:length])
            del buffer[:length]
    if buffer:
        yield bytes(buffer)


def _checked(chunks: Iterable[bytes], size: int, digest: Digest) -> Iterator[bytes]:
    """Pass bytes on; raise InvalidRequest ``digest_mismatch`` as soon as they cannot be what was declared."""
    seen, total = 0, hashlib.sha256()
    for chunk in chunks:
        seen += len(chunk)
        if seen > size:
            raise InvalidRequest("digest_mismatch", f"more than the {size:,} bytes that were declared")
        total.update(chunk)
        yield chunk
    if seen != size:
        raise InvalidRequest("digest_mismatch", f"{seen:,} bytes came of the {size:,} that were declared")
    if "sha256:" + total.hexdigest() != digest:
        raise InvalidRequest("digest_mismatch", "the bytes have another sha256 than the one that was declared")
