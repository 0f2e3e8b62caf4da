"""Environments of their own: built once, shared, found again, and used."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from uv import find_uv_bin

from registry.errors import Unavailable
from registry.records import Digest, VersionNumber
from registry.snapshots import ServableVersion
from serving.exchange import Call, JsonOutput
from serving.runtimes.environments import Environments
from serving.runtimes.host.runtime import HostRuntime
from tests.integration.runtimes.conftest import OneEnvironment, rows
from tests.integration.runtimes.test_faults import gone
from tests.support.models import SavedModels
from tests.support.serving_fakes import eventually

pytestmark = pytest.mark.integration
OTHER = ("mlflow-skinny==3.17.2", "numpy", "pandas==2.3.3")


@pytest.fixture(autouse=True)
def package_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use the cache of the user's uv, so that packages are fetched once and not for each run."""
    cache = subprocess.run([find_uv_bin(), "cache", "dir"], capture_output=True, text=True, check=True).stdout.strip()
    monkeypatch.setenv("UV_CACHE_DIR", cache)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skip where the package index cannot be reached, except in CI."""
    asked = tmp_path_factory.mktemp("index") / "asked.in"
    asked.write_text("iniconfig\n")
    done = subprocess.run(
        [find_uv_bin(), "pip", "compile", "--quiet", str(asked)], capture_output=True, cwd=asked.parent, timeout=60
    )
    if done.returncode and os.environ.get("CI") != "true":
        pytest.skip("the package index cannot be reached")


def version(*requirements: str, python: str | None = None) -> ServableVersion:
    """Return a version with requirements."""
    return ServableVersion(VersionNumber("1"), Digest("sha256:" + "0" * 64), 1, "host", None, requirements, python)


@pytest.mark.usefixtures("index")
def test_a_version_with_other_libraries_gets_an_environment_and_answers(
    saved_models: SavedModels, tmp_path: Path
) -> None:
    """While it is built callers are told so; then it answers with its own libraries, and is found again at once."""
    saved = saved_models.get("versions")
    asked = replace(saved.version, requirements=OTHER)

    async def story() -> tuple[object, float]:
        environments = Environments(tmp_path)
        runtime = HostRuntime(environments, tmp_path / "hosts")
        await runtime.start()
        try:
            with pytest.raises(Unavailable) as caught:
                await runtime.load(asked, saved.directory, 0.01)
            assert caught.value.code == "loading"
            first, second = await asyncio.gather(*(environments.python_for(asked, 120) for _ in range(2)))
            assert first == second
            host = await runtime.load(asked, saved.directory, 60)
            output = await host.predict(Call(rows()), 20)
            started = time.monotonic()
            other = Environments(tmp_path)
            again = await other.python_for(replace(asked, requirements=OTHER[::-1]), 0)
            await other.close()
            assert again == first
            return output, time.monotonic() - started
        finally:
            await runtime.close()

    output, seconds = asyncio.run(story())
    assert isinstance(output, JsonOutput)
    mlflow_version, _, pandas_version, prefix = output.value
    assert (mlflow_version, pandas_version) == ("3.17.2", "2.3.3")
    assert Path(prefix).parent == tmp_path / "environments"
    assert seconds < 1
    assert not (tmp_path / "environments" / "building").exists()


@pytest.mark.usefixtures("index")
def test_an_environment_that_cannot_be_had_says_why_and_is_not_tried_at_every_request(tmp_path: Path) -> None:
    """What no index has is told in a sentence; the next caller hears the same without another try."""

    async def ask_twice() -> list[tuple[str, str, float]]:
        environments = Environments(tmp_path)
        heard = []
        for _ in range(2):
            started = time.monotonic()
            with pytest.raises(Unavailable) as caught:
                await environments.python_for(version("numpy==99.1"), 60)
            heard.append((caught.value.code, caught.value.message, time.monotonic() - started))
        return heard

    (code, message, _), (_, again, seconds) = asyncio.run(ask_twice())
    assert code == "environment_unavailable"
    assert "numpy==99.1" in message
    assert "://" not in message
    assert message == again
    assert seconds < 0.1


def test_a_python_that_this_machine_does_not_have_is_named(tmp_path: Path) -> None:
    """No interpreter is downloaded; the one that is wanted is named."""

    async def ask_twice() -> list[Unavailable]:
        environments, heard = Environments(tmp_path), []
        for _ in range(2):
            with pytest.raises(Unavailable) as caught:
                await environments.python_for(version("numpy", python="3.5.9"), 60)
            heard.append(caught.value)
        return heard

    first, second = asyncio.run(ask_twice())
    assert first is not second  # one object raised over and over would grow
    assert (first.code, first.message) == (second.code, second.message)
    assert first.code == "environment_unavailable"
    assert "Python 3.5" in first.message


def test_a_home_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """A file where the directory should be is an error of this machine, said in words."""
    (tmp_path / "environments").write_text("")
    with pytest.raises(Unavailable) as caught:
        asyncio.run(Environments(tmp_path).python_for(version("absent"), 60))
    assert caught.value.code == "environment_unavailable"
    assert str(tmp_path) not in caught.value.message


def test_closing_stops_a_build(tmp_path: Path) -> None:
    """A node that ends does not leave an installer running, and the next one can build."""

    async def begin_and_close() -> None:
        environments = Environments(tmp_path)
        with pytest.raises(Unavailable):
            await environments.python_for(version("absent-package-of-no-index"), 0)
        await environments.close()

    asyncio.run(begin_and_close())
    assert not (tmp_path / "environments" / "building").exists()


INSTALLER = """#!/bin/sh
sleep 600 &
echo $$ $! > {pids}
wait
"""


def installer(directory: Path) -> Path:
    """Return a program that writes its number and its child's into ``pids``, and never ends."""
    path = directory / "installer"
    path.write_text(INSTALLER.format(pids=directory / "pids"))
    path.chmod(0o755)
    return path


async def begun(directory: Path) -> list[int]:
    """Wait for the installer; return its number and its child's."""
    pids = directory / "pids"
    await eventually(lambda: pids.exists() and pids.read_text().count(" ") == 1 and pids.read_text()[-1] == "\n", 20)
    return [int(pid) for pid in pids.read_text().split()]


def test_closing_ends_an_installer_and_all_that_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build that is cancelled leaves no process behind."""
    program = installer(tmp_path)
    monkeypatch.setattr("uv.find_uv_bin", lambda: str(program))

    async def begin_and_close() -> list[int]:
        environments = Environments(tmp_path)
        with contextlib.suppress(Unavailable):
            await environments.python_for(version("absent"), 0)
        pids = await begun(tmp_path)
        await environments.close()
        return pids

    assert all(gone(pid) for pid in asyncio.run(begin_and_close()))


def test_an_installer_does_not_outlive_a_node_that_is_killed(tmp_path: Path) -> None:
    """The kernel ends it where nobody else can."""
    code = "import os, subprocess, sys; from pathlib import Path; subprocess.run("
    code += "[sys.executable, '-m', 'serving.runtimes.launch', str(os.getpid()), sys.argv[1]])"
    with subprocess.Popen([sys.executable, "-c", code, str(installer(tmp_path))]) as node:
        program, child = asyncio.run(begun(tmp_path))
        node.kill()
    assert gone(program)
    os.kill(child, signal.SIGKILL)


def test_an_environment_is_left_only_when_no_model_runs_there(saved_models: SavedModels, tmp_path: Path) -> None:
    """A parent with hosts is let be; once they have gone it ends, and a later load starts another."""
    saved, python = saved_models.get("linear"), Path(sys.executable)

    async def story() -> None:
        runtime = HostRuntime(OneEnvironment(), tmp_path / "hosts")
        await runtime.start()
        try:
            for _ in range(2):
                host = await runtime.load(saved.version, saved.directory, 60)
                assert not await runtime._vacate(python)
                assert await host.predict(Call(rows()), 20)
                await host.close()
                async with asyncio.timeout(20):
                    while not await runtime._vacate(python):
                        await asyncio.sleep(0.02)
        finally:
            await runtime.close()

    asyncio.run(story())
