"""SDK and CLI against the real platform."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from headgate import (
    BadSettings,
    Client,
    Conflict,
    ConnectionFailed,
    InvalidRequest,
    NotFound,
    RevisionConflict,
    Unavailable,
)
from headgate.estimators import save
from sklearn.datasets import load_diabetes
from sklearn.ensemble import RandomForestRegressor
from sklearn.tree import DecisionTreeRegressor

from tests.support.platform import Platform

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore")]

X = load_diabetes(as_frame=True).data
Y = load_diabetes().target


@pytest.fixture
def client(platform: Platform) -> Iterator[Client]:
    """Give a client of the real platform."""
    with Client(platform.registry_url, platform.serving_url) as opened:
        yield opened


@pytest.fixture
def name() -> str:
    """Give a model name that nothing else uses."""
    return f"client-{uuid.uuid4().hex[:12]}"


def fitted() -> DecisionTreeRegressor:
    """Return a model that predicts the same wherever its rows lie in memory: a linear one differs in the last bit."""
    return DecisionTreeRegressor(max_depth=4, random_state=0).fit(X, Y)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a saved model directory."""
    return save(fitted(), tmp_path_factory.mktemp("saved") / "model", X)


@pytest.fixture
def loaded(client: Client) -> Callable[[str, str], None]:
    """Give a way to have a version loaded: until then it may answer ``loading``, which predict never retries."""

    def load(model: str, version: str) -> None:
        deadline = time.monotonic() + 90
        while True:
            try:
                client.predict(model, X.head(1), version=version)
                return
            except Unavailable as error:
                if error.code != "loading" or time.monotonic() > deadline:
                    raise
                time.sleep(error.retry_after or 1)

    return load


def test_an_estimator_becomes_a_version_that_answers_bit_for_bit(
    client: Client, name: str, loaded: Callable[[str, str], None]
) -> None:
    """What was fitted here answers there, for a DataFrame and an array of it, with the same bits."""
    forest = RandomForestRegressor(5, random_state=0).fit(X, Y)
    version = client.register(forest, name=name, example=X)
    assert version.state == "ready"
    assert version.run_id
    loaded(name, version.version)
    answered = client.predict(name, X, version=version.version)
    assert answered.tobytes() == forest.predict(X).tobytes()
    client.promote(name, version.version)
    assert client.predict_response(name, X.head()).arm == "stable"


def test_a_directory_is_uploaded_and_known_again(
    client: Client, name: str, saved: Path, loaded: Callable[[str, str], None]
) -> None:
    """A saved directory becomes a version once, however often it is registered."""
    first = client.register(saved, name=name, alias="challenger")
    assert client.register(saved, name=name).version == first.version
    loaded(name, first.version)
    # The same records as a frame: a linear model's last bit depends on how its input lies in memory.
    local = fitted().predict(pd.DataFrame(X.to_dict("records")))
    records = client.predict(name, X.to_dict("records"), version=first.version)
    assert [float(p) for p in records] == local.tolist()


def test_plans_aliases_and_conflicts(
    client: Client, name: str, saved: Path, loaded: Callable[[str, str], None]
) -> None:
    """Traffic moves against revisions, and aliases name versions."""
    number = client.register(saved, name=name).version
    revision = client.promote(name, number, note="first").revision
    with pytest.raises(RevisionConflict) as caught:
        client.promote(name, number, expect=revision + 5)
    assert caught.value.revision == revision
    client.set_alias(name, "champion", number)
    assert client.model(name).aliases == {"champion": number}
    loaded(name, number)
    assert client.predict_response(name, X.head(), alias="champion").version == number
    client.delete_alias(name, "champion")
    assert client.model(name).aliases == {}
    assert [t.revision for t in client.history(name)] == [revision]


def test_versions_end_and_traffic_goes(client: Client, name: str, saved: Path) -> None:
    """What has traffic cannot be retired; once it is taken away, nobody answers, and the version can go for good."""
    with pytest.raises(NotFound):
        client.rollback(name)
    number = client.register(saved, name=name).version
    with pytest.raises(NotFound, match="promote a version first"):
        client.rollback(name)
    assert client.admit(name, number).state == "ready"
    client.promote(name, number)
    with pytest.raises(Conflict) as caught:
        client.retire(name, number)
    assert caught.value.code == "in_use"
    assert client.clear_traffic(name).stable is None
    with pytest.raises(NotFound) as unplanned:
        client.predict(name, X.head(1))
    assert unplanned.value.code == "no_plan"
    assert client.retire(name, number).state == "retired"
    client.delete_version(name, number)


def test_swapped_urls_are_told(platform: Platform, name: str) -> None:
    """The real processes tell which they are, so that swapped URLs are told as that."""
    with Client(platform.serving_url, platform.registry_url) as client:
        with pytest.raises(BadSettings, match="is a serving node, not a registry: swap the URLs"):
            client.models()
        with pytest.raises(BadSettings, match="is a registry, not a serving node: swap the URLs"):
            client.predict(name, [[1]])
        assert client.status().serving.kind == "registry"
    plain = platform.registry_url.replace("http:", "https:")
    with Client(plain, platform.serving_url) as client, pytest.raises(ConnectionFailed, match="does not speak TLS"):
        client.models()


def test_mistakes_are_told(client: Client, name: str, saved: Path) -> None:
    """A wrong column and an unknown model raise what the caller can mend."""
    number = client.register(saved, name=name).version
    with pytest.raises(InvalidRequest) as caught:
        client.predict(name, pd.DataFrame({"nonsense": np.zeros(2)}), version=number)
    assert caught.value.code == "invalid_input"
    with pytest.raises(NotFound):
        client.predict("nobody-knows-this", [[1]])


def test_the_command_line_does_the_same(
    platform: Platform, name: str, saved: Path, tmp_path: Path, *, loaded: Callable[[str, str], None]
) -> None:
    """Register, promote, predict and doctor, as a user types them."""
    env = os.environ | {
        "HEADGATE_REGISTRY_URL": platform.registry_url,
        "HEADGATE_SERVING_URL": platform.serving_url,
        "XDG_CACHE_HOME": str(tmp_path),
    }

    def run(*words: str) -> Any:
        command = [sys.executable, "-m", "headgate.cli", *words, "--output", "json"]
        done = subprocess.run(command, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    version = run("register", str(saved), "--name", name)["version"]
    run("promote", name, version)
    loaded(name, version)
    X.head(2).to_csv(tmp_path / "x.csv", index=False)
    answer = run("predict", name, "--file", str(tmp_path / "x.csv"))
    assert answer["predictions"] == fitted().predict(X.head(2)).tolist()
    assert {f["check"] for f in run("doctor") if f["verdict"] == "failure"} == set()
    assert run("status")["serving"]["ready"]
