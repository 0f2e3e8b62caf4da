"""Baselines, drift, quality and labels through the SDK, over real HTTP."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from headgate import AsyncClient, Client, InvalidRequest, Label, NotFound, Prediction, Refused, ServerFault, Version

from tests.support.fake_monitoring import DRIFT, GIVEN, QUALITY
from tests.support.fake_platform import Failure, FakePlatform

FEEDBACK = "POST /models/churn/feedback"


@pytest.fixture
def churn(fake: FakePlatform) -> FakePlatform:
    """Give a platform with two versions of churn."""
    fake.situation.add("churn", 2)
    return fake


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Give a CSV file of training data."""
    path = tmp_path / "train.csv"
    path.write_text("price,prediction\n" + "45.5,1\n" * 100_000)
    return path


def test_a_file_is_sent_as_it_is(client: Client, churn: FakePlatform, table: Path) -> None:
    """Every byte arrives with its content type; the answer is the baseline, and the version has it."""
    found = client.set_baseline("churn", 2, table, prediction="prediction")
    assert churn.situation.tables == [("text/csv", table.read_bytes(), {"prediction": "prediction"})]
    assert (found.origin, found.rows, [one.name for one in found.features]) == ("given", 4000, ["price", "payment"])
    assert (found.features[0].quantiles["p50"], found.features[1].bins[0].label) == (45.2, "card")
    assert found.quality == {"accuracy": 0.74}
    version = client.version("churn", 2)
    assert version.baseline is not None
    assert (version.baseline.rows, version.baseline.provisional) == (4000, False)
    assert found.ignored == ("customer",)
    assert client.baseline("churn", 2) == replace(found, ignored=())


def test_a_column_that_does_not_fit_is_named(client: Client, churn: FakePlatform, table: Path) -> None:
    """What the registry finds wrong with a table is the caller's to mend."""
    churn.situation.misfit = "months"
    with pytest.raises(InvalidRequest, match="no column 'months'") as caught:
        client.set_baseline("churn", 1, table)
    assert caught.value.details["column"] == "months"


def test_a_version_without_a_baseline_says_how_to_get_one(client: Client, churn: FakePlatform) -> None:
    """The error of a missing baseline names the command that sets one."""
    with pytest.raises(NotFound, match="headgate baseline set churn 1 TABLE"):
        client.baseline("churn", 1)


def test_a_table_may_take_longer_than_other_answers(churn: FakePlatform, table: Path) -> None:
    """The platform reads a table whole before it answers, so the usual timeout does not hold for it."""
    churn.situation.failures = [Failure("PUT .*/baseline", 0)]
    with (
        Client(churn.registry_url, churn.serving_url, timeout=0.05) as client,
        pytest.raises(Exception, match="within 0.3 s"),
    ):
        client.set_baseline("churn", 1, table, timeout=0.3)


def test_drift_is_read(client: Client, churn: FakePlatform) -> None:
    """Windows come newest first with their features ranked; the newest one's verdict is the report's."""
    churn.situation.drifts = [DRIFT]
    found = client.drift("churn", 1)
    assert (found.verdict, [window.number for window in found.windows]) == ("drift", [14, 13])
    assert found.newest is not None
    (price,) = found.newest.of("drift")
    assert (price.name, price.ratio, price.moved[0].window_ratio) == ("price", 0.912 / 0.298, 0.368)
    payment = found.newest.features[2]
    assert (payment.ks, payment.wasserstein, payment.new_ratio) == (None, None, 0.0)
    assert found.open is not None and (found.open.rows, found.open.needed_rows) == (340, 1000)
    assert found.baseline is not None and found.baseline.digest == GIVEN["digest"]
    assert len(client.drift("churn", 1, limit=1).windows) == 1


def test_without_a_version_the_stable_one_is_meant(client: Client, churn: FakePlatform) -> None:
    """Drift, quality and the baseline of a model are those of its stable version; without one, that is said."""
    with pytest.raises(NotFound, match="no stable version, so name one"):
        client.drift("churn")
    client.promote("churn", 2)
    assert client.drift("churn").version == client.quality("churn").version == "2"
    with pytest.raises(NotFound, match="churn version 2 has no baseline"):
        client.baseline("churn")


def test_nothing_yet_is_no_error(client: Client, churn: FakePlatform) -> None:
    """A version that nobody asked yet has insufficient data, no baseline and no labels."""
    found = client.drift("churn", 1)
    assert (found.verdict, found.newest, found.baseline, found.open) == ("insufficient data", None, None, None)
    assert client.quality("churn", 1).arms == ()


def test_quality_is_read(client: Client, churn: FakePlatform) -> None:
    """Each arm has what its labels tell; what cannot be said is left out."""
    churn.situation.quality = QUALITY
    found = client.quality("churn", 1)
    stable, canary = found.arms
    assert (found.task, found.training["accuracy"], stable.metrics["accuracy"]) == ("classification", 0.74, 0.7315)
    assert "log_loss" not in stable.metrics
    assert (stable.labelled, stable.coverage_ratio, stable.delay_seconds["p90"]) == (812, 0.812, 7265.0)
    assert (canary.labelled, canary.metrics) == (0, {})
    (day,) = found.windows
    assert (day.since, day.arm, day.rows, day.average) == ("2026-11-19", "stable", 640, "macro")


def test_labels_go_in_chunks_as_they_come(client: Client, churn: FakePlatform) -> None:
    """At most 10,000 labels go in one request; the next are only taken when those are sent; indices count all."""
    seen: list[int] = []

    def labels() -> Iterator[Label]:
        for number in range(20_050):
            seen.append(len(churn.situation.labels))
            yield Label("gone" if number == 20_007 else f"r-{number}", number % 2)

    found = client.feedback("churn", labels())
    assert [len(items) for items in churn.situation.labels] == [10_000, 10_000, 50]
    assert (seen[0], seen[10_000], seen[20_000]) == (0, 1, 2)
    assert (found.accepted, [(one.index, one.code) for one in found.refused]) == (20_049, [(20_007, "unknown_request")])


def test_one_label_of_a_prediction(client: Client, churn: FakePlatform) -> None:
    """The id that an answer has is what a label is sent back with; the answer itself will do."""
    answer = client.predict_response("churn", [[1.0]], version=1)
    assert answer.request_id == "r-3"
    at = dt.datetime(2026, 11, 20, 8, 0, tzinfo=dt.UTC)
    assert client.feedback("churn", "r-3", 1).accepted == 1
    client.feedback("churn", answer, np.float64(0.5), 7, observed_at=at)
    first, second = (items[0] for items in churn.situation.labels)
    assert first == {"request_id": "r-3", "row": 0, "label": 1}
    assert second == {"request_id": "r-3", "row": 7, "label": 0.5, "observed_at": "2026-11-20T08:00:00+00:00"}


def test_labels_may_be_dicts(client: Client, churn: FakePlatform) -> None:
    """What comes out of a JSON file goes in."""
    client.feedback("churn", [{"request_id": "a", "label": True, "row": "2"}, {"request_id": "b", "label": "left"}])
    assert churn.situation.labels == [
        [{"request_id": "a", "row": 2, "label": True}, {"request_id": "b", "row": 0, "label": "left"}]
    ]


def test_labels_may_be_a_frame(client: Client, churn: FakePlatform) -> None:
    """What a query of a warehouse answers goes in, its columns being a label's fields."""
    client.feedback("churn", pd.DataFrame({"request_id": ["a", "b"], "row": [0, 3], "label": [1.5, 2.5]}))
    assert churn.situation.labels == [
        [{"request_id": "a", "row": 0, "label": 1.5}, {"request_id": "b", "row": 3, "label": 2.5}]
    ]


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ([{"request_id": "a", "lable": 1}], "no field 'lable'"),
        ([{"label": 1}], "needs the request_id"),
        ([{"request_id": "a"}], "the label of the request 'a' is missing"),
        ([{"request_id": "a", "label": float("nan")}], "a label is NaN"),
        ([{"request_id": "a", "label": [1]}], "a label is a list"),
        ([{"request_id": "a", "label": 1, "row": "first"}], "'first' is no row"),
        ([Label("a", 1, observed_at=dt.datetime(2026, 1, 1))], "no time zone"),
        ([7], "an int is no label"),
        (7, "an int holds no labels"),
        ("r-3", "give the label too"),
        (Prediction([1], "churn", "1", "stable", None), "no request id"),
    ],
)
def test_what_is_no_label_is_told_before_anything_is_sent(
    client: Client, churn: FakePlatform, labels: Any, told: str
) -> None:
    """A mistake in a label gets its sentence without a round trip."""
    with pytest.raises(InvalidRequest, match=told):
        client.feedback("churn", labels)
    assert not churn.situation.labels


def test_a_label_beside_many_is_refused(client: Client, churn: FakePlatform) -> None:
    """Labels in a list have their own label each."""
    with pytest.raises(InvalidRequest, match="a label beside a list of them"):
        client.feedback("churn", [Label("a", 1)], 1)


def test_a_short_outage_loses_no_label(client: Client, churn: FakePlatform) -> None:
    """Labels that were not taken for a moment are sent again, since sending twice does no harm."""
    churn.situation.failures = [Failure(FEEDBACK, 429, "overloaded", times=2, headers={"Retry-After": "0"})]
    assert client.feedback("churn", "r-1", 1).accepted == 1


def test_a_long_outage_says_how_far_it_came(client: Client, churn: FakePlatform) -> None:
    """Whoever sends a million labels learns where to go on from."""

    def labels() -> Iterator[Label]:
        for number in range(10_001):
            if number == 10_000:
                churn.situation.failures = [Failure(FEEDBACK, 429, times=9, headers={"Retry-After": "0"})]
            yield Label(f"r-{number}", 1)

    with pytest.raises(Refused, match="the first 10,000 labels were sent, and may be sent again") as caught:
        client.feedback("churn", labels())
    assert caught.value.details["sent"] == 10_000


def test_another_platforms_words_are_no_traceback(client: Client, churn: FakePlatform) -> None:
    """An answer of an unknown shape is a fault of the platform, not a KeyError."""
    churn.situation.drifts = [{"windows": [{"number": 1}]}]
    with pytest.raises(ServerFault, match="unknown shape"):
        client.drift("churn", 1)


def test_the_client_for_event_loops_does_the_same(churn: FakePlatform, table: Path) -> None:
    """Baseline, drift, quality and labels, awaited."""
    churn.situation.drifts, churn.situation.quality = [DRIFT], QUALITY

    async def all_of_it() -> tuple[Any, ...]:
        async with AsyncClient(churn.registry_url, churn.serving_url) as client:
            made = await client.set_baseline("churn", 1, table)
            shown = await client.baseline("churn", 1)
            drift, quality = await asyncio.gather(client.drift("churn", 1), client.quality("churn", 1))
            sent = await client.feedback("churn", [Label(f"r-{n}", n) for n in range(10_001)])
            one = await client.feedback("churn", "r-1", 1)
            return made, shown, drift, quality, sent, one

    made, shown, drift, quality, sent, one = asyncio.run(all_of_it())
    assert replace(made, ignored=()) == shown
    assert (drift.verdict, quality.task, sent.accepted, one.accepted) == ("drift", "classification", 10_001, 1)


def test_an_older_platform_knows_of_no_baselines() -> None:
    """A version of a platform that does not say has none."""
    assert Version.from_json({"model": "churn", "version": "1", "state": "ready"}).baseline is None
