"""Killing at random moments under load: nothing that was acknowledged is lost, doubled, reordered or half there.

Clients write what was acknowledged to a journal of their own (fsynced); after the last kill it is held against the
platform.
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.bucket import Bucket
from tests.e2e.control import Control, Models
from tests.support.platform import Platform, until

pytestmark = pytest.mark.e2e

SEED = 20261120
KILLS = 12
CONTENTS = 4


class Journal:
    """What clients were told, on disk before the next request goes out."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._path = path

    def note(self, kind: str, **said: Any) -> None:
        """Write an entry, durably."""
        with self._lock, self._path.open("a") as file:
            file.write(json.dumps({"kind": kind, **said}) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Return the entries of a kind, in their order."""
        entries = [json.loads(line) for line in self._path.read_text().splitlines()]
        return [entry for entry in entries if entry["kind"] == kind]


class Clients:
    """Threads that register, promote and predict until told to stop; a failed request is no failure, a lie is."""

    def __init__(self, control: Control, journal: Journal, uploads: list[str]) -> None:
        self._control, self._journal, self._uploads = control, journal, uploads
        self._stopping = threading.Event()
        self.troubles: list[str] = []
        self._threads = [
            threading.Thread(target=self._repeat, args=(work,))
            for work in (self._register, self._register, self._promote, self._predict)
        ]
        self._keys = iter(range(10**6))

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _repeat(self, work: Callable[[], None]) -> None:
        while not self._stopping.is_set():
            try:
                work()
            except (httpx.TransportError, httpx.HTTPStatusError) as error:
                if isinstance(error, httpx.HTTPStatusError) and error.response.status_code < 500:
                    self.troubles.append(f"{work.__name__}: {error.response.status_code} {error}")
                time.sleep(0.05)

    def _register(self) -> None:
        """Register under a key of its own; where no answer comes, with the same key until one does."""
        key = f"key-{next(self._keys)}"
        upload = self._uploads[int(key[4:]) % CONTENTS]
        self._journal.note("asked", key=key)
        while True:
            try:
                version = self._control.register("busy", upload, key)
                break
            except (httpx.TransportError, httpx.HTTPStatusError) as error:
                if isinstance(error, httpx.HTTPStatusError) and error.response.status_code < 500:
                    raise
                if self._stopping.wait(0.1):
                    return
        self._journal.note("registered", key=key, version=version)
        self._stopping.wait(0.15)

    def _promote(self) -> None:
        """Move the traffic, on the revision that was seen."""
        seen = self._control.revision("pair")
        note = f"promotion {time.monotonic_ns()}"
        try:
            revision = self._control.promote("pair", str(seen % 2 + 1), note, seen)
        except httpx.HTTPStatusError as error:
            if error.response.status_code == 409:
                return  # our own earlier request took effect after all, unanswered
            raise
        self._journal.note("promoted", revision=revision, note=note, stable=str(seen % 2 + 1))
        self._stopping.wait(0.05)

    def _predict(self) -> None:
        answer = self._control.predict("pair")
        if answer.status_code == 200:
            number = float(answer.headers["x-headgate-version"])
            if answer.json()["predictions"] != [number, number]:
                self.troubles.append(f"version {number} answered {answer.text}")
        elif answer.status_code < 500:
            self.troubles.append(f"predict: {answer.text}")
        time.sleep(0.02)


def test_kills_at_random_moments_lose_nothing_that_was_acknowledged(
    breakable: Platform, models: Models, tmp_path: Path
) -> None:
    """A dozen kills of registry, serving and S3 while clients register, promote and predict; the journals agree."""
    control = Control(breakable)
    for number in (1.0, 2.0):
        control.add("pair", models.answering(number))
    control.promote("pair", "1", "the first")
    control.wait_answer("pair", 1)
    uploads = [control.upload(models.answering(500.0 + n)) for n in range(CONTENTS)]
    control.wait_ready("busy", control.register("busy", uploads[0], "the first"))
    journal = Journal(tmp_path / "journal")

    rng = random.Random(SEED)
    victims = ["registry", "serving", "s3"] * (KILLS // 3)
    rng.shuffle(victims)
    began = time.monotonic()
    with Clients(control, journal, uploads) as clients:
        for victim in victims:
            time.sleep(rng.uniform(0.2, 2.0))
            until(lambda v=victim: breakable.runs(v), 60, f"a {victim} to kill")  # type: ignore[misc]  # bound at once
            time.sleep(rng.uniform(0.0, 0.3))
            breakable.kill(victim)
        breakable.wait_ready()
        until(lambda: all(len(journal.of(kind)) > KILLS for kind in ("registered", "promoted")), 60, "enough work")
    print(f"\n{KILLS} kills in {time.monotonic() - began:.0f} s: {len(journal.of('registered'))} registrations and "
          f"{len(journal.of('promoted'))} promotions acknowledged")  # fmt: skip
    assert clients.troubles == []
    assert_registrations(control, journal, uploads)
    assert_promotions(control, journal)
    assert_whole(control, Bucket(breakable))


def assert_registrations(control: Control, journal: Journal, uploads: list[str]) -> None:
    """Every acknowledged registration is there and becomes ready; each key, asked again, has its one version."""
    acknowledged = {entry["key"]: entry["version"] for entry in journal.of("registered")}
    asked = {entry["key"] for entry in journal.of("asked")}
    assert len(acknowledged) > KILLS
    numbers = {key: control.register("busy", uploads[int(key[4:]) % CONTENTS], key) for key in sorted(asked)}
    assert {key: numbers[key] for key in acknowledged} == acknowledged
    assert len(set(numbers.values())) == len(asked)
    kept = {v["version"] for v in control.versions("busy")}
    assert kept == {"1", *numbers.values()}
    until(lambda: {v["state"] for v in control.versions("busy")} == {"ready"}, 90, "readiness of every version")


def assert_promotions(control: Control, journal: Journal) -> None:
    """The registry's journal is gapless and has every acknowledged promotion, where it was said to be."""
    history = control.history("pair")
    assert [entry["revision"] for entry in history] == list(range(1, len(history) + 1))
    acknowledged = journal.of("promoted")
    assert len(acknowledged) > KILLS
    for entry in acknowledged:
        kept = history[entry["revision"] - 1]
        assert (kept["plan"]["note"], kept["plan"]["stable"]) == (entry["note"], entry["stable"])
    assert [e["revision"] for e in acknowledged] == sorted({e["revision"] for e in acknowledged})


def assert_whole(control: Control, bucket: Bucket) -> None:
    """What is ready is whole in S3, and answers."""
    versions = control.versions("busy")
    by_digest = {v["digest"]: v["version"] for v in versions}
    assert len(by_digest) == CONTENTS
    assert all(bucket.is_whole(digest) for digest in by_digest)
    for version in by_digest.values():
        assert control.numbers(f"busy/versions/{version}")[0] in {500.0 + n for n in range(CONTENTS)}
