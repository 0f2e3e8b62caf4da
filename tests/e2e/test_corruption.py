"""Bytes that are not what they were: one version says so, the others go on, and nothing wrong is ever loaded."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from registry.layout import manifest_key
from registry.records import Digest
from tests.e2e.asking import error_code
from tests.e2e.bucket import Bucket
from tests.e2e.control import Control, Models, code_of
from tests.support.platform import until

pytestmark = pytest.mark.e2e


def flipped(data: bytes) -> bytes:
    """Return bytes of which one, in the middle, is another."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0x20]) + data[middle + 1 :]


Damage = Callable[[Bucket, str], None]
DAMAGES: dict[str, Damage] = {
    "flipped": lambda bucket, key: bucket.put(key, flipped(bucket.get(key))),
    "truncated": lambda bucket, key: bucket.put(key, bucket.get(key)[:-1]),
    "longer": lambda bucket, key: bucket.put(key, bucket.get(key) + b"\n"),
    "emptied": lambda bucket, key: bucket.put(key, b""),
    "deleted": lambda bucket, key: bucket.delete(key),
}


@pytest.fixture(scope="module")
def bucket(control: Control) -> Bucket:
    """The shared platform's bucket."""
    return Bucket(control.platform)


def assert_corrupt(answer: httpx.Response) -> None:
    """Expect the refusal of a version whose bytes are wrong."""
    assert answer.status_code == 503, answer.text
    assert error_code(answer) == "artifact_corrupt"
    assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize("damage", list(DAMAGES))
@pytest.mark.parametrize("target", ["file", "manifest"])
def test_a_damaged_object_stops_its_version_alone(
    control: Control, models: Models, bucket: Bucket, damage: str, target: str
) -> None:
    """A version whose file or manifest was damaged before its first load is refused; put right, it answers."""
    number = 100.0 + list(DAMAGES).index(damage) + (0.5 if target == "manifest" else 0.0)
    name = f"damaged-{damage}-{target}"
    directory = models.answering(number)
    version, good = control.add(name, directory), control.add(name, models.answering(99))
    digest = control.version(name, version)["digest"]
    key = manifest_key(Digest(digest)) if target == "manifest" else bucket.files(digest)[code_of(directory).name]
    right = bucket.get(key)
    DAMAGES[damage](bucket, key)

    assert_corrupt(control.predict(f"{name}/versions/{version}"))
    assert control.numbers(f"{name}/versions/{good}") == [99, 99]
    assert_corrupt(control.predict(f"{name}/versions/{version}"))
    bucket.put(key, right)
    control.wait_answer(f"{name}/versions/{version}", number)


def damage_flip(path: Path) -> None:
    """Change a byte of a cached file."""
    path.chmod(0o600)
    path.write_bytes(flipped(path.read_bytes()))


def damage_delete(path: Path) -> None:
    """Remove a cached file."""
    path.unlink()


def damage_truncate(path: Path) -> None:
    """Cut a cached file short."""
    path.chmod(0o600)
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize("damage", [damage_flip, damage_delete, damage_truncate])
def test_a_damaged_cache_is_repaired(control: Control, models: Models, damage: Callable[[Path], None]) -> None:
    """What somebody did to the copy on the node's disk is found before it is loaded, and fetched again."""
    number = {"damage_flip": 111.5, "damage_delete": 112.5, "damage_truncate": 113.5}[damage.__name__]
    directory = models.answering(number)
    version = control.add(f"cached-{number}", directory)
    path = f"cached-{number}/versions/{version}"
    control.wait_answer(path, number)
    base = f"{control.platform.serving_url}/models/{path}"
    assert httpx.post(f"{base}/unload", timeout=10).status_code == 200
    until(lambda: httpx.get(base, timeout=10).json()["state"] == "cold", 10, "the unloading")

    cache = control.platform.home / "serving" / "artifacts"
    right = code_of(directory).read_bytes()
    found = [f for f in cache.rglob("*") if f.is_file() and f.stat().st_size == len(right) and f.read_bytes() == right]
    assert found
    for file in {f.stat().st_ino: f for f in found}.values():  # the same file may have several names there
        damage(file)
    assert control.numbers(path) == [number, number]
