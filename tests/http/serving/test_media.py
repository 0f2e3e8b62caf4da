"""Images, bytes and forms through a whole node in memory: what is answered, refused, copied to shadows and observed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from threading import current_thread
from typing import Any

import httpx
import numpy as np
import pytest

from registry.plans import Plan, Shadow
from registry.records import ModelName, VersionNumber
from registry.signature import Schema, Signature
from registry.snapshots import ModelSnapshot
from serving.exchange import ArrayOutput, Call, JsonInput, JsonOutput, Output, Table
from serving.protocols.limits import HEAVY_BYTES, Limits
from serving.protocols.native_request import NativeRequest, read_native
from serving.protocols.request import Head
from serving.question import Question
from serving.routing.choose import Ask
from serving.telemetry.finished import Finished
from tests.support.pictures import drawn, form, opened, pixels
from tests.support.serving_fakes import FakeLoaded, eventually, servable, snapshot
from tests.support.serving_node import FakeWorld, running

pytestmark = pytest.mark.anyio
PATH = "/models/churn/predict"
SIGNATURE = {"inputs": [{"type": "binary", "name": "image", "required": True}], "outputs": None, "params": None}
PICTURE = drawn(pixels())


def pictures(signature: Any = SIGNATURE, **plan: Any) -> ModelSnapshot:
    """Return a model of bytes, with a second version."""
    versions = {n: servable(n, f"churn {n}", signature) for n in ("1", "2")}
    return snapshot(versions=versions, plan=Plan(VersionNumber("2"), **plan))


def given_back(call: Call) -> Output:
    """Answer the bytes that came."""
    data = call.data
    if isinstance(data, JsonInput):
        return JsonOutput("text", len(data.value), (data.value,))
    assert isinstance(data, Table)
    raw = tuple(data.arrays[0].tolist())
    return JsonOutput(["text"] * len(raw), sum(map(len, raw)), raw)


async def loaded(world: FakeWorld, number: str) -> FakeLoaded:
    """Return a version of churn once it is there, answering what it is given."""
    await world.client.post(f"/models/churn/versions/{number}/predict", json={"inputs": {"image": ["YQ=="]}})
    copy = world.copy_of(number)
    assert isinstance(copy, FakeLoaded)
    copy.answer = given_back
    return copy


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[FakeWorld]:
    """Give a node with a model of bytes."""
    async with running(tmp_path, pictures()) as world:
        await loaded(world, "2")
        yield world


def problem(answer: httpx.Response) -> tuple[int, str]:
    """Return status and code of an error."""
    assert len(answer.content) < 4096
    return answer.status_code, answer.json()["error"]["code"]


async def post(world: FakeWorld, body: bytes, kind: str = "image/png", accept: str | None = None) -> httpx.Response:
    """Send a body."""
    return await world.client.post(
        PATH, content=body, headers={"content-type": kind, **({"accept": accept} if accept else {})}
    )


async def test_bytes_come_and_go(world: FakeWorld) -> None:
    """Whatever the type, alone or in a form, small or so large that they are read beside the loop."""
    large = PICTURE + bytes(2 * HEAVY_BYTES)
    for kind, body in (("image/png", PICTURE), ("application/octet-stream", PICTURE), ("Image/X; a=b", PICTURE),
                       ("image/png", large), form({"image": ("image/png", large)}), form({"f": PICTURE})):  # fmt: skip
        answer = await post(world, body, kind, "image/*")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png"), answer.text
        assert answer.content == (large if len(body) > HEAVY_BYTES else PICTURE)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-headgate-version"] == "2"


async def test_large_bytes_that_need_no_decoding_are_fitted_beside_the_loop(world: FakeWorld) -> None:
    """A large form holds up nobody else; a small one is not worth a thread."""
    threads: list[str] = []

    class Noted(NativeRequest):
        def shape(self, signature: Signature, graph_inputs: Schema | None, limits: Limits) -> Call:
            threads.append(current_thread().name)
            return super().shape(signature, graph_inputs, limits)

    def read(body: bytes, limits: Limits) -> NativeRequest:
        found = read_native(body, Head("image/png"), limits)
        return Noted(found.parsed, found.form)

    for body in (PICTURE, PICTURE + bytes(2 * HEAVY_BYTES)):
        question = Question(Ask(ModelName("churn")), body, partial(read, body), "image/png", "r", 5.0)
        await world.node._predictor.predict(question, Finished())
    assert [name.partition("_")[0] for name in threads] == [current_thread().name, "heavy"]


async def test_what_the_caller_accepts_decides(world: FakeWorld) -> None:
    """Bytes for who asks for them, JSON for everybody else, 406 in words where they do not meet."""
    assert (await post(world, PICTURE)).json()["predictions"] == ["text"]
    assert (await post(world, PICTURE, accept="*/*")).headers["content-type"] == "application/json"
    page = await post(world, b"<html>", accept="application/octet-stream")
    assert (page.headers["content-type"], page.content) == ("application/octet-stream", b"<html>")
    assert problem(await post(world, PICTURE, accept="image/jpeg")) == (406, "not_acceptable")
    assert problem(await post(world, PICTURE, accept="text/html")) == (406, "not_acceptable")


async def test_pixels_are_drawn(tmp_path: Path) -> None:
    """An array of a picture is answered as PNG or JPEG, from JSON input too."""
    async with running(tmp_path, pictures(None)) as world:
        await world.client.post(PATH, json={"inputs": [1]})
        copy = world.copy_of("2")
        assert isinstance(copy, FakeLoaded)
        copy.answer = lambda _call: ArrayOutput(pixels()[np.newaxis])
        answer = await world.client.post(PATH, json={"inputs": [1]}, headers={"accept": "image/png"})
        assert (answer.headers["content-type"], opened(answer.content).tolist()) == ("image/png", pixels().tolist())
        assert (await post(world, b"x", accept="image/jpeg")).headers["content-type"] == "image/jpeg"


async def test_faults_are_refused_in_our_shape(world: FakeWorld) -> None:
    """Bodies that are no form, empty, too large, or of other types."""
    kind, body = form({"image": PICTURE})
    for given, sent, expected in (
        (kind, body[:-9], (400, "invalid_argument")), ("multipart/form-data", body, (400, "invalid_argument")),
        ("image/png", b"", (400, "invalid_argument")), ("multipart/mixed", body, (415, "unsupported_media_type")),
        ("image/png", bytes(17 << 20), (413, "body_too_large")),
        (*form({"image": PICTURE, "more": b"x"}), (422, "invalid_input")),
    ):  # fmt: skip
        assert problem(await post(world, sent, given)) == expected


async def test_a_model_of_other_things_is_no_model_of_images(tmp_path: Path) -> None:
    """A model of numbers refuses a picture in words, and starts no process for it."""
    numbers = {**SIGNATURE, "inputs": [{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 4]}}]}
    async with running(tmp_path, pictures(numbers)) as world:
        answer = await post(world, PICTURE)
        assert problem(answer) == (422, "invalid_input")
        assert "which is no image" in answer.json()["error"]["message"]


async def test_copies_go_to_shadows(tmp_path: Path) -> None:
    """A shadow gets the bytes of an image, small or large, and its answer is compared."""
    async with running(tmp_path, pictures(shadows=(Shadow(VersionNumber("1")),)), store_inputs=True) as world:
        shadow, _ = await loaded(world, "1"), await loaded(world, "2")
        seen: list[int] = []

        def noted(call: Call) -> Output:
            assert isinstance(call.data, Table)
            seen.append(len(call.data.arrays[0][0]))
            return JsonOutput(["other"], 1, (b"other",))

        shadow.answer = noted
        for body in (PICTURE, PICTURE + bytes(HEAVY_BYTES)):
            assert (await post(world, body)).status_code == 200
        await eventually(lambda: sorted(seen) == [len(PICTURE), len(PICTURE) + HEAVY_BYTES])
        page = (await world.client.get("/metrics")).text
        assert 'headgate_shadow_requests_total{model="churn",outcome="error",version="1"}' not in page


async def test_many_at_once_keep_their_bytes(world: FakeWorld) -> None:
    """Each caller gets what it sent."""
    bodies = [bytes([at]) * (at * 997 % 5000 + 1) for at in range(100)]
    octets = "application/octet-stream"
    answers = await asyncio.gather(*(post(world, body, octets, octets) for body in bodies))
    assert [answer.content for answer in answers] == bodies


async def test_the_document_says_what_is_taken(world: FakeWorld) -> None:
    """OpenAPI lists the media types both ways."""
    posted = (await world.client.get("/openapi.json")).json()["paths"]["/models/{name}/predict"]["post"]
    taken, given = posted["requestBody"]["content"], posted["responses"]["200"]["content"]
    assert {"image/*", "application/octet-stream", "multipart/form-data"} <= set(taken)
    assert {"image/png", "image/jpeg", "application/octet-stream"} <= set(given)
    assert "406" in posted["responses"]
