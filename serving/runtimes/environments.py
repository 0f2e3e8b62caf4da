"""Which interpreter a version runs in: the platform's own where that satisfies its requirements, else one built for it.

Environments are known by the hash of their lock, shared by all versions with an equal one, and kept across restarts:

    <home>/environments/
    ├── <key>/             an environment, complete: it was renamed to this name
    ├── known/<wanted>     what was asked for → the key that it led to, so that nothing is resolved twice
    ├── building/          environments on their way; remains of a crash are removed by the next builder
    └── builder.lock       one builder at a time, over all processes

A caller waits for as long as it has; the build goes on for whoever asks next. Not here: the steps of a build
(``builds.py``), which requirement lines are let in at all (``registry/requirements.py``).
"""

from __future__ import annotations

import asyncio
import hashlib
import platform
import sys
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import TypeVar

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from registry.errors import HeadgateError, Unavailable
from registry.records import ServableVersion
from registry.requirements import refuse_requirements, strip_comment
from serving.runtimes.builds import Builder

FAILURE_SECONDS = 30.0
RETRY_SECONDS = 5.0
MOST_REMEMBERED = 1000
"""How many sets of requirements are remembered, of those that were asked for last."""
_MLFLOW = ("mlflow", "mlflow-skinny")

Installed = Callable[[str], str | None]
K = TypeVar("K")
V = TypeVar("V")


def installed(name: str) -> str | None:
    """Return the version of a distribution in this process's environment, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def parse_requirements(lines: tuple[str, ...]) -> list[Requirement]:
    """Return requirement lines parsed; raise Unavailable ``environment_unavailable`` for one that is not allowed."""
    refused = refuse_requirements(lines)
    if refused:
        raise Unavailable("environment_unavailable", refused[0], retry_after=None)
    try:
        return [Requirement(text) for line in lines if (text := strip_comment(line))]
    except InvalidRequirement as error:
        reason = str(error).splitlines()[0]
        raise Unavailable(
            "environment_unavailable", f"a requirement cannot be read: {reason}", retry_after=None
        ) from None


def unsatisfied(requirements: list[Requirement], have: Installed) -> Iterator[str]:
    """Yield each requirement that applies here and that ``have`` does not meet exactly."""
    for requirement in requirements:
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        version = have(requirement.name)
        if version is None or not requirement.specifier.contains(version, prereleases=True) or requirement.extras:
            yield str(requirement)  # extras: only a resolver can tell whether they are there


def wanted(requirements: list[Requirement], have: Installed) -> list[str]:
    """Return the lines to install for a version: its own, and what any host needs besides."""
    names = {canonicalize_name(r.name) for r in requirements}
    lines = sorted({str(r) for r in requirements})
    if not names & set(_MLFLOW):
        lines.append(f"mlflow<={have('mlflow')}")  # no newer than ours, older where the Python is
    elif "mlflow" not in names:
        lines += [name for name in ("numpy", "pandas") if name not in names]  # which mlflow-skinny leaves out
    return lines


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


class Environments:
    """Finds or builds interpreters; binds ``Pythons``. One for a node; several nodes may share a home.

    Args:
        home: The directory below which ``environments/`` lies.
        have: Tells what the platform's own environment holds.
    """

    def __init__(self, home: Path, have: Installed = installed) -> None:
        self._home = home.absolute() / "environments"
        self._have = have
        self._builder = Builder(self._home)
        self._builds: dict[str, asyncio.Task[Path]] = {}
        self._failures: dict[str, tuple[float, HeadgateError]] = {}
        self._own: dict[tuple[tuple[str, ...], str | None], bool] = {}

    async def python_for(self, version: ServableVersion, seconds: float) -> Path:
        """Return the interpreter of an environment that satisfies the version.

        Raises Unavailable ``environment_unavailable`` where there can be none, saying why, and ``loading`` where
        ``seconds`` were not enough to build one; the build goes on.
        """
        requirements = parse_requirements(version.requirements)
        if self._is_own(version, requirements):
            return Path(sys.executable)
        lines = wanted(requirements, self._have)
        python = _minor(version.python or platform.python_version())
        key = hashlib.sha256("\n".join([python, platform.machine(), *lines]).encode()).hexdigest()
        known = await asyncio.to_thread(self._builder.known, key)
        return known or await self._built(key, lines, python, seconds)

    async def close(self) -> None:
        """Stop builds that are under way."""
        for build in self._builds.values():
            build.cancel()
        await asyncio.gather(*self._builds.values(), return_exceptions=True)

    def _is_own(self, version: ServableVersion, requirements: list[Requirement]) -> bool:
        asked = (version.requirements, version.python)
        if asked not in self._own:
            _make_room(self._own)
            same = version.python is None or _minor(version.python) == _minor(platform.python_version())
            self._own[asked] = same and next(unsatisfied(requirements, self._have), None) is None
        return self._own[asked]

    async def _built(self, key: str, lines: list[str], python: str, seconds: float) -> Path:
        failed = self._failures.get(key)
        if failed is not None and time.monotonic() - failed[0] < FAILURE_SECONDS:
            error = failed[1]  # anew: raising one object over and over would grow its traceback for ever
            raise type(error)(error.code, error.message, error.details, retry_after=error.retry_after)
        if key not in self._builds:
            self._builds[key] = asyncio.get_running_loop().create_task(self._build(key, lines, python))
        build = self._builds[key]
        done, _ = await asyncio.wait([build], timeout=seconds)
        if not done:
            message = "the libraries of this version are being installed; retry in a few seconds"
            raise Unavailable("loading", message, retry_after=RETRY_SECONDS)
        return build.result()

    async def _build(self, key: str, lines: list[str], python: str) -> Path:
        try:
            return await self._builder.build(key, lines, python)
        except HeadgateError as error:
            self._failures.pop(key, None)
            _make_room(self._failures)
            self._failures[key] = (time.monotonic(), error)
            raise
        finally:
            del self._builds[key]


def _make_room(remembered: dict[K, V]) -> None:
    if len(remembered) >= MOST_REMEMBERED:
        del remembered[next(iter(remembered))]
