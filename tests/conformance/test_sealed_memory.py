"""The promises of ``SealedSource``, kept by the in-memory one."""

from __future__ import annotations

import asyncio

import pytest

from registry.errors import Unavailable
from registry.records import Digest
from serving.sources.memory import MemorySealedSource
from tests.conformance.sealed import FILES, SealedPromises, Vault


class TestMemorySealedSource(SealedPromises):
    """Binding."""

    @pytest.fixture
    def vault(self) -> Vault:
        """Return an empty one."""
        source = MemorySealedSource()

        def write(is_manifest: bool, digest: Digest, data: bytes) -> None:
            (source.manifests if is_manifest else source.blobs)[digest] = data

        def remove(is_manifest: bool, digest: Digest) -> None:
            del (source.manifests if is_manifest else source.blobs)[digest]

        return Vault(source, source.put, write, remove)


def test_an_outage_can_be_drawn() -> None:
    """While it is down, it raises as an unreachable store does."""
    source = MemorySealedSource()
    digest = source.put(FILES)
    source.down = True
    with pytest.raises(Unavailable) as raised:
        asyncio.run(source.manifest(digest))
    assert raised.value.code == "artifact_unavailable"
