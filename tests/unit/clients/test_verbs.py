"""Admitting again, retiring, deleting, taking traffic away: in Python and on the command line."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from headgate import AsyncClient, Client, ClientClosed, Conflict, NotFound, RevisionConflict, VersionRejected
from headgate.cli.app import app
from typer.testing import CliRunner, Result

from tests.support.fake_platform import FakePlatform

Run = Callable[..., Result]


@pytest.fixture
def run(fake: FakePlatform, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command line against the fake platform."""
    monkeypatch.setenv("HEADGATE_REGISTRY_URL", fake.registry_url)
    monkeypatch.setenv("HEADGATE_SERVING_URL", fake.serving_url)
    return lambda *words, **more: CliRunner().invoke(app, list(words), **more)


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_register_names_its_options(kind: type) -> None:
    """``help(register)`` shows every option by name."""
    parameters = inspect.signature(kind.register).parameters  # type: ignore[attr-defined]  # both have it
    options = ["example", "alias", "wait", "timeout", "progress", "X", "y", "baseline"]
    assert list(parameters) == ["self", "model", "name", *options]
    assert all(parameters[p].kind is inspect.Parameter.KEYWORD_ONLY for p in ("example", "alias", "wait", "timeout"))


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_misspelt_option_is_refused_at_once(kind: type, fake: FakePlatform, model_directory: Path) -> None:
    """An option that does not exist raises TypeError before anything is read or sent."""
    with pytest.raises(TypeError, match="exampel"):
        kind(fake.registry_url).register(model_directory, name="churn", exampel=1)
    assert not fake.situation.requests


def test_a_closed_client_says_so(fake: FakePlatform) -> None:
    """After ``close`` every verb raises from the tree, in one line, and nothing is sent."""
    client = Client(fake.registry_url, fake.serving_url)
    client.close()
    for ask in (client.models, client.status, lambda: client.predict("churn", [1])):
        with pytest.raises(ClientClosed, match="this client is closed"):
            ask()

    async def ask_late() -> None:
        async with AsyncClient(fake.registry_url) as late:
            await late.models()
        await late.models()

    with pytest.raises(ClientClosed):
        asyncio.run(ask_late())
    assert len(fake.situation.requests) == 1


def test_traffic_is_taken_away(client: Client, fake: FakePlatform) -> None:
    """Clearing makes a revision without anybody, once; an old revision conflicts."""
    fake.situation.add("churn")
    assert client.clear_traffic("churn").revision == 0
    client.promote("churn", 1)
    with pytest.raises(RevisionConflict):
        client.clear_traffic("churn", expect=7)
    cleared = client.clear_traffic("churn")
    assert (cleared.revision, cleared.stable) == (2, None)
    assert client.clear_traffic("churn").revision == 2
    assert client.promote("churn", 1).revision == 3


def test_a_version_is_retired_or_deleted_unless_in_use(client: Client, fake: FakePlatform) -> None:
    """Retiring and deleting end a version; while it has traffic, they conflict."""
    fake.situation.add("churn", 2)
    client.promote("churn", 1)
    for end in (client.retire, client.delete_version):
        with pytest.raises(Conflict) as caught:
            end("churn", 1)
        assert caught.value.code == "in_use"
    assert client.retire("churn", 2).state == "retired"
    client.clear_traffic("churn")
    client.delete_version("churn", 1)
    assert client.version("churn", 1).state == "retired"


def test_a_rejected_version_is_checked_again(client: Client, fake: FakePlatform) -> None:
    """Admitting again waits for the verdict, or not."""
    fake.situation.add("churn", state="rejected")
    fake.situation.rejections = ["it still needs a GPU"]
    with pytest.raises(VersionRejected, match="GPU"):
        client.admit("churn", 1)
    fake.situation.rejections = []
    assert client.admit("churn", 1, wait=False).state == "checking"
    assert client.admit("churn", 1).state == "ready"


def test_rollback_without_a_plan_says_what_to_do(client: Client, fake: FakePlatform) -> None:
    """Where there was never a plan, the way out is a promotion, not an HTTP header."""
    fake.situation.add("churn")
    with pytest.raises(NotFound, match="promote a version first") as caught:
        client.rollback("churn")
    assert caught.value.code == "no_plan"
    assert "If-Match" not in caught.value.message


def test_the_command_line_has_the_same_verbs(run: Run, fake: FakePlatform) -> None:
    """Clear, retire and admit do on the command line what they do in Python."""
    fake.situation.add("churn")
    fake.situation.add("churn", state="rejected")
    run("promote", "churn", "1")
    assert run("versions", "retire", "churn", "1").exit_code == 1
    assert "nobody" in run("traffic", "clear", "churn").stdout
    assert "retired" in run("versions", "retire", "churn", "1").stderr
    assert json.loads(run("versions", "admit", "churn", "2", "-o", "json").stdout)["state"] == "ready"
    assert json.loads(run("versions", "delete", "churn", "2", "--yes", "-o", "json").stdout)["deleted"] is True
    assert fake.situation.count("DELETE .*/versions/2") == 1


def test_deleting_without_a_terminal_needs_yes(run: Run, fake: FakePlatform) -> None:
    """Where nobody can be asked, nothing is deleted unless --yes was said."""
    fake.situation.add("churn")
    result = run("versions", "delete", "churn", "1")
    assert (result.exit_code, fake.situation.requests) == (2, [])
    assert "--yes" in result.stderr
