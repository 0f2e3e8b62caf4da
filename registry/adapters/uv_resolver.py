"""Locks what a version asks for, with uv: the ``Resolver`` port.

    satisfied by this process's own environment ─► None, and nothing is asked of anybody
    resolved within the last day                ─► the same lock again, so that versions share one environment
    resolved now                                ─► a lock with hashes
    no solution, or no such Python              ─► refused, in uv's words
    the index does not answer                   ─► no verdict; a lock of earlier, where there is one

An index that did not answer is left alone for half a minute, so that versions which need none do not wait behind it.
Not here: what uv's arguments and complaints mean (``registry/libraries/uv.py``), and when to try again (``admission``).
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from registry.errors import InvalidRequest, Unavailable
from registry.libraries.lockfile import LOCK_LIMIT, Machine, fits, locked_packages, this_machine, with_header
from registry.libraries.satisfied import (
    Installed,
    chosen_python,
    installed,
    is_satisfied,
    parse_requirements,
    wanted,
)
from registry.libraries.uv import (
    compile_arguments,
    find_arguments,
    is_verdict,
    meaningful_line,
    pyenv_python,
    uv_environment,
)
from registry.ports import Locked

STEP_SECONDS = 120.0
SHARED_SECONDS = 86_400.0
"""How long equal requirements get the lock that the first of them got."""
KEPT_SECONDS = 30 * SHARED_SECONDS
DARK_SECONDS = 30.0
"""How long an index that did not answer is not asked again."""
OUTPUT_LIMIT = 64 * 1024
OLDEST_PYTHON = (3, 9)
OLDEST_MLFLOW = 2


class UvResolver:
    """``registry.ports.Resolver``. Safe for threads; several processes may share ``home``.

    Args:
        home: The platform's home; locks are remembered below ``registry/locks``, uv's cache is the nodes' own.
        have: Tells what the platform's own environment holds.
        clock: Seconds since the epoch.
    """

    def __init__(
        self,
        home: Path,
        have: Installed = installed,
        clock: Callable[[], float] = time.time,
        *,
        seconds: float = STEP_SECONDS,
    ) -> None:
        self._remembered = home.absolute() / "registry" / "locks"
        self._cache = home.absolute() / "environments" / "cache"
        self._have, self._clock, self._seconds = have, clock, seconds
        self._machine = this_machine()
        self._guard = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._closed = False
        self._dark: tuple[float, str] | None = None

    def resolve(self, requirements: Sequence[str], python: str | None) -> Locked | None:
        """See ``Resolver.resolve``."""
        try:
            asked = parse_requirements(requirements)
        except ValueError as error:
            raise InvalidRequest("not_servable", str(error)) from error
        _require_served_python(python)
        if is_satisfied(asked, python, self._have):
            return None
        want, lines = chosen_python(python), wanted(asked, self._have)
        text = self._lock(lines, want)
        packages = locked_packages(text)
        _require_served_mlflow(packages)
        return Locked(text.encode(), want, len(packages))

    def close(self) -> None:
        """End what is under way: whoever waits for it gets Unavailable."""
        with self._guard:
            self._closed = True
            for process in self._running:
                _kill(process)

    def _lock(self, lines: Sequence[str], python: str) -> str:
        known = self._remembered / f"{_key(lines, python, self._machine)}.lock"
        earlier, age = self._recall(known, python)
        if earlier is not None and age < SHARED_SECONDS:
            return earlier
        interpreter = self._interpreter(python)
        try:
            self._require_light()
            text = with_header(self._compile(lines, interpreter), python, self._machine)
            locked_packages(text)  # before anything is remembered
        except ValueError as error:
            raise InvalidRequest("not_servable", f"its libraries cannot be locked: {error}") from error
        except Unavailable:
            if earlier is None or self._closed:
                raise
            return earlier
        self._remember(known, text)
        return text

    def _interpreter(self, python: str) -> str:
        if python == chosen_python(None):
            return sys.executable
        status, output, _ = self._uv(find_arguments(python))
        found = output.strip() if status == 0 else pyenv_python(os.environ, python)
        if not found:
            raise InvalidRequest(
                "not_servable",
                f"this version wants Python {python}, which this machine does not have; "
                f"install it, or log the model with Python {chosen_python(None)}",
            )
        return str(found)

    def _compile(self, lines: Sequence[str], interpreter: str) -> str:
        with tempfile.TemporaryDirectory(prefix="headgate-lock-") as folder:
            asked, lock = Path(folder, "requirements.in"), Path(folder, "requirements.lock")
            asked.write_text("".join(f"{line}\n" for line in lines))
            status, _, complaint = self._uv(compile_arguments(interpreter, asked, lock))
            if status == 0 and lock.stat().st_size <= LOCK_LIMIT // 2:
                self._dark = None
                return lock.read_text()
        if status == 0:
            raise InvalidRequest("not_servable", "its requirements lead to more packages than a lock may hold")
        reason = meaningful_line(complaint)
        if is_verdict(complaint):
            raise InvalidRequest("not_servable", f"its libraries cannot be installed: {reason}")
        raise self._darkened(f"the package index cannot be used: {reason}")

    def _darkened(self, reason: str) -> Unavailable:
        self._dark = (time.monotonic() + DARK_SECONDS, reason)
        return Unavailable("environment_unavailable", reason)

    def _require_light(self) -> None:
        dark = self._dark
        if dark is not None and time.monotonic() < dark[0]:
            raise Unavailable("environment_unavailable", dark[1])

    def _uv(self, arguments: Sequence[str]) -> tuple[int, str, str]:
        from uv import find_uv_bin

        command = [find_uv_bin(), "--color", "never", *arguments]
        with self._guard:
            if self._closed:
                raise Unavailable("shutting_down", "the registry is stopping")
            process = subprocess.Popen(  # noqa: S603 -- the platform's own uv, its own words, and no shell
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=uv_environment(os.environ, self._cache),
                cwd=self._place(),
                start_new_session=True,
            )
            self._running.add(process)
        with process:
            try:
                output, complaint = process.communicate(timeout=self._seconds)
            except subprocess.TimeoutExpired:
                raise self._darkened(f"the package index did not answer within {self._seconds:.3g} s") from None
            finally:
                with self._guard:
                    _kill(process)
                    self._running.discard(process)
        if self._closed:
            raise Unavailable("shutting_down", "the registry is stopping")
        return process.returncode, output.decode("utf-8", "replace"), _tail(complaint)

    def _place(self) -> Path:
        # uv reads settings from where it runs and all folders above: never where strangers can write, as in /tmp.
        with suppress(OSError):
            self._remembered.mkdir(parents=True, exist_ok=True)
            return self._remembered
        return Path("/")

    def _recall(self, known: Path, python: str) -> tuple[str | None, float]:
        with suppress(OSError, ValueError):
            text, age = known.read_text(), self._clock() - known.stat().st_mtime
            locked_packages(text)
            return (text if fits(text, python, self._machine) else None), age
        return None, 0.0

    def _remember(self, known: Path, text: str) -> None:
        with suppress(OSError):  # a memory that cannot be kept costs the next version a second
            self._remembered.mkdir(parents=True, exist_ok=True)
            for old in self._remembered.iterdir():
                if self._clock() - old.stat().st_mtime > KEPT_SECONDS:
                    old.unlink()
            with tempfile.NamedTemporaryFile("w", dir=self._remembered, delete=False) as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())  # a lock that is cut at a package still reads as one
            Path(file.name).replace(known)


def _require_served_python(python: str | None) -> None:
    numbers = [int(part) for part in (python or "").split(".")[:2] if part.isdigit()]
    if numbers and tuple(numbers) < OLDEST_PYTHON[: len(numbers)]:
        oldest = ".".join(map(str, OLDEST_PYTHON))
        raise InvalidRequest(
            "not_servable",
            f"this version was saved with Python {python}; models are served with Python {oldest} or newer",
        )


def _require_served_mlflow(packages: dict[str, str]) -> None:
    found = packages.get("mlflow") or packages.get("mlflow-skinny") or str(OLDEST_MLFLOW)
    if int(found.split(".")[0]) < OLDEST_MLFLOW:
        raise InvalidRequest(
            "not_servable",
            f"its requirements lead to MLflow {found}; models are served with MLflow {OLDEST_MLFLOW}.0 or newer",
        )


def _key(lines: Sequence[str], python: str, machine: Machine) -> str:
    return hashlib.sha256("\n".join([python, repr(machine), *lines]).encode()).hexdigest()


def _tail(output: bytes) -> str:
    return output[-OUTPUT_LIMIT:].decode("utf-8", "replace")


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # with what it has started
