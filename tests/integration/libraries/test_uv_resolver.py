"""What uv's answers become: a lock, the platform's own environment, a refusal in words, or no verdict."""

from __future__ import annotations

import os
import platform
import threading
import time
from pathlib import Path

import pytest

from registry.adapters.uv_resolver import KEPT_SECONDS, SHARED_SECONDS, UvResolver
from registry.errors import InvalidRequest, Unavailable
from registry.libraries.lockfile import fits, locked_packages, this_machine
from registry.libraries.satisfied import minor
from tests.support.package_index import PackageIndex

pytestmark = pytest.mark.integration
HAVE = {"mlflow": "2.9"}
OURS = minor(platform.python_version())


def resolver(home: Path, seconds: float = 60, ahead: float = 0) -> UvResolver:
    """Return a resolver; its clock is ``ahead`` of the machine's, in seconds."""
    return UvResolver(home, HAVE.get, lambda: time.time() + ahead, seconds=seconds)


def test_a_lock_names_every_package_with_its_hash_and_no_address(index: PackageIndex, tmp_path: Path) -> None:
    """What the version asks for, what that needs, and what a host needs besides."""
    locked = resolver(tmp_path).resolve(["alpha"], None)
    assert locked is not None
    text = locked.text.decode()
    assert locked_packages(text) == {"alpha": "1.0", "beta": "1.5", "mlflow": "2.9"}
    assert (locked.packages, locked.python) == (3, OURS)
    assert fits(text, OURS, this_machine())
    assert "127.0.0.1" not in text and "://" not in text


def test_what_the_platform_satisfies_asks_no_index(
    index: PackageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operator without any index serves what the platform's own libraries satisfy."""
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    assert resolver(tmp_path).resolve(["mlflow==2.9"], platform.python_version()) is None


def test_equal_requirements_get_one_lock_for_a_day(
    index: PackageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package published meanwhile does not part versions of one day; the next day's has it."""
    first = resolver(tmp_path).resolve(["beta"], None)
    index.add("beta", "1.6")
    assert resolver(tmp_path).resolve(["beta # again"], None) == first
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "empty"))  # uv remembers an index's page for some minutes
    later = resolver(tmp_path, ahead=SHARED_SECONDS + 1).resolve(["beta"], None)
    assert first is not None and later is not None and later.text != first.text


def test_an_index_that_is_away_is_no_verdict(
    index: PackageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it does not answer, nobody is told that there is no solution; what was locked before is locked again."""
    known = resolver(tmp_path).resolve(["beta"], None)
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "empty"))
    one = resolver(tmp_path, ahead=2 * SHARED_SECONDS)
    with pytest.raises(Unavailable, match="the package index cannot be used") as caught:
        one.resolve(["alpha"], None)
    assert caught.value.code == "environment_unavailable"
    assert "127.0.0.1" not in caught.value.message
    assert one.resolve(["beta"], None) == known
    began = time.monotonic()
    with pytest.raises(Unavailable):
        one.resolve(["omega"], None)
    assert time.monotonic() - began < 0.1, "it was asked a moment ago"


@pytest.mark.parametrize(
    ("lines", "python", "words"),
    [
        (["omega==3"], None, "there is no version of omega==3"),
        (["alpha", "beta<1"], None, "unsatisfiable"),
        (["nowhere"], None, "nowhere was not found"),
        (["mlflow<2", "omega"], None, "MLflow 1.30; models are served with MLflow 2.0 or newer"),
        (["omega"], "3.8.18", "Python 3.9 or newer"),
        (["omega"], "2.7", "Python 3.9 or newer"),
        (
            ["omega"],
            "3.99.1",
            f"wants Python 3.99, which this machine does not have; .* log the model with Python {OURS}",
        ),
        (["git+https://example.org/x"], None, "version control"),
        (["omega; nonsense == '1'"], None, "cannot be read"),
    ],
)
def test_what_cannot_be_is_refused_in_words(
    index: PackageIndex, tmp_path: Path, lines: list[str], python: str | None, words: str
) -> None:
    """The sentence says what is wrong, and shows no path and no address of this machine."""
    with pytest.raises(InvalidRequest, match=words) as caught:
        resolver(tmp_path).resolve(lines, python)
    assert caught.value.code == "not_servable"
    assert str(tmp_path) not in caught.value.message and "127.0.0.1" not in caught.value.message


def test_settings_beside_the_home_are_not_read(
    index: PackageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that anybody can put into the folder for temporary files sets uv to no other index."""
    monkeypatch.delenv("UV_NO_CONFIG")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    (temporary / "uv.toml").write_text('index-url = "http://127.0.0.1:9/simple"\nno-index = true\n')
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert resolver(tmp_path / "home").resolve(["omega"], None) is not None


def test_a_damaged_memory_is_resolved_anew(index: PackageIndex, tmp_path: Path) -> None:
    """A remembered lock that is no lock any more is not used, and old ones go."""
    one = resolver(tmp_path)
    first = one.resolve(["omega"], None)
    folder = tmp_path / "registry" / "locks"
    (kept,) = folder.iterdir()
    kept.write_text(kept.read_text() + "--index-url http://198.51.100.1\n")
    (folder / "old.lock").write_text("")
    os.utime(folder / "old.lock", (0, time.time() - KEPT_SECONDS - 1))
    assert one.resolve(["omega"], None) == first
    assert list(folder.iterdir()) == [kept]


def test_a_slow_index_is_given_up_and_closing_ends_it(
    index: PackageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither an admission nor the end of the registry waits for an index that never answers."""
    program = tmp_path / "uv"
    program.write_text("#!/bin/sh\nsleep 600\n")
    program.chmod(0o755)
    monkeypatch.setattr("uv.find_uv_bin", lambda: str(program))
    with pytest.raises(Unavailable, match=r"did not answer within 0\.2 s"):
        resolver(tmp_path, seconds=0.2).resolve(["omega"], None)
    one = resolver(tmp_path)
    timer = threading.Timer(0.2, one.close)
    timer.start()
    with pytest.raises(Unavailable) as caught:
        one.resolve(["omega"], None)
    timer.join()
    assert caught.value.code == "shutting_down"
