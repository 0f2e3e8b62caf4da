"""Clients against the fake platform, in an environment of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from headgate import Client

from tests.support.fake_platform import FakePlatform, fake, fake_servers

__all__ = ["fake", "fake_servers"]


@pytest.fixture(autouse=True)
def own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no setting of the machine in, and keep what is remembered in the test's own directory."""
    for name in list(os.environ):
        if name.startswith("HEADGATE_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def client(fake: FakePlatform) -> Iterator[Client]:
    """Give a client of the fake platform."""
    with Client(fake.registry_url, fake.serving_url, timeout=5) as opened:
        yield opened


@pytest.fixture
def model_directory(tmp_path: Path) -> Path:
    """Give a directory that looks like a saved model of a few files."""
    directory = tmp_path / "model"
    (directory / "data").mkdir(parents=True)
    (directory / "MLmodel").write_text("flavors: {}\n")
    (directory / "model.pkl").write_bytes(bytes(range(256)) * 5000)
    (directory / "empty").write_bytes(b"")
    (directory / "data" / "größe.txt").write_text("x")
    return directory
