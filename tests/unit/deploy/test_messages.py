"""What `make up` says."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from deploy.local import messages
from deploy.local.settings import LocalSettings

HOME = Path("/somewhere/var")


def test_the_ready_block_names_every_url_and_where_state_lives() -> None:
    """One look tells where to go, what to try and where things are kept."""
    text = messages.ready_text(LocalSettings.load({"HEADGATE_REGISTRY_PORT": "5001"}), HOME, 6.21)
    for expected in (
        "ready (6.2 s)",
        "http://127.0.0.1:5001/docs",
        "Serving       http://127.0.0.1:8080",
        "gRPC          127.0.0.1:8081",
        "/somewhere/var (SQLite, SeaweedFS)",
        "MLFLOW_TRACKING_URI=http://127.0.0.1:5001 .venv/bin/python docs/examples/train.py",
        "curl http://127.0.0.1:8080/models",
    ):
        assert expected in text


def test_the_ready_block_leaves_out_what_is_off() -> None:
    """Without a port for gRPC there is no line about it."""
    assert "gRPC" not in messages.ready_text(LocalSettings.load({"HEADGATE_GRPC_PORT": "0"}), HOME, 1.0)


def test_the_ready_block_says_where_the_client_must_look() -> None:
    """With other ports than usual there is a line to paste; with the usual ones the command alone will do."""
    usual = messages.ready_text(LocalSettings.load({}), HOME, 1.0)
    assert "export" not in usual and ".venv/bin/headgate status" in usual
    moved = messages.ready_text(LocalSettings.load({"HEADGATE_SERVING_PORT": "8090"}), HOME, 1.0)
    assert "  export HEADGATE_REGISTRY_URL=http://127.0.0.1:5000 HEADGATE_SERVING_URL=http://127.0.0.1:8090" in moved


def test_the_ready_block_never_shows_the_databases_password() -> None:
    """Only the kind of the database is told."""
    environ = {"HEADGATE_DATABASE_URL": "postgresql://u:hunter2@db/x", "HEADGATE_S3_ENDPOINT": "https://s3.example.org"}
    text = messages.ready_text(LocalSettings.load(environ), HOME, 1.0)
    assert "hunter2" not in text
    assert "(PostgreSQL, an S3 of yours, bucket headgate)" in text


def test_a_death_is_told_with_its_reason() -> None:
    """Exit code, signal, or that it never started."""
    log = Path("/l")
    assert messages.died_text("x", 3, 0.5, log) == "x ended with exit code 3; starting it again in 0.5 s (log: /l)"
    assert messages.died_text("x", -9, 30.0, log).startswith("x was killed by SIGKILL; starting it again in 30 s")
    assert messages.died_text("x", -250, 1.0, log).startswith("x was killed by signal 250;")
    assert messages.died_text("x", None, 1.0, log).startswith("x could not be started;")


@given(st.lists(st.text(), max_size=40))
def test_log_lines_cannot_steer_the_terminal(lines: list[str]) -> None:
    """No control character of a log reaches the terminal, and not more than a dozen lines do."""
    shown = messages.quoted(lines).split("\n")
    assert len(shown) <= messages.TAIL_LINES
    assert all(line.isprintable() for line in shown)
