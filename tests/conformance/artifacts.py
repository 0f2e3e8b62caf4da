"""What every ``registry.ports.Artifacts`` promises. Bound by the in-memory one and by S3 on a real SeaweedFS."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import pytest

from registry.digest import manifest_of, sha256_digest
from registry.errors import InvalidRequest, Unavailable
from registry.layout import blob_key, manifest_key
from registry.ports import Artifacts, SourceFile, WorkingFiles
from registry.records import ManifestEntry

PREFIX = "mlflow/1/models/m-1/artifacts/"
UPLOAD = "mlflow/uploads/u1/"
MIB = 1024 * 1024


class Bucket(Protocol):
    """The bucket from outside: what MLflow, a bad disk or an operator may do to it."""

    def put(self, key: str, data: bytes) -> None:
        """Write an object."""

    def get(self, key: str) -> bytes:
        """Read an object."""

    def remove(self, key: str) -> None:
        """Delete an object."""

    def names(self) -> list[str]:
        """Return all keys, sorted."""


class WorkingArtifacts(Artifacts, WorkingFiles, Protocol):
    """Sealed objects and working files."""


@dataclass(frozen=True, slots=True)
class World:
    """An adapter and the bucket it works on."""

    artifacts: WorkingArtifacts
    bucket: Bucket


def noise(size: int, seed: int = 1) -> bytes:
    """Return bytes that are the same for the same arguments and compress badly."""
    return random.Random(seed).randbytes(size)


class ArtifactsPromises:
    """Subclass it, and give it a ``world`` fixture."""

    @pytest.mark.parametrize("size", [0, 10, 9 * MIB])
    def test_a_working_file_is_read_in_pieces(self, world: World, size: int) -> None:
        """Its bytes come in order, whatever its size; one that has changed or gone since it was listed does not."""
        data = noise(size)
        world.bucket.put(PREFIX + "train.parquet", data)
        (file,) = [f for f in world.artifacts.list_files(PREFIX) if f.path == "train.parquet"]
        assert b"".join(world.artifacts.stream(PREFIX, file)) == data
        if size:
            changed = SourceFile(file.path, file.size, '"0123"')
            for wrong in (changed, SourceFile("gone", file.size, file.etag)):
                with pytest.raises(Unavailable):
                    list(world.artifacts.stream(PREFIX, wrong))

    def test_lists_files_by_path_with_sizes(self, world: World) -> None:
        """A listing has every file below the prefix, sorted, and nothing beside it."""
        for path in ("b/two.bin", "MLmodel", "b/ünï cöde +%20&.txt"):
            world.bucket.put(PREFIX + path, path.encode())
        world.bucket.put("mlflow/1/models/m-1/artifacts-other/x", b"x")

        files = world.artifacts.list_files(PREFIX)

        assert [(f.path, f.size) for f in files] == [
            (path, len(path.encode())) for path in ("MLmodel", "b/two.bin", "b/ünï cöde +%20&.txt")
        ]

    def test_an_empty_prefix_has_no_files(self, world: World) -> None:
        """Nothing below a prefix is an empty listing, not an error."""
        assert list(world.artifacts.list_files(PREFIX)) == []

    def test_a_prefix_must_be_a_folder_of_mlflows(self, world: World) -> None:
        """A prefix without its slash, or outside the working copies, is a mistake of the caller's."""
        for prefix in (PREFIX.rstrip("/"), "blobs/", ""):
            with pytest.raises(ValueError, match="prefix"):
                world.artifacts.list_files(prefix)

    @pytest.mark.parametrize("size", [0, 1, 5000, 8 * MIB, 8 * MIB + 1, 20 * MIB])
    def test_seals_any_size_bit_exactly(self, world: World, size: int) -> None:
        """A sealed file lies under its sha256 with the very bytes of the working file."""
        data = noise(size)
        world.bucket.put(PREFIX + "model.bin", data)

        entry = world.artifacts.seal(PREFIX, world.artifacts.list_files(PREFIX)[0])

        assert entry == ManifestEntry("model.bin", size, sha256_digest(data))
        assert world.bucket.get(blob_key(entry.digest)) == data

    @pytest.mark.parametrize("size", [100, 9 * MIB])
    def test_sealing_twice_is_sealing_once(self, world: World, size: int) -> None:
        """Equal content is stored once, whoever seals it and under whatever path."""
        for path in ("a", "b"):
            world.bucket.put(PREFIX + path, noise(size))
        files = list(world.artifacts.list_files(PREFIX)) * 2

        with ThreadPoolExecutor(4) as pool:
            digests = {e.digest for e in pool.map(lambda f: world.artifacts.seal(PREFIX, f), files)}

        assert len(digests) == 1
        assert [k for k in world.bucket.names() if k.startswith("blobs/")] == [blob_key(digests.pop())]

    @pytest.mark.parametrize("size", [0, 100, 9 * MIB])
    def test_a_file_that_changed_is_not_sealed(self, world: World, size: int) -> None:
        """A working file that is no longer the one that was listed raises, and leaves no blob."""
        world.bucket.put(PREFIX + "f", noise(size, seed=1))
        file = world.artifacts.list_files(PREFIX)[0]
        world.bucket.put(PREFIX + "f", noise(max(size, 1), seed=2))

        with pytest.raises(Unavailable, match="changed") as raised:
            world.artifacts.seal(PREFIX, file)

        assert raised.value.code == "artifact_unavailable"
        assert not any(k.startswith("blobs/") for k in world.bucket.names())

    @pytest.mark.parametrize("size", [0, 100, 9 * MIB])
    def test_a_file_that_went_away_is_not_sealed(self, world: World, size: int) -> None:
        """A working file that was deleted meanwhile raises."""
        world.bucket.put(PREFIX + "f", noise(size))
        file = world.artifacts.list_files(PREFIX)[0]
        world.bucket.remove(PREFIX + "f")

        with pytest.raises(Unavailable, match="went away"):
            world.artifacts.seal(PREFIX, file)

    @pytest.mark.parametrize("size", [100, 9 * MIB])
    def test_sealing_again_repairs_a_damaged_blob(self, world: World, size: int) -> None:
        """A blob whose bytes have rotted does not poison its name for ever."""
        data = noise(size)
        world.bucket.put(PREFIX + "f", data)
        file = world.artifacts.list_files(PREFIX)[0]
        key = blob_key(world.artifacts.seal(PREFIX, file).digest)
        world.bucket.put(key, data[:-1] + bytes([data[-1] ^ 1]))

        world.artifacts.seal(PREFIX, file)

        assert world.bucket.get(key) == data

    def test_a_manifest_comes_back_as_it_was(self, world: World) -> None:
        """What was written is read under its digest, and writing it again changes nothing."""
        manifest = manifest_of(
            [ManifestEntry("a/ä", 3, sha256_digest(b"abc")), ManifestEntry("MLmodel", 0, sha256_digest(b""))]
        )

        digest = world.artifacts.write_manifest(manifest)

        assert world.artifacts.write_manifest(manifest) == digest
        assert world.artifacts.read_manifest(digest) == manifest

    @pytest.mark.parametrize("damage", ["altered", "cut", "gone"])
    def test_a_damaged_manifest_is_corrupt(self, world: World, damage: str) -> None:
        """One altered bit, a missing end or a missing object: never a manifest that somebody might believe."""
        digest = world.artifacts.write_manifest(manifest_of([ManifestEntry("f", 3, sha256_digest(b"abc"))]))
        key = manifest_key(digest)
        data = world.bucket.get(key)
        world.bucket.put(key, data.replace(b'"size":3', b'"size":2') if damage == "altered" else data[:-1])
        if damage == "gone":
            world.bucket.remove(key)

        with pytest.raises(Unavailable) as raised:
            world.artifacts.read_manifest(digest)

        assert raised.value.code == "artifact_corrupt"

    def test_seals_bytes_of_the_platforms_own(self, world: World) -> None:
        """They lie under their sha256, once, and are repaired where they were damaged."""
        data = noise(5000)
        key = blob_key(sha256_digest(data))
        assert world.artifacts.seal_bytes(data) == world.artifacts.seal_bytes(data) == sha256_digest(data)
        assert world.bucket.get(key) == data
        world.bucket.put(key, b"damaged")
        assert world.artifacts.read(world.artifacts.seal_bytes(data), 5000) == data

    def test_reads_a_sealed_file_up_to_a_limit(self, world: World) -> None:
        """A file of exactly the limit is read; one byte more is refused."""
        world.bucket.put(PREFIX + "f", b"12345")
        digest = world.artifacts.seal(PREFIX, world.artifacts.list_files(PREFIX)[0]).digest

        assert world.artifacts.read(digest, 5) == b"12345"
        with pytest.raises(InvalidRequest, match="at most 4"):
            world.artifacts.read(digest, 4)

    def test_reading_verifies(self, world: World) -> None:
        """A sealed file that was altered or lost is reported, never returned."""
        for damage in (b"xbc", b"ab", None):
            world.bucket.put(PREFIX + "f", b"abc")
            digest = world.artifacts.seal(PREFIX, world.artifacts.list_files(PREFIX)[0]).digest
            if damage is None:
                world.bucket.remove(blob_key(digest))
            else:
                world.bucket.put(blob_key(digest), damage)
            with pytest.raises(Unavailable) as raised:
                world.artifacts.read(digest, 100)
            assert raised.value.code == "artifact_corrupt"

    @pytest.mark.parametrize("size", [0, 10, 8 * MIB, 17 * MIB + 3])
    def test_receives_what_was_declared(self, world: World, size: int) -> None:
        """Bytes in chunks of any length arrive whole, and again if they are sent again."""
        data = noise(size)
        for step in (65_537, 3 * MIB):
            chunks = (data[i : i + step] for i in range(0, size, step))
            world.artifacts.receive(UPLOAD + "f", chunks, size, sha256_digest(data))

        assert world.bucket.get(UPLOAD + "f") == data

    @pytest.mark.parametrize("size", [10, 17 * MIB])
    @pytest.mark.parametrize("fault", ["short", "long", "altered"])
    def test_receives_nothing_else(self, world: World, size: int, fault: str) -> None:
        """Fewer, more or other bytes than declared raise ``digest_mismatch``, and nothing is visible."""
        data = noise(size)
        sent = {"short": data[:-1], "long": data + b"x", "altered": bytes([data[0] ^ 1]) + data[1:]}[fault]

        with pytest.raises(InvalidRequest) as raised:
            world.artifacts.receive(
                UPLOAD + "f", iter([sent[: size // 2], sent[size // 2 :]]), size, sha256_digest(data)
            )

        assert raised.value.code == "digest_mismatch"
        assert world.bucket.names() == []

    def test_a_sender_that_breaks_off_leaves_nothing(self, world: World) -> None:
        """The sender's own error passes through, and nothing is visible."""

        def breaking() -> Iterator[bytes]:
            yield noise(17 * MIB)
            raise ConnectionResetError

        with pytest.raises(ConnectionResetError):
            world.artifacts.receive(UPLOAD + "f", breaking(), 20 * MIB, sha256_digest(b""))

        assert world.bucket.names() == []

    def test_only_uploads_can_be_written_or_deleted(self, world: World) -> None:
        """No key or prefix outside an upload's own folder is accepted."""
        for key in ("blobs/sha256/ab/x", "mlflow/1/x", "mlflow/uploads/", "mlflow/uploads/u1", "mlflow/uploads//", ""):
            with pytest.raises(InvalidRequest):
                world.artifacts.receive(key, [], 0, sha256_digest(b""))
            with pytest.raises(InvalidRequest):
                world.artifacts.delete_prefix(key)

    def test_deletes_an_upload_and_nothing_beside_it(self, world: World) -> None:
        """Deleting counts what went; a second time there is nothing left."""
        for key in (f"{UPLOAD}a", f"{UPLOAD}b/ü +", "mlflow/uploads/u10/a", f"{PREFIX}a"):
            world.bucket.put(key, b"x")

        assert world.artifacts.delete_prefix(UPLOAD) == 2
        assert world.artifacts.delete_prefix(UPLOAD) == 0
        assert world.bucket.names() == [f"{PREFIX}a", "mlflow/uploads/u10/a"]

    def test_digests_are_sha256(self, world: World) -> None:
        """The digest is the one that any other tool computes."""
        world.bucket.put(PREFIX + "f", b"hello")
        entry = world.artifacts.seal(PREFIX, world.artifacts.list_files(PREFIX)[0])
        assert entry.digest == "sha256:" + hashlib.sha256(b"hello").hexdigest()
