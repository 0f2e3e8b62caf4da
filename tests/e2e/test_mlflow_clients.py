"""MLflow's own scoring client and curl, against the running platform: only the URL is another."""

from __future__ import annotations

import subprocess
from typing import Any
from urllib.parse import urlsplit

import httpx
import pandas as pd
import pytest

from tests.e2e.control import Control
from tests.support.models import SavedModels
from tests.support.platform import Platform, until

pytestmark = pytest.mark.e2e
FRAME = pd.DataFrame({f"x{i}": [0.5 * i, 1.0 - i] for i in range(4)})


@pytest.fixture(scope="module")
def scored(platform: Platform, control: Control, saved_models: SavedModels) -> Platform:
    """The platform with a linear model that has a plan."""
    control.add("scored", saved_models.get("linear").directory)
    control.promote("scored", "1")
    ping = f"{platform.serving_url}/models/scored/ping"
    until(lambda: httpx.get(ping, timeout=10).status_code == 200, 60, "the plan's effect")
    return platform


def client_of(platform: Platform, path: str = "/models/scored") -> Any:
    """Return MLflow's own client, whose base URL is a model's."""
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient

    make: Any = ScoringServerClient
    parts = urlsplit(platform.serving_url + path)
    return make(parts.hostname, f"{parts.port}{parts.path}")


def test_mlflows_scoring_client_works_through_every_method(scored: Platform, saved_models: SavedModels) -> None:
    """wait_server_ready, ping, get_version and invoke, at a model's and a version's URL: the local prediction."""
    import mlflow.pyfunc

    local = mlflow.pyfunc.load_model(str(saved_models.get("linear").directory)).predict(FRAME).tolist()
    for path in ("/models/scored", "/models/scored/versions/1"):
        client = client_of(scored, path)
        client.wait_server_ready(timeout=20)
        client.ping()
        assert client.get_version() == "3.17.2"
        assert client.invoke(FRAME).get_predictions("ndarray").ravel().tolist() == local
    more = FRAME.assign(more=["left", "out"])
    assert client_of(scored).invoke(more).get_predictions("ndarray").ravel().tolist() == local


def test_mlflows_client_reports_what_was_refused(scored: Platform) -> None:
    """Its exception carries our words."""
    with pytest.raises(Exception, match=r"error code 400.*missing columns.*SCHEMA_ENFORCEMENT_FAILED"):
        client_of(scored).invoke(FRAME[["x0"]])
    with pytest.raises(Exception, match="404"):
        client_of(scored, "/models/nobody").ping()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("-H", "Content-Type: text/csv", "--data-binary", "x0,x1,x2,x3\n1,2,3,4\n"), "200 application/json"),
        (("-H", "Content-Type:", "-d", '{"dataframe_records": [{"x0": 1, "x1": 2, "x2": 3, "x3": 4}]}'), "200"),
        (("-d", '{"inputs": [[1, 2, 3, 4]]}'), "415 text/plain"),
        (("-X", "GET"), "405"),
    ],
)
def test_curl_gets_what_mlflows_server_would_say(scored: Platform, options: tuple[str, ...], expected: str) -> None:
    """A table, JSON without a type, curl's own type, and the wrong method."""
    url = f"{scored.serving_url}/models/scored/invocations"
    shown = ("curl", "-s", "-m", "30", "-o", "/dev/null", "-w", "%{http_code} %{content_type}", *options, url)
    told = subprocess.run(shown, capture_output=True, text=True, timeout=60, check=True).stdout
    assert told.startswith(expected)
