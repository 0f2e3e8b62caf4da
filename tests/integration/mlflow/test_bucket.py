"""How MLflow's half talks to S3: with the registry's own settings."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from registry.adapters.s3.client import s3_client

pytestmark = pytest.mark.integration


class Listener(BaseHTTPRequestHandler):
    """Takes every PUT and remembers its headers."""

    heard: list[dict[str, str]]

    def do_PUT(self) -> None:
        """Take it."""
        self.rfile.read(int(self.headers["content-length"]))
        self.heard.append({name.lower(): value for name, value in self.headers.items()})
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def listener() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """An address, and what came to it."""
    heard: list[dict[str, str]] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Heard", (Listener,), {"heard": heard}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", heard
    server.shutdown()
    thread.join()
    server.server_close()


def test_files_go_to_the_region_that_was_set(
    listener: tuple[str, list[dict[str, str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests are signed for the registry's region, and bear no trailer that other servers refuse but an MD5."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    endpoint, heard = listener
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's import warns of what it uses of other libraries
        from registry.adapters.mlflow_app.bucket import BucketRepository

    client = s3_client(endpoint, "eu-west-3")
    upload = BucketRepository(client, "bucket", "mlflow").upload("1/model.bin")
    upload.write(b"x")
    upload.finish()
    client.close()

    assert "/eu-west-3/s3/aws4_request" in heard[0]["authorization"]
    assert heard[0]["content-md5"]
    assert not [name for name in heard[0] if name.startswith(("x-amz-trailer", "x-amz-checksum"))]
