"""The load generator: what it takes for a whole answer, and that it counts what came."""

from __future__ import annotations

import math
import socket
import threading
from array import array
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.load import Load, body_of, describe, drive, http_request, status_of, whole_answer

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
FULL = b'HTTP/1.1 503 x\r\ncontent-length: 30\r\n\r\n{"error": {"code": "loading"}}'
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[1\r\n1\r\n]\r\n0\r\n\r\n"


@pytest.mark.parametrize("answer", [OK, FULL, CHUNKED])
def test_an_answer_is_whole_at_its_last_byte(answer: bytes) -> None:
    """No beginning of an answer is taken for the whole, and the whole is."""
    assert [whole_answer(answer[:n]) for n in range(len(answer))] == [False] * len(answer)
    assert whole_answer(answer)


def test_more_than_an_answer_is_refused() -> None:
    """Bytes that nobody asked for end the measurement: they would be counted as the next answer."""
    with pytest.raises(ValueError, match="more came"):
        whole_answer(OK + b"H")


def test_an_answer_without_an_end_is_refused() -> None:
    """An answer that ends with its connection cannot be measured on a kept one."""
    with pytest.raises(ValueError, match="neither"):
        whole_answer(b"HTTP/1.1 200 OK\r\n\r\n")


def test_a_length_in_the_body_is_no_header() -> None:
    """Only the head says how long the body is."""
    body = b"\r\ncontent-length: 999\r\n"
    assert whole_answer(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))


def test_the_body_comes_out_of_both_framings() -> None:
    """A body is the same with a length and in chunks."""
    assert (body_of(OK), body_of(CHUNKED)) == (b"{}", b"[1]")


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=5))
def test_any_chunks_come_out_joined(chunks: list[bytes]) -> None:
    """Whatever the chunks hold, the body is all of them in order."""
    framed = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + framed
    assert body_of(answer) == b"".join(chunks)


def test_what_was_not_200_is_told_by_status_and_code() -> None:
    """A refusal is counted under what its error says."""
    assert [describe(a) for a in (FULL, OK, b"")] == ["503 loading", "200", "broken"]
    assert status_of(FULL) == 503


def test_a_request_carries_its_length() -> None:
    """A POST has a length even where it has no body."""
    assert http_request("/x", b"{}").endswith(b"content-length: 2\r\n\r\n{}")
    assert b"content-length: 0\r\n" in http_request("/x")
    assert b"content-length" not in http_request("/x", method="GET")


def test_quantiles_are_of_what_came() -> None:
    """The median is the middle one, and nothing is infinitely slow."""
    load = Load(2.0, array("d", [0.001, 0.005, 0.002]))
    assert (load.rate, load.quantile_ms(0.5), load.quantile_ms(0.99)) == (1.5, 2.0, 5.0)
    assert Load(1.0, array("d")).quantile_ms(0.5) == math.inf


@contextmanager
def answering(*answers: bytes) -> Iterator[int]:
    """Run a server that gives each connection these answers in turn, for ever; an empty one hangs up."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with connection:
            turn = 0
            while connection.recv(65536):
                if not answers[turn % len(answers)]:
                    return
                connection.sendall(answers[turn % len(answers)])
                turn += 1

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,)).start()

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


@pytest.mark.parametrize("connections", [1, 3])
def test_answers_and_refusals_are_counted_apart(connections: int) -> None:
    """Every second answer is a refusal: as many were answered as refused, give or take one a connection."""
    with answering(OK, FULL) as port:
        load = drive(port, [http_request("/")], connections, 0.05, warm_up=0.01)
    assert load.others.keys() == {"503 loading"}
    assert abs(len(load.latencies) - load.others["503 loading"]) <= 2 * connections


@pytest.mark.parametrize("connections", [1, 3])
def test_a_connection_that_breaks_is_made_anew(connections: int) -> None:
    """A server that hangs up is asked again, and the break is counted."""
    with answering(OK, b"") as port:
        load = drive(port, [http_request("/")], connections, 0.05, warm_up=0)
    assert load.others.keys() == {"broken"}
    assert len(load.latencies) > connections


def test_a_number_of_requests_is_kept_to() -> None:
    """With ``most``, exactly so many are asked."""
    with answering(OK) as port:
        assert len(drive(port, [http_request("/")], 4, 60, warm_up=0, most=41).latencies) == 41
