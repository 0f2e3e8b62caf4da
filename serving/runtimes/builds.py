"""The steps of building an environment with uv: resolve to a lock with hashes, install beside, rename.

Only built distributions are installed: a source distribution would run a stranger's code, with this node's rights, at
installation. Nothing is fetched but from the index that the operator's uv is set to. Not here: when to build.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO

from registry.errors import Unavailable

LINE_LIMIT = 300
OUTPUT_LIMIT = 64 * 1024
STEP_SECONDS = 900.0
LOCK_POLL_SECONDS = 0.1
TURN_SECONDS = 3600.0
"""How long a build waits for the one before it, which may be another process's; each of its steps has a limit."""
NICENESS = 10
_KEPT_VARIABLES = ("PATH", "HOME", "LANG", "TZ", "TMPDIR", "XDG_CACHE_HOME", "NETRC")
_KEPT_PREFIXES = ("UV_", "SSL_CERT_", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "no_proxy")
# Where the system keeps certificates, uv shall trust them, as every other program on the machine does: behind a
# company's proxy the bundled ones know nobody.
_SYSTEM_CERTS = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")
_BOUNDS = {"UV_CONCURRENT_DOWNLOADS": "4", "UV_CONCURRENT_BUILDS": "1", "UV_CONCURRENT_INSTALLS": "1"}
_ADDRESS = re.compile(r"[a-z+]+://[^\s`'\",)]+", re.IGNORECASE)
_PATH = re.compile(r"(?<![\w.])(?:~|\.{1,2})?(?:/[^\s`'\",):]+)+")
_NOISE = re.compile(r"^[\s×╰─▶│├╭hint:]+|^error:\s*")


def meaningful_line(output: str) -> str:
    """Return what uv said last, for people: no address, no path, at most 300 characters."""
    for line in reversed(_paragraphs(output)):
        text = _PATH.sub("…", _ADDRESS.sub("the package index", line))
        if text:
            text = text.replace(" cause: ", ": ")
            return text if len(text) <= LINE_LIMIT else text[: LINE_LIMIT - 1] + "…"
    return "the installer failed without a word"


def _paragraphs(output: str) -> list[str]:
    # uv folds long sentences and indents what follows: join them again.
    lines: list[str] = []
    for raw in output.splitlines():
        text = _NOISE.sub("", re.sub(r"\x1b\[[0-9;]*m", "", raw)).strip()
        starts = any(mark in raw for mark in "×▶") or raw.startswith(("error", "hint", "warning")) or not lines
        if "hint:" in raw:
            break  # advice on uv's own options, which nobody here can set
        if text and starts:
            lines.append(text)
        elif text:
            lines[-1] += " " + text
    return lines


class Builder:
    """Builds environments below ``home``, one at a time over all processes."""

    def __init__(self, home: Path, turn_seconds: float = TURN_SECONDS) -> None:
        self._home, self._turn_seconds = home, turn_seconds
        self._turn = asyncio.Lock()

    def known(self, wanted: str) -> Path | None:
        """Return the interpreter of the environment that was built for ``wanted``, or None. Blocks on files."""
        with contextlib.suppress(OSError):
            python = self._python((self._home / "known" / wanted).read_text().strip())
            return python if python.exists() else None
        return None

    async def build(self, wanted: str, lines: list[str], python: str) -> Path:
        """Return the interpreter of an environment with ``lines`` installed in Python ``python`` (``3.11``).

        Raises Unavailable ``environment_unavailable`` where that cannot be.
        """
        try:
            async with self._turn, self._alone():
                ready = await asyncio.to_thread(self.known, wanted)  # another process was quicker
                return ready or await self._build(wanted, lines, python)
        except TimeoutError:
            message = "another process of this machine has been building an environment for too long; end it and retry"
            raise Unavailable("environment_unavailable", message) from None
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else type(error).__name__
            raise Unavailable("environment_unavailable", f"no environment can be built here: {reason}") from error

    def _python(self, key: str) -> Path:
        return self._home / key / "bin" / "python"

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        (self._home / "known").mkdir(parents=True, exist_ok=True)
        with (self._home / "builder.lock").open("w") as lock:
            async with asyncio.timeout(self._turn_seconds):
                while not _locked(lock):  # noqa: ASYNC110 -- another process's lock, which tells nobody
                    await asyncio.sleep(LOCK_POLL_SECONDS)
            yield

    async def _build(self, wanted: str, lines: list[str], python: str) -> Path:
        building = self._home / "building"
        await asyncio.to_thread(shutil.rmtree, building, ignore_errors=True)  # we are alone: remains of a crash
        building.mkdir()
        try:
            interpreter = await self._interpreter(python)
            lock = building / "requirements.lock"
            await self._resolve(lines, interpreter, lock)
            key = hashlib.sha256(lock.read_bytes() + python.encode()).hexdigest()[:32]
            if not self._python(key).exists():
                await self._install(lock, interpreter, building / "environment", self._home / key)
            await asyncio.to_thread(_write, self._home / "known" / wanted, key)
            return self._python(key)
        finally:
            await asyncio.to_thread(shutil.rmtree, building, ignore_errors=True)

    async def _interpreter(self, python: str) -> str:
        if python == f"{sys.version_info.major}.{sys.version_info.minor}":
            return sys.executable
        try:
            return (
                await self._uv("python", "find", "--no-python-downloads", "--no-project", "--system", python)
            ).strip()
        except Unavailable:
            message = f"this version wants Python {python}, which this machine does not have; install it and retry"
            raise Unavailable("environment_unavailable", message, {"python": python}) from None

    async def _resolve(self, lines: list[str], interpreter: str, lock: Path) -> None:
        asked = lock.with_suffix(".in")
        asked.write_text("".join(f"{line}\n" for line in lines))
        await self._uv(
            *("pip", "compile", "--generate-hashes", "--no-header", "--no-annotate", "--no-build", "--quiet"),
            *("--no-python-downloads", "--python", interpreter, "--output-file", str(lock), str(asked)),
        )

    async def _install(self, lock: Path, interpreter: str, beside: Path, final: Path) -> None:
        await self._uv(
            *("venv", "--quiet", "--no-project", "--relocatable", "--no-python-downloads"),
            *("--python", interpreter, str(beside)),
        )
        await self._uv(
            *("pip", "sync", "--quiet", "--require-hashes", "--no-build", "--compile-bytecode"),
            *("--python", str(beside / "bin" / "python"), str(lock)),
        )
        await asyncio.to_thread(_replace, beside, final)

    async def _uv(self, *arguments: str) -> str:
        from uv import find_uv_bin

        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-B", "-m", "serving.runtimes.launch", str(os.getpid())),
            *(find_uv_bin(), "--color", "never", *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=_environment(os.environ, self._home),
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


def _environment(environ: Mapping[str, str], home: Path) -> dict[str, str]:
    # The operator's index, proxies and certificates, but no credential of the platform.
    kept = {k: v for k, v in environ.items() if k in _KEPT_VARIABLES or k.startswith(_KEPT_PREFIXES)}
    certs = {"UV_SYSTEM_CERTS": "1"} if any(Path(bundle).exists() for bundle in _SYSTEM_CERTS) else {}
    return {"UV_CACHE_DIR": str(home / "cache"), "UV_LINK_MODE": "hardlink"} | certs | kept | _BOUNDS


def _replace(new: Path, old: Path) -> None:
    shutil.rmtree(old, ignore_errors=True)  # a damaged one: a whole one would have been used
    new.rename(old)


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    Path(file.name).replace(path)
