"""The process of a serving node: how it starts, what it refuses, what it imports, how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from registry.edge.server import reserve
from serving.grpc.messages import SERVICE, message

pytestmark = pytest.mark.integration
HEAVY = (
    "mlflow",
    "pandas",
    "sklearn",
    "pyarrow",
    "boto3",
    "botocore",
    "sqlalchemy",
    "onnxruntime",
    "grpc",
    "google.protobuf",
)
TRACES = ("opentelemetry.sdk", "opentelemetry.exporter")
"""Of OpenTelemetry, FastAPI imports the interface wherever it is installed."""


def environment(home: Path, port: int, **more: str) -> dict[str, str]:
    """Return an environment for a node whose registry is not there."""
    return {
        "PATH": os.environ["PATH"],
        "HEADGATE_HOME": str(home),
        "HEADGATE_SERVING_PORT": str(port),
        "HEADGATE_GRPC_PORT": "0",
        "HEADGATE_REGISTRY_URL": "http://127.0.0.1:9",
        **more,
    }


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def node(env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Run a node until it is alive; kill it afterwards, if it still runs."""
    with subprocess.Popen([sys.executable, "-m", "serving"], env=env, stderr=subprocess.PIPE, text=True) as process:
        try:
            deadline = time.monotonic() + 30
            while status(env, "/livez") != 200:
                assert process.poll() is None, "the node ended"
                assert time.monotonic() < deadline, "the node does not come up"
                time.sleep(0.02)
            yield process
        finally:
            process.kill()


def status(env: dict[str, str], path: str) -> int:
    """Return the status of a GET; 0 where nobody answers."""
    try:
        url = f"http://127.0.0.1:{env['HEADGATE_SERVING_PORT']}{path}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            answer.read()
            code: int = answer.status
            return code
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return 0


def lives_by_grpc(env: dict[str, str]) -> bool:
    """Ask by gRPC, as soon as it is there, whether the node is alive."""
    with grpc.insecure_channel(f"127.0.0.1:{env['HEADGATE_GRPC_PORT']}") as channel:
        call: Any = channel.unary_unary(f"/{SERVICE}/ServerLive")
        answer = call(b"", wait_for_ready=True, timeout=20)
        return bool(message("ServerLiveResponse").FromString(answer).live)


def refused(env: dict[str, str]) -> str:
    """Return the one line of a start that was refused with exit code 2."""
    done = subprocess.run([sys.executable, "-m", "serving"], env=env, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


def test_a_node_starts_without_a_registry_and_ends_cleanly(tmp_path: Path) -> None:
    """Alive by HTTP and gRPC, not ready, every log line is JSON, and SIGTERM ends it with 0."""
    env = environment(tmp_path, free_port(), HEADGATE_GRPC_PORT=str(free_port()))
    with node(env) as process:
        assert status(env, "/readyz") == 503
        assert lives_by_grpc(env)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert process.stderr is not None
        events = [json.loads(line)["event"] for line in process.stderr.read().splitlines()]
    assert events[0] == "node_started"
    assert "grpc_listening" in events
    assert events[-1] == "node_stopped"


def test_a_client_who_has_begun_to_speak_is_answered_by_a_node_that_ends(tmp_path: Path) -> None:
    """Half a head before SIGTERM and the rest after it: the answer comes, and says that it is the last."""
    env = environment(tmp_path, free_port())
    with node(env) as process:
        address = ("127.0.0.1", int(env["HEADGATE_SERVING_PORT"]))
        with socket.create_connection(address) as begun, socket.create_connection(address) as silent:
            begun.sendall(b"GET /livez HTTP/1.1\r\n")
            process.send_signal(signal.SIGTERM)
            silent.settimeout(10)
            assert silent.recv(1) == b""  # who says nothing is let go; the listener is closed by now
            begun.settimeout(10)
            begun.sendall(b"Host: 127.0.0.1\r\n\r\n")
            said = b"".join(iter(lambda: begun.recv(4096), b"")).lower()
        assert said.startswith(b"http/1.1 200")
        assert b"connection: close" in said
        assert process.wait(20) == 0


def test_a_second_node_on_the_same_home_or_port_is_refused(tmp_path: Path) -> None:
    """Both are one clear line and exit code 2."""
    env = environment(tmp_path / "one", free_port())
    with node(env):
        assert "another serving node runs on HEADGATE_HOME" in refused(environment(tmp_path / "one", free_port()))
        same_port = int(env["HEADGATE_SERVING_PORT"])
        assert f"port {same_port} on 127.0.0.1 is in use" in refused(environment(tmp_path / "two", same_port))


def test_a_port_for_grpc_in_use_is_refused(tmp_path: Path) -> None:
    """Also where it could be shared: two nodes would take one another's calls. The line names the setting."""
    with reserve("127.0.0.1", 0, "any") as taken:
        port = taken.getsockname()[1]
        said = refused(environment(tmp_path, free_port(), HEADGATE_GRPC_PORT=str(port)))
    assert f"port {port} on 127.0.0.1 is in use; stop what uses it, or set HEADGATE_GRPC_PORT" in said


def test_settings_that_cannot_be_are_refused(tmp_path: Path) -> None:
    """An unknown name, a bad value, an open address without consent, a home that is a file."""
    port = free_port()
    assert "HEADGATE_CACHE_BYTES" in refused(environment(tmp_path, port, HEADGATE_CACHE_BITES="1"))
    assert "HEADGATE_QUEUE_ROWS" in refused(environment(tmp_path, port, HEADGATE_QUEUE_ROWS="none"))
    assert "HEADGATE_AUTH=off" in refused(environment(tmp_path, port, HEADGATE_SERVING_HOST="0.0.0.0"))
    (tmp_path / "file").write_text("")
    assert "cannot write below HEADGATE_HOME" in refused(environment(tmp_path / "file", port))


def test_the_serving_process_imports_no_model_library() -> None:
    """Neither MLflow nor what models are made of, nor what only a cold load needs, is there at the start."""
    code = (
        "import sys; import serving.cli; from serving.bootstrap import build\n"
        "from serving.settings import load_settings\n"
        f"build(load_settings({{}})); print(*[m for m in {(*HEAVY, *TRACES)!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""


def test_help_lists_every_setting() -> None:
    """``--help`` is the reference at hand."""
    from serving.settings import ServingSettings

    done = subprocess.run([sys.executable, "-m", "serving", "--help"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0
    for name in ServingSettings.model_fields:
        assert f"HEADGATE_{name.upper()}" in done.stdout
