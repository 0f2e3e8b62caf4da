"""Registries that are killed while they judge live rows: no row is lost or counted twice, each window judged once."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import httpx
import pytest

from registry.adapters.sql.ledger import ledger_on, system_clock
from registry.baselines import Origin
from registry.digest import sha256_digest
from registry.monitoring.window_ports import JudgedWindow
from registry.records import Digest
from registry.reports import NodeReport
from tests.integration.rollouts.conftest import prepared
from tests.integration.rollouts.stage import MODEL, V1, Nurse, Registry
from tests.support.ledgers import CHURN, number, opened, sql_ledger, sqlite_url
from tests.support.platform import until
from tests.support.rows import baseline, window

pytestmark = pytest.mark.integration

ROWS = 100
BASELINE = Digest(sha256_digest(baseline().to_bytes()))
DRIFT = f"{MODEL}/versions/1/drift"


@contextmanager
def registries(nurse: Nurse, database: str, gate: Path, wanted: int) -> Iterator[list[Registry]]:
    """Give churn 1 a baseline, start some registries on one database, and end them whatever happens."""
    with sql_ledger(database, system_clock) as ledger:
        ledger.baselines.put(CHURN, number(1), BASELINE, Origin.GIVEN, 5_000)
    started = [Registry(nurse, database, gate.with_name(f"registry-{n}.log"), str(gate)) for n in range(wanted)]
    try:
        for registry in started:
            registry.start()
        yield started
    finally:
        for registry in started:
            registry.close()


class Node(threading.Thread):
    """Reports a hundred rows over and over; what was not acknowledged is sent again, wherever somebody answers."""

    def __init__(self, *registries: Registry) -> None:
        super().__init__(daemon=True)
        self._urls = [registry.url for registry in registries]
        self._boot = uuid.uuid4().hex
        self._stopping = threading.Event()
        self.acknowledged = 0
        self.sent_twice = 0

    def run(self) -> None:
        """Report until told to stop."""
        windows = [window(BASELINE, ROWS, seed) for seed in range(20)]
        with httpx.Client(timeout=5) as client:
            for sequence in count(1):
                if self._stopping.is_set():
                    return
                said = NodeReport("node-a", self._boot, sequence, 0, features=(windows[sequence % 20],))
                attempts = 1
                while not self._sent(client, said, attempts):
                    attempts += 1
                    time.sleep(0.05)
                self.sent_twice += attempts > 1
                self.acknowledged += ROWS
                time.sleep(0.01)

    def stop(self) -> None:
        """Have the last report acknowledged, then end."""
        self._stopping.set()
        self.join(30)
        assert not self.is_alive()

    def _sent(self, client: httpx.Client, said: NodeReport, attempt: int) -> bool:
        url = self._urls[(said.sequence + attempt) % len(self._urls)]
        with suppress(httpx.HTTPError):
            answer = client.post(f"{url}{V1}/windows", json=said.to_json())
            return answer.status_code == 200 and answer.json()["sequence"] >= said.sequence
        return False


def waiting(database: str) -> int:
    """Return how many windows are sealed and not judged."""
    with opened(database) as connected:
        return len(ledger_on(connected).feature_windows.unjudged(1_000))


def found(database: str) -> tuple[list[JudgedWindow], int]:
    """Return all judged windows, oldest first, and the rows of the open one."""
    with opened(database) as connected:
        ledger = ledger_on(connected)
        span = ledger.feature_windows.open(CHURN, number(1))
        return list(ledger.feature_windows.page(CHURN, number(1), 1_000))[::-1], 0 if span is None else span.rows


def check(database: str, node: Node) -> list[JudgedWindow]:
    """Check that every acknowledged row is in one window, and that each window was judged whole; return them."""
    # In this order: an open window that is full is sealed at the next turn.
    until(lambda: found(database)[1] < 200 and waiting(database) == 0, 90, "the last verdicts")
    windows, still_open = found(database)
    assert [one.key.number for one in windows] == list(range(1, len(windows) + 1))
    assert sum(one.span.rows for one in windows) + still_open == node.acknowledged
    for one in windows:
        assert one.verdict["rows"] == one.span.rows >= 200
        assert {feature["rows"] for feature in one.verdict["features"]} == {one.span.rows}
    return windows


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A file that, while it is there, keeps registries from finding verdicts."""
    return tmp_path / "gate"


def reached(gate: Path) -> Path:
    """Return the file that is there once a registry has sealed a window and stands before the gate."""
    return gate.with_name(gate.name + ".reached")


def opened_again(gate: Path) -> None:
    """Let registries find verdicts."""
    gate.unlink()
    reached(gate).unlink()


def test_killed_between_sealing_and_verdict(nurse: Nurse, tmp_path: Path, gate: Path) -> None:
    """kill -9 while a verdict is being found, while nodes report: whoever comes after finds it."""
    database = prepared(sqlite_url(tmp_path))
    with registries(nurse, database, gate, 1) as (registry,):
        node = Node(registry)
        node.start()
        for _ in range(3):
            gate.touch()
            until(reached(gate).exists, 90, "a window that is sealed")
            registry.kill()
            assert waiting(database) > 0
            opened_again(gate)
            registry.start()
            until(lambda: waiting(database) == 0, 90, "its verdict")
        node.stop()
        windows = check(database, node)
        shown = registry.ask("GET", DRIFT).json()["windows"]
    assert node.sent_twice > 0
    assert shown[0]["number"] == len(windows) >= 3


def test_two_registries_at_once(nurse: Nurse, shared: str, gate: Path) -> None:
    """Both take reports of the same nodes and both judge: each row counts once, each window has one verdict; and what
    one leaves behind when it is killed, the other finds."""
    gate.touch()
    with registries(nurse, shared, gate, 2) as both:
        nodes = [Node(*both), Node(*both[::-1])]
        for node in nodes:
            node.start()
        until(reached(gate).exists, 90, "a window that is sealed")
        both[0].kill()
        opened_again(gate)
        until(lambda: len(found(shared)[0]) > 0, 90, "its verdict by the other")
        both[0].start()
        before = len(found(shared)[0])
        until(lambda: len(found(shared)[0]) >= before + 4, 90, "four more")
        for node in nodes:
            node.stop()
        nodes[0].acknowledged += nodes[1].acknowledged
        check(shared, nodes[0])
        first, second = (registry.ask("GET", DRIFT).json() for registry in both)
    assert first == second
