"""The example that was saved with a version: from its files where it is loaded, else the one sealed file."""

from __future__ import annotations

from pathlib import Path

import pytest

from serving.sources.examples import EXAMPLE_BYTES, FILE, KEPT, NONE_SAVED, NOT_NOW, TOO_LARGE, Saved, SavedExamples
from serving.sources.memory import MemorySealedSource
from tests.support.serving_fakes import FakeCache

pytestmark = pytest.mark.anyio
BODY = b'{"inputs": [[1.0]]}'


class Stage:
    """Examples on a bucket and a cache in memory."""

    def __init__(self, tmp_path: Path) -> None:
        self.sealed, self.cache = MemorySealedSource(), FakeCache(tmp_path / "files")
        self.cache.directory.mkdir()
        self.examples = SavedExamples(self.cache.hold, self.sealed, tmp_path / "examples")


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Give an empty one."""
    return Stage(tmp_path)


async def test_the_example_of_a_cold_version_is_fetched_alone_and_once(stage: Stage) -> None:
    """One manifest and one object, however often it is shown; the artifact is not downloaded."""
    digest = stage.sealed.put({"MLmodel": b"x", "model.bin": b"y" * 100_000, FILE: BODY})
    for _ in range(3):
        assert await stage.examples.read(digest, loaded=False) == Saved(BODY)
    assert (sum(stage.sealed.streamed.values()), stage.sealed.manifests_read[digest]) == (1, 1)
    assert not +stage.cache.held


async def test_a_loaded_version_has_it_on_the_disk(stage: Stage) -> None:
    """With the bucket down it is read from the version's files, and the lease on them is given back."""
    stage.sealed.down = True
    digest = stage.sealed.put({FILE: BODY})
    (stage.cache.directory / FILE).write_bytes(BODY)
    assert await stage.examples.read(digest, loaded=True) == Saved(BODY)
    assert not +stage.cache.held


async def test_without_an_example_it_says_so(stage: Stage) -> None:
    """Cold or loaded, a version without an example has none."""
    digest = stage.sealed.put({"MLmodel": b"x"})
    assert await stage.examples.read(digest, loaded=False) == Saved(None, NONE_SAVED)
    assert await stage.examples.read(stage.sealed.put({"MLmodel": b"y"}), loaded=True) == Saved(None, NONE_SAVED)


async def test_a_large_example_is_not_fetched(stage: Stage) -> None:
    """What nobody can read on a page is not carried there."""
    large = b"1" * (EXAMPLE_BYTES + 1)
    digest = stage.sealed.put({FILE: large})
    assert await stage.examples.read(digest, loaded=False) == Saved(None, TOO_LARGE)
    assert not stage.sealed.streamed
    (stage.cache.directory / FILE).write_bytes(large)
    assert await stage.examples.read(stage.sealed.put({}), loaded=True) == Saved(None, TOO_LARGE)


async def test_an_outage_is_said_and_not_remembered(stage: Stage) -> None:
    """With the store away the page has no example; once it is back, it has."""
    digest = stage.sealed.put({FILE: BODY})
    stage.sealed.down = True
    assert await stage.examples.read(digest, loaded=False) == Saved(None, NOT_NOW)
    stage.sealed.down = False
    assert await stage.examples.read(digest, loaded=False) == Saved(BODY)


async def test_wrong_bytes_are_not_shown(stage: Stage) -> None:
    """An object that does not match its digest is no example of this version."""
    digest = stage.sealed.put({FILE: BODY})
    stage.sealed.blobs = dict.fromkeys(stage.sealed.blobs, b'{"inputs": [[2.0]]}')
    assert await stage.examples.read(digest, loaded=False) == Saved(None, NOT_NOW)


async def test_few_are_kept_in_memory(stage: Stage) -> None:
    """The oldest goes; it comes back from the disk when it is asked for again."""
    digests = [stage.sealed.put({FILE: BODY, "n": str(n).encode()}) for n in range(KEPT + 1)]
    for digest in digests:
        await stage.examples.read(digest, loaded=False)
    assert await stage.examples.read(digests[0], loaded=False) == Saved(BODY)
    assert stage.sealed.manifests_read[digests[0]] == 2
    assert sum(stage.sealed.streamed.values()) == 1
