"""What is remembered of interrupted uploads."""

from __future__ import annotations

import os
from pathlib import Path

from headgate.memory import UploadMemory, memory_directory


def test_an_upload_is_remembered_by_registry_and_key(tmp_path: Path) -> None:
    """Another registry or another key knows nothing of it."""
    memory = UploadMemory(tmp_path, "http://a")
    memory.remember("k", "upload-1")
    assert memory.recall("k") == "upload-1"
    assert memory.recall("other") is None
    assert UploadMemory(tmp_path, "http://b").recall("k") is None
    memory.forget("k")
    memory.forget("k")
    assert memory.recall("k") is None


def test_old_entries_go(tmp_path: Path) -> None:
    """What is older than a week is dropped when something new is remembered."""
    memory = UploadMemory(tmp_path, "http://a")
    memory.remember("old", "1")
    (file,) = tmp_path.iterdir()
    os.utime(file, (0, 0))
    memory.remember("new", "2")
    assert memory.recall("old") is None
    assert memory.recall("new") == "2"


def test_damaged_entries_are_passed_over(tmp_path: Path) -> None:
    """A file that holds anything but an id is as good as none."""
    memory = UploadMemory(tmp_path, "http://a")
    memory.remember("k", "1")
    (file,) = tmp_path.iterdir()
    for content in (b"\xff", b"", b"a\nb", b"x" * 1000):
        file.write_bytes(content)
        assert memory.recall("k") is None


def test_the_directory_follows_the_user(tmp_path: Path) -> None:
    """XDG_CACHE_HOME decides, if it is an absolute path."""
    assert memory_directory({"XDG_CACHE_HOME": str(tmp_path)}) == tmp_path / "headgate" / "uploads"
    assert memory_directory({"XDG_CACHE_HOME": "relative"}) == Path.home() / ".cache" / "headgate" / "uploads"
