"""The blocking client against a platform over real HTTP."""

from __future__ import annotations

import pytest
from headgate import (
    Client,
    Conflict,
    ConnectionFailed,
    HeadgateError,
    InvalidRequest,
    ModelFault,
    NotFound,
    Refused,
    RevisionConflict,
    ServerFault,
    Timeout,
    Unavailable,
    VersionRejected,
)

from tests.support.fake_platform import Failure, FakePlatform, free_port


def test_models_are_read_page_after_page(client: Client, fake: FakePlatform) -> None:
    """All models come, however many pages they take."""
    for i in range(450):
        fake.situation.add(f"m{i:03}")
    assert [m.name for m in client.models()] == [f"m{i:03}" for i in range(450)]
    assert fake.situation.count("GET /registry/v1/models$") == 3


def test_models_by_query_and_limit(client: Client, fake: FakePlatform) -> None:
    """A query and a limit narrow the list."""
    for name in ("churn", "Churn2", "price"):
        fake.situation.add(name)
    assert [m.name for m in client.models("CHURN")] == ["Churn2", "churn"]
    assert len(client.models(limit=2)) == 2


def test_versions_come_newest_first(client: Client, fake: FakePlatform) -> None:
    """Versions come newest first, across pages."""
    fake.situation.add("churn", 250)
    assert [v.version for v in client.versions("churn")] == [str(n) for n in range(250, 0, -1)]


def test_model_tells_its_plan(client: Client, fake: FakePlatform) -> None:
    """A model says who is stable and at which revision."""
    fake.situation.add("churn", 2)
    client.promote("churn", 2)
    model = client.model("churn")
    assert (model.stable, model.revision, model.version_count) == ("2", 1, 2)
    assert client.version("churn", 2).stable


def test_promote_follows_the_revision(client: Client, fake: FakePlatform) -> None:
    """Each promotion makes the next revision, the first from none."""
    fake.situation.add("churn", 2)
    assert client.traffic("churn").revision == 0
    assert client.promote("churn", "1").revision == 1
    assert client.promote("churn", 2, note="better").note == "better"
    assert client.traffic("churn").stable == "2"


def test_promote_with_an_old_revision_conflicts(client: Client, fake: FakePlatform) -> None:
    """A plan that is not the one seen raises, with the present revision, and nothing is retried."""
    fake.situation.add("churn", 2)
    client.promote("churn", 1)
    with pytest.raises(RevisionConflict) as caught:
        client.promote("churn", 2, expect=0)
    assert caught.value.revision == 1
    assert fake.situation.count("PUT .*/traffic") == 2


def test_promote_a_version_that_is_not_ready_conflicts(client: Client, fake: FakePlatform) -> None:
    """Only ready versions take traffic."""
    fake.situation.add("churn", state="rejected")
    with pytest.raises(Conflict, match="not ready"):
        client.promote("churn", 1)


def test_rollback_goes_back_and_to_a_revision(client: Client, fake: FakePlatform) -> None:
    """A rollback restores the plan before, or a named one, as a new revision."""
    fake.situation.add("churn", 3)
    for version in (1, 2, 3):
        client.promote("churn", version)
    assert client.rollback("churn").stable == "2"
    assert client.rollback("churn", revision=1).stable == "1"
    assert [t.stable for t in client.history("churn")] == ["1", "2", "3", "2", "1"]


def test_a_journal_is_read_page_after_page(client: Client, fake: FakePlatform) -> None:
    """All of it comes, however many pages it takes; or as much as is asked for."""
    fake.situation.add("churn", 2)
    for turn in range(7):
        client.promote("churn", 1 + turn % 2)
    assert [t.revision for t in client.history("churn")] == [7, 6, 5, 4, 3, 2, 1]
    assert [t.revision for t in client.history("churn", limit=4)] == [7, 6, 5, 4]


def test_aliases_are_set_and_deleted(client: Client, fake: FakePlatform) -> None:
    """An alias moves, and goes."""
    fake.situation.add("churn", 2)
    client.set_alias("churn", "champion", 2)
    assert client.model("churn").aliases == {"champion": "2"}
    client.delete_alias("churn", "champion")
    with pytest.raises(NotFound) as caught:
        client.delete_alias("churn", "champion")
    assert caught.value.code == "unknown_alias"


def test_waiting_ends_when_ready(client: Client, fake: FakePlatform) -> None:
    """Waiting looks again until the version is ready."""
    fake.situation.add("churn", state="pending")
    fake.situation.checks_left = 2
    assert client.wait_until_ready("churn", 1).state == "ready"


def test_waiting_lets_serving_hear_of_it(client: Client, fake: FakePlatform) -> None:
    """Ready means that the next predict finds the version, so a node that lags a moment is waited for."""
    fake.situation.add("churn")
    fake.situation.deaf = 2
    client.wait_until_ready("churn", 1)
    assert fake.situation.deaf == 0


def test_waiting_survives_an_outage(client: Client, fake: FakePlatform) -> None:
    """While waiting, a registry that is away for a moment is no failure."""
    fake.situation.add("churn", state="pending")
    fake.situation.failures.append(Failure("GET .*/versions/1", 503, "registry_unavailable", times=2))
    assert client.wait_until_ready("churn", 1).state == "ready"


def test_waiting_ends_with_the_reasons(client: Client, fake: FakePlatform) -> None:
    """A rejected version raises its reasons."""
    fake.situation.add("churn", state="pending")
    fake.situation.rejections = ["it needs a library that cannot be had", "its example fails"]
    with pytest.raises(VersionRejected) as caught:
        client.wait_until_ready("churn", 1)
    assert caught.value.reasons == ("it needs a library that cannot be had", "its example fails")
    assert "churn version 1 is rejected" in caught.value.message


def test_waiting_has_a_deadline(client: Client, fake: FakePlatform) -> None:
    """Waiting ends with the state it saw last."""
    fake.situation.add("churn", state="pending")
    fake.situation.checks_left = 100
    with pytest.raises(Timeout, match="still checking") as caught:
        client.wait_until_ready("churn", 1, timeout=0.05)
    assert caught.value.code == "wait_timeout"


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (404, "unknown_version", NotFound),
        (422, "invalid_input", InvalidRequest),
        (429, "overloaded", Refused),
        (503, "loading", Unavailable),
        (500, "model_error", ModelFault),
        (504, "model_timeout", ModelFault),
        (500, "internal", ServerFault),
        (418, "a_code_of_the_future", InvalidRequest),
    ],
)
def test_codes_become_errors(client: Client, fake: FakePlatform, *, status: int, code: str, kind: type) -> None:
    """Each code raises what the caller can do about it, with the platform's message, and predict is not sent again."""
    fake.situation.failures.append(Failure("POST .*/predict", status, code, headers={"Retry-After": "7"}))
    with pytest.raises(kind, match=f"arranged: {code}") as caught:
        client.predict("churn", [[1]])
    error = caught.value
    assert isinstance(error, HeadgateError)
    assert (error.code, error.request_id, error.retry_after) == (code, "r-1", 7.0)
    assert fake.situation.count("predict") == 1


def test_a_proxy_in_between_is_told(client: Client, fake: FakePlatform) -> None:
    """An error page that is not ours names the URL and the status."""
    fake.situation.failures.append(Failure("GET .*/models", 502, raw=b"<html>Bad Gateway</html>"))
    with pytest.raises(Unavailable, match=r"/registry/v1/models\S* answered 502"):
        client.models()


def test_another_server_is_told(client: Client, fake: FakePlatform) -> None:
    """A page instead of JSON, or JSON of another shape, is a fault that says so."""
    fake.situation.failures += [Failure("GET", 200, raw=b"<html>"), Failure("GET", 200, raw=b"[1]")]
    with pytest.raises(ServerFault, match="not JSON"):
        client.models()
    with pytest.raises(ServerFault, match="unknown shape"):
        client.models()


def test_nothing_there_names_the_url_and_the_variable() -> None:
    """Where nothing listens, the message has the URL, the command that starts it, and the variable."""
    url = f"http://127.0.0.1:{free_port()}"
    with Client(url) as client, pytest.raises(ConnectionFailed, match=url) as caught:
        client.models()
    assert "make up" in caught.value.message
    assert "HEADGATE_REGISTRY_URL" in caught.value.message


def test_no_answer_in_time(fake: FakePlatform) -> None:
    """A server that stays silent raises Timeout after the time that was set."""
    fake.situation.failures.append(Failure("GET .*/models", 0))
    with Client(fake.registry_url, timeout=0.2) as client, pytest.raises(Timeout, match=r"0\.2 s"):
        client.models()


def test_the_key_is_sent(fake: FakePlatform) -> None:
    """The API key travels as a bearer token, and no repr shows it."""
    with Client(fake.registry_url, api_key="hg_secret") as client:
        client.models()
        assert "hg_secret" not in repr(client.settings)
    assert fake.situation.requests[-1][2]["authorization"] == "Bearer hg_secret"


def test_loopback_goes_through_no_proxy(fake: FakePlatform, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy in the environment does not stand between us and this machine."""
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    with Client(fake.registry_url) as client:
        assert client.models() == []


def test_status_tells_what_is_down(fake: FakePlatform) -> None:
    """Status is told for each process, also where one is down."""
    fake.situation.add("churn")
    url = f"http://127.0.0.1:{free_port()}"
    with Client(fake.registry_url, url) as client:
        status = client.status()
    assert (status.registry.ready, status.serving.reachable) == (True, False)
    assert [m.name for m in status.models] == ["churn"]
    assert url in status.serving.detail


def test_status_tells_why_a_node_is_not_ready(client: Client, fake: FakePlatform) -> None:
    """What a process says of itself is passed on."""
    fake.situation.serving_ready = False
    serving = client.status().serving
    assert (serving.reachable, serving.ready) == (True, False)
    assert serving.detail == "the registry has not answered yet"


@pytest.mark.parametrize("name", ["", "a/b", "..", "a b", "-a", "é", "a\n", "x" * 200, "a?b"])
def test_bad_names_are_refused_before_sending(client: Client, fake: FakePlatform, name: str) -> None:
    """A name that cannot be is told at once, in few characters."""
    with pytest.raises(InvalidRequest) as caught:
        client.predict(name, [[1]])
    assert caught.value.code == "invalid_name"
    assert len(caught.value.message) < 250
    assert not fake.situation.requests


@pytest.mark.parametrize("version", [0, -1, "01", "1.0", "latest", True, "١"])
def test_bad_versions_are_refused_before_sending(client: Client, version: str | int) -> None:
    """Versions have one spelling."""
    with pytest.raises(InvalidRequest, match="is no version"):
        client.version("churn", version)
