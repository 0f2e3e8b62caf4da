"""Server-sent events as bytes, read back as their standard says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import InvalidRequest
from serving.protocols.answer import accept_events
from serving.protocols.sse import BARE, NAMED, event


def read(stream: bytes) -> list[tuple[str, bytes]]:
    """Return names and data, as the standard's own steps do."""
    found: list[tuple[str, bytes]] = []
    name, lines = "", list[bytes]()
    for line in stream.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if not line and lines:
            found.append((name, b"\n".join(lines)))
            name, lines = "", []
        elif field == b"data":
            lines.append(value)
        elif field == b"event":
            name = value.decode()
    return found


@given(st.lists(st.tuples(st.binary(min_size=1), st.sampled_from(["", "done", "error"])), max_size=5))
def test_whatever_is_sent_is_read(events: list[tuple[bytes, str]]) -> None:
    """No data, line ends included, ends an event too soon or becomes another."""
    stream = b"".join(event(data, name) for data, name in events)
    lines = [(name, b"\n".join(data.splitlines())) for data, name in events]
    found = read(stream)
    assert [name for name, _ in found] == [name for name, _ in lines]
    assert [data.rstrip(b"\n") for _, data in found] == [data.rstrip(b"\n") for _, data in lines]


def test_protocols_mark_their_events_in_two_ways() -> None:
    """Ours are named; others are bare data, with nothing at the end."""
    assert NAMED.piece(b"{}") == BARE.piece(b"{}") == b"data: {}\n\n"
    assert NAMED.error(b"{}") == b"event: error\ndata: {}\n\n"
    assert BARE.error(b"{}") == b"data: {}\n\n"
    assert NAMED.done(2) == b'event: done\ndata: {"pieces":2}\n\n'
    assert BARE.done(2) == b""


@pytest.mark.parametrize(
    "accept", [None, "", "*/*", "text/event-stream", "text/*", "application/json", "text/html, */*"]
)
def test_who_accepts_events_or_json_gets_them(accept: str | None) -> None:
    """Both are what a stream is."""
    assert accept_events(accept) == "application/json"


@pytest.mark.parametrize("accept", ["text/csv", "text/event-stream;q=0", "image/png"])
def test_who_accepts_neither_is_refused(accept: str) -> None:
    """406, naming what there is."""
    with pytest.raises(InvalidRequest, match="text/event-stream") as caught:
        accept_events(accept)
    assert caught.value.code == "not_acceptable"
