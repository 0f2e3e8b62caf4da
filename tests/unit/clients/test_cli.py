"""The command line: data on stdout, words on stderr, exit codes 0, 1 and 2."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from headgate.cli.app import app
from typer.testing import CliRunner, Result

from tests.support.fake_platform import Failure, FakePlatform, free_port

Run = Callable[..., Result]
COMMANDS = [
    ("models",), ("models", "list"), ("models", "show"), ("versions", "list"), ("versions", "show"),
    ("versions", "admit"), ("versions", "retire"), ("versions", "delete"), ("register",), ("traffic", "clear"),
    ("predict",), ("promote",), ("rollback",), ("traffic", "show"), ("traffic", "history"), ("alias", "list"),
    ("alias", "set"), ("alias", "delete"), ("status",), ("doctor",), ("traffic", "set"), ("traffic", "rollback"),
    ("traffic", "status"), ("traffic", "shadow"), ("rollout", "start"), ("rollout", "status"), ("rollout", "watch"),
    ("rollout", "list"), ("rollout", "pause"), ("rollout", "resume"), ("rollout", "promote"), ("rollout", "abort"),
    ("nodes", "list"), ("baseline", "set"), ("baseline", "show"), ("drift",), ("quality",), ("feedback",),
]  # fmt: skip


@pytest.fixture
def run(fake: FakePlatform, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command line against the fake platform."""
    monkeypatch.setenv("HEADGATE_REGISTRY_URL", fake.registry_url)
    monkeypatch.setenv("HEADGATE_SERVING_URL", fake.serving_url)
    return lambda *words, **more: CliRunner().invoke(app, list(words), **more)


def document(result: Result) -> Any:
    """Return what was printed as JSON, nothing else having been printed."""
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example(run: Run, command: tuple[str, ...]) -> None:
    """``--help`` of every command shows how it is called, and knows --output."""
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert f"Example: headgate {command[0]}" in result.stdout
    assert "--output" in result.stdout


def test_version(run: Run) -> None:
    """``--version`` prints one line."""
    assert run("--version").stdout.startswith("headgate 0.")


def test_models_as_table_and_json(run: Run, fake: FakePlatform) -> None:
    """Models are listed with and without the verb, as a table or as JSON."""
    fake.situation.add("churn", 3)
    fake.situation.add("price")
    for words in (("models",), ("models", "list")):
        result = run(*words)
        assert result.exit_code == 0
        assert "churn" in result.stdout and "3 ready" in result.stdout
        listed = document(run(*words, "--output", "json"))
        assert isinstance(listed, list)
        assert [m["name"] for m in listed] == ["churn", "price"]
    assert "price" not in run("models", "list", "--query", "chu").stdout


def test_an_empty_list_leaves_stdout_empty(run: Run) -> None:
    """Where nothing is there, that is said on stderr."""
    result = run("models")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no models yet" in result.stderr


def test_versions_with_and_without_the_verb(run: Run, fake: FakePlatform) -> None:
    """``versions NAME`` means ``versions list NAME``; one version shows its checks."""
    fake.situation.add("churn", state="pending")
    fake.situation.rejections = ["it needs a GPU"]
    assert run("versions", "churn").stdout == run("versions", "list", "churn").stdout
    result = run("versions", "show", "churn", "1")
    assert "rejected" in result.stdout and "it needs a GPU" in result.stdout
    shown = document(run("versions", "show", "churn", "1", "-o", "json"))
    assert isinstance(shown, dict)
    assert shown["checks"] == [{"name": "probe", "verdict": "failed", "reason": "it needs a GPU"}]


def test_register_waits_and_says_what_is_next(run: Run, model_directory: Path) -> None:
    """Registering prints the version on stdout, and the next step on stderr."""
    result = run("register", str(model_directory), "--name", "churn", "--alias", "challenger")
    assert result.exit_code == 0
    assert "ready" in result.stdout
    assert "next: headgate promote churn 1" in result.stderr
    again = document(run("register", str(model_directory), "-n", "churn", "--output", "json"))
    assert isinstance(again, dict)
    assert (again["version"], again["aliases"]) == ("1", ["challenger"])


def test_register_without_waiting(run: Run, model_directory: Path) -> None:
    """``--no-wait`` ends with the number."""
    assert "pending" in run("register", str(model_directory), "--name", "churn", "--no-wait").stdout


def test_a_rejection_lists_its_reasons(run: Run, fake: FakePlatform, model_directory: Path) -> None:
    """A version that is not fit is exit code 1, and each reason has its line."""
    fake.situation.rejections = ["it needs a GPU", "no \x1b[31mcolour\nhere"]
    result = run("register", str(model_directory), "--name", "churn")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-3:] == [
        "error: churn version 1 is rejected:",
        "  - it needs a GPU",
        "  - no �[31mcolour�here",
    ]


def test_promote_rollback_and_history(run: Run, fake: FakePlatform) -> None:
    """Traffic moves there and back, and the journal tells."""
    fake.situation.add("churn", 2)
    assert "nobody" in run("traffic", "show", "churn").stdout
    assert run("promote", "churn", "1").exit_code == 0
    revision = document(run("promote", "churn", "2", "--note", "better", "-o", "json"))
    assert isinstance(revision, dict)
    assert (revision["plan"]["stable"], revision["revision"], revision["plan"]["note"]) == ("2", 2, "better")
    assert run("rollback", "churn").stdout.splitlines()[0] == "churn: revision 2 → 3: the plan of revision 1"
    assert "rolled back to revision 1" in run("traffic", "history", "churn").stdout
    newest = run("traffic", "history", "churn", "--limit", "1", "-o", "json")
    assert [line["revision"] for line in json.loads(newest.stdout)] == [3]
    assert "older ones: headgate traffic history churn --limit 3" in newest.stderr


def test_a_conflict_is_one_line(run: Run, fake: FakePlatform) -> None:
    """A plan that somebody else changed is exit code 1 and one clear line: who, when, why, and what to do."""
    fake.situation.add("churn")
    run("promote", "churn", "1")
    result = run("promote", "churn", "1", "--expect", "0")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "error: the plan of churn is at revision 1 now, made by api at 2026-11-20T08:00:00.000Z ('plan replaced'); "
        "nothing of yours was changed: look at `headgate traffic show churn`, then decide again\n"
    )


def test_aliases(run: Run, fake: FakePlatform) -> None:
    """Aliases are set, listed and deleted."""
    fake.situation.add("churn", 2)
    assert run("alias", "set", "churn", "champion", "2").exit_code == 0
    assert document(run("alias", "list", "churn", "-o", "json")) == {"champion": "2"}
    assert run("alias", "delete", "churn", "champion").exit_code == 0
    assert document(run("alias", "churn", "-o", "json")) == {}


def test_predict_from_the_command_line(run: Run, fake: FakePlatform) -> None:
    """Records, lists and whole bodies are taken from --data."""
    fake.situation.add("churn")
    fake.situation.answer = lambda body: next(iter(body.values()))
    answer = document(run("predict", "churn", "--version", "1", "--data", '[{"a": 1.5}]', "-o", "json"))
    assert isinstance(answer, dict)
    assert (answer["predictions"], answer["model_version"], answer["arm"]) == ([{"a": 1.5}], "1", "pinned")
    body = '{"inputs": [[1, 2]], "params": {"k": 1}}'
    result = run("predict", "churn", "-v", "1", "-d", body)
    assert result.stdout.splitlines()[-1].split() == ["0", "1", "2"]
    assert fake.situation.bodies[-1] == ("application/json", body.encode())
    assert "version 1 (pinned)" in result.stderr


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("x.csv", "text/csv"),
        ("x.parquet", "application/vnd.apache.parquet"),
        ("x.arrow", "application/vnd.apache.arrow.stream"),
    ],
)
def test_predict_from_a_file(run: Run, fake: FakePlatform, tmp_path: Path, *, name: str, media_type: str) -> None:
    """A table goes as it is, with its media type; ``-`` is stdin."""
    fake.situation.add("churn")
    fake.situation.answer = lambda body: [1]
    (tmp_path / name).write_bytes(b"a\n1\n")
    assert run("predict", "churn", "-v", "1", "--file", str(tmp_path / name)).exit_code == 0
    assert fake.situation.bodies[-1] == (media_type, b"a\n1\n")
    form = name.partition(".")[2]
    assert run("predict", "churn", "-v", "1", "--file", "-", "--format", form, input=b"a\n2\n").exit_code == 0
    assert fake.situation.bodies[-1] == (media_type, b"a\n2\n")


def test_data_as_curl_names_a_file(run: Run) -> None:
    """Who writes @rows.json is told of --file, not that it is no JSON."""
    result = run("predict", "churn", "--data", "@rows.json")
    assert result.exit_code == 2 and "--file" in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("predict", "churn"),
        ("predict", "churn", "--data", "{"),
        ("predict", "churn", "--data", "1", "--file", "x.csv"),
        ("predict", "churn", "--file", "x.txt"),
        ("predict", "churn", "--file", "missing.csv"),
        ("promote", "churn"),
        ("models", "--output", "xml"),
        ("nonsense",),
        ("register", "x"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_code_2(run: Run, fake: FakePlatform, words: tuple[str, ...]) -> None:
    """A command line that cannot be meant ends with 2, with words on stderr, and asks nobody."""
    result = run(*words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Traceback" not in result.stderr
    assert not fake.situation.requests


def test_bad_settings_are_exit_code_2(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting that cannot be used ends with 2 and names its variable."""
    monkeypatch.setenv("HEADGATE_TIMEOUT_SECONDS", "soon")
    result = run("models")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: HEADGATE_TIMEOUT_SECONDS must be")


def test_a_fault_tells_its_request_id(run: Run, fake: FakePlatform) -> None:
    """What is the platform's fault can be found in its log."""
    fake.situation.failures.append(Failure("GET .*/models", 500, "internal"))
    assert run("models").stderr == "error: arranged: internal (request id r-1)\n"


def test_status_of_both(run: Run, fake: FakePlatform) -> None:
    """Status shows processes, models and whether serving is in step."""
    fake.situation.add("churn")
    run("promote", "churn", "1")
    result = run("status")
    assert result.exit_code == 0
    assert "in step" in result.stdout
    fake.situation.behind = True
    assert "at revision 0" in run("status").stdout


def test_status_of_a_platform_that_is_down(run: Run) -> None:
    """A process that is down is exit code 1, with the URL and what to do."""
    url = f"http://127.0.0.1:{free_port()}"
    result = run("--registry-url", url, "status")
    assert result.exit_code == 1
    assert url in result.stdout and "make up" in result.stdout


def test_doctor_finds_nothing_wrong(run: Run) -> None:
    """With everything in order doctor ends with 0."""
    findings = document(run("doctor", "-o", "json"))
    assert isinstance(findings, list)
    assert {f["check"]: f["verdict"] for f in findings if f["check"] != "mlflow"} == dict.fromkeys(
        ("variables", "settings", "proxies", "registry", "serving", "clock", "plans"), "ok"
    )


def test_doctor_names_what_is_wrong(run: Run, fake: FakePlatform, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is down fails; a misspelt variable and a lagging node are warnings, each with advice."""
    fake.situation.add("churn")
    run("promote", "churn", "1")
    fake.situation.behind = True
    monkeypatch.setenv("HEADGATE_SERVIN_URL", "x")
    result = run("doctor")
    assert result.exit_code == 0
    assert "HEADGATE_SERVING_URL?" in result.stdout
    found = {f["check"]: f["found"] for f in document(run("doctor", "-o", "json"))}
    assert "churn (serving 0, registry 1)" in found["plans"]
    assert "did you mean HEADGATE_SERVING_URL?" in found["variables"]
    monkeypatch.setenv("HEADGATE_SERVING_URL", f"http://127.0.0.1:{free_port()}")
    assert run("doctor").exit_code == 1
    monkeypatch.setenv("HEADGATE_SERVING_URL", "nowhere")
    assert run("doctor").exit_code == 2


def test_a_pipe_gets_whole_lines_and_no_colour(fake: FakePlatform) -> None:
    """Without a terminal no word is cut, nothing is coloured, and no progress is drawn."""
    long = "n" + "x" * 120
    fake.situation.add(long)
    env = os.environ | {"HEADGATE_REGISTRY_URL": fake.registry_url}
    done = subprocess.run([sys.executable, "-m", "headgate.cli", "models"], env=env, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert long in done.stdout and "\x1b" not in done.stdout


def test_no_traceback_ever(fake: FakePlatform) -> None:
    """As a real process, a failure is one line and exit code 1."""
    env = os.environ | {"HEADGATE_REGISTRY_URL": f"http://127.0.0.1:{free_port()}"}
    done = subprocess.run([sys.executable, "-m", "headgate.cli", "models"], env=env, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1


def test_versions_show_tells_of_a_missing_signature(run: Run, fake: FakePlatform) -> None:
    """A sealed version without a signature says so; spelling and digest are for people."""
    flavours = {"flavors": ["python_function", "sklearn"], "digest": "sha256:" + "ab" * 32}
    fake.situation.new_version("churn", "ready", **flavours)
    lines = dict(line.split(maxsplit=1) for line in run("versions", "show", "churn", "1").stdout.splitlines())
    assert (lines["inputs"], lines["flavours"]) == ("none (no signature)", "sklearn")
    assert (lines["digest"], lines["created"]) == ("sha256:abababababab…", "2026-11-20 08:00 UTC")
    shown = document(run("versions", "show", "churn", "1", "-o", "json"))
    assert {name: shown[name] for name in flavours} == flavours
