"""Registering with training data: it becomes the version's baseline once the version is ready."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from headgate import AsyncClient, Client, InvalidRequest, VersionRejected

from tests.support.fake_platform import FakePlatform

X = pd.DataFrame({"price": [1.0, 2.0], "months": [3.0, 4.0]})


def test_inputs_and_predictions_are_sent_together(client: Client, fake: FakePlatform, model_directory: Path) -> None:
    """X and y become one table, and the version that comes back says so."""
    fake.situation.checks_left = 2
    version = client.register(model_directory, "churn", X=X, y=[0, 1])
    assert (version.state, version.baseline is not None) == ("ready", True)
    ((_, body, _),) = fake.situation.tables
    assert pa.ipc.open_stream(body).read_all().to_pydict() == {**X.to_dict("list"), "prediction": [0, 1]}


def test_a_file_is_a_baseline_too(client: Client, fake: FakePlatform, model_directory: Path, tmp_path: Path) -> None:
    """A path goes as it is."""
    table = tmp_path / "train.csv"
    table.write_text("price\n1\n")
    client.register(model_directory, "churn", baseline=table)
    assert fake.situation.tables == [("text/csv", b"price\n1\n", {})]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"y": [0, 1]}, "give X too"),
        ({"X": X, "baseline": X}, "not all of them"),
        ({"X": "train.csv"}, "given as baseline"),
        ({"X": X, "wait": False}, "use set_baseline then"),
        ({"X": X, "y": [0]}, "1 predictions for 2 rows"),
        ({"baseline": "nowhere.csv"}, "cannot be read"),
    ],
)
def test_what_cannot_be_a_baseline_is_told_first(
    client: Client, fake: FakePlatform, model_directory: Path, options: dict[str, Any], told: str
) -> None:
    """Nothing is uploaded for a table that can never be sent."""
    with pytest.raises(InvalidRequest, match=told):
        client.register(model_directory, "churn", **options)
    assert not fake.situation.requests


def test_a_refused_baseline_leaves_the_version(client: Client, fake: FakePlatform, model_directory: Path) -> None:
    """The version is ready all the same, and the error says which it is and what is wrong with the table."""
    fake.situation.misfit = "tickets"
    with pytest.raises(InvalidRequest, match="churn version 1 is ready, but has no baseline: .*'tickets'") as caught:
        client.register(model_directory, "churn", baseline=X)
    assert caught.value.details == {"column": "tickets", "version": "1"}
    assert client.version("churn", 1).state == "ready"


def test_a_rejected_version_gets_none(client: Client, fake: FakePlatform, model_directory: Path) -> None:
    """Where the model is not fit, its training data is not sent."""
    fake.situation.rejections = ["it needs a GPU"]
    with pytest.raises(VersionRejected):
        client.register(model_directory, "churn", X=X)
    assert not fake.situation.tables


def test_the_async_client_does_the_same(fake: FakePlatform, model_directory: Path) -> None:
    """X and y, awaited."""

    async def register() -> Any:
        async with AsyncClient(fake.registry_url, fake.serving_url) as client:
            return await client.register(model_directory, "churn", X=X, y=X["price"])

    assert asyncio.run(register()).baseline.rows == 4000
