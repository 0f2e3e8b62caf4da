"""Fixtures of the end-to-end tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.control import Control, Models, models, saved_models
from tests.support.platform import Platform, running

__all__ = ["breakable", "control", "models", "saved_models"]


@pytest.fixture(scope="session")
def control(platform: Platform) -> Control:
    """The shared platform's operator."""
    return Control(platform)


@pytest.fixture(scope="session")
def breakable(tmp_path_factory: pytest.TempPathFactory, models: Models) -> Iterator[Platform]:
    """A platform to break: whoever does leaves it ready. Version 1 of ``steady`` answers 1 and takes the traffic."""
    with running(tmp_path_factory.mktemp("breakable") / "home", {"HEADGATE_WINDOW_SECONDS": "1"}) as platform:
        control = Control(platform)
        control.add("steady", models.answering(1))
        control.promote("steady", "1")
        control.wait_answer("steady", 1)
        yield platform
