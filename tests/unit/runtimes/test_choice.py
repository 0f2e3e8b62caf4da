"""Who loads a version: this process where it may, a host otherwise, and never neither."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from serving.ports import LoadedVersion
from serving.runtimes.choice import ChosenRuntime
from serving.runtimes.inline.runtime import InlineRuntime, NotInline
from tests.support.serving_fakes import FakeLoaded, FakeRuntime, servable

INLINE = replace(servable(), runtime="inline")


class FakeInline:
    """Loads as it is told: a version, NotInline, or never."""

    def __init__(self, outcome: object = None) -> None:
        self.outcome = outcome
        self.loaded: list[Any] = []
        self.closed = False

    async def load(self, version: Any, directory: Path) -> Any:
        """Load."""
        if self.outcome == "never":
            await asyncio.Event().wait()
        if isinstance(self.outcome, Exception):
            raise self.outcome
        self.loaded.append(FakeLoaded(version))
        return self.loaded[-1]

    async def close(self) -> None:
        """Close."""
        self.closed = True


def load(inline: FakeInline | None, version: Any, seconds: float = 5.0) -> tuple[LoadedVersion, FakeRuntime]:
    """Return what was loaded, and the hosts' runtime."""

    async def run() -> tuple[LoadedVersion, FakeRuntime]:
        hosts = FakeRuntime()
        runtime = ChosenRuntime(hosts, cast("InlineRuntime | None", inline))
        await runtime.start()
        loaded = await runtime.load(version, Path("unused"), seconds)
        await runtime.close()
        return loaded, hosts

    return asyncio.run(run())


def test_version_that_may_runs_in_this_process() -> None:
    """No host is started for it."""
    inline = FakeInline()
    loaded, hosts = load(inline, INLINE)
    assert [loaded] == inline.loaded
    assert not hosts.loaded
    assert inline.closed


def test_version_for_a_host_is_never_tried_here() -> None:
    """What the registry found unfit is not even probed."""
    inline = FakeInline()
    _, hosts = load(inline, servable())
    assert not inline.loaded
    assert hosts.loaded


def test_version_in_the_background_gets_a_host() -> None:
    """In this process it would stand in the way of every answer."""
    inline = FakeInline()
    _, hosts = load(inline, replace(INLINE, background=True))
    assert not inline.loaded
    assert hosts.loaded


def test_setting_alone_sends_everything_to_hosts() -> None:
    """Without an inline runtime the registry's word counts for nothing."""
    assert load(None, INLINE)[1].loaded


@pytest.mark.parametrize("outcome", [NotInline("its probe ended with signal 11"), "never"])
def test_version_that_fails_here_gets_a_host(outcome: object, caplog: pytest.LogCaptureFixture) -> None:
    """The reason is logged, and time is left for the host."""
    with caplog.at_level("WARNING", "headgate"):
        _, hosts = load(FakeInline(outcome), INLINE, seconds=0.02)
    assert hosts.loaded
    (line,) = caplog.records
    assert line.getMessage() == "inline_refused"
    assert "probe" in str(vars(line)["headgate_fields"]["reason"])
