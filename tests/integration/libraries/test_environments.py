"""Environments built from locks, for real but of small packages: fetched, verified, shared, rebuilt and removed."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from registry.adapters.uv_resolver import UvResolver
from registry.digest import sha256_digest
from registry.errors import Unavailable
from registry.libraries.uv import pyenv_python
from registry.records import Digest, VersionNumber
from registry.snapshots import ServableVersion
from serving.runtimes.environments import Environments
from serving.sources.memory import MemorySealedSource
from tests.support.package_index import PackageIndex

pytestmark = pytest.mark.integration
HAVE = {"mlflow": "2.9"}
T = TypeVar("T")


class Scene:
    """A home, a bucket, and versions that admission has locked."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.source = MemorySealedSource()
        self.environments = home / "environments"

    def version(self, *requirements: str, python: str | None = None) -> ServableVersion:
        """Lock a version and put the lock into the bucket."""
        locked = UvResolver(self.home, HAVE.get).resolve(requirements, python)
        assert locked is not None
        digest = sha256_digest(locked.text)
        self.source.blobs[digest] = locked.text
        return asking(*requirements, python=python or locked.python, lock=digest)

    def node(self, keep_seconds: float = 600) -> Environments:
        """Return what a node has."""
        return Environments(self.home, self.source, HAVE.get, keep_seconds=keep_seconds)

    def run(self, story: Callable[[Environments], Awaitable[T]], keep_seconds: float = 600) -> T:
        """Let a node do something."""

        async def whole() -> T:
            node = self.node(keep_seconds)
            try:
                return await story(node)
            finally:
                await node.close()

        return asyncio.run(whole())

    def python_for(self, version: ServableVersion) -> Path:
        """Have a node find or build an environment."""
        return self.run(lambda node: node.python_for(version, 120))

    def keys(self) -> list[str]:
        """Return which environments lie on the disk."""
        return [path.name for path in self.environments.iterdir() if len(path.name) == 32]

    def age(self) -> None:
        """Let everything have been used long ago."""
        for folder in ("held", "locks"):
            for path in (self.environments / folder).iterdir():
                os.utime(path, (0, time.time() - 10_000))


@pytest.fixture
def scene(index: PackageIndex, tmp_path: Path) -> Scene:
    """A scene whose packages come from ``index``."""
    return Scene(tmp_path / "home")


def asking(*requirements: str, python: str | None = None, lock: Digest | None = None) -> ServableVersion:
    """Return a version as a node sees it."""
    return ServableVersion(
        VersionNumber("1"), Digest("sha256:" + "0" * 64), 1, "host", None, requirements, python, (), lock
    )


def says(python: Path, module: str) -> str:
    """Return a module's version in an environment."""
    code = f"import {module}; print({module}.__version__)"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True, cwd="/").stdout.strip()


async def nobody(_: Path) -> bool:
    """Nothing runs anywhere."""
    return True


def test_a_lock_becomes_an_environment_that_is_found_again(scene: Scene, index: PackageIndex) -> None:
    """It holds what was locked, though newer packages are out; the next node needs neither bucket nor index."""
    version = scene.version("alpha")
    index.add("beta", "1.6")
    python = scene.python_for(version)
    assert (says(python, "alpha"), says(python, "beta"), says(python, "mlflow")) == ("1.0", "1.5", "2.9")
    scene.source.down = True
    assert scene.python_for(version) == python
    assert list(python.parents[1].rglob("beta*.pyc")), "its modules are compiled"
    assert not (scene.environments / "building").exists()


def test_versions_of_one_lock_share_and_others_stand_beside(scene: Scene) -> None:
    """Two versions that need different releases of a library have each its own; equal ones have one."""
    one, two = scene.version("omega==1.0"), scene.version("omega==2.0")
    again = scene.version("omega == 1.0  # as before")
    assert scene.python_for(one) == scene.python_for(again)
    assert says(scene.python_for(one), "omega") == "1.0"
    assert says(scene.python_for(two), "omega") == "2.0"
    assert len(scene.keys()) == 2


def test_an_index_that_changed_its_bytes_installs_nothing(scene: Scene, index: PackageIndex) -> None:
    """Where a package has another hash than at admission, the version does not get it, whatever the index says."""
    version = scene.version("omega==1.0")
    index.tamper("omega", "1.0")
    with pytest.raises(Unavailable) as caught:
        scene.python_for(version)
    assert caught.value.code == "environment_unavailable"
    assert scene.keys() == []


@pytest.mark.parametrize("damage", ["other bytes", "gone", "no lock"])
def test_a_lock_that_is_not_the_one_is_not_installed(scene: Scene, damage: str) -> None:
    """Its digest is checked, and so is what it says."""
    version = scene.version("omega==1.0")
    assert version.lock is not None
    text = b"--index-url http://198.51.100.1/simple\nomega==1.0\n"
    match damage:
        case "other bytes":
            scene.source.blobs[version.lock] = text
        case "gone":
            del scene.source.blobs[version.lock]
        case "no lock":
            digest = sha256_digest(text)
            scene.source.blobs[digest] = text
            version = asking("omega==1.0", lock=digest)
    with pytest.raises(Unavailable) as caught:
        scene.python_for(version)
    assert caught.value.code == "artifact_corrupt"


def test_a_lock_for_another_kind_of_machine_is_resolved_here(scene: Scene) -> None:
    """Its packages may be others there; the version gets what this machine can have, and is found again."""
    version = scene.version("omega==1.0")
    assert version.lock is not None
    text = scene.source.blobs[version.lock].replace(b"linux", b"haiku")
    elsewhere = asking("omega==1.0", python=version.python, lock=sha256_digest(text))
    scene.source.blobs[sha256_digest(text)] = text
    python = scene.python_for(elsewhere)
    assert says(python, "omega") == "1.0"
    scene.source.down = True
    assert scene.python_for(elsewhere) == python
    assert scene.python_for(asking("omega==1.0", python=version.python)) == python, "as a version without a lock"


def test_a_damaged_environment_is_built_again(scene: Scene) -> None:
    """A node that starts and finds a file missing builds it anew, at the same place."""
    version = scene.version("alpha")
    python = scene.python_for(version)
    next(python.parents[1].rglob("beta.py")).unlink()
    assert scene.python_for(version) == python
    assert says(python, "beta") == "1.5"


def test_what_no_version_needs_is_removed_once_nothing_runs_there(scene: Scene) -> None:
    """Needed or held environments stay; a model that still runs keeps its own, also from another node's tidying."""
    needed, gone = scene.version("omega==1.0"), scene.version("omega==2.0")

    async def story(node: Environments) -> None:
        other = scene.node()
        await node.python_for(needed, 120)
        python = await node.python_for(gone, 120)
        busy = True

        async def vacate(asked: Path) -> bool:
            assert asked == python
            return not busy

        scene.age()
        await node.tidy(vacate)
        assert len(scene.keys()) == 2, "nobody has said yet what is needed"
        for each in (node, other):
            each.retain([needed])
            await each.tidy(vacate)
        assert len(scene.keys()) == 2, "a model runs in it"
        busy = False
        await node.tidy(vacate)
        await other.tidy(nobody)
        assert len(scene.keys()) == 2, "it was in use a moment ago"
        scene.age()
        await other.tidy(nobody)
        assert scene.keys() == [(await node.python_for(needed, 0)).parts[-3]]
        assert len(list((scene.environments / "locks").iterdir())) == 1
        await other.close()

    scene.run(story)
    assert says(scene.python_for(gone), "omega") == "2.0", "it is built again when it is needed again"


def test_what_was_left_by_earlier_nodes_is_removed_after_a_restart(scene: Scene) -> None:
    """An environment that nobody needs any more goes, though the node that built it has ended."""
    scene.python_for(scene.version("omega==2.0"))
    scene.age()

    async def restarted(node: Environments) -> None:
        node.retain([])
        await node.tidy(nobody)

    scene.run(restarted)
    assert scene.keys() == []


def test_another_python_is_used_where_there_is_one(scene: Scene) -> None:
    """A version that was saved with another Python than ours runs in that one."""
    found = next((p for p in ("3.12", "3.10", "3.13", "3.9") if pyenv_python(os.environ, p)), None)
    if found is None:
        pytest.skip("no other Python below pyenv's folder")
    python = scene.python_for(scene.version("omega==1.0", python=f"{found}.1"))
    version = subprocess.run([python, "--version"], capture_output=True, text=True, check=True).stdout
    assert version.startswith(f"Python {found}.")
    assert says(python, "omega") == "1.0"


def test_what_uv_keeps_is_pruned_in_turn(scene: Scene) -> None:
    """Pruning takes the builders' lock, and what is installed stays."""
    python = scene.python_for(scene.version("omega==1.0"))
    scene.run(lambda node: node._builder.prune())
    assert says(python, "omega") == "1.0"


def test_a_node_tidies_by_itself(scene: Scene) -> None:
    """Once it has started and knows what there is, what is not needed goes without anybody asking."""
    scene.python_for(scene.version("omega==2.0"))

    async def story() -> None:
        node = Environments(scene.home, scene.source, HAVE.get, keep_seconds=0, tidy_seconds=0.01)
        node.start(nobody)
        node.retain([])
        async with asyncio.timeout(20):
            while scene.keys():
                await asyncio.sleep(0.02)
        await node.close()

    asyncio.run(story())
