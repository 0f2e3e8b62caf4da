"""The bucket, on any S3: MLflow's working copies in, sealed objects out.

**How a file is sealed.** Its key is its hash, and the hash is known only after reading, so a file is read once to name
it. Then it must get under that name, whole, and as the bytes that were hashed:

* Up to 8 MiB: it is in memory already; one conditional put with Content-MD5.
* Larger: a server-side copy by parts, each bound to the ETag that was hashed, completed with ``If-None-Match: *``; then
  the sealed object is read back and hashed. Nothing is sealed before its stored bytes have been seen to be right, so
  neither a store that ignores a precondition nor a damaged copy can give a name to the wrong bytes, and a damaged
  object that was there before is replaced by a good one.

Rejected: sending the bytes a second time through this process. On the embedded SeaweedFS an upload costs twice the
processor time of a copy inside the store (8.6 s against 4.9 s a GiB), and its memory grows with the file, because at
most 10,000 parts may be sent. A staging key with a rename needs the same copy and leaves rubbish behind.

Not here: which files make an artifact and when to seal them (``registry/admission``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from threading import BoundedSemaphore

from botocore.exceptions import ClientError

from registry.adapters.s3.client import S3Client, is_missing, reaching_s3, status_of
from registry.adapters.s3.transfer import (
    MIB,
    PIECE,
    Changed,
    Place,
    copy_object,
    hash_object,
    put_whole,
    read_range,
    store_verified,
)
from registry.digest import MAX_FILES, decode_manifest, encode_manifest, manifest_digest, sha256_digest
from registry.errors import InvalidRequest, Unavailable
from registry.layout import MLFLOW_PREFIX, blob_key, manifest_key, upload_prefix
from registry.ports import SourceFile
from registry.records import Digest, Manifest, ManifestEntry

_UPLOADS = upload_prefix("x").removesuffix("x/")
_OURS = ("blobs/", f"{MLFLOW_PREFIX}/")
_TINY = MIB
_MANIFEST_LIMIT = 64 * MIB
# Files above 1 MiB that are sealed at one moment, whoever calls: each may hold four pieces of 8 MiB.
_LARGE_AT_ONCE = 2
_DELETE_BATCH = 1000


class S3Artifacts:
    """``registry.ports.Artifacts`` on one bucket. Safe for threads and processes.

    Args:
        client: From ``s3_client``.
        bucket: The bucket's name; ``ensure_bucket`` makes it where it is missing.
    """

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket
        self._large = BoundedSemaphore(_LARGE_AT_ONCE)

    def ensure_bucket(self) -> None:
        """Make the bucket unless it is there. Idempotent."""
        with reaching_s3():
            try:
                self._client.head_bucket(Bucket=self._bucket)
            except ClientError as error:
                if status_of(error) != 404:
                    raise
                self._create_bucket()

    def _create_bucket(self) -> None:
        region = self._client.meta.region_name
        abroad = self._client.meta.endpoint_url.endswith("amazonaws.com") and region != "us-east-1"
        where = {"CreateBucketConfiguration": {"LocationConstraint": region}} if abroad else {}
        try:
            self._client.create_bucket(Bucket=self._bucket, **where)
        except self._client.exceptions.BucketAlreadyOwnedByYou:
            return  # another replica was faster

    def list_files(self, prefix: str) -> Sequence[SourceFile]:
        """Return every file below ``prefix``; raise InvalidRequest ``not_servable`` where no artifact holds so many."""
        files: list[SourceFile] = []
        for item in self._below(prefix):
            if not item["Key"].endswith("/"):  # some tools leave an empty object for a folder
                files.append(SourceFile(item["Key"][len(prefix) :], int(item["Size"]), item["ETag"]))
            if len(files) > MAX_FILES:
                raise InvalidRequest(
                    "not_servable", f"an artifact holds at most {MAX_FILES:,} files; this one has more"
                )
        return sorted(files, key=lambda file: file.path)

    def _below(self, prefix: str) -> Iterator[dict[str, str]]:
        if not prefix.startswith(f"{MLFLOW_PREFIX}/") or not prefix.endswith("/"):
            raise ValueError("a prefix of working files begins with mlflow/ and ends with a slash")
        with reaching_s3():
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix):
                yield from page.get("Contents", ())

    def seal(self, prefix: str, file: SourceFile) -> ManifestEntry:
        """Copy a working file to the key of its sha256; see the module's text for the order of things."""
        source = self._place(prefix + file.path)
        try:
            if file.size <= _TINY:
                digest = self._seal_small(source, file)
            else:
                with self._large:
                    digest = self._seal_small(source, file) if file.size <= PIECE else self._seal_large(source, file)
        except Changed as error:
            raise _changed() from error
        return ManifestEntry(file.path, file.size, digest)

    def stream(self, prefix: str, file: SourceFile) -> Iterator[bytes]:
        """Yield a working file in pieces: the ``WorkingFiles`` port."""
        source = self._place(prefix + file.path)
        try:
            for start in range(0, file.size, PIECE):
                yield read_range(source, start, min(file.size, start + PIECE), file.etag)
        except Changed as error:
            raise Unavailable("artifact_unavailable", "a file changed or went away while it was being read") from error

    def _seal_small(self, source: Place, file: SourceFile) -> Digest:
        data = read_range(source, 0, file.size, file.etag) if file.size else self._read_empty(source, file.etag)
        digest = sha256_digest(data)
        self._put_once(blob_key(digest), data)
        return digest

    def _read_empty(self, source: Place, etag: str) -> bytes:
        """An empty file has no range to ask for; make sure that it still is empty."""
        found = self._stat(source)
        if found != (0, etag):
            raise Changed
        return b""

    def _put_once(self, key: str, data: bytes) -> None:
        place = self._place(key)
        if put_whole(place, data, replace=False):
            return
        stored = self._stat(place)
        if stored is None or stored[0] != len(data) or self._differs(place, stored, sha256_digest(data)):
            put_whole(place, data, replace=True)  # what was there had been damaged

    def _seal_large(self, source: Place, file: SourceFile) -> Digest:
        digest = hash_object(source, file.size, file.etag)
        target = self._place(blob_key(digest))
        stored = self._stat(target)
        if stored is not None and not self._differs(target, stored, digest):
            return digest
        copy_object(source, target, file.size, file.etag, replace=stored is not None)
        stored = self._stat(target)
        if stored is None or self._differs(target, stored, digest):
            with reaching_s3():
                self._client.delete_object(**target.at())
            raise _changed()
        return digest

    def _stat(self, place: Place) -> tuple[int, str] | None:
        with reaching_s3():
            try:
                answer = self._client.head_object(**place.at())
            except ClientError as error:
                if status_of(error) != 404:
                    raise
                return None
        return int(answer["ContentLength"]), answer["ETag"]

    def _differs(self, place: Place, stored: tuple[int, str], digest: Digest) -> bool:
        """Read a stored object back; True where it is not what its key says."""
        size, etag = stored
        try:
            found = hash_object(place, size, etag)
        except Changed as error:  # replaced by another sealer in this moment: let the caller's caller try again
            raise Unavailable("artifact_unavailable", "a sealed file is being repaired; try again") from error
        return found != digest

    def write_manifest(self, manifest: Manifest) -> Digest:
        """Store the manifest under its digest."""
        digest = manifest_digest(manifest)
        self._put_once(manifest_key(digest), encode_manifest(manifest))
        return digest

    def read_manifest(self, digest: Digest) -> Manifest:
        """Return a manifest, verified."""
        with _limited("artifact_corrupt"):
            return decode_manifest(self._get(manifest_key(digest), _MANIFEST_LIMIT), digest)

    def seal_bytes(self, data: bytes) -> Digest:
        """Store bytes of the platform's own making as a sealed file."""
        digest = sha256_digest(data)
        self._put_once(blob_key(digest), data)
        return digest

    def read(self, digest: Digest, limit: int) -> bytes:
        """Return a sealed file, verified; raise InvalidRequest ``not_servable`` where it is larger than ``limit``."""
        data = self._get(blob_key(digest), limit)
        if hashlib.sha256(data).hexdigest() != digest.removeprefix("sha256:"):
            raise Unavailable("artifact_corrupt", "a sealed file does not match its digest", retry_after=30)
        return data

    def _get(self, key: str, limit: int) -> bytes:
        with reaching_s3():
            try:
                answer = self._client.get_object(**self._place(key).at())
            except ClientError as error:
                if not is_missing(error):
                    raise
                raise Unavailable("artifact_corrupt", "a sealed file is missing", retry_after=30) from error
            size = int(answer["ContentLength"])
            if size > limit:
                answer["Body"].close()
                raise InvalidRequest("not_servable", f"a file has {size:,} bytes where at most {limit:,} are read")
            data: bytes = answer["Body"].read()
            return data

    def receive(self, key: str, chunks: Iterable[bytes], size: int, digest: Digest) -> None:
        """Store bytes that a client sends, visible only once size and sha256 have proved right."""
        store_verified(self._place(_uploaded(key)), chunks, size, digest)

    def delete_prefix(self, prefix: str) -> int:
        """Delete everything below a ``mlflow/uploads/`` prefix; return how many objects."""
        keys = [item["Key"] for item in self._below(_uploaded(prefix))]
        with reaching_s3():
            for start in range(0, len(keys), _DELETE_BATCH):
                batch = [{"Key": key} for key in keys[start : start + _DELETE_BATCH]]
                answer = self._client.delete_objects(Bucket=self._bucket, Delete={"Objects": batch, "Quiet": True})
                if answer.get("Errors"):
                    raise Unavailable("artifact_unavailable", "the object store did not delete everything; try again")
        return len(keys)

    def sweep_multipart(self, older_than_seconds: float) -> int:
        """Abort our unfinished multipart uploads that began longer ago than that; return how many.

        A process that dies while it seals or receives leaves one behind: invisible, but it takes space.
        """
        before, swept = datetime.now(UTC) - timedelta(seconds=older_than_seconds), 0
        with reaching_s3():
            for page in self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self._bucket):
                for upload in page.get("Uploads", ()):
                    if upload["Initiated"] <= before and upload["Key"].startswith(_OURS):
                        self._client.abort_multipart_upload(
                            Bucket=self._bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                        )
                        swept += 1
        return swept

    def _place(self, key: str) -> Place:
        return Place(self._client, self._bucket, key)


@contextmanager
def _limited(code: str) -> Iterator[None]:
    """A manifest that is too large to be one is damaged."""
    try:
        yield
    except InvalidRequest as error:
        raise Unavailable(code, "the manifest of this version cannot be read", retry_after=30) from error


def _uploaded(key: str) -> str:
    """Return ``key`` if it lies below an upload's own prefix: nothing else may ever be overwritten or deleted."""
    if not key.startswith(_UPLOADS) or "/" not in key[len(_UPLOADS) :] or key.startswith(f"{_UPLOADS}/"):
        raise InvalidRequest("invalid_argument", "only what lies below an upload can be written or deleted")
    return key


def _changed() -> Unavailable:
    return Unavailable("artifact_unavailable", "a file of the model changed or went away while it was being sealed")
