"""The promises of ``SealedSource``, kept by S3 on a real SeaweedFS, and what only a real store can show."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from deploy.local.seaweedfs import REGION
from registry.adapters.s3.artifacts import S3Artifacts
from registry.digest import manifest_of
from registry.errors import Unavailable
from registry.layout import blob_key, manifest_key
from registry.records import Digest
from serving.sources.cache import ArtifactCache
from serving.sources.s3 import S3SealedSource
from tests.conformance.sealed import FILES, SealedPromises, Vault
from tests.support.seaweedfs import Seaweed, aws_credentials, bucket, running_seaweed, seaweedfs

__all__ = ["aws_credentials", "bucket", "seaweedfs"]  # pytest finds fixtures by name
pytestmark = pytest.mark.integration
PREFIX = "mlflow/1/artifacts/"


def seal(server: Seaweed, name: str, files: Mapping[str, bytes]) -> Digest:
    """Put files where MLflow would, and seal them as the registry does."""
    client = server.client()
    for path, data in files.items():
        client.put_object(Bucket=name, Key=PREFIX + path, Body=data)
    artifacts = S3Artifacts(client, name)
    digest = artifacts.write_manifest(manifest_of([artifacts.seal(PREFIX, f) for f in artifacts.list_files(PREFIX)]))
    client.close()
    return digest


class TestS3SealedSource(SealedPromises):
    """Binding."""

    @pytest.fixture
    def vault(self, aws_credentials: Seaweed, bucket: str) -> Iterator[Vault]:
        """Return a fresh bucket, filled by the registry's own adapter."""
        server = aws_credentials
        client = server.client()

        def key(is_manifest: bool, digest: Digest) -> str:
            return manifest_key(digest) if is_manifest else blob_key(digest)

        def write(is_manifest: bool, digest: Digest, data: bytes) -> None:
            client.put_object(Bucket=bucket, Key=key(is_manifest, digest), Body=data)

        def remove(is_manifest: bool, digest: Digest) -> None:
            client.delete_object(Bucket=bucket, Key=key(is_manifest, digest))

        source = S3SealedSource(server.endpoint, REGION, bucket)
        yield Vault(source, lambda files: seal(server, bucket, files), write, remove)
        asyncio.run(source.close())
        client.close()


def test_what_the_registry_seals_the_cache_serves_even_with_s3_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sealed, fetched, verified; then the store dies: what is cached loads, what is not is unavailable."""
    with running_seaweed(tmp_path / "s3") as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        server.client().create_bucket(Bucket="whole-way")
        digest = seal(server, "whole-way", FILES)
        other = seal(server, "whole-way", {"other": b"x"})

        async def fetch(wanted: Digest, seconds: float = 30) -> dict[str, bytes]:
            source = S3SealedSource(server.endpoint, REGION, "whole-way")
            cache = ArtifactCache(tmp_path / "cache", 1 << 30, source)
            try:
                lease = await cache.hold(wanted, seconds)
                return {path: (lease.directory / path).read_bytes() for path in FILES}
            finally:
                await cache.close()
                await source.close()

        assert asyncio.run(fetch(digest)) == FILES
        server.kill()
        assert asyncio.run(fetch(digest)) == FILES
        began = time.monotonic()
        with pytest.raises(Unavailable) as raised:
            asyncio.run(fetch(other, 3))
        assert raised.value.code == "artifact_unavailable"
        assert time.monotonic() - began < 6


def test_a_missing_bucket_is_unavailable_not_corrupt(aws_credentials: Seaweed) -> None:
    """A wrong setting does not condemn an artifact."""

    async def story() -> None:
        source = S3SealedSource(aws_credentials.endpoint, REGION, "not-made")
        try:
            await source.manifest(Digest("sha256:" + "0" * 64))
        finally:
            await source.close()

    with pytest.raises(Unavailable) as raised:
        asyncio.run(story())
    assert raised.value.code == "artifact_unavailable"


def test_boto3_is_not_imported_before_it_is_needed() -> None:
    """A node that starts pays nothing for S3."""
    code = (
        "import sys; from serving.sources.cache import ArtifactCache; from serving.sources.s3 import S3SealedSource\n"
        "S3SealedSource(None, 'x', 'y'); sys.exit('boto3' in sys.modules or 'botocore' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
