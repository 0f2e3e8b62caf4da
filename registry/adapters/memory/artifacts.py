"""The bucket as a dict: the same promises as S3, and ways for a test to draw a situation.

Not here: anything that outlives the process.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Iterator, Sequence

from registry.digest import MAX_FILES, decode_manifest, encode_manifest, manifest_digest, sha256_digest
from registry.errors import InvalidRequest, Unavailable
from registry.layout import MLFLOW_PREFIX, blob_key, manifest_key, upload_prefix
from registry.ports import SourceFile
from registry.records import Digest, Manifest, ManifestEntry

_UPLOADS = upload_prefix("x").removesuffix("x/")


class MemoryArtifacts:
    """``registry.ports.Artifacts`` in a dict.

    Attributes:
        objects: Key → bytes. A test may damage or remove what is there.
        down: While set, everything raises Unavailable, as with a store that cannot be reached.
    """

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.down = False
        self._lock = threading.Lock()

    def put_working_file(self, prefix: str, path: str, data: bytes) -> None:
        """Put a file where MLflow would: below ``prefix``, which ends with a slash."""
        with self._lock:
            self.objects[prefix + path] = data

    def list_files(self, prefix: str) -> Sequence[SourceFile]:
        """Return every file below ``prefix``, sorted by path."""
        if not prefix.startswith(f"{MLFLOW_PREFIX}/") or not prefix.endswith("/"):
            raise ValueError("a prefix of working files begins with mlflow/ and ends with a slash")
        with self._lock:
            self._reach()
            found = {
                k[len(prefix) :]: v for k, v in self.objects.items() if k.startswith(prefix) and not k.endswith("/")
            }
        if len(found) > MAX_FILES:
            raise InvalidRequest("not_servable", f"an artifact holds at most {MAX_FILES:,} files; this one has more")
        return [SourceFile(path, len(data), _etag(data)) for path, data in sorted(found.items())]

    def stream(self, prefix: str, file: SourceFile) -> Iterator[bytes]:
        """Yield a working file in one piece."""
        with self._lock:
            self._reach()
            data = self.objects.get(prefix + file.path)
        if data is None or (len(data), _etag(data)) != (file.size, file.etag):
            raise Unavailable("artifact_unavailable", "a file changed or went away while it was being read")
        yield data

    def seal(self, prefix: str, file: SourceFile) -> ManifestEntry:
        """Copy a working file to the key of its sha256."""
        with self._lock:
            self._reach()
            data = self.objects.get(prefix + file.path)
            if data is None or (len(data), _etag(data)) != (file.size, file.etag):
                raise Unavailable(
                    "artifact_unavailable", "a file of the model changed or went away while it was being sealed"
                )
            digest = sha256_digest(data)
            self.objects[blob_key(digest)] = data
        return ManifestEntry(file.path, len(data), digest)

    def write_manifest(self, manifest: Manifest) -> Digest:
        """Store the manifest under its digest."""
        digest = manifest_digest(manifest)
        with self._lock:
            self._reach()
            self.objects[manifest_key(digest)] = encode_manifest(manifest)
        return digest

    def read_manifest(self, digest: Digest) -> Manifest:
        """Return a manifest, verified."""
        return decode_manifest(self._get(manifest_key(digest)), digest)

    def seal_bytes(self, data: bytes) -> Digest:
        """Store bytes of the platform's own making as a sealed file."""
        digest = sha256_digest(data)
        with self._lock:
            self._reach()
            self.objects[blob_key(digest)] = data
        return digest

    def read(self, digest: Digest, limit: int) -> bytes:
        """Return a sealed file, verified; raise InvalidRequest ``not_servable`` where it is larger than ``limit``."""
        data = self._get(blob_key(digest))
        if len(data) > limit:
            raise InvalidRequest("not_servable", f"a file has {len(data):,} bytes where at most {limit:,} are read")
        if sha256_digest(data) != digest:
            raise Unavailable("artifact_corrupt", "a sealed file does not match its digest", retry_after=30)
        return data

    def receive(self, key: str, chunks: Iterable[bytes], size: int, digest: Digest) -> None:
        """Store bytes that a client sends, visible only once size and sha256 have proved right."""
        _require_upload(key)
        received = bytearray()
        for chunk in chunks:
            received += chunk
            if len(received) > size:
                raise InvalidRequest("digest_mismatch", f"more than the {size:,} bytes that were declared")
        data = bytes(received)
        if len(data) != size:
            raise InvalidRequest("digest_mismatch", f"{len(data):,} bytes came of the {size:,} that were declared")
        if sha256_digest(data) != digest:
            raise InvalidRequest("digest_mismatch", "the bytes have another sha256 than the one that was declared")
        with self._lock:
            self._reach()
            self.objects[key] = data

    def delete_prefix(self, prefix: str) -> int:
        """Delete everything below a ``mlflow/uploads/`` prefix; return how many objects."""
        _require_upload(prefix)
        if not prefix.endswith("/"):
            raise ValueError("a prefix of working files begins with mlflow/ and ends with a slash")
        with self._lock:
            self._reach()
            keys = [key for key in self.objects if key.startswith(prefix)]
            for key in keys:
                del self.objects[key]
        return len(keys)

    def _get(self, key: str) -> bytes:
        with self._lock:
            self._reach()
            data = self.objects.get(key)
        if data is None:
            raise Unavailable("artifact_corrupt", "a sealed file is missing", retry_after=30)
        return data

    def _reach(self) -> None:
        if self.down:
            raise Unavailable("artifact_unavailable", "the object store cannot be reached; try again")


def _etag(data: bytes) -> str:
    return f'"{hashlib.sha256(data).hexdigest()[:32]}"'


def _require_upload(key: str) -> None:
    if not key.startswith(_UPLOADS) or "/" not in key[len(_UPLOADS) :] or key.startswith(f"{_UPLOADS}/"):
        raise InvalidRequest("invalid_argument", "only what lies below an upload can be written or deleted")
