"""Baselines, drift, labels and quality of the real platform, through SDK and command line.

The shared platform judges a window as soon as it has 1,000 rows; nodes report every ten seconds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from headgate import Client, HeadgateError, InvalidRequest, Label, NotFound
from headgate.estimators import save
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge

from tests.support.platform import Platform, until

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore")]

X, Y = load_diabetes(as_frame=True, return_X_y=True)
MODEL = Ridge().fit(X, Y)
REPORTS_SECONDS = 60


@pytest.fixture(scope="module")
def client(platform: Platform) -> Iterator[Client]:
    """Give a client of the real platform."""
    with Client(platform.registry_url, platform.serving_url) as opened:
        yield opened


@pytest.fixture(scope="module")
def name(client: Client, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Give a model whose first version is stable, loaded, and has a baseline; its second has none."""
    model = f"monitored-{uuid.uuid4().hex[:12]}"
    saved = save(MODEL, tmp_path_factory.mktemp("saved") / "model", X)
    client.register(saved, model, X=X, y=MODEL.predict(X))
    other = save(Ridge(2.0).fit(X, Y), tmp_path_factory.mktemp("saved") / "model", X)
    client.register(other, model)
    client.promote(model, 1, warm=True)
    until(lambda: answers(client, model), 60, "the first answer")
    return model


def answers(client: Client, model: str) -> bool:
    """Tell whether a model answers."""
    try:
        client.predict(model, X.head(1))
    except HeadgateError:
        return False
    return True


def run(platform: Platform, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command line against the real platform."""
    env = os.environ | {"HEADGATE_REGISTRY_URL": platform.registry_url, "HEADGATE_SERVING_URL": platform.serving_url}
    command = [sys.executable, "-m", "headgate.cli", *words]
    return subprocess.run(command, env=env, capture_output=True, text=True, input=given)


def test_training_data_is_the_versions_baseline(client: Client, name: str) -> None:
    """What was registered with the version is what the platform says of it: each input, and the prediction."""
    found = client.baseline(name)
    assert (found.version, found.origin, found.rows) == ("1", "given", len(X))
    by_name = {feature.name: feature for feature in found.features}
    assert by_name.keys() == {*X.columns, "prediction"}
    assert by_name["bmi"].quantiles["p50"] == pytest.approx(X["bmi"].median(), abs=0.003)
    assert (by_name["bmi"].min, by_name["bmi"].max) == (X["bmi"].min(), X["bmi"].max())
    version = client.version(name, 1)
    assert version.baseline is not None and version.baseline.digest == found.digest
    with pytest.raises(NotFound, match=f"headgate baseline set {name} 2 TABLE"):
        client.baseline(name, 2)


@pytest.mark.parametrize("kind", ["parquet", "csv", "arrow", "array"])
def test_every_kind_of_table_says_the_same(client: Client, name: str, tmp_path: Path, kind: str) -> None:
    """A baseline does not depend on how its table was written down."""
    frame = X.assign(prediction=MODEL.predict(X))
    path = tmp_path / f"train.{kind}"
    if kind == "array":
        made = client.set_baseline(name, 2, X.to_numpy(), y=frame["prediction"])
    else:
        write = {"parquet": frame.to_parquet, "csv": lambda p: frame.to_csv(p, index=False), "arrow": frame.to_feather}
        write[kind](path)
        made = client.set_baseline(name, 2, path)
    again = client.set_baseline(name, 1, frame)
    assert replace(made, version="1", at=again.at) == again


def test_a_table_that_does_not_fit_is_refused_by_column(client: Client, name: str) -> None:
    """A column that the signature needs, and one that holds something else, are named."""
    with pytest.raises(InvalidRequest, match="bmi"):
        client.set_baseline(name, 1, X.drop(columns="bmi"))
    with pytest.raises(InvalidRequest, match="age"):
        client.set_baseline(name, 1, X.assign(age="old"))


def test_one_feature_drifts_and_labels_tell_what_it_does(
    client: Client, name: str, platform: Platform, tmp_path: Path
) -> None:
    """A shifted column is found, by name and alone; labels sent back make the quality of its arm."""
    client.set_baseline(name, 1, X, y=MODEL.predict(X))
    shifted = pd.concat([X, X, X], ignore_index=True).assign(sex=lambda frame: frame["sex"] + 0.1)
    truth = pd.concat([Y, Y, Y], ignore_index=True)
    labels = []
    for begin in range(0, len(shifted), 100):
        answer = client.predict_response(name, shifted.iloc[begin : begin + 100])
        assert answer.request_id is not None
        rows = truth.iloc[begin : begin + 100]
        labels += [Label(answer.request_id, float(value), row) for row, value in enumerate(rows)]
    half = len(labels) // 2
    assert client.feedback(name, labels[:half]).refused == ()
    path = tmp_path / "labels.jsonl"
    path.write_text("".join(json.dumps(label.to_json()) + "\n" for label in labels[half:]))
    sent = run(platform, "feedback", name, str(path))
    assert (sent.returncode, f"{len(labels) - half:,} labels accepted, 0 refused" in sent.stderr) == (0, True)

    until(lambda: bool(client.drift(name).windows), REPORTS_SECONDS, "a verdict")
    newest = client.drift(name).newest
    assert newest is not None and newest.rows >= 1000
    # What is predicted moves with what it is predicted from; no other input does.
    drifted = {feature.name for feature in newest.of("drift")} - {"prediction"}
    assert drifted == {"sex"}
    shown = run(platform, "drift", name, "--fail")
    assert (shown.returncode, "sex" in shown.stdout) == (1, True)

    until(lambda: client.quality(name).arms != (), REPORTS_SECONDS, "quality")
    report = client.quality(name)
    (arm,) = (one for one in report.arms if one.arm == "stable")
    assert (report.task, arm.labelled > 0) == ("regression", True)
    expected = (MODEL.predict(shifted) - truth).abs().mean()
    assert arm.metrics["mae"] == pytest.approx(expected, rel=0.2)
    assert "stable" in run(platform, "quality", name).stdout.lower()


def test_a_label_for_nothing_known_is_refused(client: Client, name: str, platform: Platform) -> None:
    """A request id that no answer had is told with its place, and exit code 1; the rest is taken."""
    answer = client.predict_response(name, X.head(1))
    result = client.feedback(name, [Label("nobody-asked-this", 1.0), Label(str(answer.request_id), 1.0)])
    assert (result.accepted, [(one.index, one.code) for one in result.refused]) == (1, [(0, "unknown_request")])
    refused = run(platform, "feedback", name, "-", given='{"request_id": "nobody", "label": 1.0}\n')
    assert (refused.returncode, "unknown_request" in refused.stdout) == (1, True)


def test_rows_of_a_version_without_a_baseline_are_counted(client: Client, name: str) -> None:
    """Nothing is judged before there is something to measure against, and that is no error."""
    found = client.drift(name, 2)
    assert (found.verdict, found.windows) == ("insufficient data", ())
