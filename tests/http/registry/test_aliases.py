"""Aliases over HTTP: their revisions, their journal, and what MLflow's users do to them."""

from __future__ import annotations

import pytest

from registry.aliases import AliasChange
from registry.records import AliasName, ModelName
from tests.support.registry_app import V1, RegistryInMemory, code

ALIAS = f"{V1}/models/churn/aliases/champion"


@pytest.fixture
def registry() -> RegistryInMemory:
    """A registry in which churn has two ready versions."""
    made = RegistryInMemory()
    made.ready("churn", 2)
    return made


def journal(registry: RegistryInMemory) -> list[tuple[int, str | None, str]]:
    """Return revision, version and author of every change, oldest first."""
    lines = registry.ask("GET", f"{ALIAS}/history").json()["revisions"]
    return [(line["revision"], line["version"], line["who"]) for line in lines[::-1]]


def test_aliases(registry: RegistryInMemory) -> None:
    """An alias names a ready version; one that does not exist cannot be removed; odd names are refused."""
    aliases = f"{V1}/models/churn/aliases"
    assert registry.ask("PUT", ALIAS, json={"version": "2"}).json()["version"] == "2"
    assert registry.ask("GET", f"{V1}/models/churn").json()["aliases"] == {"champion": "2"}
    assert code(registry.ask("PUT", ALIAS, json={"version": "9"})) == (404, "unknown_version")
    assert code(registry.ask("PUT", f"{aliases}/latest", json={"version": "2"})) == (400, "invalid_name")
    assert registry.ask("DELETE", ALIAS).status_code == 204
    assert code(registry.ask("DELETE", ALIAS)) == (404, "unknown_alias")


def test_an_alias_is_shown_with_its_revision(registry: RegistryInMemory) -> None:
    """What it names, since when, by whom and why; the revision is the ETag."""
    assert code(registry.ask("GET", ALIAS)) == (404, "unknown_alias")
    told = registry.ask("PUT", ALIAS, json={"version": "2", "note": "better"})
    assert (told.status_code, told.headers["etag"]) == (200, '"1"')
    shown = registry.ask("GET", ALIAS)
    assert shown.headers["etag"] == '"1"' and shown.json() == told.json()
    expected = {"model": "churn", "alias": "champion", "revision": 1, "version": "2", "who": "api", "why": "better"}
    assert {key: shown.json()[key] for key in expected} == expected and shown.json()["at"].endswith("Z")
    assert code(registry.ask("GET", ALIAS.replace("churn", "none"))) == (404, "unknown_model")
    assert code(registry.ask("GET", f"{ALIAS.replace('churn', 'none')}/history")) == (404, "unknown_model")


def test_an_alias_seen_too_early_is_409_with_its_revision(registry: RegistryInMemory) -> None:
    """If-Match may be left out; where it is sent, the alias must be as it was seen."""
    registry.ask("PUT", ALIAS, json={"version": "1"}, headers={"if-match": '"0"'})
    registry.ask("PUT", ALIAS, json={"version": "2"})
    for method, body in (("PUT", {"version": "1"}), ("DELETE", None)):
        lost = registry.ask(method, ALIAS, json=body, headers={"if-match": '"1"'})
        assert code(lost) == (409, "revision_conflict") and lost.json()["error"]["details"] == {"revision": 2}
    assert code(registry.ask("DELETE", ALIAS, headers={"if-match": "2"})) == (400, "invalid_argument")
    assert registry.ask("DELETE", ALIAS, headers={"if-match": '"2"'}).status_code == 204


def test_the_journal_stays_when_the_alias_goes(registry: RegistryInMemory) -> None:
    """Removing is a line; setting it again goes on counting; pages are those of plans."""
    registry.ask("PUT", ALIAS, json={"version": "1"})
    registry.ask("DELETE", ALIAS)
    for _ in range(61):
        registry.reconciler.look()
    assert code(registry.ask("GET", ALIAS)) == (404, "unknown_alias")
    registry.ask("PUT", ALIAS, json={"version": "2"}, headers={"if-match": '"2"'})
    assert journal(registry) == [(1, "1", "api"), (2, None, "api"), (3, "2", "api")]
    page = registry.ask("GET", f"{ALIAS}/history?limit=1&before=3").json()["revisions"]
    assert [line["revision"] for line in page] == [2]
    assert registry.ask("GET", f"{ALIAS[:-8]}other/history").json() == {"revisions": []}


def test_what_is_done_in_mlflow_is_a_revision_by_mlflow(registry: RegistryInMemory) -> None:
    """Set, moved and removed there: each is adopted with who and what was done."""
    for version in ("1", "2"):
        registry.catalog.user_sets_alias("churn", "champion", version)
        registry.settle()
    registry.catalog.user_deletes_alias("churn", "champion")
    registry.settle()
    assert journal(registry) == [(1, "1", "mlflow"), (2, "2", "mlflow"), (3, None, "mlflow")]
    lines = registry.ask("GET", f"{ALIAS}/history").json()["revisions"]
    assert [line["why"] for line in lines] == [
        "removed in MLflow",
        "set to version 2 in MLflow",
        "set to version 1 in MLflow",
    ]


def test_what_was_put_back_in_mlflow_is_in_the_journal(registry: RegistryInMemory) -> None:
    """An alias moved there to a version that may not serve stays; the journal says what somebody tried, and why not."""
    registry.ask("PUT", ALIAS, json={"version": "1"})
    registry.settle()
    registry.log_model("churn", mlmodel=b"flavors: {}")
    registry.settle()
    registry.catalog.user_sets_alias("churn", "champion", "3")
    for _ in range(3):
        registry.settle()
    assert journal(registry) == [(1, "1", "api"), (2, "1", "mlflow")]
    why = registry.ask("GET", ALIAS).json()["why"]
    assert why.startswith("set to version 3 in MLflow, and put back: churn version 3 is rejected")


def test_a_move_here_beats_an_older_move_in_mlflow(registry: RegistryInMemory) -> None:
    """What MLflow was told before ours was acknowledged is put back, and the journal says so."""
    registry.ask("PUT", ALIAS, json={"version": "1"})
    registry.settle()
    registry.ready("churn")
    registry.catalog.user_sets_alias("churn", "champion", "3")
    registry.ask("PUT", ALIAS, json={"version": "2"})
    registry.settle()
    assert journal(registry) == [(1, "1", "api"), (2, "2", "api"), (3, "2", "mlflow")]
    assert registry.catalog.changed_since(0)[0].aliases == {"champion": "2"}


def test_a_move_while_the_reconciler_looks_is_not_undone(registry: RegistryInMemory) -> None:
    """Between the reconciler's look and its adoption somebody sets the alias here: theirs stands."""
    registry.ask("PUT", ALIAS, json={"version": "1"})
    registry.settle()
    registry.ready("churn")
    registry.catalog.user_sets_alias("churn", "champion", "2")
    current = registry.ledger.aliases.current
    waiting, moved = [True], []

    def meanwhile(model: ModelName, alias: AliasName) -> AliasChange | None:
        line = current(model, alias)
        if waiting and waiting.pop():
            moved.append(registry.ask("PUT", ALIAS, json={"version": "3"}).status_code)
        return line

    registry.ledger.aliases.current = meanwhile  # type: ignore[method-assign]  # draws the race
    registry.reconciler.look()
    registry.settle()
    assert moved == [200]
    assert registry.ask("GET", f"{V1}/models/churn").json()["aliases"] == {"champion": "3"}
    assert registry.catalog.changed_since(0)[0].aliases == {"champion": "3"}
