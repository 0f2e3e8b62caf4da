"""The promises of ``Artifacts``, kept by S3 on a real SeaweedFS, and what only a real store can show."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deploy.local.seaweedfs import REGION
from registry.adapters.s3.artifacts import S3Artifacts
from registry.adapters.s3.client import S3Client, s3_client
from registry.digest import sha256_digest
from registry.errors import Unavailable
from registry.layout import blob_key
from registry.records import Digest
from tests.conformance.artifacts import MIB, PREFIX, UPLOAD, ArtifactsPromises, World, noise
from tests.support.seaweedfs import Seaweed, aws_credentials, bucket, running_seaweed, seaweedfs

__all__ = ["aws_credentials", "bucket", "seaweedfs"]  # pytest finds fixtures by name
pytestmark = pytest.mark.integration


class S3Bucket:
    """The bucket from outside, by a client of its own."""

    def __init__(self, client: S3Client, name: str) -> None:
        self._client, self._name = client, name

    def put(self, key: str, data: bytes) -> None:
        """Write an object."""
        self._client.put_object(Bucket=self._name, Key=key, Body=data)

    def get(self, key: str) -> bytes:
        """Read an object."""
        data: bytes = self._client.get_object(Bucket=self._name, Key=key)["Body"].read()
        return data

    def remove(self, key: str) -> None:
        """Delete an object."""
        self._client.delete_object(Bucket=self._name, Key=key)

    def names(self) -> list[str]:
        """Return all keys, sorted."""
        return sorted(o["Key"] for o in self._client.list_objects_v2(Bucket=self._name).get("Contents", ()))

    def unfinished(self) -> int:
        """Return how many multipart uploads are open."""
        return len(self._client.list_multipart_uploads(Bucket=self._name).get("Uploads", ()))


@pytest.fixture
def s3_bucket(seaweedfs: Seaweed, bucket: str) -> S3Bucket:
    """The test's bucket from outside."""
    return S3Bucket(seaweedfs.client(), bucket)


class TestS3Artifacts(ArtifactsPromises):
    """Binding."""

    @pytest.fixture
    def world(self, seaweedfs: Seaweed, bucket: str, s3_bucket: S3Bucket) -> World:
        """Return a fresh bucket; no test of the suite may leave a multipart upload behind."""
        return World(S3Artifacts(seaweedfs.client(), bucket), s3_bucket)

    @pytest.fixture(autouse=True)
    def _nothing_unfinished(self, s3_bucket: S3Bucket) -> object:
        yield
        assert s3_bucket.unfinished() == 0


def test_credentials_come_from_the_aws_chain(aws_credentials: Seaweed) -> None:
    """``s3_client`` takes them from the environment, and the bucket is made once."""
    artifacts = S3Artifacts(s3_client(aws_credentials.endpoint, REGION), "made-here")
    artifacts.ensure_bucket()
    artifacts.ensure_bucket()
    assert list(artifacts.list_files(PREFIX)) == []


def test_a_missing_bucket_is_unavailable_not_corrupt(seaweedfs: Seaweed) -> None:
    """A bucket that is not there says so, and is not mistaken for a lost file."""
    with pytest.raises(Unavailable) as raised:
        S3Artifacts(seaweedfs.client(), "not-made").read(Digest("sha256:" + "0" * 64), 10)
    assert raised.value.code == "artifact_unavailable"


def test_a_dead_store_answers_within_seconds(tmp_path: Path) -> None:
    """With nothing listening, a call fails as ``artifact_unavailable`` before anybody gives up waiting."""
    with running_seaweed(tmp_path) as server:
        artifacts = S3Artifacts(server.client(), "gone")
        server.kill()
        began = time.monotonic()
        with pytest.raises(Unavailable) as raised:
            artifacts.list_files(PREFIX)
    assert raised.value.code == "artifact_unavailable"
    assert time.monotonic() - began < 8
    assert "127.0.0.1" not in raised.value.message


def test_wrong_credentials_are_named_as_the_cause(
    seaweedfs: Seaweed, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message says that the credentials were refused, and shows none."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "WRONG")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "WRONGER")
    with pytest.raises(Unavailable, match="credentials") as raised:
        S3Artifacts(s3_client(seaweedfs.endpoint, REGION), bucket).list_files(PREFIX)
    assert "WRONG" not in raised.value.message


def test_sweeping_aborts_only_our_old_uploads(seaweedfs: Seaweed, bucket: str, s3_bucket: S3Bucket) -> None:
    """Unfinished uploads of ours go once they are old enough, MLflow's own included; others' stay."""
    client = seaweedfs.client()
    for key in ("blobs/sha256/aa/x", UPLOAD + "f", "mlflow/1/f", "theirs/f"):
        client.create_multipart_upload(Bucket=bucket, Key=key)
    artifacts = S3Artifacts(client, bucket)

    assert artifacts.sweep_multipart(3600) == 0
    assert artifacts.sweep_multipart(0) == 3
    assert s3_bucket.unfinished() == 1
    client.abort_multipart_upload(
        Bucket=bucket,
        Key="theirs/f",
        UploadId=client.list_multipart_uploads(Bucket=bucket)["Uploads"][0]["UploadId"],
    )


SEALER = f"""
import sys
from registry.adapters.s3.artifacts import S3Artifacts
from registry.adapters.s3.client import s3_client
artifacts = S3Artifacts(s3_client(sys.argv[1], "{REGION}"), sys.argv[2])
file = artifacts.list_files("{PREFIX}")[0]
print("go", flush=True)
artifacts.seal("{PREFIX}", file)
print("done", flush=True)
"""


def test_a_kill_while_sealing_leaves_no_half_and_sealing_again_converges(
    seaweedfs: Seaweed, bucket: str, s3_bucket: S3Bucket
) -> None:
    """SIGKILL at several moments: the blob is absent or whole, never half, and the next sealer finishes."""
    data = noise(64 * MIB)
    s3_bucket.put(PREFIX + "f", data)
    key = blob_key(sha256_digest(data))

    for delay in (0.05, 0.2, 0.4):
        sealer = subprocess.Popen(
            [sys.executable, "-c", SEALER, seaweedfs.endpoint, bucket],
            env={**os.environ, **seaweedfs.environment()},
            stdout=subprocess.PIPE,
            text=True,
        )
        with sealer:
            assert sealer.stdout is not None and sealer.stdout.readline() == "go\n"
            time.sleep(delay)
            sealer.send_signal(signal.SIGKILL)
        if key in s3_bucket.names():
            assert s3_bucket.get(key) == data

    artifacts = S3Artifacts(seaweedfs.client(), bucket)
    artifacts.seal(PREFIX, artifacts.list_files(PREFIX)[0])
    assert s3_bucket.get(key) == data
    artifacts.sweep_multipart(0)
    assert s3_bucket.unfinished() == 0
