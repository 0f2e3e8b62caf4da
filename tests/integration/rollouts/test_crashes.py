"""Registries that are killed while a rollout goes on: no step is left out or made twice, no request counts twice."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from registry.adapters.sql.ledger import system_clock
from tests.integration.rollouts.stage import MODEL, Node, Nurse, Registry, begin, show
from tests.support.ledgers import CHURN, opened, sql_ledger
from tests.support.platform import until

pytestmark = pytest.mark.integration

WEIGHTS = [1, 5, 10, 25, 50, 75, 100]
STEPS = [{"setWeight": weight, "pause": "250ms"} for weight in WEIGHTS]
TAKEOVER_SECONDS = 8.0
"""The lease's five seconds, and some for a slow machine."""


@contextmanager
def registries(nurse: Nurse, database: str, folder: Path, count: int) -> Iterator[list[Registry]]:
    """Start some on one database, and end them whatever happens."""
    started = [Registry(nurse, database, folder / f"registry-{n}.log") for n in range(count)]
    try:
        for registry in started:
            registry.start()
        yield started
    finally:
        for registry in started:
            registry.close()


def test_killed_at_any_moment(nurse: Nurse, database: str, tmp_path: Path) -> None:
    """Seven steps under kill -9 again and again: the journal is linear, each step was made exactly once, and what
    was counted is what was acknowledged."""
    chance = random.Random(20261120)
    with registries(nurse, database, tmp_path, 1) as (registry,):
        rollout = begin(registry, steps=STEPS)
        node = Node(registry.url)
        node.start()
        kills, deadline = 0, time.monotonic() + 120
        while show(registry, rollout)["state"] == "running":
            assert time.monotonic() < deadline, show(registry, rollout)["holding"]
            time.sleep(chance.uniform(0.0, 0.7))
            registry.kill()
            kills += 1
            registry.start()
        node.stop()
        ended = show(registry, rollout)
        history = registry.ask("GET", f"{MODEL}/traffic/history").json()["revisions"][::-1]
    assert ended["state"] == "succeeded" and kills >= 5
    events = [line["event"] for line in ended["journal"] if line["event"] not in ("held", "released")]
    assert events == ["started", *["advanced"] * (len(STEPS) - 1), "succeeded"]
    revisions = [line["revision"] for line in ended["journal"] if line["revision"] is not None]
    assert revisions == [line["revision"] for line in history[1:]] == list(range(2, len(STEPS) + 3))
    with sql_ledger(database, system_clock) as ledger:
        shares = [
            line.plan.canary.share for line in ledger.plans.history(CHURN, 100, 0) if line.plan and line.plan.canary
        ]
        assert shares == [weight * 100 for weight in WEIGHTS[::-1]]
        assert [event.number for event in ledger.rollouts.journal(rollout)] == list(range(1, len(ended["journal"]) + 1))
    known = counted(database, node)
    assert known == dict(node.acknowledged)
    assert all(requests >= 20 for requests in known.values())


def counted(database: str, node: Node) -> dict[int, int]:
    """Return how many requests of the canary are known, by revision."""
    known = dict.fromkeys(node.acknowledged, 0)
    with sql_ledger(database, system_clock) as ledger:
        for part in ledger.reports.arms(CHURN, list(known)):
            if part.window.arm == "canary":
                known[part.window.revision] += part.window.counts.requests
    return known


def leader(database: str) -> str | None:
    """Return who holds the lease."""
    with opened(database) as opened_one, opened_one.engine.connect() as connection:
        return connection.exec_driver_sql("SELECT holder FROM headgate_leases WHERE name = 'rollouts'").scalar()


def test_another_registry_takes_over(nurse: Nurse, shared: str, tmp_path: Path) -> None:
    """Of two on one PostgreSQL one leads; when it is killed the other goes on with the rollout within the lease's
    time, and nodes report to whichever answers."""
    with registries(nurse, shared, tmp_path, 2) as both:
        rollout = begin(both[0], steps=[{"setWeight": weight, "pause": "500ms"} for weight in WEIGHTS])
        until(lambda: leader(shared) is not None, 10, "a leader")
        node = Node(both[0].url, both[1].url)
        node.start()
        first = next(registry for registry in both if registry.pid == leader(shared))
        other = next(registry for registry in both if registry is not first)
        until(lambda: show(other, rollout)["step"] >= 2, 30, "the third step")
        assert "headgate_rollout_share_ratio{" in first.ask("GET", "/metrics").text
        assert "headgate_rollout_share_ratio{" not in other.ask("GET", "/metrics").text
        first.kill()
        killed_at, step = time.monotonic(), show(other, rollout)["step"]
        until(lambda: show(other, rollout)["step"] > step, TAKEOVER_SECONDS, "the next step")
        print(f"taken over after {time.monotonic() - killed_at:.1f} s")
        assert leader(shared) == other.pid
        until(lambda: show(other, rollout)["state"] == "succeeded", 60, "its end")
        node.stop()
        ended = show(other, rollout)
    assert [e["event"] for e in ended["journal"] if e["event"] == "advanced"] == ["advanced"] * (len(WEIGHTS) - 1)
    assert counted(shared, node) == dict(node.acknowledged)


def test_two_that_both_lead_do_no_harm(nurse: Nurse, shared: str, tmp_path: Path) -> None:
    """The lease saves work and nothing else: with two that take it from one another all the time, each step is made
    once."""
    with registries(nurse, shared, tmp_path, 2) as (one, other), opened(shared) as database:
        rollout = begin(one, steps=[{"setWeight": weight, "pause": "100ms"} for weight in WEIGHTS])
        node = Node(one.url, other.url)
        node.start()
        deadline = time.monotonic() + 60
        while show(one, rollout)["state"] == "running":
            assert time.monotonic() < deadline
            with database.engine.begin() as connection:
                connection.exec_driver_sql("DELETE FROM headgate_leases")
            time.sleep(0.01)
        node.stop()
        ended = show(other, rollout)
    assert ended["state"] == "succeeded"
    events = [line["event"] for line in ended["journal"] if line["event"] not in ("held", "released")]
    assert events == ["started", *["advanced"] * (len(WEIGHTS) - 1), "succeeded"]
    assert [line["revision"] for line in ended["journal"] if line["revision"]] == list(range(2, len(WEIGHTS) + 3))


def test_the_same_report_at_two_registries_counts_once(nurse: Nurse, shared: str, tmp_path: Path) -> None:
    """A node that does not know whether the first took it sends it to the second."""
    from concurrent.futures import ThreadPoolExecutor

    from tests.support.rollouts import arm, counts, report

    with registries(nurse, shared, tmp_path, 2) as both:
        begin(both[0], steps=[{"setWeight": 5}])
        bodies = [report(n, arm(counts(10), 2)).to_json() for n in range(1, 11)]
        for body in bodies:
            with ThreadPoolExecutor(8) as threads:

                def post(n: int, body: object = body) -> httpx.Response:
                    return both[n % 2].ask("POST", "/registry/v1/windows", json=body)

                assert {answer.status_code for answer in threads.map(post, range(8))} == {200}
        both[0].ask("POST", "/registry/v1/windows", json=bodies[3])
    with sql_ledger(shared, system_clock) as ledger:
        assert sum(part.window.counts.requests for part in ledger.reports.arms(CHURN, [2])) == 100
