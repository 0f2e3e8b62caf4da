"""Clients that change one plan, and somebody who kills and stops the registries that they ask.

    python -m tests.faults.plan_clients [changes of each client]

runs it at length on SQLite and PostgreSQL. Not here: what the outcome must be (``linearity.py``).
"""

from __future__ import annotations

import ctypes
import http.client
import json
import math
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from tests.faults.linearity import Answer, Plan, Read, Write, violations
from tests.support.ledgers import Clock, add, sql_ledger, sqlite_url
from tests.support.platform import ROOT, free_ports
from tests.support.postgres import running_postgres

PATH = "/registry/v1/models/churn/traffic"
CLIENTS = 8
VERSIONS = 3
ANSWER_SECONDS = 10.0
_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Registry:
    """One registry process on a port of its own, which it keeps when it is started again."""

    def __init__(self, url: str) -> None:
        self._url = url
        (self.port,) = free_ports(1)
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.faults.plan_registry", self._url, str(self.port)]
        return subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - one system call, and nothing else ends it with the tests
        )

    def wait(self, seconds: float = 60) -> None:
        """Wait until it answers."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)) as connection:
                    ask(connection, "GET", "/livez")
                    return
            except (OSError, http.client.HTTPException):
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise RuntimeError("the registry did not come up") from None
                time.sleep(0.05)

    def kill(self) -> None:
        """End it with SIGKILL, and start it again."""
        self.end()
        self.process = self._start()

    def pause(self, seconds: float) -> None:
        """Stop it for a while, in whatever it is doing."""
        self.process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self.process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """End it with SIGKILL."""
        self.process.kill()
        self.process.wait(10)


def ask(
    connection: http.client.HTTPConnection, method: str, path: str, body: Any = None, revision: int | None = None
) -> tuple[int, Any]:
    """Send one request; return status and document. Raises OSError or HTTPException where no answer comes."""
    headers = {"Content-Type": "application/json"} | ({} if revision is None else {"If-Match": f'"{revision}"'})
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    data = answer.read()
    try:
        return answer.status, json.loads(data)
    except ValueError:
        return answer.status, None


class Client:
    """Changes the plan again and again, and remembers what it was told and when."""

    def __init__(self, who: int, ports: list[int]) -> None:
        self._who = who
        self._chance = random.Random(who)
        self._ports = ports
        self._connection = http.client.HTTPConnection("127.0.0.1", ports[who % len(ports)], timeout=ANSWER_SECONDS)
        self._attempts = 0
        self.writes: list[Write] = []
        self.reads: list[Read] = []
        self.acknowledged = 0

    def run(self, changes: int, ended: threading.Event) -> None:
        """Go on until ``changes`` were acknowledged."""
        seen = 0
        while self.acknowledged < changes and not ended.is_set():
            told = self._change(seen)
            while told is None and not ended.is_set():
                self._elsewhere()
                told = self._look()
            seen = seen if told is None else told
        self._connection.close()

    def _change(self, expected: int) -> int | None:
        """Try once; return the newest revision as far as the answer tells."""
        plan, start = self._plan(), time.monotonic()
        try:
            status, told = ask(self._connection, "PUT", PATH, plan, expected)
        except (OSError, http.client.HTTPException):
            status, told = 0, None
        end = time.monotonic()
        if status == 200:
            self.acknowledged += 1
            self.writes.append(Write(plan, expected, start, end, Answer.DONE, told["revision"]))
            return int(told["revision"])
        if status == 409 and told["error"]["code"] == "revision_conflict":
            present = int(told["error"]["details"]["revision"])
            self.writes.append(Write(plan, expected, start, end, Answer.REFUSED, present))
            return present
        assert status in (0, 503), f"{status}: {told}"
        self.writes.append(Write(plan, expected, start, math.inf, Answer.LOST))
        return None

    def _look(self) -> int | None:
        start = time.monotonic()
        try:
            status, told = ask(self._connection, "GET", PATH)
        except (OSError, http.client.HTTPException):
            time.sleep(0.05)
            return None
        if status == 503:
            return None
        revision = int(told["revision"]) if status == 200 else 0
        self.reads.append(Read(revision, start, time.monotonic()))
        return revision

    def _elsewhere(self) -> None:
        self._connection.close()
        port = self._chance.choice(self._ports)
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)

    def _plan(self) -> Plan:
        self._attempts += 1
        stable, other = self._chance.sample(range(1, VERSIONS + 1), 2)
        return {
            "stable": str(stable),
            "canary": {"version": str(other), "share": self._chance.randrange(10_001) / 10_000},
            "shadows": [],
            "rules": [],
            "sticky": {"header": "x-headgate-key"},
            "note": f"{self._who}-{self._attempts}",
            "warm": False,
            "instances": 1,
            "allow_incompatible": False,
        }


class Havoc:
    """Kills and stops registries in turn for as long as the clients are at it."""

    def __init__(self, registries: list[Registry]) -> None:
        self._registries = registries
        self._chance = random.Random(4)
        self.kills = 0
        self.pauses = 0

    def run(self, busy: Callable[[], bool]) -> None:
        """Go on while ``busy``. In the thread that ends last: a process dies with the thread that started it."""
        while busy():
            time.sleep(self._chance.uniform(0.5, 2.0))
            victim = self._chance.choice(self._registries)
            if self.kills <= self.pauses:
                victim.kill()
                self.kills += 1
                victim.wait()
            else:
                victim.pause(self._chance.uniform(0.05, 0.5))
                self.pauses += 1


@contextmanager
def registries(url: str, count: int) -> Iterator[list[Registry]]:
    """Start registries on a database in which churn has versions that are ready."""
    with sql_ledger(url, Clock()) as ledger:
        for n in range(1, VERSIONS + 1):
            add(ledger, n)
    running = [Registry(url) for _ in range(count)]
    try:
        for registry in running:
            registry.wait()
        yield running
    finally:
        for registry in running:
            registry.end()


def change_under_fire(url: str, count: int, changes: int, seconds: float) -> str:
    """Have eight clients make ``changes`` each on ``count`` registries; return what was done, in words.

    Raises AssertionError where anything was lost, doubled, changed or seen out of order.
    """
    with registries(url, count) as running:
        clients = [Client(who, [registry.port for registry in running]) for who in range(CLIENTS)]
        ended = threading.Event()
        threads = [threading.Thread(target=client.run, args=[changes, ended]) for client in clients]
        havoc = Havoc(running)
        started = time.monotonic()
        for thread in threads:
            thread.start()
        havoc.run(lambda: any(t.is_alive() for t in threads) and time.monotonic() < started + seconds)
        ended.set()
        for thread in threads:
            thread.join()
        took = time.monotonic() - started
        assert [client.acknowledged for client in clients] == [changes] * CLIENTS, f"not done after {seconds} s"
        running[0].wait()
        journal = read_journal(running[0])
    writes = [write for client in clients for write in client.writes]
    reads = [read for client in clients for read in client.reads]
    assert violations(writes, reads, journal) == []
    assert havoc.kills >= 1
    counts = {answer: sum(write.answer is answer for write in writes) for answer in Answer}
    return (
        f"{len(journal)} revisions in {took:.0f} s: {counts[Answer.DONE]} acknowledged, "
        f"{counts[Answer.REFUSED]} refused, {counts[Answer.LOST]} lost, {len(reads)} looks; "
        f"{havoc.kills} kills, {havoc.pauses} pauses"
    )


def read_journal(registry: Registry) -> list[tuple[int, Plan]]:
    """Return the journal, oldest first, as the registry shows it."""
    lines: list[tuple[int, Plan]] = []
    before = 0
    with closing(http.client.HTTPConnection("127.0.0.1", registry.port, timeout=ANSWER_SECONDS)) as connection:
        while True:
            status, told = ask(connection, "GET", f"{PATH}/history?limit=1000&before={before}")
            assert status == 200
            lines += [(line["revision"], line["plan"]) for line in told["revisions"]]
            if len(told["revisions"]) < 1000 or lines[-1][0] == 1:
                return lines[::-1]
            before = lines[-1][0]


if __name__ == "__main__":
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    with tempfile.TemporaryDirectory() as folder:
        print("SQLite, one registry:", change_under_fire(sqlite_url(Path(folder)), 1, number, 1800), flush=True)
    server = running_postgres()
    database = server.new_database()
    print("PostgreSQL, two registries:", change_under_fire(server.url(database), 2, number, 1800), flush=True)
