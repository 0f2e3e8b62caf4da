"""What every ``serving.ports.SealedSource`` promises. Bound by the in-memory one and by S3 on a real SeaweedFS."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest

from registry.digest import sha256_digest
from registry.errors import Unavailable
from registry.records import Digest
from serving.ports import SealedSource

MIB = 1024 * 1024
FILES = {"MLmodel": b"flavors: {}", "data/model.bin": bytes(range(256)) * 20_000, "empty": b""}


@dataclass(frozen=True, slots=True)
class Vault:
    """Sealed artifacts from outside: what admission and a bad disk do to them.

    ``write`` and ``remove`` take whether the object is a manifest, and its digest.
    """

    source: SealedSource
    put: Callable[[Mapping[str, bytes]], Digest]
    write: Callable[[bool, Digest, bytes], None]
    remove: Callable[[bool, Digest], None]


class SealedPromises:
    """Subclass it, and give it a ``vault`` fixture."""

    def test_a_manifest_lists_what_was_sealed(self, vault: Vault) -> None:
        """Paths, sizes and digests, sorted by path."""
        manifest = asyncio.run(vault.source.manifest(vault.put(FILES)))
        assert [(e.path, e.size, e.digest) for e in manifest.entries] == [
            (path, len(data), sha256_digest(data)) for path, data in sorted(FILES.items())
        ]

    @pytest.mark.parametrize("path", sorted(FILES))
    def test_streams_a_file_in_pieces(self, vault: Vault, path: str) -> None:
        """The pieces make the file, and none is larger than a few MB."""
        vault.put(FILES)
        pieces = asyncio.run(_stream(vault.source, sha256_digest(FILES[path])))
        assert b"".join(pieces) == FILES[path]
        assert all(len(piece) <= 4 * MIB for piece in pieces)

    def test_a_stream_may_be_left_early(self, vault: Vault) -> None:
        """Somebody who stops reading costs nothing, and the next stream begins at the beginning."""

        async def story() -> None:
            digest = sha256_digest(FILES["data/model.bin"])
            async for piece in vault.source.stream(digest):
                assert FILES["data/model.bin"].startswith(piece)
                break
            assert b"".join(await _stream(vault.source, digest)) == FILES["data/model.bin"]

        vault.put(FILES)
        asyncio.run(story())

    def test_what_is_missing_is_corrupt(self, vault: Vault) -> None:
        """Neither a lost manifest nor a lost file comes back by waiting."""
        digest, blob = vault.put(FILES), sha256_digest(FILES["MLmodel"])
        vault.remove(True, digest)
        vault.remove(False, blob)
        assert _code(vault.source.manifest(digest)) == "artifact_corrupt"
        assert _code(_stream(vault.source, blob)) == "artifact_corrupt"

    def test_an_altered_manifest_is_corrupt(self, vault: Vault) -> None:
        """A manifest is verified before anybody sees it."""
        digest = vault.put(FILES)
        for data in (b"", b"{}", b'{"files":[],"schema":1}'):
            vault.write(True, digest, data)
            assert _code(vault.source.manifest(digest)) == "artifact_corrupt"

    def test_files_are_not_verified_here(self, vault: Vault) -> None:
        """Whoever keeps them hashes them; the source hands out what the store has."""
        vault.put(FILES)
        digest = sha256_digest(FILES["MLmodel"])
        vault.write(False, digest, b"other")
        assert b"".join(asyncio.run(_stream(vault.source, digest))) == b"other"


async def _stream(source: SealedSource, digest: Digest) -> list[bytes]:
    return [piece async for piece in source.stream(digest)]


def _code(call: object) -> str:
    with pytest.raises(Unavailable) as raised:
        asyncio.run(call)  # type: ignore[arg-type]
    return raised.value.code
