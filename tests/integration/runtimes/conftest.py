"""One runtime for the whole session, on a loop that turns while a test asks it to."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from registry.snapshots import ServableVersion
from serving.exchange import Call, Input, Output, Table
from serving.runtimes.host.runtime import HostRuntime
from serving.runtimes.host.version import HostedVersion
from tests.support.models import FEATURES, SavedModels, saved_models

__all__ = ["saved_models"]

T = TypeVar("T")


class OneEnvironment:
    """Every version runs in the environment of the tests."""

    async def python_for(self, version: ServableVersion, seconds: float) -> Path:
        """Return this interpreter."""
        return Path(sys.executable)

    def start(self, vacate: object) -> None:
        """Do nothing: nothing is ever removed."""

    def retain(self, versions: object) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""


class Hosts:
    """A runtime and its loop, for tests that are plain functions."""

    def __init__(self, runner: asyncio.Runner, runtime: HostRuntime, models: SavedModels) -> None:
        self._runner, self.runtime, self.models = runner, runtime, models

    @property
    def parent_pid(self) -> int:
        """The process id of the warm parent, as this process knows it."""
        (nursery,) = self.runtime._nurseries.values()
        assert nursery.parent is not None
        return nursery.parent.pid

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run ``work`` on the runtime's loop."""
        return self._runner.run(work)

    @contextmanager
    def loaded(self, kind: str) -> Iterator[HostedVersion]:
        """Load a model, and unload it afterwards."""
        saved = self.models.get(kind)
        host = self.run(self.runtime.load(saved.version, saved.directory, 60))
        try:
            yield host
        finally:
            self.run(host.close())

    def predict(self, host: HostedVersion, data: Input, seconds: float = 20, **params: object) -> Output:
        """Ask a loaded model."""

        async def ask() -> Output:
            return await host.predict(Call(data, params), seconds)

        return self.run(ask())


def rows(count: int = 1, start: float = 0.5) -> Table:
    """Return rows of the features that the saved models know."""
    return Table(FEATURES, tuple(np.arange(count) * 0.25 + start * (i + 1) for i in range(len(FEATURES))))


@pytest.fixture(scope="session")
def hosts(tmp_path_factory: pytest.TempPathFactory, saved_models: SavedModels) -> Iterator[Hosts]:
    """A started runtime."""
    with asyncio.Runner() as runner:
        runtime = HostRuntime(OneEnvironment(), tmp_path_factory.mktemp("hosts"))
        runner.run(runtime.start())
        yield Hosts(runner, runtime, saved_models)
        runner.run(runtime.close())
