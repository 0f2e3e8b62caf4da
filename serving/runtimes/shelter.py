"""Environments on disk: whole or rebuilt, held by whoever runs in them, and removed when nobody needs them. Blocks.

    <home>/environments/
    ├── <key>/             an environment, complete: it was renamed to this name
    ├── held/<key>         locked, shared, by each process that may run in it; its time is the last use
    ├── known/<wanted>     what was asked for → the key that it led to, so that nothing is resolved twice
    ├── locks/<sha256>     locks that were fetched; verified at each reading
    ├── building/          an environment on its way; remains of a crash are removed by the next builder
    ├── removed/           environments on their way out; remains are removed by whoever looks next
    ├── cache/             uv's own, unless its operator chose another
    └── builder.lock       one builder at a time, over all processes

Several nodes may share a home. What one of them removes, no other may be running in: a holder's lock is shared and
the remover's exclusive, and both end with the process, however it ends. Not here: which environments are needed
(``environments.py``), and building them (``builds.py``).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import IO

_KEY = re.compile(r"[0-9a-f]{32}")
_LIST = "headgate-files"


class Shelter:
    """The environments below ``home``. Safe for threads; for any number of processes."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._guard = threading.Lock()
        self._held: dict[str, IO[bytes]] = {}
        self._whole: dict[str, int] = {}  # key → when its libraries' directory last changed, as it was found whole

    def python(self, key: str) -> Path:
        """Return where the interpreter of an environment is, or would be."""
        return self.home / key / "bin" / "python"

    def hold(self, key: str) -> Path | None:
        """Return the interpreter of a whole environment, which nobody removes before ``release``; None: build it."""
        if not (self.home / key).exists():
            return None
        with self._guard:
            self._take(key)
        if self.is_whole(key):
            return self.python(key)
        return None

    def touch(self, key: str) -> None:
        """Mark an environment as used now, there or not: nobody removes it in the next minutes."""
        path = self._mark(key)
        with path.open("ab"):
            os.utime(path)

    def holds(self, key: str) -> bool:
        """Tell whether this process holds an environment."""
        return key in self._held

    def release(self, key: str, idle_seconds: float = 0) -> None:
        """Let go of an environment, unless somebody has asked for it since; idempotent."""
        with self._guard:
            if key not in self._held or self.idle_seconds(key) < idle_seconds:
                return
            file = self._held.pop(key)
            with contextlib.suppress(OSError):
                os.utime(file.fileno())
            file.close()

    def close(self) -> None:
        """Let go of all."""
        for key in list(self._held):
            self.release(key)

    def keys(self) -> list[str]:
        """Return the key of every environment that is here."""
        with contextlib.suppress(OSError):
            return sorted(path.name for path in self.home.iterdir() if _KEY.fullmatch(path.name))
        return []

    def idle_seconds(self, key: str) -> float:
        """Return how long ago an environment was last used, by any process; much, where nobody knows."""
        with contextlib.suppress(OSError):
            return time.time() - self._mark(key).stat().st_mtime
        return float("inf")

    def is_whole(self, key: str) -> bool:
        """Tell whether every file that it was built with is there, in its size; asked again where libraries changed."""
        packages = next(iter((self.home / key).glob("lib/python*/site-packages")), None)
        try:
            if packages is None or not self.python(key).exists():
                return False
            changed = packages.stat().st_mtime_ns
            if self._whole.get(key) != changed:
                if not _as_listed(self.home / key):
                    return False
                self._whole[key] = changed
        except (OSError, ValueError):
            return False
        return True

    def put(self, new: Path, key: str) -> None:
        """Give a new environment its name, in place of a damaged one."""
        _list(new)
        self.touch(key)
        self._take_away(key)
        new.rename(self.home / key)
        self._whole.pop(key, None)

    def remove(self, key: str, idle_seconds: float) -> bool:
        """Remove an environment that no process holds and that was not used for that long; tell whether it went."""
        if self.holds(key) or self.idle_seconds(key) < idle_seconds:
            return False
        mark = self._mark(key)
        marked = mark.exists()
        with mark.open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            used_meanwhile = marked and self.idle_seconds(key) < idle_seconds
            if used_meanwhile or not _is_at(mark, file):
                return False
            self._take_away(key)
            with contextlib.suppress(OSError):
                mark.unlink()  # while it is locked: who opened it before looks again (``_take``)
        self.sweep()
        return True

    def sweep(self) -> None:
        """Delete what was taken away, here or by a process that ended before it could."""
        shutil.rmtree(self.home / "removed", ignore_errors=True)

    def _take(self, key: str) -> None:
        if key in self._held:
            with contextlib.suppress(OSError):
                os.utime(self._held[key].fileno())
            return
        path = self._mark(key)
        while True:
            file = path.open("ab")
            try:
                fcntl.flock(file, fcntl.LOCK_SH)  # waits for a rename at most
                there = _is_at(path, file)
            except BaseException:
                file.close()
                raise
            if there:
                os.utime(file.fileno())
                self._held[key] = file
                return
            file.close()  # it was removed between our opening and our locking it

    def _mark(self, key: str) -> Path:
        path = self.home / "held" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _take_away(self, key: str) -> None:
        """Rename it, at once, so that nobody finds half of it."""
        removed = self.home / "removed"
        removed.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            (self.home / key).rename(Path(tempfile.mkdtemp(dir=removed)) / key)
        self._whole.pop(key, None)


def _is_at(path: Path, file: IO[bytes]) -> bool:
    """Tell whether an open file is still the one of that name: a lock on any other holds nobody off."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    return False


def _list(environment: Path) -> None:
    # Our own list: what libraries record of themselves is wrong as soon as two of them bring one file.
    packages = next(iter(environment.glob("lib/python*/site-packages")), environment)
    files = (path for path in packages.rglob("*") if path.suffix != ".pyc" and path.is_file())
    lines = (f"{path.stat().st_size} {path.relative_to(environment)}\n" for path in files)
    (environment / _LIST).write_text("".join(sorted(lines)), "utf-8", "surrogateescape")


def _as_listed(environment: Path) -> bool:
    for line in (environment / _LIST).read_text("utf-8", "surrogateescape").splitlines():
        size, _, path = line.partition(" ")
        if os.stat(f"{environment}/{path}").st_size != int(size):  # noqa: PTH116 -- a third of the time, ten thousand files
            return False
    return True
