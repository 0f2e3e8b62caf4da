"""Environments on disk: found whole or not at all, and removed under nobody."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from serving.runtimes.shelter import Shelter

KEY = "0" * 32
OTHER = "1" * 32
LATER = 1e6


def built(folder: Path) -> Path:
    """Return something that looks like an environment, not yet in its place."""
    packages = folder / "new" / "lib" / "python3.11" / "site-packages"
    (packages / "alpha").mkdir(parents=True)
    (packages / "alpha" / "__init__.py").write_text("one = 1\n")
    (packages / "gamma.py").write_text("two = 2\n")
    (folder / "new" / "bin").mkdir()
    (folder / "new" / "bin" / "python").symlink_to(sys.executable)
    return folder / "new"


@pytest.fixture
def shelter(tmp_path: Path) -> Shelter:
    """A shelter with one environment, which nobody holds."""
    shelter = Shelter(tmp_path / "environments")
    shelter.put(built(tmp_path), KEY)
    return shelter


def age(shelter: Shelter, key: str = KEY) -> None:
    """Let it be long ago that an environment was used."""
    os.utime(shelter.home / "held" / key, (0, time.time() - LATER))


def test_what_was_put_is_held_whole(shelter: Shelter) -> None:
    """Whoever holds an environment gets its interpreter; what was never put is not there."""
    assert shelter.hold(KEY) == shelter.python(KEY)
    assert shelter.hold(OTHER) is None
    assert shelter.keys() == [KEY]
    shelter.close()


@pytest.mark.parametrize(
    "damage", ["missing file", "missing folder", "truncated", "no interpreter", "no list", "bad list"]
)
def test_a_damaged_environment_is_not_handed_out(shelter: Shelter, damage: str, tmp_path: Path) -> None:
    """A file that is gone or cut means that it has to be built again; the new one takes its place."""
    root = shelter.home / KEY
    packages = root / "lib" / "python3.11" / "site-packages"
    match damage:
        case "missing file":
            (packages / "gamma.py").unlink()
        case "missing folder":
            (packages / "alpha").rename(tmp_path / "elsewhere")
        case "truncated":
            (packages / "gamma.py").write_text("")
        case "no interpreter":
            (root / "bin" / "python").unlink()
        case "no list":
            (root / "headgate-files").unlink()
        case "bad list":
            (root / "headgate-files").write_text("nonsense\n")
    again = Shelter(shelter.home)
    assert again.hold(KEY) is None
    again.put(built(tmp_path), KEY)
    assert again.hold(KEY) == again.python(KEY)
    again.close()


def test_damage_is_noticed_while_a_node_runs(shelter: Shelter) -> None:
    """What was found whole is looked at again where the folder of its libraries has changed."""
    assert shelter.is_whole(KEY)
    packages = shelter.home / KEY / "lib" / "python3.11" / "site-packages"
    (packages / "gamma.py").unlink()
    os.utime(packages, ns=(0, 12345))
    assert not shelter.is_whole(KEY)


def test_bytecode_may_come_and_go(shelter: Shelter) -> None:
    """A host that compiles a module does not make its environment another one."""
    cache = shelter.home / KEY / "lib" / "python3.11" / "site-packages" / "__pycache__"
    cache.mkdir()
    (cache / "gamma.cpython-311.pyc").write_bytes(b"x")
    assert Shelter(shelter.home).is_whole(KEY)


def test_nothing_is_removed_under_a_holder(shelter: Shelter) -> None:
    """Neither by itself nor by another node on the same home; once it is let go, and idle, it goes."""
    other = Shelter(shelter.home)
    assert other.hold(KEY)
    age(shelter)
    assert not shelter.remove(KEY, 60)
    assert not other.remove(KEY, 60)
    other.release(KEY)
    assert not shelter.remove(KEY, 60), "letting go is a use"
    age(shelter)
    assert shelter.remove(KEY, 60)
    assert shelter.keys() == [] and not (shelter.home / "removed").exists()


def test_a_holder_that_is_killed_holds_nothing(shelter: Shelter) -> None:
    """The lock ends with its process, however that ends."""
    code = "import sys, time; from pathlib import Path; from serving.runtimes.shelter import Shelter; "
    code += f"kept = Shelter(Path(sys.argv[1])); print(kept.hold('{KEY}'), flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code, str(shelter.home)], stdout=subprocess.PIPE) as node:
        assert node.stdout is not None and KEY.encode() in node.stdout.readline()
        age(shelter)
        assert not shelter.remove(KEY, 60)
        node.kill()
    assert shelter.remove(KEY, 60)


def test_letting_go_is_refused_to_who_was_asked_again(shelter: Shelter) -> None:
    """A load that comes between the decision to remove and the letting go keeps the environment."""
    shelter.hold(KEY)
    shelter.release(KEY, idle_seconds=60)
    assert shelter.holds(KEY)
    age(shelter)
    shelter.release(KEY, idle_seconds=60)
    assert not shelter.holds(KEY)


def test_who_opened_the_mark_before_it_went_makes_a_new_one(shelter: Shelter) -> None:
    """A lock on a file that has no name any more holds nobody off, so it is taken again."""
    age(shelter)
    assert shelter.remove(KEY, 60)
    assert shelter.hold(KEY) is None
    assert not shelter.holds(KEY)


def test_remains_of_a_removal_are_swept(shelter: Shelter) -> None:
    """A process that ended while it deleted leaves nothing behind for ever."""
    (shelter.home / "removed" / "x" / KEY).mkdir(parents=True)
    shelter.sweep()
    assert not (shelter.home / "removed").exists()


def test_an_environment_of_nobody_knows_when_may_go(shelter: Shelter) -> None:
    """Where no use was ever recorded, it counts as long ago."""
    (shelter.home / "held" / KEY).unlink()
    assert shelter.remove(KEY, 60)
