"""Models, versions, registering and deleting, over HTTP."""

from __future__ import annotations

import pytest

from registry.http.routes import REGISTRY_ROUTES
from registry.operations import FromUpload, Operations
from registry.records import CatalogVersion, ModelName
from tests.support.registry_app import MLMODEL, V1, RegistryInMemory, code

FILES = {"MLmodel": MLMODEL, "data/model.pkl": b"x" * 1000}


@pytest.fixture
def registry() -> RegistryInMemory:
    """An empty registry."""
    return RegistryInMemory()


def test_version_is_shown_with_all_that_is_known(registry: RegistryInMemory) -> None:
    """A version object says its state, checks, tier, digest, size and lineage."""
    registry.ready("churn")
    shown = registry.ask("GET", f"{V1}/models/churn/versions/1").json()
    assert (shown["state"], shown["tier"], shown["runtime"], shown["python"]) == ("ready", "code", "host", "3.11.7")
    assert shown["digest"].startswith("sha256:") and shown["size"] > 0 and shown["created_at"].endswith("Z")
    assert all(check["verdict"] == "passed" for check in shown["checks"])


def test_rejected_version_says_why(registry: RegistryInMemory) -> None:
    """A version that cannot serve carries the reason in words."""
    registry.log_model("churn", mlmodel=b"flavors: {sklearn: {}}")
    registry.settle()
    shown = registry.ask("GET", f"{V1}/models/churn/versions/1").json()
    assert shown["state"] == "rejected" and "python_function" in shown["reason"]


def test_lists_are_paged(registry: RegistryInMemory) -> None:
    """Models come by name and versions newest first, a page at a time, without loss or repetition."""
    for name in ("a", "b", "c"):
        registry.ready(name, 3)
    first = registry.ask("GET", f"{V1}/models", params={"limit": 2}).json()
    second = registry.ask("GET", f"{V1}/models", params={"limit": 2, "page_token": first["next_page_token"]}).json()
    assert [m["name"] for m in first["models"] + second["models"]] == ["a", "b", "c"]
    assert second["next_page_token"] is None
    one = registry.ask("GET", f"{V1}/models/a/versions", params={"limit": 2}).json()
    two = registry.ask(
        "GET", f"{V1}/models/a/versions", params={"limit": 2, "page_token": one["next_page_token"]}
    ).json()
    assert [v["version"] for v in one["versions"] + two["versions"]] == ["3", "2", "1"]


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "page_token=" + "x" * 200])
def test_page_that_cannot_be_is_refused(registry: RegistryInMemory, query: str) -> None:
    """A limit or token out of bounds is 400, naming the parameter."""
    assert code(registry.ask("GET", f"{V1}/models?{query}")) == (400, "invalid_argument")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("nobody", (404, "unknown_model")),
        ("nobody/versions", (404, "unknown_model")),
        ("nobody/versions/1", (404, "unknown_model")),
        ("churn/versions/9", (404, "unknown_version")),
        ("churn/versions/01", (404, "unknown_version")),
        ("churn/versions/1_0", (404, "unknown_version")),
        ("churn/versions/%D9%A1", (404, "unknown_version")),
        ("churn/versions/99999999999999999999", (404, "unknown_version")),
        ("a%20b", (400, "invalid_name")),
        ("-x", (400, "invalid_name")),
        ("mod%D0%B5l", (400, "invalid_name")),
        ("a%00b", (400, "invalid_name")),
        ("a" * 9000, (400, "invalid_name")),
        ("..%2Fetc", (404, "not_found")),
    ],
)
def test_name_or_version_that_is_none(registry: RegistryInMemory, path: str, expected: tuple[int, str]) -> None:
    """Names outside the grammar are 400, versions that do not exist 404, in the one error shape."""
    registry.ready("churn")
    assert code(registry.ask("GET", f"{V1}/models/{path}")) == expected


def test_unknown_version_lists_what_there_is(registry: RegistryInMemory) -> None:
    """The message names the versions that exist."""
    registry.ready("churn", 3)
    message = registry.ask("GET", f"{V1}/models/churn/versions/9").json()["error"]["message"]
    assert message == "churn has no version 9; it has 1, 2, 3"


def test_upload_becomes_a_version(registry: RegistryInMemory) -> None:
    """A committed upload is registered, admitted, and holds the very bytes that were sent."""
    upload = registry.upload(FILES)
    created = registry.ask("POST", f"{V1}/models/churn/versions", json={"upload": upload})
    assert (created.status_code, created.headers["location"]) == (201, f"{V1}/models/churn/versions/1")
    registry.settle()
    record = registry.ask("GET", f"{V1}/models/churn/versions/1").json()
    manifest = registry.artifacts.read_manifest(record["digest"])
    assert {e.path: registry.artifacts.read(e.digest, 10**6) for e in manifest.entries} == FILES


def test_same_key_and_content_is_the_same_version(registry: RegistryInMemory) -> None:
    """A retried registration answers 200 with the version that the first one made, even from a new upload."""
    bodies = [{"upload": registry.upload(FILES), "idempotency_key": "k"} for _ in range(2)]
    answers = [registry.ask("POST", f"{V1}/models/churn/versions", json=body) for body in (*bodies, bodies[0])]
    assert [(a.status_code, a.json()["version"]) for a in answers] == [(201, "1"), (200, "1"), (200, "1")]


def test_same_key_with_other_content_is_refused(registry: RegistryInMemory) -> None:
    """A key that stands for one content cannot be used for another."""
    for data, status in ((b"one", 201), (b"two", 409)):
        upload = registry.upload({"MLmodel": MLMODEL, "x": data})
        answer = registry.ask("POST", f"{V1}/models/churn/versions", json={"upload": upload, "idempotency_key": "k"})
        assert answer.status_code == status


def test_lost_answer_makes_no_second_version(registry: RegistryInMemory) -> None:
    """Where the process died after MLflow's record and before ours, a retry finds that version."""
    upload = registry.upload(FILES)
    body = {"upload": upload, "idempotency_key": "k"}
    registry.ask("POST", f"{V1}/models/churn/versions", json=body)
    fresh = RegistryInMemory()
    fresh.catalog, fresh.artifacts = registry.catalog, registry.artifacts
    operations = fresh.operations
    operations._catalog = registry.catalog  # draws a ledger that lost its last transaction
    again = fresh.upload(FILES)
    answer = fresh.ask("POST", f"{V1}/models/churn/versions", json={"upload": again, "idempotency_key": "k"})
    assert (answer.status_code, answer.json()["version"]) == (200, "1")


def test_alias_given_at_registration_serves_once_ready(registry: RegistryInMemory) -> None:
    """An alias named at registration is on the version as soon as that is ready."""
    upload = registry.upload(FILES)
    registry.ask("POST", f"{V1}/models/churn/versions", json={"upload": upload, "alias": "champion"})
    registry.settle()
    assert registry.ask("GET", f"{V1}/models/churn/versions/1").json()["aliases"] == ["champion"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"upload": "x"},
        {"upload": "f" * 32, "source": {"model_id": "m-1"}},
        {"source": {}},
        {"source": {"run_id": "r"}},
        {"source": {"run_id": "r", "path": "p", "model_id": "m-1"}},
        {"source": "s3://other/x"},
        {"source": {"model_id": "s3://x"}},
        {"upload": "f" * 32, "extra": 1},
        [],
        "x",
        {"source": {"run_id": 3, "path": "p"}},
    ],
)
def test_registration_of_nothing_sensible_is_400(registry: RegistryInMemory, body: object) -> None:
    """A body that names no source, two, or an address is refused with the field's name."""
    assert code(registry.ask("POST", f"{V1}/models/churn/versions", json=body)) == (400, "invalid_argument")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"a":1}x',
        b"\xff\xfe{}",
        b"[" * 100_000,
        b"null",
        b'{"upload":"a","upload":"b"}',
        b'{"upload":NaN}',
        b'{"upload":1e999}',
    ],
)
def test_body_that_is_no_json_is_400(registry: RegistryInMemory, body: bytes) -> None:
    """Bytes that are no JSON object are 400, never 500."""
    answer = registry.ask(
        "POST", f"{V1}/models/churn/versions", content=body, headers={"content-type": "application/json"}
    )
    assert code(answer)[0] == 400


@pytest.mark.parametrize("path", ["uploads", "models/files/versions", "models/uploads/versions"])
def test_body_over_the_limit_is_413(registry: RegistryInMemory, path: str) -> None:
    """A JSON body of more than 16 MiB is refused, whatever the model is called."""
    assert code(registry.ask("POST", f"{V1}/{path}", content=b" " * (16 * 2**20 + 1))) == (413, "body_too_large")


def test_two_replicas_with_one_key_make_one_version(registry: RegistryInMemory) -> None:
    """Where two replicas register under one key at once, one version stays, and both tell of it."""
    upload, churn = FromUpload(registry.upload(FILES)), ModelName("churn")
    other = Operations(registry.catalog, registry.ledger, registry.artifacts, wake=lambda: None, upload_limit=1_000_000)
    create, told = registry.catalog.create_version, []

    def other_is_first(*arguments: object) -> CatalogVersion:
        registry.catalog.create_version = create  # type: ignore[method-assign]  # the other creates undisturbed
        told.append(other.register(churn, upload, "k"))
        return create(*arguments)  # type: ignore[arg-type]  # passed on as they came

    registry.catalog.create_version = other_is_first  # type: ignore[method-assign,assignment]  # draws the race
    told.append(registry.operations.register(churn, upload, "k"))
    assert [(record.version, new) for record, new in told] == [("1", True), ("1", False)]
    assert [version.version for version in registry.catalog.changed_since(0)[0].versions] == ["1"]


def test_deleting_a_version(registry: RegistryInMemory) -> None:
    """A deleted version is retired, its MLflow record gone, its number never used again."""
    registry.ready("churn", 2)
    assert registry.ask("DELETE", f"{V1}/models/churn/versions/2").status_code == 204
    assert registry.ask("GET", f"{V1}/models/churn/versions/2").json()["state"] == "retired"
    assert registry.log_model("churn") == "3"


def test_version_in_use_cannot_go(registry: RegistryInMemory) -> None:
    """A version with traffic or an alias is neither retired nor deleted: 409 naming what uses it."""
    registry.ready("churn", 2)
    registry.ask("PUT", f"{V1}/models/churn/traffic", json={"stable": "1"}, headers={"if-match": '"0"'})
    registry.ask("PUT", f"{V1}/models/churn/aliases/champion", json={"version": "2"})
    for version in ("1", "2"):
        assert code(registry.ask("DELETE", f"{V1}/models/churn/versions/{version}")) == (409, "in_use")
        assert code(registry.ask("POST", f"{V1}/models/churn/versions/{version}/retire")) == (409, "in_use")


def test_rejected_version_is_admitted_again(registry: RegistryInMemory) -> None:
    """A version whose files were mended is checked again and becomes ready."""
    registry.log_model("churn", mlmodel=b"nonsense")
    registry.settle()
    key = next(k for k in registry.artifacts.objects if k.endswith("/MLmodel"))
    registry.artifacts.objects[key] = MLMODEL
    assert registry.ask("POST", f"{V1}/models/churn/versions/1/admit").status_code == 202
    registry.settle()
    assert registry.ask("GET", f"{V1}/models/churn/versions/1").json()["state"] == "ready"


def test_unlisted_routes_do_not_exist(registry: RegistryInMemory) -> None:
    """What no table lists is 404, for every method."""
    for path in (
        "/admin",
        "/registry/v1",
        "/registry/v1/models/a/b/c",
        "/registry/v1/models/",
        "/docs/oauth2-redirect",
    ):
        for method in ("GET", "POST", "PUT", "DELETE", "PATCH"):
            assert code(registry.ask(method, path)) == (404, "not_found")


def test_every_route_of_ours_is_described(registry: RegistryInMemory) -> None:
    """The OpenAPI document holds exactly the routes of the gate's table, and the page shows them without a script."""
    document = registry.ask("GET", "/openapi.json").json()
    described = {
        (method.upper(), path.replace(":path", "")) for path, item in document["paths"].items() for method in item
    }
    listed = {
        (method, route.template.replace("...", "")) for route in REGISTRY_ROUTES for method in route.methods.split()
    }
    assert described == listed
    page = registry.ask("GET", "/docs")
    assert page.status_code == 200 and "/registry/v1/models/{name}/traffic" in page.text and "<script" not in page.text


def test_operations_are_named_by_what_they_do(registry: RegistryInMemory) -> None:
    """A summary is a sentence, never the name of a function that serves several routes alike."""
    paths = registry.ask("GET", "/openapi.json").json()["paths"]
    summaries = {operation["summary"] for item in paths.values() for operation in item.values()}
    assert all(len(said.split()) > 2 for said in summaries)
    assert "Show the plan in force; its revision is the ETag" in summaries
    assert "Begin to roll a version out" in registry.ask("GET", "/docs").text
