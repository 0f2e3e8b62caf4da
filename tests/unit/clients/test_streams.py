"""Streamed predictions over real HTTP: each piece once, in whatever bytes it came; and every way to end."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from headgate import AsyncClient, Client, ConnectionFailed, InvalidRequest, ModelFault, NotFound, ServerFault
from headgate.cli.app import app
from headgate.events import Pieces
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from tests.support.fake_platform import FakePlatform

VALUES: list[Any] = ["to", "be", {"or": None}, [1.5, "ö"], "\n\ndata: no"]
DONE = b'event: done\ndata: {"pieces":5}\n\n'
ERROR = {"code": "model_error", "message": "the model raised: ValueError: no", "request_id": "r-9", "details": {}}


def event(value: Any) -> bytes:
    """Return a piece as serving sends it."""
    return b"data: " + json.dumps({"predictions": value, "model_name": "churn"}).encode() + b"\n\n"


@pytest.fixture(autouse=True)
def churn(fake: FakePlatform) -> None:
    """Have a model that streams, one event a chunk."""
    fake.situation.add("churn", 3)
    fake.situation.chunks = [*map(event, VALUES), DONE]


def test_pieces_come_as_they_were_made(client: Client, fake: FakePlatform) -> None:
    """JSON values in their order; what is asked is a predict's body, or bytes as they are."""
    assert list(client.predict_stream("churn", [[1.5]], version=3)) == VALUES
    assert list(client.predict_stream("churn", b'{"messages": []}', alias="champion")) == VALUES
    assert fake.situation.bodies[-2:] == [
        ("text/event-stream", b'{"inputs": [[1.5]]}'),
        ("text/event-stream", b'{"messages": []}'),
    ]
    asked = [path for _, path, _ in fake.situation.requests[-2:]]
    assert asked == ["/models/churn/versions/3/predict_stream", "/models/churn/aliases/champion/predict_stream"]


def test_the_async_client_does_the_same(fake: FakePlatform) -> None:
    """The same pieces, on a loop."""

    async def ask() -> list[Any]:
        async with AsyncClient(fake.registry_url, fake.serving_url, timeout=5) as client:
            return [piece async for piece in client.predict_stream("churn", [[1.5]])]

    assert asyncio.run(ask()) == VALUES


def test_an_error_event_is_raised_after_the_pieces_before_it(client: Client, fake: FakePlatform) -> None:
    """With its code, message and request id."""
    fake.situation.chunks = [event(1), b"event: error\ndata: " + json.dumps({"error": ERROR}).encode() + b"\n\n"]
    stream = client.predict_stream("churn", [[1]])
    assert next(stream) == 1
    with pytest.raises(ModelFault, match="no") as caught:
        next(stream)
    assert (caught.value.code, caught.value.request_id) == ("model_error", "r-9")


def test_a_stream_without_its_end_broke_off(client: Client, fake: FakePlatform) -> None:
    """Nobody takes half an answer for a whole one."""
    fake.situation.chunks = [event(1), event(2)]
    with pytest.raises(ConnectionFailed, match="broke off after 2 pieces") as caught:
        list(client.predict_stream("churn", [[1]]))
    assert caught.value.code == "stream_broken"


def test_what_is_refused_is_raised_as_ever(client: Client) -> None:
    """Before the first piece errors are a predict's; two targets are refused at once."""
    with pytest.raises(NotFound):
        next(client.predict_stream("nobody", [[1]]))
    with pytest.raises(InvalidRequest, match="not both"):
        client.predict_stream("churn", [[1]], version=1, alias="champion")


def test_what_is_no_prediction_is_told(client: Client, fake: FakePlatform) -> None:
    """Some other server's events are not taken for answers."""
    fake.situation.chunks = [b"data: [DONE]\n\n"]
    with pytest.raises(ServerFault, match="no prediction"):
        list(client.predict_stream("churn", [[1]]))


@given(st.data())
def test_events_may_be_cut_anywhere(data: st.DataObject) -> None:
    """Each value comes once, however the bytes were cut; comments and carriage returns say nothing."""
    whole = b": hello\n\n" + b"".join(map(event, VALUES)) + b"event: done\r\ndata: {}\r\n\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=30)))
    pieces = Pieces("http://here")
    found = [v for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True) for v in pieces.feed(whole[a:b])]
    pieces.finish()
    assert (found, pieces.count) == (VALUES, len(VALUES))


def test_the_command_line_writes_words_as_text(fake: FakePlatform, monkeypatch: pytest.MonkeyPatch) -> None:
    """Words stand one behind the other, the rest on lines of its own; as JSON each piece is a line."""
    monkeypatch.setenv("HEADGATE_SERVING_URL", fake.serving_url)
    fake.situation.chunks = [*map(event, ["to ", "be", {"or": 1}]), DONE]
    words = ["predict", "churn", "--stream", "--data", '{"messages": []}']
    assert CliRunner().invoke(app, words).stdout == 'to be\n{"or": 1}\n'
    assert fake.situation.bodies[-1][1] == b'{"messages": []}'
    assert CliRunner().invoke(app, [*words, "--output", "json"]).stdout == '"to "\n"be"\n{"or": 1}\n'
