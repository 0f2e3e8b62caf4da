"""Several serving processes on one port: all answer, metrics show each, operators' words reach all, none is missed."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.control import TABLE, Control, Models
from tests.support.platform import Platform, command_line, running, until

pytestmark = pytest.mark.integration
REQUESTS = 60
# A version that loads in each worker anew takes as long as the machine is slow; requests wait for it, up to this.
PATIENCE = {"HEADGATE_REQUEST_SECONDS": "120", "HEADGATE_LOAD_SECONDS": "120"}


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory, models: Models) -> Iterator[Platform]:
    """A platform whose serving node has two workers; ``steady`` answers 1."""
    with running(tmp_path_factory.mktemp("workers") / "home", {"HEADGATE_WORKERS": "2", **PATIENCE}) as platform:
        control = Control(platform)
        control.add("steady", models.answering(1))
        control.promote("steady", "1")
        until(lambda: all(ask(platform) == 200 for _ in range(20)), 120, "both workers' first answers")
        yield platform


def ask(platform: Platform) -> int:
    """Predict on a connection of its own, so that any worker may take it; return the status, 0 for a reset."""
    try:
        answer = httpx.post(f"{platform.serving_url}/models/steady/predict", json=TABLE, timeout=130)
    except httpx.TransportError:
        return 0
    if answer.status_code != 200:
        print(answer.status_code, answer.text)  # which refusal it was, when a test fails
    return answer.status_code


def samples(platform: Platform, name: str, **labels: str) -> dict[str, float]:
    """Return a metric's samples by worker."""
    page = httpx.get(f"{platform.serving_url}/metrics", timeout=10).text
    return {
        s.labels["worker"]: s.value
        for family in text_string_to_metric_families(page)
        for s in family.samples
        if s.name == name and labels.items() <= s.labels.items()
    }


def workers(platform: Platform) -> list[psutil.Process]:
    """Return the workers' processes, those that have just ended left out."""
    return [p for p in platform.process("serving").children() if "--worker" in command_line(p)]


def test_one_scrape_shows_all_workers_and_misses_no_request(crowd: Platform) -> None:
    """Whichever worker answers, the counts of all workers add up to what was asked."""
    before = sum(samples(crowd, "headgate_requests_total", code="2xx").values())
    assert [ask(crowd) for _ in range(REQUESTS)] == [200] * REQUESTS
    counts = samples(crowd, "headgate_requests_total", code="2xx")
    assert sum(counts.values()) - before == REQUESTS
    assert set(samples(crowd, "headgate_memory_budget_bytes")) == {"0", "1"}
    told = httpx.get(f"{crowd.serving_url}/v2/models/steady/versions/1/stats", timeout=10).json()["model_stats"]
    assert [row["inference_stats"]["success"]["count"] for row in told] == [sum(counts.values())]


def test_labels_right_after_predictions_are_accepted_whichever_worker_answered(crowd: Platform) -> None:
    """Each on a connection of its own; the registry then shows how good the version was."""
    url = f"{crowd.serving_url}/models/steady"
    for n in range(20):
        named = {"x-request-id": f"labelled-{n}"}
        predicted = httpx.post(f"{url}/predict", json=TABLE, headers=named, timeout=130)
        assert predicted.status_code == 200, predicted.text
        items = [{"request_id": f"labelled-{n}", "row": row, "label": 1.0 + row * (n % 2)} for row in (0, 1)]
        answer = httpx.post(f"{url}/feedback", json={"items": items}, timeout=30)
        assert (answer.status_code, answer.json()) == (202, {"accepted": 2, "refused": []}), answer.text
    quality = f"{crowd.registry_url}/registry/v1/models/steady/versions/1/quality"
    (arm,) = httpx.get(quality, timeout=30).json()["arms"]
    assert (arm["arm"], arm["labelled"], arm["rows"]) == ("stable", 20, 40)
    gauge = 'headgate_quality{arm="stable",metric="accuracy",model="steady",version="1"} 0.75'
    until(lambda: gauge in httpx.get(f"{crowd.registry_url}/metrics", timeout=10).text, 30, "the gauge")


def test_an_operators_word_reaches_every_worker(crowd: Platform) -> None:
    """Unload ends the version in all workers, load brings it back in all; so do those of Triton's repository."""
    for path in ("models/steady/versions/1", "v2/repository/models/steady"):
        url = f"{crowd.serving_url}/{path}"
        httpx.post(f"{url}/load", timeout=30).raise_for_status()
        assert samples(crowd, "headgate_versions", state="ready") == {"0": 1, "1": 1}
        httpx.post(f"{url}/unload", timeout=30).raise_for_status()
        until(lambda: samples(crowd, "headgate_versions", state="ready") == {"0": 0, "1": 0}, what="the unloading")


def test_a_worker_that_is_killed_is_started_again_and_the_other_answers_meanwhile(crowd: Platform) -> None:
    """One worker's end costs its own connections and no others; a new one takes its place."""
    victim, other = workers(crowd)
    victim.kill()
    until(lambda: len(workers(crowd)) == 2, what="a new worker")
    assert other.is_running()
    until(lambda: set(samples(crowd, "headgate_versions", state="cold")) == {"0", "1"}, what="its first answer")
    assert [ask(crowd) for _ in range(20)] == [200] * 20


def test_workers_end_with_their_supervisor_even_when_it_is_killed(crowd: Platform) -> None:
    """A supervisor that is killed leaves no worker and no host behind, and the node comes up again."""
    supervisor = crowd.process("serving")
    family = supervisor.children(recursive=True)
    crowd.kill("serving")
    _, alive = psutil.wait_procs(family, timeout=10)
    assert alive == []
    deadline = time.monotonic() + 60
    while ask(crowd) != 200:
        assert time.monotonic() < deadline, "it does not answer again"
        time.sleep(0.1)
