"""Labels at registries that are killed: what was acknowledged is kept, and shows a canary for what it is."""

from __future__ import annotations

import json
import random
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from registry.adapters.sql import tables
from registry.adapters.sql.ledger import system_clock
from registry.observed import Answered
from tests.integration.rollouts.stage import MODEL, V1, Nurse, Registry, begin, show
from tests.support.labels import answered, item
from tests.support.ledgers import opened
from tests.support.platform import until
from tests.support.rollouts import report

pytestmark = pytest.mark.integration


class Caller(threading.Thread):
    """Sends labels as a node does: some with their answers, some for what was reported before. Remembers each that was
    acknowledged."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self._url = url
        self._stopping = threading.Event()
        self.acknowledged: dict[str, int] = {}
        self.failures = 0

    def run(self) -> None:
        """Send until told to stop."""
        number_, sequence = 0, 0
        with httpx.Client(base_url=self._url, timeout=5) as client:
            while not self._stopping.is_set():
                number_ += 1
                answers = [answered(f"{number_}-{n}", n, at_ms=system_clock()) for n in range(5)]
                try:
                    if number_ % 2:
                        sequence += 1
                        self._report(client, sequence, answers)
                        answers = []
                    self._label(client, [f"{number_}-{n}" for n in range(5)], answers)
                except httpx.HTTPError:
                    self.failures += 1
                    time.sleep(0.02)

    def stop(self) -> None:
        """End."""
        self._stopping.set()
        self.join(30)
        assert not self.is_alive()

    def _report(self, client: httpx.Client, sequence: int, answers: list[Answered]) -> None:
        said = replace(report(sequence), answers=tuple(answers))
        assert client.post(f"{V1}/windows", json=said.to_json()).status_code == 200

    def _label(self, client: httpx.Client, names: list[str], answers: list[Answered]) -> None:
        truths = {name: random.randrange(100) for name in names}
        body = {"items": [item(*one) for one in truths.items()], "answers": [one.to_json() for one in answers]}
        answer = client.post(f"{MODEL}/feedback", json=body)
        assert answer.json() == {"accepted": 5, "refused": []}
        self.acknowledged |= truths


def test_killed_at_any_moment_no_acknowledged_label_is_lost(nurse: Nurse, database: str, tmp_path: Path) -> None:
    """Four times kill -9: each label that was acknowledged is there; then labels of a worse canary roll it back."""
    chance = random.Random(20261120)
    registry = Registry(nurse, database, tmp_path / "registry.log")
    try:
        registry.start()
        caller = Caller(registry.url)
        caller.start()
        for _ in range(4):
            time.sleep(chance.uniform(0.02, 0.3))
            registry.kill()
            registry.start()
        until(lambda: len(caller.acknowledged) >= 20, 30, "labels that are acknowledged")
        caller.stop()
        kept = labels_of(database)
        found = registry.ask("GET", f"{MODEL}/versions/1/quality").json()
        assert found["arms"][0]["labelled"] == len(kept) >= len(caller.acknowledged)
        # What is kept without being acknowledged had its answer lost on the way back.
        assert caller.acknowledged.items() <= kept.items()
        _roll_back(registry)
    finally:
        with suppress(Exception):
            registry.close()


def labels_of(database: str) -> dict[str, int]:
    """Return each labelled request with its label."""
    with opened(database) as tables_of, tables_of.engine.connect() as connection:
        at = tables.predictions.c
        rows = connection.execute(select(at.request, at.labels).where(at.labelled_ms > 0)).all()
    return {row.request: int(json.loads(row.labels)["0"][0]) for row in rows}


def _roll_back(registry: Registry) -> None:
    """Roll version 2 out, and label its answers as twice as wrong as stable's and more."""
    rollout = begin(registry, steps=[{"setWeight": 10, "pause": "1h"}], metrics=[{"name": "quality"}])
    revision = show(registry, rollout)["plan_revision"]
    assert show(registry, rollout)["evidence"]["quality"]["message"] == "no labels yet"
    items: list[dict[str, Any]] = []
    answers: list[Answered] = []
    for n in range(600):
        arm, version, wrong = ("canary", 2, 2) if n % 3 == 0 else ("stable", 1, 10)
        answers.append(answered(f"q{n}", 1, version=version, arm=arm, revision=revision, at_ms=system_clock()))
        items.append(item(f"q{n}", int((n // 3) % wrong > 0)))
    body = {"items": items, "answers": [one.to_json() for one in answers]}
    assert registry.ask("POST", f"{MODEL}/feedback", json=body).json() == {"accepted": 600, "refused": []}
    until(lambda: show(registry, rollout)["state"] == "failed", 10, "the rollback")
    assert "labelled predictions of the canary is 0.500" in show(registry, rollout)["reason"]
    assert registry.ask("GET", f"{MODEL}/traffic").json()["plan"]["stable"] == "1"
