"""Eight clients change one plan while registries are killed and stopped: nothing is lost, doubled or reordered."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.faults.plan_clients import PATH, Registry, ask, change_under_fire, registries
from tests.support.ledgers import sqlite_url

pytestmark = pytest.mark.integration
CHANGES = 40
SECONDS = 150


def test_a_registry_on_sqlite_that_is_killed_loses_nothing(tmp_path: Path) -> None:
    """Every acknowledged revision is in the journal once, in order, with the plan its writer sent."""
    print(change_under_fire(sqlite_url(tmp_path), 1, CHANGES, SECONDS))


def test_two_registries_on_postgresql_are_one_though_killed(postgres_url: str) -> None:
    """The same across two processes: what one acknowledged, the other builds on."""
    print(change_under_fire(postgres_url, 2, CHANGES, SECONDS))


class Pair:
    """Two registries on one database."""

    def __init__(self, running: list[Registry]) -> None:
        self._ports = [registry.port for registry in running]

    def ask(self, which: int, method: str, path: str, body: Any = None, revision: int | None = None) -> tuple[int, Any]:
        """Ask the first (0) or the second (1)."""
        connection = http.client.HTTPConnection("127.0.0.1", self._ports[which], timeout=30)
        try:
            return ask(connection, method, path, body, revision)
        finally:
            connection.close()


@pytest.fixture(scope="module")
def pair(postgres_server: Any) -> Iterator[Pair]:
    """Two registries that live through the module."""
    name = postgres_server.new_database()
    with registries(postgres_server.url(name), 2) as running:
        yield Pair(running)
    postgres_server.drop_database(name)


def newest(pair: Pair) -> int:
    """Return the plan's present revision."""
    status, told = pair.ask(0, "GET", PATH)
    return int(told["revision"]) if status == 200 else 0


def test_what_one_registry_wrote_the_other_shows_at_once(pair: Pair) -> None:
    """A plan, its journal and an alias: acknowledged by one, the other has it in the very next answer."""
    seen = newest(pair)
    for at in range(20):
        status, made = pair.ask(at % 2, "PUT", PATH, {"stable": str(at % 3 + 1), "note": str(at)}, seen + at)
        assert status == 200
        assert pair.ask(1 - at % 2, "GET", PATH) == (200, made)
        alias = PATH.replace("traffic", "aliases/champion")
        status, set_ = pair.ask(at % 2, "PUT", alias, {"version": str(at % 3 + 1)})
        assert pair.ask(1 - at % 2, "GET", alias) == (status, set_)


def test_of_two_registries_that_are_asked_at_once_one_wins(pair: Pair) -> None:
    """Both expect the same revision: exactly one 200, and a 409 that tells the winner's (R04)."""
    for _ in range(25):
        seen = newest(pair)
        with ThreadPoolExecutor(2) as threads:
            answers = list(
                threads.map(lambda which, seen=seen: pair.ask(which, "PUT", PATH, {"stable": "1"}, seen), range(2))
            )
        assert sorted(status for status, _ in answers) == [200, 409]
        lost = next(told for status, told in answers if status == 409)
        assert (lost["error"]["code"], lost["error"]["details"]) == ("revision_conflict", {"revision": seen + 1})


def test_a_node_at_one_registry_hears_of_the_others_change(pair: Pair) -> None:
    """A long poll that waits at one ends within a second of a change at the other."""
    _, told = pair.ask(1, "GET", "/registry/v1/snapshot")
    with ThreadPoolExecutor(1) as threads:
        poll = threads.submit(pair.ask, 1, "GET", f"/registry/v1/snapshot?since={told['revision']}&wait=20")
        time.sleep(0.5)  # the poll must be under way
        started = time.monotonic()
        assert pair.ask(0, "PUT", PATH, {"stable": "2"}, newest(pair))[0] == 200
        status, heard = poll.result(30)
        assert time.monotonic() - started < 5  # a second, on a machine with nothing else to do
    assert (status, heard["models"][0]["plan"]["stable"]) == (200, "2")
