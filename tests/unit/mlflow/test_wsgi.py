"""The bridge from ASGI to WSGI."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from threading import Event
from typing import Any

import pytest

from registry.adapters.mlflow_app.wsgi import THREADS, WsgiBridge, environ_of
from registry.edge.gate import Message, Scope
from registry.errors import InvalidRequest


def request(method: str = "POST", path: str = "/a", headers: tuple[tuple[bytes, bytes], ...] = ()) -> Scope:
    """Return the scope of a request."""
    return {"type": "http", "method": method, "path": path, "query_string": b"q=1", "headers": list(headers)}


def ask(bridge: WsgiBridge, scope: Scope, *chunks: bytes) -> list[Message]:
    """Send a request whose body comes in chunks; return what was answered."""
    messages = [{"type": "http.request", "body": c, "more_body": True} for c in chunks]
    messages.append({"type": "http.request", "body": b"", "more_body": False})
    incoming: Iterator[Message] = iter(messages)
    answered: list[Message] = []

    async def receive() -> Message:
        return next(incoming)

    async def send(message: Message) -> None:
        answered.append(message)

    asyncio.run(bridge(scope, receive, send))
    return answered


def echo(environ: dict[str, Any], start: Callable[..., None]) -> list[bytes]:
    """A WSGI application that answers with what it got, in two chunks."""
    start("201 Created", [("X-Got", environ["REQUEST_METHOD"])])
    return [environ["PATH_INFO"].encode("latin-1"), environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))]


def test_a_request_goes_through() -> None:
    """Method, path and a body in chunks arrive; status, headers and chunks come back in order."""
    answered = ask(WsgiBridge(echo), request(path="/ä"), b"bo", b"dy")
    assert answered[0]["status"] == 201
    assert answered[0]["headers"] == [(b"x-got", b"POST")]
    assert [m["body"] for m in answered[1:]] == ["/ä".encode(), b"body", b""]
    assert [m["more_body"] for m in answered[1:]] == [True, True, False]


@pytest.mark.parametrize("headers", [((b"content-length", b"11"),), ()])
def test_a_long_body_is_refused(headers: tuple[tuple[bytes, bytes], ...]) -> None:
    """Whether its length was said or not."""
    answered = ask(WsgiBridge(echo, body_bytes=10), request(headers=headers), b"x" * 6, b"x" * 5)
    assert answered[0]["status"] == 413
    assert b"at most 10 bytes" in answered[1]["body"]


def test_a_body_is_checked_first() -> None:
    """What the check refuses, the application never sees; a GET has nothing to check."""

    def check(path: str, body: bytes) -> None:
        raise InvalidRequest("malformed_json", f"not {path}")

    assert ask(WsgiBridge(echo, check), request(), b"x")[0]["status"] == 400
    assert ask(WsgiBridge(echo, check), request("GET"))[0]["status"] == 201


def test_the_answer_is_closed_when_sending_fails() -> None:
    """Files behind an answer are let go when the reader is gone."""
    closed = []

    class Chunks:
        def __iter__(self) -> Iterator[bytes]:
            return iter([b"a"])

        def close(self) -> None:
            closed.append(True)

    def application(environ: dict[str, Any], start: Callable[..., None]) -> Chunks:
        start("200 OK", [])
        return Chunks()

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        asyncio.run(WsgiBridge(application)(request(), receive, send))
    assert closed == [True]


def test_a_client_that_left_is_not_answered() -> None:
    """A connection that ends before the body does never reaches the application."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(WsgiBridge(echo)(request(), receive, send))
    assert sent == []


def test_headers_cannot_pose_as_others() -> None:
    """A name with an underscore is dropped; repeated headers are joined; the length is the one that was read."""
    headers = ((b"x-a", b"1"), (b"x-a", b"2"), (b"x_a", b"3"), (b"content-length", b"99"), (b"content-type", b"t"))
    environ = environ_of(request(headers=headers), b"body")
    assert environ["HTTP_X_A"] == "1,2"
    assert (environ["CONTENT_LENGTH"], environ["CONTENT_TYPE"]) == ("4", "t")


def test_a_wait_for_a_thread_ends() -> None:
    """While every thread is held by a request that does not come to its end, another is told to come again."""

    async def story() -> list[Message]:
        release, entered, answered = Event(), asyncio.Semaphore(0), []
        loop = asyncio.get_running_loop()

        def stuck(environ: dict[str, Any], start: Callable[..., None]) -> list[bytes]:
            loop.call_soon_threadsafe(entered.release)
            release.wait(30)
            return echo(environ, start)

        bridge = WsgiBridge(stuck, wait_seconds=0.01)

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def drop(message: Message) -> None:
            return

        async def keep(message: Message) -> None:
            answered.append(message)

        held = [asyncio.create_task(bridge(request("GET"), receive, drop)) for _ in range(THREADS)]
        for _ in held:
            await asyncio.wait_for(entered.acquire(), 30)
        await asyncio.wait_for(bridge(request("GET"), receive, keep), 30)
        release.set()
        await asyncio.gather(*held)
        return answered

    answered = asyncio.run(story())
    assert answered[0]["status"] == 429
    assert (b"retry-after", b"5") in answered[0]["headers"]
