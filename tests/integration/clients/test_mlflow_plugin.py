"""MLflow's own loader, client and command line on the plugin, with the fake platform behind it."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from tests.support.fake_platform import Failure, FakePlatform

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def target(fake: FakePlatform, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give a target that names the fake platform, which has a model of five versions."""
    for variable in ("HEADGATE_REGISTRY_URL", "HEADGATE_SERVING_URL", "HEADGATE_API_KEY"):
        monkeypatch.delenv(variable, raising=False)
    fake.situation.add("churn", 5)
    return f"headgate:{fake.registry_url}?serving={fake.serving_url}"


@pytest.fixture
def client(target: str) -> Any:
    """Give the client that MLflow makes for the target."""
    from mlflow.deployments import get_deploy_client

    return get_deploy_client(target)


def mlflow(*words: str) -> Result:
    """Run ``mlflow deployments``, in process."""
    from mlflow.deployments.cli import commands

    return CliRunner().invoke(commands, list(words))


def refused(work: Any, *given: Any, **more: Any) -> tuple[str, str]:
    """Return the code and the words of the MlflowException that a call raises."""
    from mlflow.exceptions import MlflowException

    with pytest.raises(MlflowException) as caught:
        work(*given, **more)
    return caught.value.error_code, str(caught.value)


@pytest.mark.parametrize("suffix", ["", ":", ":/", ":/x", ":http://127.0.0.1:1", "://127.0.0.1:1"])
def test_mlflow_finds_the_plugin_by_any_form_of_the_target(suffix: str) -> None:
    """One client class is visible, and it gets the target as it was written."""
    from mlflow.deployments import BaseDeploymentClient, get_deploy_client

    client = get_deploy_client(f"headgate{suffix}")
    assert type(client).__name__ == "HeadgateDeploymentClient"
    assert client.target_uri == f"headgate{suffix}"
    assert isinstance(client, BaseDeploymentClient)
    visible = [c for _, c in inspect.getmembers(inspect.getmodule(type(client))) if inspect.isclass(c)]
    assert [c for c in visible if issubclass(c, BaseDeploymentClient) and c is not BaseDeploymentClient] == [
        type(client)
    ]


def test_the_target_leads_to_the_platform(fake: FakePlatform, monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry from the target or the settings, serving from the settings or the target."""
    from mlflow.deployments import get_deploy_client

    fake.situation.add("churn")
    monkeypatch.setenv("HEADGATE_SERVING_URL", fake.serving_url)
    host = fake.registry_url.removeprefix("http://")
    for uri in (f"headgate:http://{host}", f"headgate://{host}"):
        assert get_deploy_client(uri).list_deployments() == []
    monkeypatch.setenv("HEADGATE_REGISTRY_URL", fake.registry_url)
    client = get_deploy_client("headgate:/any")
    assert client.create_deployment("churn", "models:/churn/1")["url"] == f"{fake.serving_url}/models/churn/predict"
    assert refused(get_deploy_client, "headgate:ml")[0] == "INVALID_PARAMETER_VALUE"


def test_a_deployment_is_a_plan(client: Any, fake: FakePlatform) -> None:
    """Create, a canary beside it, its share, promotion, deletion, which may be said twice."""
    made = client.create_deployment("churn", "models:/churn/1", config={"note": "first"})
    assert (made["name"], made["flavor"], made["version"], made["revision"]) == ("churn", "python_function", "1", 1)
    made = client.create_deployment("churn", "models:/churn/2", config={"share": "10%"})
    assert (made["version"], made["canary"], made["share"]) == ("1", "2", 0.1)
    assert client.update_deployment("churn", config={"share": 0.5})["share"] == 0.5
    done = client.update_deployment("churn", "models:/churn/2", flavor="python_function")
    assert (done["version"], done["canary"]) == ("2", None)
    assert [d["name"] for d in client.list_deployments()] == ["churn"]
    assert client.list_deployments(endpoint="other") == []
    assert client.get_deployment("churn")["version"] == "2"
    assert fake.situation.models["churn"].journal[0]["why"] == "first"
    for _ in range(2):
        client.delete_deployment("churn")
    client.delete_deployment("nobody")
    assert client.list_deployments() == []
    assert refused(client.get_deployment, "churn")[0] == "RESOURCE_DOES_NOT_EXIST"


def test_models_are_named_as_mlflow_names_them(client: Any, fake: FakePlatform) -> None:
    """An alias, the newest version, and a run, which is registered under the deployment's name and waited for."""
    fake.situation.models["churn"].aliases["champion"] = "3"
    assert client.create_deployment("churn", "models:/churn@champion")["version"] == "3"
    assert client.update_deployment("churn", "models:/churn/latest")["version"] == "5"
    fake.situation.checks_left = 2
    assert client.create_deployment("new", "runs:/0a1b/model")["version"] == "1"
    assert fake.situation.version("new", "1")["source"] == {"run_id": "0a1b", "path": "model"}


def test_what_cannot_be_deployed_is_refused_in_words(client: Any, fake: FakePlatform) -> None:
    """Each with the error code that MLflow has for it."""
    fake.situation.add("other")
    create = client.create_deployment
    assert refused(create, "churn", "models:/other/1") == (
        "INVALID_PARAMETER_VALUE",
        "a deployment has the name of its model: 'models:/other/1' is a version of other, so deploy it as other, or "
        "register its run as a version of churn",
    )
    code, words = refused(create, "churn", "models:/churn@nobody")
    assert (code, words) == ("RESOURCE_DOES_NOT_EXIST", "churn has no alias nobody; its aliases: none")
    assert refused(create, "churn", "models:/churn/9")[0] == "RESOURCE_DOES_NOT_EXIST"
    assert "has no stable version yet" in refused(create, "churn", "models:/churn/1", config={"share": "10%"})[1]
    assert "has no flavor 'keras'" in refused(create, "churn", "models:/churn/1", flavor="keras")[1]
    assert "an endpoint has one deployment" in refused(create, "churn", "models:/churn/1", endpoint="e")[1]
    assert refused(create, "churn", None)[0] == "INVALID_PARAMETER_VALUE"
    assert refused(client.update_deployment, "churn", "models:/churn/1")[0] == "RESOURCE_DOES_NOT_EXIST"

    create("churn", "models:/churn/1")
    code, words = refused(create, "churn", "models:/churn/2")
    assert (code, "deployed already, with version 1; use update" in words) == ("RESOURCE_ALREADY_EXISTS", True)
    create("churn", "models:/churn/2", config={"share": 0.1})
    assert "has a canary already, version 2" in refused(create, "churn", "models:/churn/3", config={"share": 0.1})[1]
    assert "nothing to change" in refused(client.update_deployment, "churn")[1]
    assert "no setting here" in refused(client.delete_deployment, "churn", {"force": "yes"})[1]


def test_a_rejected_version_is_not_deployed(client: Any, fake: FakePlatform) -> None:
    """The reasons are in the exception; the plan is as it was."""
    fake.situation.rejections = ["the model raises KeyError: 'tenure'"]
    fake.situation.new_version("churn")
    code, words = refused(client.create_deployment, "churn", "models:/churn/6")
    assert (code, "KeyError: 'tenure'" in words) == ("INVALID_PARAMETER_VALUE", True)
    assert client.list_deployments() == []


@pytest.mark.parametrize(
    ("status", "code", "theirs"),
    [
        (409, "revision_conflict", "RESOURCE_CONFLICT"),
        (403, "forbidden", "PERMISSION_DENIED"),
        (429, "overloaded", "REQUEST_LIMIT_EXCEEDED"),
        (500, "internal", "INTERNAL_ERROR"),
        (503, "shutting_down", "TEMPORARILY_UNAVAILABLE"),
    ],
)
def test_the_platforms_errors_are_mlflows(client: Any, fake: FakePlatform, status: int, code: str, theirs: str) -> None:
    """With the platform's words and the request's id."""
    fake.situation.failures.append(Failure("PUT .*/traffic", status, code, times=9))
    found, words = refused(client.create_deployment, "churn", "models:/churn/1")
    assert (found, "arranged" in words or "revision" in words) == (theirs, True)
    assert "(request r-1)" in words


def test_nothing_that_answers_is_said_so() -> None:
    """A wrong address is the first mistake that everybody makes."""
    from mlflow.deployments import get_deploy_client

    code, words = refused(get_deploy_client("headgate:http://127.0.0.1:9").list_deployments)
    assert (code, "127.0.0.1:9" in words) == ("TEMPORARILY_UNAVAILABLE", True)


def test_predictions_are_plain_json(client: Any, fake: FakePlatform) -> None:
    """Whatever kind is sent; a whole body may have parameters; to_json, from_json and both formats work."""
    from mlflow.deployments import PredictionsResponse

    fake.situation.answer = lambda body: [0.5, None]
    client.create_deployment("churn", "models:/churn/1")
    frame = pd.DataFrame({"age": [41, 29], "plan": ["basic", None]})
    for inputs in (frame, np.ones((2, 2)), [{"age": 1}], {"inputs": [[1.0]], "params": {"t": 1}}):
        answer = client.predict("churn", inputs)
        assert isinstance(answer, PredictionsResponse)
        assert (answer["predictions"], answer["model_version"]) == ([0.5, None], "1")
        assert PredictionsResponse.from_json(answer.to_json()) == answer
    assert client.predict(endpoint="churn", inputs=frame)["predictions"] == [0.5, None]
    assert client.predict("churn", frame).get_predictions("dataframe").shape == (2, 1)
    assert client.predict("churn", frame).get_predictions("ndarray").shape == (2,)
    assert refused(client.predict, inputs=frame)[0] == "INVALID_PARAMETER_VALUE"
    assert refused(client.predict, "churn")[0] == "INVALID_PARAMETER_VALUE"
    assert refused(client.predict, "churn", pd.DataFrame({"x": [float("inf")]}))[0] == "INVALID_PARAMETER_VALUE"
    assert refused(client.explain, "churn", frame)[0] == "NOT_IMPLEMENTED"


def test_predictions_stream(client: Any, fake: FakePlatform) -> None:
    """Pieces come as the model yields them; what ends a stream is MLflow's exception, after the pieces before it."""
    words = [f'data: {{"predictions": "{word}"}}\n\n'.encode() for word in ("to", "be")]
    fake.situation.chunks = [*words, b'event: done\ndata: {"pieces":2}\n\n']
    assert list(client.predict_stream("churn", {"inputs": ["x"]})) == ["to", "be"]
    assert list(client.predict_stream(endpoint="churn", inputs=pd.DataFrame({"text": ["x"]}))) == ["to", "be"]
    assert [path for _, path, _ in fake.situation.requests[-2:]] == ["/models/churn/predict_stream"] * 2
    fake.situation.chunks = words[:1]
    pieces = client.predict_stream("churn", {"inputs": ["x"]})
    assert next(pieces) == "to"
    assert refused(next, pieces)[0] == "TEMPORARILY_UNAVAILABLE"
    assert refused(client.predict_stream, "churn")[0] == "INVALID_PARAMETER_VALUE"


def test_an_endpoint_is_a_split_of_traffic(client: Any) -> None:
    """From Python: create, change, look, list, delete, twice."""
    assert "as stable" in refused(client.create_endpoint, "churn")[1]
    made = client.create_endpoint("churn", {"stable": "3", "canary": "4", "share": 0.1})
    assert (made["name"], made["canary"]) == ("churn", {"version": "4", "share": 0.1})
    assert refused(client.create_endpoint, "churn", {"stable": "3"})[0] == "RESOURCE_ALREADY_EXISTS"
    changed = client.update_endpoint("churn", {"share": "50%", "shadows": "5"})
    assert (changed["canary"]["share"], changed["shadows"]) == (0.5, [{"version": "5", "sample": 1.0}])
    assert client.get_endpoint("churn") == changed
    assert client.list_endpoints() == [changed]
    assert client.get_deployment("churn", endpoint="churn")["canary"] == "4"
    for _ in range(2):
        client.delete_endpoint("churn")
    assert client.list_endpoints() == []
    assert refused(client.get_endpoint, "churn")[0] == "RESOURCE_DOES_NOT_EXIST"
    assert refused(client.update_endpoint, "churn", {"share": 0.1})[0] == "RESOURCE_DOES_NOT_EXIST"


def test_mlflows_command_line_prints_what_it_expects(target: str, fake: FakePlatform, tmp_path: Path) -> None:
    """Flavor and name of what was created, a dict from update; text settings; predictions to a file and to stdout."""
    fake.situation.answer = lambda body: [1, 2]
    done = mlflow("create", "-t", target, "--name", "churn", "-m", "models:/churn/1", "-C", "note=a=b")
    assert (done.exit_code, done.output.strip()) == (0, "python_function deployment churn is created")
    assert fake.situation.models["churn"].journal[-1]["plan"]["note"] == "a=b"
    done = mlflow("update", "-t", target, "--name", "churn", "-m", "models:/churn/2", "-C", "share=0.1")
    assert (done.exit_code, done.output.strip()) == (0, "Deployment churn is updated (with flavor python_function)")
    assert "Repeated parameter" in mlflow(
        "update", "-t", target, "--name", "churn", "-C", "share=0.1", "-C", "share=0.2"
    ).output  # fmt: skip
    assert "share: 0.1" in mlflow("get", "-t", target, "--name", "churn").output
    assert "'name': 'churn'" in mlflow("list", "-t", target).output

    body, out = tmp_path / "rows.json", tmp_path / "out.json"
    body.write_text('[{"age": 1}, {"age": 2}]')
    assert mlflow("predict", "-t", target, "--name", "churn", "-I", str(body), "-O", str(out)).exit_code == 0
    assert json.loads(out.read_text())["predictions"] == [1, 2]
    assert json.loads(mlflow("predict", "-t", target, "--endpoint", "churn", "-I", str(body)).output)["arm"]

    assert mlflow("update-endpoint", "-t", target, "--endpoint", "churn", "-C", "share=50%").exit_code == 0
    assert "'share': 0.5" in mlflow("get-endpoint", "-t", target, "--endpoint", "churn").output
    for _ in range(2):
        assert mlflow("delete", "-t", target, "--name", "churn").exit_code == 0
    assert "headgate:http://HOST:5000" in mlflow("help", "-t", "headgate").output


def test_run_local_deploys_on_this_machine_alone(fake: FakePlatform, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the platform that runs here, again and again; never on one that the settings name elsewhere."""
    fake.situation.add("churn", 2)
    monkeypatch.setenv("HEADGATE_REGISTRY_URL", fake.registry_url)
    monkeypatch.setenv("HEADGATE_SERVING_URL", fake.serving_url)
    for number in ("1", "2"):
        done = mlflow("run-local", "-t", "headgate", "--name", "churn", "-m", f"models:/churn/{number}")
        assert f"churn version {number} answers at {fake.serving_url}/models/churn/predict" in done.output
    monkeypatch.setenv("HEADGATE_REGISTRY_URL", "http://registry.example:5000")
    from mlflow.deployments import run_local

    assert "this machine alone" in refused(run_local, "headgate:/x", "churn", "models:/churn/1")[1]
