"""The whole plan over HTTP: what may stand in it, how it is shown, and who may serve the same callers."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from registry.plans import Canary, Rule, Shadow
from registry.records import ModelName, VersionNumber
from registry.snapshots import SnapshotPage
from tests.support.registry_app import V1, RegistryInMemory, code, mlmodel

CHURN = ModelName("churn")
TRAFFIC = f"{V1}/models/churn/traffic"
WHOLE: dict[str, Any] = {
    "stable": "1",
    "canary": {"version": "2", "share": 0.1},
    "shadows": [{"version": "3", "sample": 0.25}],
    "rules": [{"header": "X-Tenant", "equals": "beta", "version": "3"}],
    "sticky": {"header": "X-User"},
    "note": "try",
    "allow_incompatible": False,
}


@pytest.fixture
def registry() -> RegistryInMemory:
    """A registry in which churn has three ready versions."""
    made = RegistryInMemory()
    made.ready("churn", 3)
    return made


def put(registry: RegistryInMemory, body: Any, revision: int = 0) -> httpx.Response:
    """Replace the plan."""
    return registry.ask("PUT", TRAFFIC, json=body, headers={"if-match": f'"{revision}"'})


def test_a_whole_plan_is_kept_shown_and_told(registry: RegistryInMemory) -> None:
    """Every part comes back, header names in lower case, and nodes are told of it in ten-thousandths."""
    shown = put(registry, WHOLE).json()["plan"]
    assert shown == WHOLE | {
        "rules": [{"header": "x-tenant", "equals": "beta", "version": "3"}],
        "sticky": {"header": "x-user"},
        "warm": False,
        "instances": 1,
    }
    page = SnapshotPage.from_json(registry.ask("GET", f"{V1}/snapshot").json())
    plan = page.models[0].plan
    assert plan is not None
    one, two, three = (VersionNumber(n) for n in "123")
    assert (plan.stable, plan.canary, plan.shadows) == (one, Canary(two, 1000, "1"), (Shadow(three, 2500),))
    assert (plan.rules, plan.sticky) == ((Rule("x-tenant", "beta", three),), "x-user")


def test_what_is_shown_can_be_put_back(registry: RegistryInMemory) -> None:
    """The plan of one answer is the body of the next, unchanged."""
    for revision, body in enumerate((WHOLE, {"stable": "2"}, WHOLE | {"canary": {"version": "2", "share": 0.3333}})):
        put(registry, body, revision * 2)
        shown = registry.ask("GET", TRAFFIC).json()["plan"]
        again = put(registry, shown, revision * 2 + 1)
        assert (again.status_code, again.json()["plan"]) == (200, shown)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"canary": {"version": "1", "share": 0.1}}, "canary.version"),
        ({"canary": {"version": "2"}}, "canary.share"),
        ({"canary": {"version": "2", "share": "0.1"}}, "canary.share"),
        ({"canary": {"version": "2", "share": True}}, "canary.share"),
        ({"canary": {"version": "2", "share": 0.1, "seed": "x"}}, "canary.seed"),
        ({"canary": {"version": 2, "share": 0.1}}, "canary.version"),
        ({"shadows": [{"version": "1"}]}, "shadows"),
        ({"shadows": [{"version": "3"}, {"version": "3", "sample": 0.1}]}, "shadows"),
        ({"shadows": [{"version": "3"}] * 17}, "shadows"),
        ({"shadows": {"version": "3"}}, "shadows"),
        ({"rules": [{"header": "a", "equals": str(n), "version": "2"} for n in range(33)]}, "rules"),
        ({"rules": [{"header": "a", "equals": "b", "version": "2"}] * 2}, "rules"),
        ({"rules": [{"header": "a b", "equals": "b", "version": "2"}]}, "rules.0.header"),
        ({"rules": [{"header": "", "equals": "b", "version": "2"}]}, "rules.0.header"),
        ({"rules": [{"header": "a\n", "equals": "b", "version": "2"}]}, "rules.0.header"),
        ({"rules": [{"header": "x" * 65, "equals": "b", "version": "2"}]}, "rules.0.header"),
        ({"rules": [{"header": "Authorization", "equals": "Bearer hg_x", "version": "2"}]}, "rules.0.header"),
        ({"rules": [{"header": "a", "equals": "", "version": "2"}]}, "rules.0.equals"),
        ({"rules": [{"header": "a", "equals": " b", "version": "2"}]}, "rules.0.equals"),
        ({"rules": [{"header": "a", "equals": "b\n", "version": "2"}]}, "rules.0.equals"),
        ({"rules": [{"header": "a", "equals": "é", "version": "2"}]}, "rules.0.equals"),
        ({"rules": [{"header": "a", "equals": "x" * 257, "version": "2"}]}, "rules.0.equals"),
        ({"sticky": {"header": "cookie"}}, "sticky.header"),
        ({"sticky": "x-user"}, "sticky"),
        ({"sticky": {}}, "sticky.header"),
        ({"allow_incompatible": 1}, "allow_incompatible"),
        ({"seed": "x"}, "seed"),
    ],
)
def test_a_plan_that_cannot_be_is_400_saying_where(
    registry: RegistryInMemory, change: dict[str, Any], where: str
) -> None:
    """Nothing is ignored, guessed or repaired, and nothing changes."""
    refused = put(registry, {"stable": "1", **change})
    assert code(refused) == (400, "invalid_argument")
    assert where in refused.json()["error"]["message"]
    assert code(registry.ask("GET", TRAFFIC)) == (404, "no_plan")


@pytest.mark.parametrize("equals", ["b", "a b", "x" * 256, '"quoted"', "~!"])
def test_values_that_a_rule_may_look_for(registry: RegistryInMemory, equals: str) -> None:
    """Any visible ASCII, with spaces inside."""
    rule = {"header": "a", "equals": equals, "version": "2"}
    assert put(registry, {"stable": "1", "rules": [rule]}).json()["plan"]["rules"] == [rule]


@pytest.mark.parametrize(
    "part",
    [
        {"canary": {"version": "9", "share": 0.1}},
        {"shadows": [{"version": "9"}]},
        {"rules": [{"header": "a", "equals": "b", "version": "9"}]},
        {"canary": {"version": "02", "share": 0.1}},
    ],
)
def test_versions_that_do_not_exist_are_404(registry: RegistryInMemory, part: dict[str, Any]) -> None:
    """Wherever in the plan they are named."""
    assert code(put(registry, {"stable": "1", **part})) == (404, "unknown_version")


def test_the_canary_keeps_its_seed_while_it_is_the_canary(registry: RegistryInMemory) -> None:
    """Raising its share, and rolling back to it, only add or take keys; another canary picks others."""

    def seed() -> str | None:
        current = registry.ledger.plans.current(CHURN)
        assert current is not None and current.plan is not None
        return current.plan.canary.seed if current.plan.canary is not None else None

    def shift(version: str, share: float, revision: int) -> str | None:
        put(registry, {"stable": "1", "canary": {"version": version, "share": share}}, revision)
        return seed()

    assert [shift("2", 0.1, 0), shift("2", 0.5, 1), shift("3", 0.1, 2), shift("3", 0, 3)] == ["1", "1", "3", "3"]
    put(registry, {"stable": "1"}, 4)
    assert seed() is None
    assert shift("3", 0.1, 5) == "6"
    registry.ask("POST", f"{TRAFFIC}/rollback", json={"revision": 2})
    assert seed() == "1"


def test_a_version_says_where_it_has_traffic(registry: RegistryInMemory) -> None:
    """In the words of the plan; nothing where the plan does not name it."""
    assert registry.ask("GET", f"{V1}/models/churn/versions/1").json()["traffic"] == []
    put(registry, WHOLE)
    listed = registry.ask("GET", f"{V1}/models/churn/versions").json()["versions"]
    assert {v["version"]: (v["stable"], v["traffic"]) for v in listed} == {
        "1": (True, ["stable"]),
        "2": (False, ["canary 10%"]),
        "3": (False, ["shadow 25%", "rule"]),
    }


@pytest.mark.parametrize(
    ("version", "roles"), [("1", ["stable"]), ("2", ["canary 10%"]), ("3", ["shadow 25%", "rule"])]
)
def test_a_version_with_any_traffic_cannot_go(registry: RegistryInMemory, version: str, roles: list[str]) -> None:
    """Neither retired nor deleted, by us or by MLflow: 409 saying as what the plan names it."""
    put(registry, WHOLE)
    for method, path in (("POST", "/retire"), ("DELETE", "")):
        refused = registry.ask(method, f"{V1}/models/churn/versions/{version}{path}")
        assert code(refused) == (409, "in_use")
        assert f"as {' and '.join(roles)}" in refused.json()["error"]["message"]
        assert refused.json()["error"]["details"] == {"plan_revision": 1, "as": roles, "aliases": []}


def test_a_version_that_refuses_what_callers_send_is_409(registry: RegistryInMemory) -> None:
    """Naming the column, with both types; one who insists gets it; and rolling back to it insists as well."""
    for columns in ([("age", "double")], [("age", "double"), ("income", "long")]):
        registry.log_model("credit", mlmodel=mlmodel(*columns))
    registry.settle()
    traffic = TRAFFIC.replace("churn", "credit")
    plan: dict[str, Any] = {"stable": "1", "canary": {"version": "2", "share": 0.1}}
    refused = registry.ask("PUT", traffic, json=plan, headers={"if-match": '"0"'})
    assert code(refused) == (409, "incompatible_signature")
    error = refused.json()["error"]
    assert "'income'" in error["message"] and "allow_incompatible" in error["message"]
    named = {key: error["details"][key] for key in ("version", "column", "expected", "got")}
    assert named == {"version": "2", "column": "income", "expected": "long, always", "got": "nothing"}
    plan["allow_incompatible"] = True
    made = registry.ask("PUT", traffic, json=plan, headers={"if-match": '"0"'})
    assert made.json()["plan"]["allow_incompatible"] is True
    registry.ask("PUT", traffic, json={"stable": "2"}, headers={"if-match": '"1"'})
    assert registry.ask("POST", f"{traffic}/rollback").json()["plan"] == made.json()["plan"]


def test_the_document_describes_the_plan(registry: RegistryInMemory) -> None:
    """OpenAPI has every part, with the bounds of a share."""
    schemas = registry.ask("GET", "/openapi.json").json()["components"]["schemas"]
    assert {"canary", "shadows", "rules", "sticky", "allow_incompatible"} <= schemas["PlanBody"]["properties"].keys()
    share = schemas["CanaryBody"]["properties"]["share"]
    assert (share["minimum"], share["maximum"]) == (0, 1)
