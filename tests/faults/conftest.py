"""One node for all deeds, and somebody who watches it and another model while each is done."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from tests.faults.deeds import DEEDS, body
from tests.support.models import SavedModels, saved_models
from tests.support.platform import ROOT, until
from tests.support.postgres import postgres_server, postgres_url

__all__ = ["postgres_server", "postgres_url", "saved_models"]

REQUEST_SECONDS = 4.0
MEMORY_BYTES = 1 << 30
BYSTANDER = "bystander"
LOOKS = 30


class Seen:
    """What somebody saw who asked all the while: every answer of another model, and how long ``/livez`` took."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.seconds: list[float] = []
        self.livez: list[float] = []
        self.ended = threading.Event()


class FaultyNode:
    """A node whose models do what they are asked, well or not."""

    def __init__(self, home: Path, model: Path, sandbox: str = "auto", memory_bytes: int = MEMORY_BYTES) -> None:
        self.home = home
        what = {
            "home": str(home),
            "models": dict.fromkeys([BYSTANDER, *DEEDS], str(model)),
            "request_seconds": REQUEST_SECONDS,
            "sandbox": sandbox,
            "memory_bytes": memory_bytes,
        }
        self.log = home.with_suffix(".log")
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.node", json.dumps(what)],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "AWS_SECRET_ACCESS_KEY": "not for models"},
            )
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"
        self.client = httpx.Client(base_url=self.url, timeout=60)
        until(self._is_ready, 60, "the node's readiness")

    @property
    def process(self) -> psutil.Process:
        """The node's own process."""
        return psutil.Process(self._process.pid)

    def ask(self, model: str, do: str = "well") -> httpx.Response:
        """Ask a model to do something."""
        return self.client.post(f"/models/{model}/predict", json={"inputs": {"do": [do]}})

    def family(self) -> set[int]:
        """Return every process below the node's that has not ended."""
        below = self.process.children(recursive=True)
        return {process.pid for process in below if _lives(process)}

    def homes(self) -> list[Path]:
        """Return the directories of hosts."""
        return list((self.home / "serving" / "hosts").glob("node-*/host-*"))

    @contextmanager
    def watched(self) -> Iterator[Seen]:
        """Ask another model, and ``/livez``, without a pause."""
        seen = Seen()
        watchers = [threading.Thread(target=self._ask_on, args=[seen]) for _ in range(2)]
        watchers.append(threading.Thread(target=self._look_on, args=[seen]))
        for watcher in watchers:
            watcher.start()
        try:
            yield seen
            until(lambda: len(seen.statuses) >= LOOKS, 30, "enough answers of the other model")
        finally:
            seen.ended.set()
            for watcher in watchers:
                watcher.join()

    def stop(self) -> None:
        """End it."""
        self.client.close()
        self._process.terminate()
        try:
            self._process.wait(20)
        finally:
            self._process.kill()
            self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()

    def _is_ready(self) -> bool:
        try:
            return self.ask(BYSTANDER).status_code == 200
        except httpx.HTTPError:
            return False

    def _ask_on(self, seen: Seen) -> None:
        with httpx.Client(base_url=self.url, timeout=30) as client:
            while not seen.ended.is_set():
                started = time.monotonic()
                answer = client.post(f"/models/{BYSTANDER}/predict", json={"inputs": {"do": ["well"]}})
                seen.seconds.append(time.monotonic() - started)
                seen.statuses.append(answer.status_code)
                seen.ended.wait(0.01)

    def _look_on(self, seen: Seen) -> None:
        with httpx.Client(base_url=self.url, timeout=30) as client:
            while not seen.ended.is_set():
                started = time.monotonic()
                client.get("/livez").raise_for_status()
                seen.livez.append(time.monotonic() - started)
                seen.ended.wait(0.05)


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@pytest.fixture(scope="session")
def faulty_model(saved_models: SavedModels, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory whose model does every deed."""
    directory = tmp_path_factory.mktemp("faulty") / "model"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow warns of its own type hints
        from mlflow.models import ModelSignature
        from mlflow.types import ColSpec, Schema

        signature = ModelSignature(inputs=Schema([ColSpec("string", "do")]))
        saved_models.save_custom(directory, body(), signature=signature)
    return directory


@pytest.fixture(scope="session")
def node(faulty_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyNode]:
    """The node that all deeds share."""
    running = FaultyNode(tmp_path_factory.mktemp("node") / "home", faulty_model)
    try:
        yield running
    finally:
        running.stop()
