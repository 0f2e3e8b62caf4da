"""Traces of a node: what a collector gets, what a caller is told, and that neither ever waits for the other."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from registry.errors import ModelFault
from tests.support.collector import attributes, collecting
from tests.support.metrics import sample
from tests.support.serving_fakes import eventually
from tests.support.serving_node import ROW, FakeWorld, churn, listening, running

pytestmark = pytest.mark.anyio
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
ASKED = {"traceparent": f"00-{TRACE}-{PARENT}-01", "x-request-id": "r-1"}
URL = "/models/churn/predict"


async def test_a_request_is_one_span_with_its_stages_below(tmp_path: Path) -> None:
    """Names, ids, times and attributes are as the request was; the answer says which span it was."""
    with collecting() as collector:
        async with running(tmp_path, churn(), otlp_endpoint=collector.url) as world:
            before = time.time_ns()
            answer = await world.client.post(URL, json=ROW, headers=ASKED)
            after = time.time_ns()
            await eventually(lambda: bool(collector.of(TRACE)))
    assert collector.paths == {"/v1/traces"}
    own, *stages = collector.of(TRACE)
    assert (own.name, own.parent_span_id.hex(), own.kind) == ("predict", PARENT, 2)
    assert answer.headers["traceparent"] == f"00-{TRACE}-{own.span_id.hex()}-01"
    assert before <= own.start_time_unix_nano < own.end_time_unix_nano <= after
    told = attributes(own)
    assert {name: told[f"headgate.{name}"] for name in ("model", "version", "arm", "protocol", "request_id")} == {
        "model": "churn",
        "version": "2",
        "arm": "stable",
        "protocol": "native",
        "request_id": "r-1",
    }
    assert (told["headgate.revision"], told["http.response.status_code"]) == (7, 200)
    assert [stage.name for stage in stages] == ["decode", "queue", "predict", "encode"]
    at = own.start_time_unix_nano
    for stage in stages:
        assert stage.parent_span_id == own.span_id
        assert at <= stage.start_time_unix_nano <= stage.end_time_unix_nano <= own.end_time_unix_nano
        at = stage.end_time_unix_nano
    assert collector.resources[0]["service.name"] == "headgate-serving"


async def test_a_failure_names_its_code_and_a_callers_mistake_is_none_of_ours(tmp_path: Path) -> None:
    """Both have status and code; only what failed here has the status of an error; none holds what was sent."""
    with collecting() as collector:
        async with running(tmp_path, churn(), otlp_endpoint=collector.url, otlp_sample=1.0) as world:
            await world.client.post(URL, json=ROW)
            for copy in world.runtime.loaded:
                copy.error = ModelFault("model_error", "s3cret")
            failed = await world.client.post(URL, json=ROW)
            mistaken = await world.client.post(URL, json={"inputs": {"s3cret": [1]}})
            await eventually(lambda: sum(span.name == "predict" and span.kind == 2 for span in collector.spans) == 3)
    found = {span.span_id.hex(): span for span in collector.spans}
    spans = [found[answer.headers["traceparent"].split("-")[2]] for answer in (failed, mistaken)]
    assert [attributes(span)["error.type"] for span in spans] == ["model_error", "invalid_input"]
    assert [attributes(span)["http.response.status_code"] for span in spans] == [500, 422]
    assert [span.status.code for span in spans] == [2, 0]
    assert not any(b"s3cret" in span.SerializeToString() for span in collector.spans)


async def test_the_flag_and_the_share_decide_what_is_recorded(tmp_path: Path) -> None:
    """Not sampled by the caller: not recorded, and said so; without a word of the caller's the share decides."""
    with collecting() as collector:
        async with running(tmp_path, churn(), otlp_endpoint=collector.url, otlp_sample=0.0) as world:
            not_wanted = await world.client.post(URL, json=ROW, headers={"traceparent": f"00-{TRACE}-{PARENT}-00"})
            unasked = await world.client.post(URL, json=ROW)
            wrong = await world.client.post(URL, json=ROW, headers={"traceparent": f"00-{TRACE}-{'0' * 16}-01"})
            await world.client.post(URL, json=ROW, headers={"traceparent": f"00-{'a' * 32}-{PARENT}-01"})
            await eventually(lambda: bool(collector.spans))
    assert {span.trace_id.hex() for span in collector.spans} == {"a" * 32}
    assert not_wanted.headers["traceparent"].startswith(f"00-{TRACE}-")
    assert not_wanted.headers["traceparent"].endswith("-00")
    for answer in (unasked, wrong):
        assert answer.headers["traceparent"].endswith("-00") and TRACE not in answer.headers["traceparent"]


async def test_the_way_past_asgi_is_traced_too(tmp_path: Path) -> None:
    """Over a real connection, small requests that repeat bear the header as well, each its own span."""
    with collecting() as collector:
        world = FakeWorld(tmp_path, churn(), otlp_endpoint=collector.url, otlp_sample=1.0)
        async with listening(world) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            await eventually(lambda: world.node.routes.table.known)
            headers = [(await client.post(URL, json=ROW)).headers["traceparent"] for _ in range(5)]
        # Stopping sends what was left.
    asked = {span.span_id.hex() for span in collector.spans if span.kind == 2}
    assert {header.split("-")[2] for header in headers} == asked
    assert len(asked) == 5


async def test_without_an_endpoint_there_is_nothing(tmp_path: Path) -> None:
    """No header goes out, whoever sends one, and the counter stands at 0."""
    async with running(tmp_path, churn()) as world:
        answer = await world.client.post(URL, json=ROW, headers=ASKED)
        page = (await world.client.get("/metrics")).content
    assert "traceparent" not in answer.headers
    assert sample(page, "headgate_traces_total", outcome="sent") == 0


@contextmanager
def silent() -> Iterator[str]:
    """Give the URL of a collector that takes connections and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


async def test_a_collector_that_never_answers_delays_nobody(tmp_path: Path) -> None:
    """Requests go on as they did, what cannot be sent is dropped and counted, and the node still stops."""
    with silent() as url:
        async with running(tmp_path, churn(), otlp_endpoint=url, otlp_sample=1.0) as world:
            await world.client.post(URL, json=ROW)
            slowest = 0.0
            for _ in range(1300):
                begun = time.perf_counter()
                answer = await world.client.post(URL, json=ROW)
                slowest = max(slowest, time.perf_counter() - begun)
                assert answer.status_code == 200
            page = (await world.client.get("/metrics")).content
            stopping = time.perf_counter()
    assert slowest < 2  # who waited for the collector would wait for five seconds
    assert (sample(page, "headgate_traces_total", outcome="dropped") or 0) > 0
    assert time.perf_counter() - stopping < 8


async def test_a_collector_that_is_away_is_counted(tmp_path: Path) -> None:
    """Nobody listens: the spans are gone, the requests are not."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # taken, and nobody listens on it
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        async with running(tmp_path, churn(), otlp_endpoint=url, otlp_sample=1.0) as world:
            assert (await world.client.post(URL, json=ROW)).status_code == 200
            metrics = world.node._metrics
            failed = lambda: (sample(metrics.page(), "headgate_traces_total", outcome="failed") or 0) > 0  # noqa: E731 -- a condition to wait for
            await eventually(failed, 20)


@pytest.mark.integration
@pytest.mark.parametrize("process", ["serving", "registry"])
def test_a_start_without_the_extra_says_what_to_install(process: str, tmp_path: Path) -> None:
    """An endpoint that cannot be served is refused at the start, with the command that mends it."""
    program = (
        "import sys; sys.modules['opentelemetry.exporter'] = None\n"
        f"from {process}.cli import main\nsys.argv = ['{process}']\nsys.exit(main())"
    )
    environment = {
        "PATH": os.environ["PATH"],
        "HEADGATE_HOME": str(tmp_path),
        "HEADGATE_OTLP_ENDPOINT": "http://127.0.0.1:4318",
    }
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "HEADGATE_OTLP_ENDPOINT" in done.stderr
    assert "pip install '.[otel]'" in done.stderr
    assert "Traceback" not in done.stderr
