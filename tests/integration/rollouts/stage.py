"""What tests of rollouts across processes stand on: registries that can be killed, and a node that reports."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.support.ledgers import CHURN
from tests.support.platform import free_ports, until
from tests.support.rollouts import arm, counts, report

ROOT = Path(__file__).resolve().parents[3]
V1 = "/registry/v1"
MODEL = f"{V1}/models/churn"


class Nurse:
    """The process that forks registries: it has read all code once, for every test of this run."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.integration.rollouts.registry_child"]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._said()

    def tell(self, **asked: object) -> int:
        """Ask for something; return the process id that it says."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asked).encode() + b"\n")
        self._process.stdin.flush()
        return self._said()

    def close(self) -> None:
        """End it, and registries that are left."""
        self._process.communicate(timeout=10)

    def _said(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())


class Registry:
    """One registry process on a port of its own, on a database that it may share.

    While the file ``gate`` is there it finds no verdict.
    """

    def __init__(self, nurse: Nurse, database: str, log: Path, gate: str = "") -> None:
        self._nurse = nurse
        self._log = log
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        self._asked = {"database": database, "port": port, "log": str(log), "gate": gate}
        self._pid = 0
        self._client = httpx.Client(base_url=self.url, timeout=10)

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._pid = self._nurse.tell(**self._asked)
        until(self._answers, 60, "the registry's readiness")

    def kill(self) -> None:
        """End it as a crash would (kill -9)."""
        os.kill(self._pid, signal.SIGKILL)
        self._nurse.tell(reap=self._pid)
        self._pid = 0

    def close(self) -> None:
        """End it, if it runs."""
        self._client.close()
        if self._pid:
            self.kill()

    @property
    def pid(self) -> str:
        """Its process, which is its name as a leader."""
        return str(self._pid)

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Send one request."""
        return self._client.request(method, path, **more)

    def _answers(self) -> bool:
        assert psutil.Process(self._pid).status() != psutil.STATUS_ZOMBIE, self._log.read_text()[-2000:]
        with suppress(httpx.HTTPError):
            return self.ask("GET", "/readyz").status_code == 200
        return False


class Node(threading.Thread):
    """Reports like a node under traffic: what was not acknowledged is sent again, byte for byte, wherever it can be.

    ``acknowledged`` counts requests of the canary by plan revision.
    """

    def __init__(self, *urls: str) -> None:
        super().__init__(daemon=True)
        self._urls = urls
        self._turn = 0
        self._boot = uuid.uuid4().hex
        self._stopping = threading.Event()
        self.acknowledged: Counter[int] = Counter()
        self.sent_twice = 0

    def run(self) -> None:
        """Report every 20 ms until told to stop; finish what is under way."""
        with httpx.Client(timeout=5) as client:
            sequence = 0
            while not self._stopping.is_set():
                revision = self._revision(client)
                if revision is not None:
                    sequence += 1
                    self._report(client, sequence, revision)
                time.sleep(0.02)

    def stop(self) -> None:
        """Have the last report acknowledged, then end."""
        self._stopping.set()
        self.join(30)
        assert not self.is_alive()

    def _revision(self, client: httpx.Client) -> int | None:
        """Return the revision of the plan that gives the canary its share, as far as anybody answers."""
        with suppress(httpx.HTTPError):
            answer = client.get(self._url() + f"{MODEL}/rollouts?limit=1")
            rollouts = answer.json()["rollouts"] if answer.status_code == 200 else []
            if rollouts and rollouts[0]["state"] == "running":
                return int(rollouts[0]["plan_revision"])
        return None

    def _report(self, client: httpx.Client, sequence: int, revision: int) -> None:
        now = int(time.time() * 1000)
        arms = (arm(counts(10), revision, start_ms=now), arm(counts(50), revision, "stable", 1, start_ms=now))
        body = report(sequence, *arms, boot=self._boot).to_json()
        attempts = 0
        while True:
            attempts += 1
            with suppress(httpx.HTTPError):
                answer = client.post(self._url() + f"{V1}/windows", json=body)
                if answer.status_code == 200 and answer.json()["sequence"] >= sequence:
                    break
            time.sleep(0.05)
        self.sent_twice += attempts > 1
        self.acknowledged[revision] += 10

    def _url(self) -> str:
        self._turn += 1
        return self._urls[self._turn % len(self._urls)]


def begin(registry: Registry, **more: Any) -> str:
    """Begin a rollout of version 2; return its id."""
    body = {"version": "2", "interval": 0.1, "minRequests": 20, **more}
    answer = registry.ask("POST", f"{MODEL}/rollouts", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def show(registry: Registry, rollout: str) -> dict[str, Any]:
    """Return a rollout."""
    answer = registry.ask("GET", f"{V1}/models/{CHURN}/rollouts/{rollout}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())
