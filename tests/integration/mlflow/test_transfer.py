"""Artifacts on their way in and out: whole or not at all, in bounded memory."""

from __future__ import annotations

import hashlib
import http.client
import os
import socket
import uuid
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.integration.mlflow.conftest import Server

pytestmark = pytest.mark.integration

FILES = "/api/2.0/mlflow-artifacts/artifacts"
BIG = 300 * 1024 * 1024


@pytest.fixture
def path() -> str:
    """A path that no other test uses."""
    return f"{FILES}/tests/{uuid.uuid4().hex}/file.bin"


def test_a_big_file_goes_through_in_little_memory(server: Server, path: str) -> None:
    """300 MB in and out are the same bytes, and the server's memory grows by a few parts only."""
    block = os.urandom(1 << 20)
    before = server.memory_kb()
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=120)

    connection.request("PUT", path, (block for _ in range(BIG >> 20)), {"Content-Length": str(BIG)})
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, b"{}")

    connection.request("GET", path)
    answer = connection.getresponse()
    assert answer.headers["Content-Length"] == str(BIG)
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert digest(iter(lambda: answer.read(1 << 20), b"")) == digest(block for _ in range(BIG >> 20))
    connection.close()
    assert server.memory_kb("VmHWM") - before < 80_000


@pytest.mark.parametrize("size", [0, 1, 5 * 1024 * 1024, 5 * 1024 * 1024 + 1])
def test_files_of_any_size(server: Server, path: str, size: int) -> None:
    """An empty file, a byte, exactly a part, and one byte more."""
    data = b"x" * size
    assert server.call("PUT", path, data).status == 200
    answer = server.call("HEAD", path)
    assert (answer.status, answer.headers["content-length"]) == (200, str(size))
    assert server.call("GET", path).body == data


@pytest.mark.parametrize("sent", [1000, 8 * 1024 * 1024])
def test_half_a_file_is_no_file(server: Server, path: str, sent: int) -> None:
    """A connection that ends in the middle of an upload leaves nothing, and what was there before stays."""
    for earlier in (None, b"earlier"):
        if earlier is not None:
            server.call("PUT", path, earlier)
        host, _, port = urlsplit(server.url).netloc.partition(":")
        with socket.create_connection((host, int(port))) as raw:
            head = f"PUT {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {sent * 2}\r\n\r\n"
            raw.sendall(head.encode() + b"x" * sent)
        answer = server.call("GET", path)
        assert (answer.status, answer.body) == (200, earlier) if earlier else answer.status == 404


def test_a_missing_file_is_404(server: Server, path: str) -> None:
    """With the sentence that MLflow's client shows."""
    answer = server.call("GET", path)
    assert answer.status == 404
    assert "there is no file" in answer.body["message"]


@pytest.mark.parametrize("bad", ["a/../b", "a/%2e%2e/b", "a%5cb", "a/%252e%252e/b", "a/%00", "a//b", "a%3Fb", "/a"])
def test_paths_have_one_spelling(server: Server, bad: str) -> None:
    """A path that could mean another place is refused before the bucket is asked."""
    assert server.call("PUT", f"{FILES}/{bad}", b"x").status in (400, 404)
    assert server.call("GET", f"{FILES}/{bad}").status in (400, 404)


def test_uploads_are_written_by_their_own_route_alone(server: Server) -> None:
    """What ``POST /uploads`` verified cannot be overwritten through MLflow."""
    answer = server.call("PUT", f"{FILES}/uploads/1/MLmodel", b"x")
    assert answer.status == 400
    assert "/registry/v1/uploads" in answer.body["message"]


def test_listing_gives_names_and_sizes(server: Server, path: str) -> None:
    """MLflow's own listing reads the same bucket."""
    server.call("PUT", path, b"12345")
    folder = path.removeprefix(f"{FILES}/").rpartition("/")[0]
    answer = server.call("GET", f"{FILES}?path={folder}")
    assert answer.body == {"files": [{"path": "file.bin", "is_dir": False, "file_size": 5}]}


def digest(chunks: Iterator[bytes]) -> str:
    """Return the sha256 of all chunks."""
    total = hashlib.sha256()
    for chunk in chunks:
        total.update(chunk)
    return total.hexdigest()
