"""A real pyfunc with ``predict_stream`` on the shared platform: over a raw socket, from the SDK, and as inference."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from headgate import AsyncClient, Client, InvalidRequest

from tests.e2e.control import Control
from tests.support.models import SavedModels
from tests.support.platform import until

pytestmark = pytest.mark.e2e
URL = "/models/typist/predict_stream"


def answers(control: Control, name: str) -> bool:
    """Tell whether a model answers."""
    return control.predict(name).status_code == 200


@pytest.fixture(scope="module")
def typist(control: Control, saved_models: SavedModels, tmp_path_factory: pytest.TempPathFactory) -> Control:
    """Serve a model that yields ``most`` pieces of ``bytes`` letters, and one that yields nothing piece by piece."""
    for name, kind in (("typist", "stream_counting"), ("adder", "sum")):
        version = control.add(name, saved_models.get(kind).directory)
        control.promote(name, version)
        until(partial(answers, control, name), 60, f"an answer of {name}")
    return control


def ask(control: Control, asked: dict[str, Any], path: str = URL) -> socket.socket:
    """Return a connection on which a stream was asked for, as curl asks."""
    place = urlsplit(control.platform.serving_url)
    body = json.dumps({"inputs": asked}).encode()
    connection = socket.create_connection((place.hostname, place.port), timeout=20)
    head = f"POST {path} HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Type: application/json\r\n"
    connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return connection


def said(control: Control) -> dict[str, Any]:
    """Return what the model says of its last stream."""
    found: dict[str, Any] = control.predict("typist").json()["predictions"][0]
    return found


def test_a_raw_client_reads_each_piece_as_it_is_made(typist: Control) -> None:
    """The first is there long before the last; the answer says that it is whole, and the connection stays open."""
    begun = time.monotonic()
    with ask(typist, {"most": [5], "pause": [0.2]}) as connection:
        taken = b""
        while b"\n\n" not in taken:
            taken += connection.recv(65536)
        first = time.monotonic() - begun
        while not taken.endswith(b"0\r\n\r\n"):
            taken += connection.recv(65536)
        last = time.monotonic() - begun
    head, _, body = taken.partition(b"\r\n\r\n")
    assert b"content-type: text/event-stream" in head and b"cache-control: no-store" in head
    assert body.count(b'"predictions":"x"') == 5
    assert b'event: done\ndata: {"pieces":5}\n\n' in body
    assert last - first > 0.5


def test_a_client_that_leaves_ends_the_generator(typist: Control) -> None:
    """Within a second its ``finally`` has run, and the model is free for the next request."""
    with ask(typist, {"most": [100_000], "pause": [0.02]}) as connection:
        assert b"200 OK" in connection.recv(65536)
    left = time.monotonic()
    told = said(typist)
    assert time.monotonic() - left < 1.5
    assert told["closed"] == "GeneratorExit" and told["made"] < 100


def test_a_client_that_reads_slowly_holds_the_model_back(typist: Control) -> None:
    """Of a gigabyte that it could make at once, the model makes what the connection and the window hold."""
    with ask(typist, {"most": [10_000], "bytes": [100_000]}) as connection:
        connection.recv(1024)
        time.sleep(1.5)
    told = said(typist)
    assert told["closed"] == "GeneratorExit" and told["made"] < 300


def test_the_sdk_streams_and_says_what_cannot(typist: Control) -> None:
    """Sync and async; a model without ``predict_stream`` is told apart."""
    asked = {"most": [40], "bytes": [3]}
    platform = typist.platform
    with Client(platform.registry_url, platform.serving_url) as client:
        assert list(client.predict_stream("typist", {"inputs": asked})) == ["xxx"] * 40
        stream = client.predict_stream("typist", {"inputs": {"most": [100_000]}})
        assert next(stream) == "x"
        stream.close()
        with pytest.raises(InvalidRequest, match="no predict_stream"):
            next(client.predict_stream("adder", [[1.0]]))

    async def read() -> list[Any]:
        async with AsyncClient(platform.registry_url, platform.serving_url) as client:
            return [piece async for piece in client.predict_stream("typist", {"inputs": asked}, version=1)]

    assert asyncio.run(read()) == ["xxx"] * 40


def test_the_open_inference_protocol_streams_too(typist: Control) -> None:
    """Bare events of infer answers."""
    asked = {"most": 3, "bytes": 2}
    tensors = [{"name": name, "shape": [1], "datatype": "INT64", "data": [value]} for name, value in asked.items()]
    url = f"{typist.platform.serving_url}/v2/models/typist/generate_stream"
    body = httpx.post(url, json={"inputs": tensors}, timeout=20).text
    found = [json.loads(line.removeprefix("data: ")) for line in body.splitlines() if line]
    assert [each["outputs"][0]["data"] for each in found] == [["xx"]] * 3
