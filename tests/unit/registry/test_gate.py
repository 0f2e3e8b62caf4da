"""The gate: what it lets through, and what everything else gets."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.edge.gate import Access, Gate, Message, Receive, Route, RouteTable, Scope, Send

TABLE = RouteTable(
    [
        Route("GET", "/livez", Access.OPEN),
        Route("GET", "/models/{name}", Access.READ),
        Route("POST", "/models/{name}/predict", Access.PREDICT),
        Route("GET PUT", "/artifacts/{path...}", Access.WRITE),
    ]
)


async def reached(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer 299, so that a test sees the request came through."""
    await send({"type": "http.response.start", "status": 299, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def ask(
    method: str, path: str, headers: list[tuple[bytes, bytes]] | None = None, **more: Any
) -> tuple[int, dict[str, Any]]:
    """Send one request through a gate; return the status and the error object."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode("utf-8", "surrogateescape"),
        "headers": [(b"host", b"127.0.0.1:8080")] if headers is None else headers,
        **more,
    }
    asyncio.run(Gate(reached, TABLE, ("models.example.org",))(scope, receive, send))
    body = sent[-1].get("body", b"")
    return sent[0]["status"], json.loads(body)["error"] if body else {}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/livez"),
        ("HEAD", "/livez"),
        ("GET", "/models/a"),
        ("POST", "/models/a.b/predict"),
        ("PUT", "/artifacts/1/x/y z.txt"),
    ],
)
def test_listed_route_is_let_through(method: str, path: str) -> None:
    """What the table names reaches the application."""
    assert ask(method, path)[0] == 299


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/models",
        "/models/",
        "/models//predict",
        "/models/a/predict/",
        "/models/a/predict/x",
        "/livez/",
        "//livez",
        "/artifacts/",
        "/artifacts",
        "/artifacts/../livez",
        "/artifacts/./x",
        "/artifacts/x/..",
        "/admin",
        "/models/a;x/predict/y",
        "/artifacts/%2e%2e/x",
    ],
)
def test_everything_else_does_not_exist(path: str) -> None:
    """What the table does not name is 404, whatever the application behind would have answered."""
    status, error = ask("GET", path)
    assert (status, error["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/livez"), ("TRACE", "/models/a"), ("FOO", "/models/a/predict"), ("DELETE", "/artifacts/x")],
)
def test_wrong_method_names_the_right_ones(method: str, path: str) -> None:
    """A path that exists answers 405 to another method, and says which there are."""
    status, error = ask(method, path)
    assert status == 405
    assert error["details"]["allow"]


@pytest.mark.parametrize("path", ["/models/a\x00", "/models/a\r\nb", "/models/a\\b", "/models/\ufffd"])
def test_path_with_control_characters_is_refused(path: str) -> None:
    """A path that no honest client writes is 400."""
    assert ask("GET", path)[0] == 400


@pytest.mark.parametrize("raw", [b"/models/a%2Fpredict", b"/models/a%5cb", b"/artifacts/a%2f..%2fb"])
def test_encoded_separator_is_refused(raw: bytes) -> None:
    """A separator that was hidden by encoding leads nowhere."""
    assert ask("GET", "/models/a", raw_path=raw)[0] == 404


@pytest.mark.parametrize(
    "host", [b"localhost", b"LOCALHOST:80", b"127.0.0.1:5000", b"127.8.8.8", b"[::1]:8080", b"models.example.org"]
)
def test_host_that_is_ours_is_accepted(host: bytes) -> None:
    """Loopback names and those in the settings are accepted."""
    assert ask("GET", "/livez", [(b"host", host)])[0] == 299


@pytest.mark.parametrize(
    "host",
    [b"10.evil.com", b"evil.com", b"127.0.0.1.evil.com", b"a, b", b"a/?x=", b"", b"10.0.0.1", b"[::1", b"localhost:"],
)
def test_other_host_is_refused(host: bytes) -> None:
    """A name that is not ours is refused: that is how a rebound DNS name looks."""
    assert ask("GET", "/livez", [(b"host", host)])[1]["code"] == "misdirected_host"


def test_missing_or_doubled_host_is_refused() -> None:
    """There is exactly one Host."""
    assert ask("GET", "/livez", [])[0] == 400
    assert ask("GET", "/livez", [(b"host", b"localhost"), (b"host", b"localhost")])[0] == 400


def test_too_many_headers_are_refused() -> None:
    """More than 100 headers, or more than 64 KiB of them, are 431."""
    host = (b"host", b"localhost")
    assert ask("GET", "/livez", [host] + [(b"x", b"y")] * 100)[0] == 431
    assert ask("GET", "/livez", [host, (b"x", b"y" * 70_000)])[0] == 431


@given(st.binary(max_size=200))
def test_request_id_is_the_callers_or_made(raw: bytes) -> None:
    """A visible ASCII id of up to 128 characters is kept; any other is replaced, never repeated."""
    _, error = ask("GET", "/nothing", [(b"host", b"localhost"), (b"x-request-id", raw)])
    good = 1 <= len(raw) <= 128 and all(0x21 <= b <= 0x7E for b in raw)
    assert (error["request_id"] == raw.decode("latin-1")) is good
    assert error["request_id"].isascii()


@given(st.text(max_size=60))
def test_no_path_gets_past_the_table(path: str) -> None:
    """Any path either is one of the table's or gets one error body."""
    status, error = ask("GET", "/" + path)
    assert status in (299, 400, 404, 405)
    assert (status == 299) == (not error)


def test_websocket_is_closed() -> None:
    """An upgrade is refused before anything sees it."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    asyncio.run(Gate(reached, TABLE)({"type": "websocket", "path": "/livez"}, receive, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]


@pytest.mark.parametrize(
    ("method", "origin", "status"),
    [
        ("POST", b"http://127.0.0.1:8080", 299),
        ("POST", b"https://models.example.org", 299),
        ("POST", b"http://localhost:3000", 403),
        ("POST", b"https://evil.example", 403),
        ("POST", b"null", 403),
        ("POST", b"http://127.0.0.1.evil.example", 403),
        ("GET", b"https://evil.example", 299),
    ],
)
def test_page_of_another_site_changes_nothing(method: str, origin: bytes, status: int) -> None:
    """A browser that acts for a foreign page is refused wherever something could change."""
    path = "/models/a/predict" if method == "POST" else "/livez"
    assert ask(method, path, [(b"host", b"127.0.0.1:8080"), (b"origin", origin)])[0] == status
