"""A child's log file: rotated at start, bounded, its last lines."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deploy.local.logs import KEPT, ChildLog
from deploy.local.messages import TAIL_LINES


def write(log: ChildLog, text: str) -> None:
    """Write as a child's run would."""
    descriptor = log.open("begins")
    os.write(descriptor, text.encode())
    os.close(descriptor)


def test_a_new_start_moves_the_former_log_aside(tmp_path: Path) -> None:
    """The newest is always under the plain name; only a few older ones are kept."""
    for number in range(KEPT + 3):
        write(ChildLog(tmp_path / "x.log"), f"start {number}\n")
    kept = {path.name: path.read_text("utf-8").splitlines()[-1] for path in tmp_path.iterdir()}
    assert kept == {"x.log": "start 5", "x.log.1": "start 4", "x.log.2": "start 3", "x.log.3": "start 2"}


def test_restarts_of_the_child_share_a_file_and_the_tail_is_the_last_runs(tmp_path: Path) -> None:
    """A crash's last words are not mixed with those of the run before."""
    log = ChildLog(tmp_path / "x.log")
    write(log, "first\n")
    write(log, "second\n")
    assert log.tail() == ["second"]
    assert "first" in log.path.read_text("utf-8")


def test_the_tail_is_bounded(tmp_path: Path) -> None:
    """A chatty child does not fill the terminal."""
    log = ChildLog(tmp_path / "x.log")
    write(log, "".join(f"{n}\n" for n in range(50_000)))
    assert log.tail() == [str(n) for n in range(50_000 - TAIL_LINES, 50_000)]


def test_a_log_that_grows_too_large_is_moved_while_the_child_goes_on_writing(tmp_path: Path) -> None:
    """The child's open file stays good; both parts together hold every line."""
    log = ChildLog(tmp_path / "x.log", max_bytes=100)
    descriptor = log.open("begins")
    os.write(descriptor, b"before\n" * 20)
    log.keep_bounded()
    os.write(descriptor, b"after\n")
    os.close(descriptor)
    assert log.path.read_bytes() == b"after\n"
    assert (tmp_path / "x.log.1").read_bytes().endswith(b"before\n")
    assert log.tail() == ["after"]


def test_a_log_that_cannot_be_written_keeps_nobody_from_running(tmp_path: Path) -> None:
    """The child then writes to nowhere."""
    log = ChildLog(tmp_path / "no" / "such" / "x.log")
    write(log, "lost\n")
    log.keep_bounded()
    assert log.tail() == []


def test_a_log_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Other users of the machine do not read it."""
    log = ChildLog(tmp_path / "x.log")
    write(log, "x\n")
    assert log.path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("text", ["", "half a line", "\n\n\n"])
def test_the_tail_of_little_is_little(tmp_path: Path, text: str) -> None:
    """Blank lines do not count; a line without an end does."""
    log = ChildLog(tmp_path / "x.log")
    write(log, text)
    assert log.tail() == ([text] if text.strip() else [])
