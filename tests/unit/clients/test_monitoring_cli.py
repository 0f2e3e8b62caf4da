"""Baselines, drift, quality and labels on the command line: tables, JSON, words, exit codes."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from headgate import Client, DriftReport, HeadgateError, Unavailable
from headgate.cli.app import app
from headgate.cli.drift import Watched, draw, watch_drift
from headgate.cli.session import Format
from rich.console import Console
from typer.testing import CliRunner, Result

from tests.support.fake_monitoring import DRIFT, QUALITY, feature, window
from tests.support.fake_platform import Failure, FakePlatform
from tests.support.terminal import on_terminal

Run = Callable[..., Result]


@pytest.fixture
def run(fake: FakePlatform, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command line against the fake platform, where version 1 of churn is stable."""
    monkeypatch.setenv("HEADGATE_REGISTRY_URL", fake.registry_url)
    monkeypatch.setenv("HEADGATE_SERVING_URL", fake.serving_url)
    fake.situation.add("churn", 2)
    with Client(fake.registry_url, fake.serving_url) as client:
        client.promote("churn", 1)
    return lambda *words, **more: CliRunner().invoke(app, list(words), **more)


@pytest.fixture
def table(tmp_path: Path) -> str:
    """Give a file of training data."""
    path = tmp_path / "train.csv"
    path.write_text("price,prediction\n45.5,1\n")
    return str(path)


def document(result: Result) -> Any:
    """Return what was printed as JSON, nothing else having been printed."""
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_baseline_is_set_and_shown(run: Run, table: str) -> None:
    """The summary is a table of features, or JSON; the version says that it has one."""
    done = run("baseline", "set", "churn", "1", table)
    assert done.exit_code == 0
    assert "4,000" in done.stdout and "card 60.0 %, transfer 35.0 %, cheque 5.0 %\n" in done.stdout
    assert "80 % from 25.6 to 64.3" in done.stdout
    assert "next: headgate drift churn 1" in done.stderr
    assert "ignored columns  customer\n" in done.stdout
    shown = run("baseline", "show", "churn").stdout
    assert shown.split() == done.stdout.replace("ignored columns  customer\n", "").split()
    assert document(run("baseline", "show", "churn", "1", "-o", "json"))["features"][0]["quantiles"]["p90"] == 64.3
    assert "4,000 rows, given" in run("versions", "show", "churn", "1").stdout


def test_a_missing_baseline_and_a_missing_file_are_told(run: Run) -> None:
    """Each is one line with what to do, and exit code 1."""
    shown = run("baseline", "show", "churn", "2")
    assert (shown.exit_code, "headgate baseline set churn 2 TABLE" in shown.stderr) == (1, True)
    set_ = run("baseline", "set", "churn", "2", "nowhere.parquet")
    assert (set_.exit_code, set_.stderr) == (1, "error: 'nowhere.parquet' cannot be read: No such file or directory\n")


def test_registering_with_a_baseline(run: Run, fake: FakePlatform, model_directory: Path, table: str) -> None:
    """The table goes once the version is ready, and is looked at before anything is uploaded."""
    words = ("register", str(model_directory), "--name", "fresh")
    done = run(*words, "--baseline", table, "--prediction", "prediction")
    assert done.exit_code == 0, done.stderr
    assert "4,000 rows, given" in done.stdout and "sending its baseline" in done.stderr
    assert fake.situation.tables[0][2] == {"prediction": "prediction"}
    fake.situation.requests.clear()
    assert run(*words, "--baseline", "nowhere.csv").exit_code == 1
    assert run(*words, "--baseline", table, "--no-wait").exit_code == 2
    assert run(*words, "--prediction", "p").exit_code == 2
    assert not fake.situation.requests


def test_a_refused_baseline_leaves_the_version(run: Run, fake: FakePlatform, model_directory: Path, table: str) -> None:
    """The version is there all the same, and how to mend its baseline is said."""
    fake.situation.misfit = "months"
    done = run("register", str(model_directory), "-n", "fresh", "--baseline", table)
    assert done.exit_code == 1
    assert (
        "fresh version 1 is ready, but has no baseline; `headgate baseline set fresh 1 TABLE` sets one" in done.stderr
    )
    assert done.stderr.endswith("error: the table has no column 'months'\n")


def test_drift_of_the_stable_version(run: Run, fake: FakePlatform) -> None:
    """The picture goes to stdout, what to do next to stderr; --fail is for scripts."""
    fake.situation.drifts = [DRIFT]
    done = run("drift", "churn")
    assert done.exit_code == 0
    assert "churn version 1  drift in 1 of 3 features: price" in done.stdout
    assert "window 13" in done.stdout and "next: headgate quality churn 1" in done.stderr
    assert "window 13" not in run("drift", "churn", "1", "--limit", "1").stdout
    assert document(run("drift", "churn", "-o", "json"))["windows"][0]["features"][0]["psi"] == 0.912
    assert run("drift", "churn", "--fail").exit_code == 1
    fake.situation.drifts = [{"windows": [window(1, "warn", feature("a", 0.2, "warn"))]}]
    warned = run("drift", "churn", "--fail")
    assert (warned.exit_code, "next: headgate baseline set churn 1 TABLE" in warned.stderr) == (0, True)
    assert run("drift", "churn", "--watch", "--fail").exit_code == 2


def test_all_features_are_asked_for(run: Run, fake: FakePlatform) -> None:
    """The registry tells a hundred unasked: ``--all`` asks for the others, and the headline counts those not told."""
    fake.situation.drifts = [{"windows": [window(1, "ok", *(feature(f"x{at}", 0.1) for at in range(150)))]}]
    few, every = run("drift", "churn").stdout, run("drift", "churn", "--all").stdout
    assert "no drift in 150 features" in few and "more that drifted less" in few and "x149" not in few
    assert "x149" in every and "more that drifted less" not in every


def test_insufficient_data_is_no_failure(run: Run, fake: FakePlatform) -> None:
    """Too few rows are said plainly, with exit code 0."""
    fake.situation.drifts = [{**DRIFT, "windows": []}]
    done = run("drift", "churn", "2", "--fail")
    assert (done.exit_code, "insufficient data: 340 of 1,000 rows" in done.stdout) == (0, True)


class Enough(Exception):
    """Somebody has seen enough."""


def watched(fake: FakePlatform, looks: int, output: Format) -> None:
    """Watch for a number of looks."""
    left = [looks]

    def nap(_: float) -> None:
        left[0] -= 1
        if not left[0]:
            raise Enough

    with Client(fake.registry_url, fake.serving_url) as client, pytest.raises(Enough):
        watch_drift(client, Watched("churn", "1", 5, nap=nap), output, every_feature=False)


def test_watching_tells_each_window_once(run: Run, fake: FakePlatform, capsys: pytest.CaptureFixture[str]) -> None:
    """Where there is no terminal, a window is a line when it is judged; an outage and waiting are said once."""
    nothing: dict[str, Any] = {**DRIFT, "windows": []}
    newest: dict[str, Any] = {**DRIFT, "windows": [window(15, "ok", feature("price", 0.01)), *DRIFT["windows"]]}
    fake.situation.drifts = [nothing, nothing, DRIFT, DRIFT, newest, newest]
    fake.situation.failures = [Failure("GET .*/drift", 503, "shutting_down", times=2)]
    watched(fake, 8, Format.TABLE)
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        "08:12:03  window 13, 1,020 rows: no drift in 3 features",
        "08:12:03  window 14, 1,020 rows: drift in 1 of 3 features: price",
        "08:12:03  window 15, 1,020 rows: no drift in 1 features",
    ]
    assert said.err.splitlines() == [
        "cannot look: arranged: shutting_down",
        "churn version 1: insufficient data: 340 of 1,000 rows",
    ]


def test_watching_as_json_is_a_line_a_window(run: Run, fake: FakePlatform, capsys: pytest.CaptureFixture[str]) -> None:
    """Programs get an object for each window, with the version that it is of."""
    fake.situation.drifts = [DRIFT]
    watched(fake, 3, Format.JSON)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["version"], line["number"], line["features"][0]["name"]) for line in lines] == [
        ("1", 13, "price"), ("1", 14, "price"),
    ]  # fmt: skip


def test_a_terminal_keeps_its_width(run: Run, fake: FakePlatform) -> None:
    """On a real terminal no line is wider than that, in the picture and in both tables."""
    fake.situation.drifts, fake.situation.quality = [DRIFT], QUALITY
    for words in (("drift", "churn"), ("quality", "churn")):
        code, shown = on_terminal(fake, *words, columns=60)
        assert code == 0
        lines = [line for line in shown.splitlines() if not line.startswith("next: ")]  # words are wrapped by nobody
        assert [line for line in lines if len(line) > 60] == []


def test_watching_on_a_terminal_draws_a_picture() -> None:
    """The picture stays while nobody can be asked, and why is said below it."""
    looks: list[DriftReport | HeadgateError] = [
        DriftReport.from_json({"model": "churn", "version": "1", **DRIFT}),
        Unavailable("nobody is there"),
    ]
    out = io.StringIO()
    draw(iter(looks), Console(file=out, force_terminal=True, width=80, height=40), every_feature=False)
    last = out.getvalue().rpartition("churn version 1")[2]
    assert "price" in last and "cannot look: nobody is there" in last


def test_quality_by_arm_beside_training(run: Run, fake: FakePlatform) -> None:
    """Metrics are lines, arms are columns, and training is the last."""
    fake.situation.quality = QUALITY
    done = run("quality", "churn")
    lines = [line.split() for line in done.stdout.splitlines() if line.strip()]
    assert ["STABLE", "CANARY", "TRAINING"] in lines
    assert ["accuracy", "0.7315", "-", "0.74"] in lines
    assert ["score", "-", "-", "0.9"] in lines
    assert "812 of 1,000 requests (81.2 %)" in done.stdout and "3.1 s, p90 2h 1m" in done.stdout
    assert ["rows", "2,040", "-", "-"] in lines
    assert ["2026-11-19", "stable", "640", "0.7315"] in lines
    assert "the mean over all classes, each alike" in done.stdout and "next" not in done.stderr
    assert document(run("quality", "churn", "1", "-o", "json"))["arms"][0]["labelled"] == 812


def test_quality_without_labels_says_how_they_come(run: Run) -> None:
    """Nothing yet is no failure."""
    done = run("quality", "churn", "2")
    assert (done.exit_code, "next: headgate feedback churn LABELS.jsonl" in done.stderr) == (0, True)


def test_labels_from_a_file_and_from_stdin(run: Run, fake: FakePlatform, tmp_path: Path) -> None:
    """JSON Lines and CSV say the same; what is in a pipe is seen by its first character."""
    lines = '{"request_id": "a", "label": 1}\n\n{"request_id": "b", "row": 2, "label": "left"}\n'
    cells = "request_id,row,label\na,,1\nb,2,left\n"
    for name, text in (("l.jsonl", lines), ("l.csv", cells), ("l.txt", cells)):
        (tmp_path / name).write_text(text)
        done = run("feedback", "churn", str(tmp_path / name))
        assert done.exit_code == 0, done.stderr
        assert "2 labels accepted, 0 refused\nnext: headgate quality churn" in done.stderr
    assert document(run("feedback", "churn", "-", "-o", "json", input=lines)) == {"accepted": 2, "refused": []}
    assert run("feedback", "churn", "-", "--format", "csv", input=cells).exit_code == 0
    said = [
        {"request_id": "a", "row": 0, "label": 1},
        {"request_id": "b", "row": 2, "label": "left"},
    ]
    assert fake.situation.labels == [said] * 5


def test_refused_labels_are_listed(run: Run) -> None:
    """Which and why, and exit code 1, though the others were taken."""
    lines = "".join(f'{{"request_id": "{name}", "label": 1}}\n' for name in ("a", "gone-1", "b"))
    done = run("feedback", "churn", "-", input=lines)
    assert (done.exit_code, "2 labels accepted, 1 refused" in done.stderr) == (1, True)
    assert ["2", "unknown_request", "nothing", "is", "known", "of", "'gone-1'"] in map(
        str.split, done.stdout.splitlines()
    )
    assert json.loads(run("feedback", "churn", "-", "-o", "json", input=lines).stdout)["refused"][0]["index"] == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"request_id": "a", "label": 1}\n{"request_id"\n', "line 2 is not JSON"),
        ('{"request_id": "a", "lable": 1}\n', "line 1: a label has no field 'lable'"),
        ("request_id,label\na,1\nb\n", "line 3 has not as many cells"),
        ("request_id,label\na,\n", "line 2 has no label"),
        ("id,label\na,1\n", "line 2: a label has no field 'id'"),
        ("request_id,label\n" + "a,1\n" * 10_000 + "b,\n", "the first 10,000 labels were sent"),
    ],
)
def test_a_line_that_is_no_label_is_named(run: Run, text: str, told: str) -> None:
    """One line on stderr, no traceback, exit code 1."""
    done = run("feedback", "churn", "-", input=text)
    assert (done.exit_code, told in done.stderr) == (1, True), done.stderr


def test_a_file_that_cannot_be_read_is_wrong_usage(run: Run) -> None:
    """A file that is not there is exit code 2."""
    assert run("feedback", "churn", "/nowhere.jsonl").exit_code == 2


def test_predict_tells_the_request_id(run: Run) -> None:
    """Whoever asks on the command line can send a label back."""
    assert "(stable), request id r-3" in run("predict", "churn", "--data", "[[1]]").stderr
