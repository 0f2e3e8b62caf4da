"""With the registry and S3 away: what is loaded answers, what is cached loads, and a restarted node serves."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import httpx
import pytest

from tests.e2e.asking import error_code
from tests.e2e.bucket import Bucket
from tests.e2e.control import Control, Models
from tests.support.platform import ROOT, Platform, until

pytestmark = pytest.mark.e2e

QUICK_SECONDS = 8
# Loaded at first, cached at first, and never asked for while all was well.
LOADED, CACHED, UNSEEN = 1.0, 2.0, 3.0


@contextmanager
def paused(platform: Platform, *children: str) -> Iterator[None]:
    """Stop processes where they stand, as a machine without memory or a hung disk does; let them go on afterwards."""
    processes = [platform.process(child) for child in children]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


@contextmanager
def node_alone(platform: Platform, bucket: Bucket) -> Iterator[subprocess.Popen[bytes]]:
    """Run a node on the platform's home with nothing around it; end it with SIGTERM."""
    environment = platform.environment | bucket.environment | {"HEADGATE_REGISTRY_URL": platform.registry_url}
    with platform.output.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "serving"], cwd=ROOT, env=environment, stdout=output, stderr=output
        )
    try:
        yield process
        process.terminate()
        assert process.wait(40) == 0
    finally:
        process.kill()
        process.wait()


def ready_status(platform: Platform) -> int:
    """Return what the node says of its readiness; 0 where nobody answers."""
    try:
        return httpx.get(f"{platform.serving_url}/readyz", timeout=2).status_code
    except httpx.HTTPError:
        return 0


def test_serving_needs_neither_registry_nor_s3_for_what_it_has(breakable: Platform, models: Models) -> None:
    """Paused, they are not missed; gone, a restarted node serves from its disk, refuses quickly what it has not, and
    all comes back when they do."""
    control = Control(breakable)
    paths = {n: f"stable/versions/{control.add('stable', models.answering(n))}" for n in (LOADED, CACHED, UNSEEN)}
    control.promote("stable", "1")
    control.wait_answer("stable", LOADED)
    control.wait_answer(paths[CACHED], CACHED)
    assert httpx.post(f"{breakable.serving_url}/models/{paths[CACHED]}/unload", timeout=10).status_code == 200

    with paused(breakable, "registry", "s3"):
        assert control.numbers("stable") == [LOADED, LOADED]
        assert control.numbers(paths[CACHED]) == [CACHED, CACHED]
        assert ready_status(breakable) == 200
    bucket = Bucket(breakable)
    breakable.kill_all()
    try:
        with node_alone(breakable, bucket):
            assert_serves_alone(control, paths)
    finally:
        breakable.start()
    control.wait_answer(paths[UNSEEN], UNSEEN)
    control.promote("stable", "3")
    control.wait_answer("stable", UNSEEN)


def assert_serves_alone(control: Control, paths: Mapping[float, str]) -> None:
    """Expect a node without registry and S3 to be ready at once, to answer, and to refuse quickly what it has not."""
    began = time.monotonic()
    until(lambda: ready_status(control.platform) == 200, 15, "readiness from the snapshot on disk")
    ready = time.monotonic() - began
    assert control.numbers("stable") == [LOADED, LOADED]
    assert control.numbers(paths[CACHED]) == [CACHED, CACHED]
    began = time.monotonic()
    answer = control.predict(paths[UNSEEN])
    refused = time.monotonic() - began
    assert (answer.status_code, error_code(answer)) == (503, "artifact_unavailable"), answer.text
    assert int(answer.headers["retry-after"]) >= 1
    assert control.numbers("stable") == [LOADED, LOADED]
    print(f"\nready alone after {ready:.2f} s; an uncached version refused after {refused:.2f} s")
    assert refused < QUICK_SECONDS
