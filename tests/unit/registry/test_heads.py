"""Heads that came before: which are known, and that nothing else is taken for one of them."""

from __future__ import annotations

from typing import Any

import pytest

from registry.edge.heads import MAX_BODY_BYTES, MAX_BYTES, MAX_HEADS, Heads, head_of


def request(*lines: str, body: bytes = b"[1]") -> bytes:
    """Return a request as it comes over a connection."""
    return "\r\n".join(["POST /x HTTP/1.1", *lines, "", ""]).encode() + body


def scope_of(*lines: str) -> dict[str, Any]:
    """Return what a parser makes of such a request."""
    pairs = [line.partition(": ") for line in lines]
    headers = [(name.lower().encode(), value.encode()) for name, _, value in pairs]
    return {"method": "POST", "path": "/x", "raw_path": b"/x", "query_string": b"", "headers": headers}


def taught(*lines: str, body: bytes = b"[1]", times: int = 2) -> Heads:
    """Return what is known after the same request has come a number of times."""
    heads = Heads()
    for _ in range(times):
        heads.note(request(*lines, body=body), scope_of(*lines))
    return heads


def test_a_head_that_came_twice_is_known_and_says_the_same() -> None:
    """The scope of the next request with it has the connection's part, the head's part, and a way to the head."""
    lines = ("Host: a", "Content-Length: 3")
    head = taught(*lines).find(request(*lines, body=b"[2]"))
    assert head is not None
    scope = head.scope({"client": ("c", 1)})
    assert scope == scope_of(*lines) | {"client": ("c", 1), "headgate.head": head}
    assert (head_of(scope), head.length) == (head, 3)


def test_a_head_that_came_once_is_not_known() -> None:
    """What is another each time, as with ids of requests, takes no room."""
    assert taught("Host: a", "Content-Length: 3", times=1).find(request("Host: a", "Content-Length: 3")) is None


def test_headers_of_one_request_are_not_those_of_the_next() -> None:
    """Whoever changes the list of headers changes one request's."""
    lines = ("Host: a", "Content-Length: 3")
    head = taught(*lines).find(request(*lines))
    assert head is not None
    head.scope({})["headers"].clear()
    assert head.scope({})["headers"] == scope_of(*lines)["headers"]


@pytest.mark.parametrize(
    "data",
    [
        request("Host: a", "Content-Length: 3", body=b"[1"),
        request("Host: a", "Content-Length: 3", body=b"[1]P"),
        request("Host: b", "Content-Length: 3"),
        request("Host: a", "Content-Length: 3")[1:],
        b"\r\n" + request("Host: a", "Content-Length: 3"),
        b"",
        b"[1]",
    ],
    ids=["cut", "more", "other", "from-its-midst", "blank-line-before", "nothing", "no-head"],
)
def test_only_one_whole_request_with_the_very_same_head_is_found(data: bytes) -> None:
    """Whatever else comes is for the parser."""
    assert taught("Host: a", "Content-Length: 3").find(data) is None


@pytest.mark.parametrize(
    ("lines", "body"),
    [
        (("Host: a", "Transfer-Encoding: chunked"), b"3\r\n[1]\r\n0\r\n\r\n"),
        (("Host: a", "Content-Length: 3", "Expect: 100-continue"), b"[1]"),
        (("Host: a", "Content-Length: 3", "Upgrade: h2c"), b"[1]"),
        (("Host: a",), b""),
        (("Host: a", "Content-Length: 2"), b"[1]"),
        (("Host: a", f"Content-Length: {MAX_BODY_BYTES + 1}"), b" " * (MAX_BODY_BYTES + 1)),
        (("Host: a", f"X-Long: {'x' * MAX_BYTES}", "Content-Length: 3"), b"[1]"),
    ],
    ids=["chunked", "expecting", "upgrading", "no-body", "other-length", "large-body", "large-head"],
)
def test_special_heads_are_read_each_time(lines: tuple[str, ...], body: bytes) -> None:
    """A head is known only where its length alone says where its body ends, and where all of it is small."""
    assert taught(*lines, body=body).find(request(*lines, body=body)) is None


def test_what_is_known_is_bounded() -> None:
    """So many heads and no more, whatever clients send."""
    heads = Heads()
    for number in range(MAX_HEADS + 5):
        lines = (f"Host: {number}", "Content-Length: 3")
        for _ in range(2):
            heads.note(request(*lines), scope_of(*lines))
    known = [n for n in range(MAX_HEADS + 5) if heads.find(request(f"Host: {n}", "Content-Length: 3"))]
    assert known == list(range(MAX_HEADS, MAX_HEADS + 5))
