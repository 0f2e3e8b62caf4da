"""The promises of ``Artifacts``, kept by the in-memory adapter."""

from __future__ import annotations

from collections.abc import MutableMapping

import pytest

from registry.adapters.memory.artifacts import MemoryArtifacts
from registry.errors import Unavailable
from registry.records import Digest
from tests.conformance.artifacts import PREFIX, ArtifactsPromises, World


class DictBucket:
    """The adapter's own dict, from outside."""

    def __init__(self, objects: MutableMapping[str, bytes]) -> None:
        self._objects = objects

    def put(self, key: str, data: bytes) -> None:
        """Write an object."""
        self._objects[key] = data

    def get(self, key: str) -> bytes:
        """Read an object."""
        return self._objects[key]

    def remove(self, key: str) -> None:
        """Delete an object."""
        del self._objects[key]

    def names(self) -> list[str]:
        """Return all keys, sorted."""
        return sorted(self._objects)


class TestMemoryArtifacts(ArtifactsPromises):
    """Binding."""

    @pytest.fixture
    def world(self) -> World:
        """Return an empty bucket."""
        artifacts = MemoryArtifacts()
        return World(artifacts, DictBucket(artifacts.objects))


def test_an_outage_can_be_drawn() -> None:
    """While it is down, every call raises as an unreachable store does."""
    artifacts = MemoryArtifacts()
    artifacts.put_working_file(PREFIX, "f", b"x")
    artifacts.down = True
    with pytest.raises(Unavailable) as raised:
        artifacts.list_files(PREFIX)
    assert raised.value.code == "artifact_unavailable"
    with pytest.raises(Unavailable):
        artifacts.read(Digest("sha256:" + "0" * 64), 1)
