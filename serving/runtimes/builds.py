"""The steps of building an environment with uv: install a lock with hashes beside, then rename.

A version that has no lock, or one that was made for another kind of machine, is resolved to a lock here first. Only
built distributions are installed: a source distribution would run a stranger's code, with this node's rights, at
installation. Not here: when to build (``environments.py``), where environments lie (``shelter.py``), and how uv is
spoken to (``registry/libraries/uv.py``).
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO

from registry.errors import Unavailable
from registry.libraries.satisfied import chosen_python
from registry.libraries.uv import (
    compile_arguments,
    find_arguments,
    meaningful_line,
    pyenv_python,
    uv_environment,
)
from serving.runtimes.shelter import Shelter

OUTPUT_LIMIT = 64 * 1024
STEP_SECONDS = 900.0
LOCK_POLL_SECONDS = 0.1
TURN_SECONDS = 3600.0
"""How long a build waits for the one before it, which may be another process's; each of its steps has a limit."""
NICENESS = 10


class Builder:
    """Builds environments into ``shelter``, one at a time over all processes."""

    def __init__(self, shelter: Shelter, turn_seconds: float = TURN_SECONDS) -> None:
        self._shelter, self._turn_seconds = shelter, turn_seconds
        self._home = shelter.home
        self._turn = asyncio.Lock()

    def known(self, wanted: str) -> str | None:
        """Return the key of the environment that was built for ``wanted``, here still or not. Blocks on files."""
        with contextlib.suppress(OSError):
            return (self._home / "known" / wanted).read_text().strip()
        return None

    async def build(self, key: str, lock: str, python: str) -> str:
        """See to it that an environment of ``lock`` in Python ``python`` (``3.11``) is there; return its key.

        Raises Unavailable ``environment_unavailable`` where that cannot be.
        """
        async with self._at_work() as building:
            if not await asyncio.to_thread(self._shelter.is_whole, key):
                file = building / "requirements.lock"
                await asyncio.to_thread(file.write_text, lock)
                await self._install(key, file, await self._interpreter(python))
            return key

    async def resolve_and_build(self, wanted: str, lines: list[str], python: str) -> str:
        """Do the same for ``lines`` that nobody has locked, and remember the key for ``wanted``."""
        async with self._at_work() as building:
            ready = await asyncio.to_thread(self.known, wanted)  # another process was quicker
            if ready is not None and await asyncio.to_thread(self._shelter.is_whole, ready):
                return ready
            interpreter = await self._interpreter(python)
            asked, lock = building / "requirements.in", building / "requirements.lock"
            asked.write_text("".join(f"{line}\n" for line in lines))
            await self._uv(*compile_arguments(interpreter, asked, lock))
            key = hashlib.sha256(lock.read_bytes() + python.encode()).hexdigest()[:32]
            if not await asyncio.to_thread(self._shelter.is_whole, key):
                await self._install(key, lock, interpreter)
            await asyncio.to_thread(_write, self._home / "known" / wanted, key)
            return key

    async def prune(self) -> None:
        """Have uv forget what nothing refers to any more. Raises as ``build``."""
        async with self._at_work():
            await self._uv("cache", "prune", "--quiet")

    @asynccontextmanager
    async def _at_work(self) -> AsyncIterator[Path]:
        """Give an empty directory to build in, when it is our turn."""
        building = self._home / "building"
        try:
            async with self._turn, self._alone():
                await asyncio.to_thread(shutil.rmtree, building, ignore_errors=True)  # we are alone: remains of a crash
                building.mkdir()
                try:
                    yield building
                finally:
                    await asyncio.to_thread(shutil.rmtree, building, ignore_errors=True)
        except TimeoutError:
            message = "another process of this machine has been building an environment for too long; end it and retry"
            raise Unavailable("environment_unavailable", message) from None
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else type(error).__name__
            raise Unavailable("environment_unavailable", f"no environment can be built here: {reason}") from error

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        (self._home / "known").mkdir(parents=True, exist_ok=True)
        with (self._home / "builder.lock").open("w") as lock:
            async with asyncio.timeout(self._turn_seconds):
                while not _locked(lock):  # noqa: ASYNC110 -- another process's lock, which tells nobody
                    await asyncio.sleep(LOCK_POLL_SECONDS)
            yield

    async def _interpreter(self, python: str) -> str:
        if python == chosen_python(None):
            return sys.executable
        with contextlib.suppress(Unavailable):
            return (await self._uv(*find_arguments(python))).strip()
        found = await asyncio.to_thread(pyenv_python, os.environ, python)
        if found is None:
            message = f"this version wants Python {python}, which this machine does not have; install it and retry"
            raise Unavailable("environment_unavailable", message, {"python": python})
        return str(found)

    async def _install(self, key: str, lock: Path, interpreter: str) -> None:
        beside = self._home / "building" / "environment"
        await self._uv(
            *("venv", "--quiet", "--no-project", "--relocatable", "--no-python-downloads"),
            *("--python", interpreter, str(beside)),
        )
        await self._uv(
            *("pip", "sync", "--quiet", "--require-hashes", "--no-build", "--compile-bytecode"),
            *("--python", str(beside / "bin" / "python"), str(lock)),
        )
        await asyncio.to_thread(self._shelter.put, beside, key)

    async def _uv(self, *arguments: str) -> str:
        from uv import find_uv_bin

        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-B", "-m", "serving.runtimes.launch", str(os.getpid())),
            *(find_uv_bin(), "--color", "never", *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=uv_environment(os.environ, self._home / "cache"),
            cwd=self._home,
            start_new_session=True,
        )
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)  # predictions come first
        try:
            async with asyncio.timeout(STEP_SECONDS):
                output, complaint = await process.communicate()
        except TimeoutError:
            raise Unavailable(
                "environment_unavailable", "installing the libraries of this version took too long"
            ) from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # with what it has started
                await process.wait()
        if process.returncode:
            reason = meaningful_line(complaint.decode("utf-8", "replace")[-OUTPUT_LIMIT:])
            message = f"the libraries of this version cannot be installed: {reason}"
            raise Unavailable("environment_unavailable", message)
        return output.decode("utf-8", "replace")


def _locked(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    Path(file.name).replace(path)
