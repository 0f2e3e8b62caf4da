"""Plans, their journal, rolling back, aliases, and the snapshot, over HTTP."""

from __future__ import annotations

import asyncio
import threading
import time

import httpx
import pytest

from registry.snapshots import SnapshotPage
from tests.support.registry_app import V1, RegistryInMemory, code

TRAFFIC = f"{V1}/models/churn/traffic"
PLAIN: dict[str, object] = {
    "canary": None,
    "shadows": [],
    "rules": [],
    "sticky": {"header": "x-headgate-key"},
    "note": "",
    "warm": False,
    "instances": 1,
    "allow_incompatible": False,
}


@pytest.fixture
def registry() -> RegistryInMemory:
    """A registry in which churn has three ready versions."""
    made = RegistryInMemory()
    made.ready("churn", 3)
    return made


def put(registry: RegistryInMemory, version: str, revision: int | str) -> httpx.Response:
    """Promote a version over HTTP."""
    return registry.ask("PUT", TRAFFIC, json={"stable": version, "note": "n"}, headers={"if-match": f'"{revision}"'})


def test_first_plan_and_the_next(registry: RegistryInMemory) -> None:
    """Each plan is a new revision, whose number is the ETag of the next look."""
    assert code(registry.ask("GET", TRAFFIC)) == (404, "no_plan")
    assert put(registry, "1", 0).json()["revision"] == 1
    second = put(registry, "2", 1)
    assert (second.status_code, second.headers["etag"]) == (200, '"2"')
    shown = registry.ask("GET", TRAFFIC)
    assert shown.headers["etag"] == '"2"' and shown.json()["plan"] == PLAIN | {"stable": "2", "note": "n"}


def test_plan_without_if_match_is_428(registry: RegistryInMemory) -> None:
    """Nobody replaces a plan without saying which one they saw."""
    assert code(registry.ask("PUT", TRAFFIC, json={"stable": "1"})) == (428, "precondition_required")


def test_plan_seen_too_early_is_409_with_the_present_revision(registry: RegistryInMemory) -> None:
    """The loser of a race is told the present revision."""
    put(registry, "1", 0)
    lost = put(registry, "2", 0)
    assert code(lost) == (409, "revision_conflict")
    assert lost.json()["error"]["details"]["revision"] == 1


@pytest.mark.parametrize("etag", ["1", "*", 'W/"1"', '"x"', '"-1"', '"1", "2"', ""])
def test_if_match_that_is_no_revision_is_400(registry: RegistryInMemory, etag: str) -> None:
    """If-Match is one revision in double quotes."""
    answer = registry.ask("PUT", TRAFFIC, json={"stable": "1"}, headers={"if-match": etag})
    assert code(answer) == (400, "invalid_argument")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"stable": "9"}, (404, "unknown_version")),
        ({"stable": "01"}, (404, "unknown_version")),
        ({"stable": 1}, (400, "invalid_argument")),
        ({}, (400, "invalid_argument")),
        ({"stable": "1", "canari": {"version": "2", "share": 0.1}}, (400, "invalid_argument")),
        ({"stable": "1", "note": "x" * 1001}, (400, "invalid_argument")),
        ({"stable": "1", "warm": "yes"}, (400, "invalid_argument")),
        ({"stable": "1", "instances": 0}, (400, "invalid_argument")),
        ({"stable": "1", "instances": 65}, (400, "invalid_argument")),
        ({"stable": "1", "instances": 1.5}, (400, "invalid_argument")),
        ({"stable": "1", "instances": True}, (400, "invalid_argument")),
    ],
)
def test_plan_that_cannot_be(registry: RegistryInMemory, body: object, expected: tuple[int, str]) -> None:
    """A plan that names no ready version, or a field this server does not know, is refused: nothing is ignored."""
    assert code(registry.ask("PUT", TRAFFIC, json=body, headers={"if-match": '"0"'})) == expected


def test_version_that_is_not_ready_gets_no_traffic(registry: RegistryInMemory) -> None:
    """A rejected version cannot be promoted; the old one keeps serving."""
    put(registry, "1", 0)
    registry.log_model("churn", mlmodel=b"nonsense")
    registry.settle()
    assert code(put(registry, "4", 1)) == (409, "not_ready")
    assert registry.ask("GET", TRAFFIC).json()["plan"]["stable"] == "1"


def test_journal_and_rollback(registry: RegistryInMemory) -> None:
    """Rolling back makes a new revision with the plan before; the journal keeps them all, newest first."""
    for revision, version in enumerate(("1", "2", "3")):
        put(registry, version, revision)
    assert registry.ask("POST", f"{TRAFFIC}/rollback").json()["plan"]["stable"] == "2"
    assert registry.ask("POST", f"{TRAFFIC}/rollback", json={"revision": 1}).json()["plan"]["stable"] == "1"
    journal = registry.ask("GET", f"{TRAFFIC}/history").json()["revisions"]
    assert [(r["revision"], r["plan"]["stable"]) for r in journal] == [(5, "1"), (4, "2"), (3, "3"), (2, "2"), (1, "1")]
    assert journal[0]["why"] == "rolled back to revision 1" and all(r["at"].endswith("Z") for r in journal)


def test_rollback_without_history_is_409(registry: RegistryInMemory) -> None:
    """There is nothing before the first plan, and no revision that never was."""
    put(registry, "1", 0)
    assert code(registry.ask("POST", f"{TRAFFIC}/rollback")) == (409, "not_ready")
    assert code(registry.ask("POST", f"{TRAFFIC}/rollback", json={"revision": 7})) == (404, "not_found")


def test_rolling_back_twice_gives_what_was_rolled_back(registry: RegistryInMemory) -> None:
    """Each goes to the plan before the present one, so the second undoes the first (R15)."""
    for revision, version in enumerate(("1", "2")):
        put(registry, version, revision)
    told = [registry.ask("POST", f"{TRAFFIC}/rollback").json() for _ in range(4)]
    assert [(r["revision"], r["plan"]["stable"]) for r in told] == [(3, "1"), (4, "2"), (5, "1"), (6, "2")]


def test_rolling_back_never_takes_all_traffic_away_unasked(registry: RegistryInMemory) -> None:
    """A revision without a plan is gone back to only where it is named."""
    put(registry, "1", 0)
    registry.ask("DELETE", TRAFFIC, headers={"if-match": '"1"'})
    put(registry, "2", 2)
    refused = registry.ask("POST", f"{TRAFFIC}/rollback")
    assert code(refused) == (409, "not_ready") and "revision 2" in refused.json()["error"]["message"]
    assert registry.ask("GET", TRAFFIC).json()["revision"] == 3
    assert registry.ask("POST", f"{TRAFFIC}/rollback", json={"revision": 2}).json()["plan"] is None
    assert registry.ask("POST", f"{TRAFFIC}/rollback").json()["plan"]["stable"] == "2"


def test_rolling_back_to_a_retired_version_is_409_naming_it(registry: RegistryInMemory) -> None:
    """What may not serve any more does not come back; the present plan stays."""
    put(registry, "1", 0)
    put(registry, "2", 1)
    registry.ask("POST", f"{V1}/models/churn/versions/1/retire")
    refused = registry.ask("POST", f"{TRAFFIC}/rollback")
    assert code(refused) == (409, "not_ready") and "version 1 is retired" in refused.json()["error"]["message"]
    assert registry.ask("GET", TRAFFIC).json()["plan"]["stable"] == "2"


def test_rolling_back_can_say_what_was_seen(registry: RegistryInMemory) -> None:
    """With If-Match, a rollback that is sent again after a lost answer does not undo itself."""
    for revision, version in enumerate(("1", "2")):
        put(registry, version, revision)
    seen = {"if-match": '"2"'}
    assert registry.ask("POST", f"{TRAFFIC}/rollback", headers=seen).json()["revision"] == 3
    assert code(registry.ask("POST", f"{TRAFFIC}/rollback", headers=seen)) == (409, "revision_conflict")


def test_all_traffic_can_be_taken_away(registry: RegistryInMemory) -> None:
    """Without a plan the version can be deleted; the journal remembers."""
    put(registry, "1", 0)
    cleared = registry.ask("DELETE", TRAFFIC, headers={"if-match": '"1"'})
    assert (cleared.status_code, cleared.json()["plan"]) == (200, None)
    assert registry.ask("DELETE", f"{V1}/models/churn/versions/1").status_code == 204


def test_snapshot_tells_what_changed(registry: RegistryInMemory) -> None:
    """A node that has a revision is told only of later changes."""
    full = registry.ask("GET", f"{V1}/snapshot").json()
    assert full["full"] and list(full["models"][0]["versions"]) == ["1", "2", "3"]
    registry.ready("other")
    changed = registry.ask("GET", f"{V1}/snapshot?since={full['revision']}").json()
    assert not changed["full"] and [m["name"] for m in changed["models"]] == ["other"]


def test_waiting_node_hears_of_a_change_at_once(registry: RegistryInMemory) -> None:
    """A long poll ends as soon as a plan changes, and after its time where nothing does."""
    since = registry.ledger.snapshots.revision()

    async def wait(seconds: float, *, change: bool) -> tuple[int, float]:
        transport = httpx.ASGITransport(app=registry.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as node:
            started = time.monotonic()
            poll = asyncio.create_task(node.get(f"{V1}/snapshot?since={since}&wait={seconds}"))
            if change:
                await asyncio.sleep(0)
                await node.put(TRAFFIC, json={"stable": "1"}, headers={"if-match": '"0"'})
            return len((await poll).json()["models"]), time.monotonic() - started

    async def both() -> list[tuple[int, float]]:
        return [await wait(0.3, change=False), await wait(20, change=True)]

    (quiet, after), (heard, soon) = asyncio.run(both())
    assert quiet == 0 and after >= 0.3
    assert heard == 1 and soon < 5


def test_snapshot_is_written_down_off_the_loop(registry: RegistryInMemory) -> None:
    """The loop, which answers everybody, spends no time on a large snapshot, and it is the JSON that nodes read."""
    writers: set[bool] = set()
    page = registry.ledger.snapshots.page

    class Watched(SnapshotPage):
        def to_json(self) -> dict[str, object]:
            writers.add(threading.current_thread() is threading.main_thread())
            return super().to_json()

    def watched(since: int) -> SnapshotPage:
        found = page(since)
        return Watched(found.revision, found.full, found.models, found.removed)

    registry.ledger.snapshots.page = watched  # type: ignore[method-assign]  # watches which thread is at work
    told = registry.ask("GET", f"{V1}/snapshot")
    assert told.headers["content-type"] == "application/json"
    assert SnapshotPage.from_json(told.json()) == page(0)
    assert writers == {False}


def test_warmth_and_instances_are_kept_shown_and_told(registry: RegistryInMemory) -> None:
    """A plan says how its versions are kept; journal, roll-back and nodes have it; only what it names gets more."""
    body = {"stable": "2", "warm": True, "instances": 64}
    answer = registry.ask("PUT", TRAFFIC, json=body, headers={"if-match": '"0"'})
    assert answer.json()["plan"] == PLAIN | body
    put(registry, "1", 1)
    rolled = registry.ask("POST", f"{TRAFFIC}/rollback", json={"revision": 1})
    assert rolled.json()["plan"] == PLAIN | body
    revisions = registry.ask("GET", f"{TRAFFIC}/history").json()["revisions"]
    assert [r["plan"]["instances"] for r in revisions] == [64, 1, 64]
    page = SnapshotPage.from_json(registry.ask("GET", f"{V1}/snapshot", params={"since": 0}).json())
    (model,) = page.models
    assert model.plan is not None
    assert (model.plan.warm, model.plan.instances) == (True, 64)
    assert {str(n): v.instances for n, v in model.versions.items()} == {"1": 1, "2": 64, "3": 1}
