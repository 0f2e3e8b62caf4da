"""What the mounted model registry refuses, with the status and the sentence that MLflow's client shows."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.mlflow.conftest import Server

pytestmark = pytest.mark.integration

BAD_NAMES = [
    "a b",
    "модель",
    "a\r\nb",
    "a\x00b",
    "-a",
    "a.",
    ".",
    "x" * 129,
    "=1+1",
    "<script>",
    "{{7*7}}",
    "e\u0301",
    "a/b",
    "😀",
]
BAD_SOURCES = [
    "s3://other/model",
    "gs://other/model",
    "dbfs:/model",
    "file:///etc",
    "/etc",
    "http://127.0.0.1/model",
    "mlflow-artifacts://other-host/model",
    "mlflow-artifacts:/a/../../b",
    "mlflow-artifacts:/a/%2e%2e/b",
    "mlflow-artifacts:/a/%252e%252e/b",
    "mlflow-artifacts:/a\x00b",
    "mlflow-artifacts:/uploads/of-somebody",
    "mlflow-artifacts:/",
    "runs:/0123456789abcdef0123456789abcdef/model",
    "models:/m-0123456789abcdef0123456789abcdef",
    "models:/never-was/1",
    "models:/x/latest/y",
    "mlflow-artifacts:/" + "a" * 600,
]


@pytest.mark.parametrize("bad", BAD_NAMES)
def test_names_have_one_grammar(server: Server, bad: str) -> None:
    """A name outside the grammar is 400 and says what a name is."""
    answer = server.mlflow("POST", "registered-models/create", {"name": bad})
    assert answer.status == 400
    assert answer.body["error_code"] == "INVALID_PARAMETER_VALUE"
    assert "1 to 128 of A-Z a-z 0-9 . _ -" in answer.body["message"]


@pytest.mark.parametrize("bad", BAD_SOURCES)
def test_sources_are_in_our_store(server: Server, name: str, bad: str) -> None:
    """A source anywhere else, or that nothing stands behind, is refused, and leaves no version."""
    server.mlflow("POST", "registered-models/create", {"name": name})
    answer = server.mlflow("POST", "model-versions/create", {"name": name, "source": bad})
    assert answer.status in (400, 404)
    assert answer.body["message"]
    assert server.mlflow("GET", f"model-versions/search?filter=name%3D%27{name}%27").body == {}


@pytest.mark.parametrize("bad", ["s3://other/model", "gs://other/model", "dbfs:/model"])
def test_a_refused_source_says_what_would_be_right(server: Server, name: str, bad: str) -> None:
    """The sentence names the ways to register."""
    server.mlflow("POST", "registered-models/create", {"name": name})
    answer = server.mlflow("POST", "model-versions/create", {"name": name, "source": bad})
    assert "not in this registry's artifact store" in answer.body["message"]
    assert "mlflow-artifacts:/<path>" in answer.body["message"]


def test_versions_have_one_spelling(server: Server, name: str, run: dict[str, Any]) -> None:
    """Other spellings of a version's number, and numbers no database holds, are 404."""
    register(server, name, run)
    assert server.mlflow("GET", f"model-versions/get?name={name}&version=1").status == 200
    for spelling in ("01", "%2B1", "1.0", "1_0", "%D9%A1", "%201", "-1", "0", "9" * 20, "9" * 12):
        assert server.mlflow("GET", f"model-versions/get?name={name}&version={spelling}").status == 404, spelling
        assert server.mlflow("GET", f"model-versions/get-download-uri?name={name}&version={spelling}").status == 404


@pytest.mark.parametrize("alias", ["1", "latest", "v3", "a b", "", "ä", "x" * 64])
def test_aliases_have_one_grammar(server: Server, name: str, run: dict[str, Any], alias: str) -> None:
    """An alias outside the grammar is 400."""
    register(server, name, run)
    answer = server.mlflow("POST", "registered-models/alias", {"name": name, "alias": alias, "version": "1"})
    assert answer.status == 400


def test_what_serves_is_not_deleted(server: Server, run: dict[str, Any]) -> None:
    """A version that is in use is 409 with the reason, alone and with its model; another one goes."""
    for _ in range(2):
        register(server, "serving", run)
    for method, path in (("model-versions/delete", "1"), ("registered-models/delete", "")):
        answer = server.mlflow("DELETE", method, {"name": "serving", "version": path} if path else {"name": "serving"})
        assert answer.status == 409
        assert answer.body["error_code"] == "RESOURCE_CONFLICT"
        assert "give its traffic to another version first" in answer.body["message"]
    assert server.mlflow("DELETE", "model-versions/delete", {"name": "serving", "version": "2"}).status == 200
    assert server.mlflow("GET", "model-versions/get?name=serving&version=1").status == 200


def test_models_keep_their_names(server: Server, name: str) -> None:
    """Renaming is 409 and tells how to copy instead."""
    server.mlflow("POST", "registered-models/create", {"name": name})
    answer = server.mlflow("POST", "registered-models/rename", {"name": name, "new_name": f"{name}-2"})
    assert answer.status == 409
    assert "copy_model_version" in answer.body["message"]
    assert server.mlflow("GET", f"registered-models/get?name={name}").status == 200


def test_prompts_are_refused(server: Server, name: str) -> None:
    """A prompt is not a model, whether it comes as one or a model is turned into one."""
    prompt = {"key": "mlflow.prompt.is_prompt", "value": "true"}
    answer = server.mlflow("POST", "registered-models/create", {"name": name, "tags": [prompt]})
    assert (answer.status, "models, not prompts" in answer.body["message"]) == (400, True)
    server.mlflow("POST", "registered-models/create", {"name": name})
    assert server.mlflow("POST", "registered-models/set-tag", {"name": name, **prompt}).status == 400


def test_experiments_keep_their_artifacts_here(server: Server, name: str) -> None:
    """An experiment whose artifacts would be anywhere else is 400; a folder of the store is taken."""
    for bad in (
        "s3://other/x",
        "file:///etc",
        "/etc",
        "http://host/x",
        "mlflow-artifacts:/uploads",
        "mlflow-artifacts://h/x",
    ):
        body = {"name": name, "artifact_location": bad}
        assert server.mlflow("POST", "experiments/create", body).status == 400, bad
    good = {"name": name, "artifact_location": "mlflow-artifacts:/mine"}
    assert server.mlflow("POST", "experiments/create", good).status == 200


def test_errors_tell_no_sql(server: Server, name: str) -> None:
    """What the database says is not passed on."""
    for body in ({"name": name}, {"name": name}):
        answer = server.mlflow("POST", "experiments/create", body)
    assert answer.status == 400
    assert "already exists" in answer.body["message"]
    for word in ("sqlite3", "INSERT", "SQL", "sqlalche"):
        assert word not in answer.body["message"]


def test_tags_come_back_byte_for_byte(server: Server, name: str) -> None:
    """What looks like markup, a formula or a lookup is kept as it is; too many and too long tags are refused."""
    odd = "<script>alert(1)</script> =1+1 ${jndi:x} '; DROP TABLE x -- \u202eünï😀"
    server.mlflow(
        "POST", "registered-models/create", {"name": name, "description": odd, "tags": [{"key": "k", "value": odd}]}
    )
    kept = server.mlflow("GET", f"registered-models/get?name={name}").body["registered_model"]
    assert (kept["description"], kept["tags"][0]["value"]) == (odd, odd)
    many = [{"key": f"k{i}", "value": "v"} for i in range(10_000)]
    assert server.mlflow("POST", "registered-models/create", {"name": f"{name}-2", "tags": many}).status == 400
    huge = {"name": name, "key": "k", "value": "x" * 1_000_000}
    assert server.mlflow("POST", "registered-models/set-tag", huge).status == 400


def register(server: Server, name: str, run: dict[str, Any]) -> str:
    """Register a version; return its number."""
    server.mlflow("POST", "registered-models/create", {"name": name})
    body = {"name": name, "source": f"{run['artifact_uri']}/model", "run_id": run["run_id"]}
    answer = server.mlflow("POST", "model-versions/create", body)
    assert answer.status == 200, answer.body
    return str(answer.body["model_version"]["version"])


@pytest.mark.parametrize(
    ("route", "more"),
    [
        ("runs/search", {"experiment_ids": ["0"]}),
        ("logged-models/search", {"experiment_ids": ["0"]}),
        ("experiments/search", {"max_results": 1}),
    ],
)
def test_search_of_a_great_many_conditions_is_refused(server: Server, route: str, more: dict[str, Any]) -> None:
    """Each is a join: two hundred kept the database busy for half a minute, and a few such searches kept all others."""
    many = " AND ".join(f"tags.a{i} = 'b'" for i in range(200))
    answer = server.mlflow("POST", route, {**more, "filter": many})
    assert answer.status == 400, answer.body
    assert "32 conditions" in answer.body["message"]
    few = "" if route.startswith("logged") else " AND ".join(f"tags.a{i} = 'b'" for i in range(32))
    assert server.mlflow("POST", route, {**more, "filter": few}).status == 200


@pytest.mark.parametrize("route", ["registered-models/search", "model-versions/search"])
def test_search_of_models_is_bounded_too(server: Server, route: str) -> None:
    """The same where models and versions are searched."""
    many = "%20AND%20".join(f"tags.a{i}%20=%20'b'" for i in range(200))
    answer = server.mlflow("GET", f"{route}?filter={many}")
    assert answer.status == 400 and "32 conditions" in answer.body["message"], answer.body
