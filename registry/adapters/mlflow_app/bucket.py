"""MLflow's artifacts in the bucket: the repository its server routes use, and streams for files of any size.

It offers no presigned or multipart addresses on purpose: MLflow's client then sends and fetches through the registry,
so that bucket addresses and credentials stay inside. Memory is bounded whatever the file's size. Not here: HTTP.
"""

from __future__ import annotations

import mimetypes
import tempfile
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import md5
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from registry.adapters.mlflow_app.private import ArtifactRepository, FileInfo
from registry.adapters.mlflow_app.sources import path_problem
from registry.errors import InvalidRequest, NotFound, Unavailable, quote

PART_BYTES = 5 * 1024 * 1024
"""The smallest part that S3 takes."""
_PARTS_OF_ONE_SIZE = 1000
_MISSING = frozenset({"NoSuchKey", "404", "NotFound"})


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A file being read: its size in bytes, and the stream, which must be closed."""

    size: int
    body: Any


class BucketRepository(ArtifactRepository):  # type: ignore[misc]  # MLflow has no types for mypy
    """Artifacts below one prefix of one bucket, which a boto3 client reaches. Safe to use from several threads."""

    def __init__(self, s3: Any, bucket: str, prefix: str) -> None:
        super().__init__(f"s3://{bucket}/{prefix}")
        self._bucket = bucket
        self._root = f"{prefix}/"
        self._s3 = s3

    def log_artifact(self, local_file: str, artifact_path: str | None = None) -> None:
        """Store a local file."""
        name = Path(local_file).name
        upload = self.upload(f"{artifact_path}/{name}" if artifact_path else name)
        try:
            with Path(local_file).open("rb") as file:
                while chunk := file.read(1 << 20):
                    upload.write(chunk)
            upload.finish()
        except BaseException:
            upload.abort()
            raise

    def log_artifacts(self, local_dir: str, artifact_path: str | None = None) -> None:
        """Store a local folder."""
        root = Path(local_dir)
        for file in sorted(p for p in root.rglob("*") if p.is_file()):
            below = file.parent.relative_to(root).as_posix()
            folder = "/".join(part for part in (artifact_path or "", "" if below == "." else below) if part)
            self.log_artifact(str(file), folder or None)

    def list_artifacts(self, path: str | None = None) -> list[Any]:
        """Return what lies directly below ``path``; nothing where it is a file."""
        prefix = f"{self._key(path)}/" if path else self._root
        found = []
        with _translated():
            for page in self._s3.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=prefix, Delimiter="/"
            ):
                found += [
                    FileInfo(self._path(p["Prefix"].rstrip("/")), True, None) for p in page.get("CommonPrefixes", ())
                ]
                found += [
                    FileInfo(self._path(o["Key"]), False, o["Size"])
                    for o in page.get("Contents", ())
                    if not o["Key"].endswith("/")
                ]
        return sorted(found, key=lambda info: str(info.path))

    def open(self, path: str) -> OpenFile:
        """Open a file; raise NotFound ``not_found`` where there is none."""
        with _translated(path):
            answer = self._s3.get_object(Bucket=self._bucket, Key=self._key(path))
            return OpenFile(int(answer["ContentLength"]), answer["Body"])

    def upload(self, path: str) -> Upload:
        """Begin to store a file; nothing is visible before ``finish``."""
        return Upload(self._s3, self._bucket, self._key(path))

    def download_artifacts(self, artifact_path: str, dst_path: str | None = None) -> str:
        """Copy one file to a local folder for a page that shows it; return where it is."""
        target = Path(dst_path or tempfile.mkdtemp()) / Path(artifact_path).name
        self._download_file(artifact_path, str(target))
        return str(target)

    def _download_file(self, remote_file_path: str, local_path: str) -> None:
        opened = self.open(remote_file_path)
        with _translated(remote_file_path), Path(local_path).open("wb") as file:
            try:
                for chunk in opened.body.iter_chunks(1 << 20):
                    file.write(chunk)
            finally:
                opened.body.close()

    def delete_artifacts(self, artifact_path: str | None = None) -> None:
        """Refuse: what MLflow logged is kept."""
        raise InvalidRequest("invalid_argument", "artifacts are kept; delete the run or the version instead")

    def _key(self, path: str) -> str:
        problem = path_problem(path)
        if problem:
            raise InvalidRequest("invalid_argument", f"the artifact path '{quote(path)}' {problem}")
        return self._root + path

    def _path(self, key: str) -> str:
        return key.removeprefix(self._root)


class Upload:
    """One file on its way into the bucket: at most one part in memory, no file on disk."""

    def __init__(self, s3: Any, bucket: str, key: str) -> None:
        self._s3 = s3
        self._target = {"Bucket": bucket, "Key": key}
        guessed = mimetypes.guess_type(key)[0]
        self._content = {"ContentType": guessed} if guessed else {}
        self._chunks: list[bytes] = []
        self._held = 0
        self._id: str | None = None
        self._parts: list[dict[str, Any]] = []

    def add(self, chunk: bytes) -> bool:
        """Take bytes without waiting; return whether a part is full, and ``flush`` is due."""
        self._chunks.append(chunk)
        self._held += len(chunk)
        # Parts grow, so that the 10,000 that S3 allows suffice for a file of several hundred gigabytes.
        return self._held >= PART_BYTES * (1 + len(self._parts) // _PARTS_OF_ONE_SIZE)

    def write(self, chunk: bytes) -> None:
        """Take bytes; send a part when it is full."""
        if self.add(chunk):
            self.flush()

    def flush(self) -> None:
        """Send what is held as a part."""
        with _translated():
            if self._id is None:
                self._id = self._s3.create_multipart_upload(**self._target, **self._content)["UploadId"]
            number = len(self._parts) + 1
            answer = self._s3.upload_part(**self._target, UploadId=self._id, PartNumber=number, **self._take())
            self._parts.append({"ETag": answer["ETag"], "PartNumber": number})

    def finish(self) -> None:
        """Make the file visible, whole."""
        if self._id is None:
            with _translated():
                self._s3.put_object(**self._target, **self._content, **self._take())
            return
        if self._held:
            self.flush()
        with _translated():
            self._s3.complete_multipart_upload(
                **self._target, UploadId=self._id, MultipartUpload={"Parts": self._parts}
            )

    def abort(self) -> None:
        """Drop what was sent; what cannot be dropped now, the bucket's own rule for unfinished uploads removes."""
        self._chunks.clear()
        if self._id is not None:
            try:
                self._s3.abort_multipart_upload(**self._target, UploadId=self._id)
            except (BotoCoreError, ClientError):
                return

    def _take(self) -> dict[str, Any]:
        data = b"".join(self._chunks)
        self._chunks.clear()
        self._held = 0
        return {"Body": data, "ContentMD5": b64encode(md5(data, usedforsecurity=False).digest()).decode()}


@contextmanager
def _translated(path: str = "") -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in _MISSING and path:
            raise NotFound("not_found", f"there is no file '{quote(path)}' in the artifact store") from error
        raise Unavailable(
            "artifact_unavailable", "the artifact store refused the request; try again in a moment"
        ) from error
    except BotoCoreError as error:
        raise Unavailable(
            "artifact_unavailable", "the artifact store cannot be reached; try again in a moment"
        ) from error
