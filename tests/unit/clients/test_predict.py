"""Predicting over real HTTP: who answers, and in which kind."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from headgate import Client, InvalidRequest, NotFound

from tests.support.fake_platform import FakePlatform


@pytest.fixture(autouse=True)
def churn(fake: FakePlatform) -> None:
    """Have a model of three versions that answers its own input."""
    fake.situation.add("churn", 3)
    fake.situation.answer = lambda body: next(iter(body.values()))


def test_the_plan_chooses(client: Client) -> None:
    """Without a version the plan's choice answers, and its name comes along."""
    client.promote("churn", 2)
    answer = client.predict_response("churn", [[1.5]])
    assert (answer.data, answer.model, answer.version) == ([[1.5]], "churn", "2")
    assert (answer.arm, answer.revision, answer.request_id) == ("stable", "1", "r-3")


def test_a_version_or_an_alias_is_asked(client: Client) -> None:
    """A caller may name the version, or an alias of it."""
    client.set_alias("churn", "champion", 3)
    assert client.predict_response("churn", [1], version=1).version == "1"
    assert client.predict_response("churn", [1], alias="champion").version == "3"


def test_both_are_too_many(client: Client) -> None:
    """A version and an alias together are refused."""
    with pytest.raises(InvalidRequest, match="not both"):
        client.predict("churn", [1], version=1, alias="champion")


def test_without_a_plan_nobody_answers(client: Client) -> None:
    """Where there is no plan, the code says so."""
    with pytest.raises(NotFound) as caught:
        client.predict("churn", [1])
    assert caught.value.code == "no_plan"


def test_arrays_make_the_round_trip(client: Client) -> None:
    """An array goes over the wire and back bit for bit."""
    array = np.random.default_rng(0).normal(size=(50, 20)) * 1e-300
    assert client.predict("churn", array, version=1).tobytes() == array.tobytes()


def test_frames_are_sent_split_with_params(client: Client, fake: FakePlatform) -> None:
    """A DataFrame goes as dataframe_split, beside its params."""
    fake.situation.answer = lambda body: [0.5] * len(body["dataframe_split"]["data"])
    back = client.predict("churn", pd.DataFrame({"a": [1, 2]}), version=1, params={"t": 0.1})
    assert isinstance(back, np.ndarray)
    media_type, body = fake.situation.bodies[-1]
    assert media_type == "application/json"
    assert json.loads(body) == {"dataframe_split": {"columns": ["a"], "data": [[1], [2]]}, "params": {"t": 0.1}}


def test_a_body_goes_as_it_is(client: Client, fake: FakePlatform) -> None:
    """CSV and the like are passed on untouched."""
    fake.situation.answer = lambda body: [1]
    assert client.predict_body("churn", b"a\n1\n", "text/csv", version=1).data == [1]
    assert fake.situation.bodies[-1] == ("text/csv", b"a\n1\n")
