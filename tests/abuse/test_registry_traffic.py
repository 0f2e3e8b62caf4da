"""What anybody may try with versions, plans and aliases, and what they get (groups R and C03)."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.support.registry_app import V1, RegistryInMemory, code

CHURN = f"{V1}/models/churn"
PLAN = f"{CHURN}/traffic"


@pytest.fixture
def registry() -> RegistryInMemory:
    """A registry in which churn has three ready versions."""
    made = RegistryInMemory()
    made.ready("churn", 3)
    return made


def put(registry: RegistryInMemory, body: Any, revision: int = 0) -> httpx.Response:
    """Replace the plan; a body of bytes is sent as it is."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"if-match": f'"{revision}"', "content-type": "application/json"}
    return registry.ask("PUT", PLAN, content=data, headers=headers)


def with_share(share: str) -> bytes:
    """Return a plan whose canary has this share, spelt so."""
    return b'{"stable": "1", "canary": {"version": "2", "share": %s}}' % share.encode()


NO_SHARES = ["-1", "101", "1.01", "1e-9", "0.00001", "-0.1", "100", "50", "1e308", "10000000000000000000000"]


@pytest.mark.parametrize("share", NO_SHARES)
def test_a_share_that_is_none_is_422(registry: RegistryInMemory, share: str) -> None:
    """Negative, above 1 (percent are not fractions), or finer than kept: refused saying what is right (C03)."""
    refused = put(registry, with_share(share))
    assert code(refused) == (422, "invalid_input")
    error = refused.json()["error"]
    assert "0 to 1" in error["message"] and error["details"]["path"] == "canary.share"
    shadowed = b'{"stable": "1", "shadows": [{"version": "2", "sample": %s}]}' % share.encode()
    assert code(put(registry, shadowed)) == (422, "invalid_input")


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        ("NaN", "non_finite_number"),
        ("-Infinity", "non_finite_number"),
        ("1e999", "non_finite_number"),
        ("01", "malformed_json"),
        ('"0.1"', "invalid_argument"),
        ("true", "invalid_argument"),
        ("null", "invalid_argument"),
        ("[0.1]", "invalid_argument"),
        ("1" * 400, "invalid_argument"),
        ("1" * 5000, "malformed_json"),
    ],
)
def test_a_share_that_is_no_number_is_400(registry: RegistryInMemory, share: str, expected: str) -> None:
    """No JSON, no number, or none that a double holds (C03, J01, J02)."""
    assert code(put(registry, with_share(share))) == (400, expected)


@pytest.mark.parametrize(("share", "shown"), [("0", 0), ("1", 1), ("0.0", 0), ("1.0", 1), ("1e-4", 0.0001)])
def test_nothing_and_all_are_exact(registry: RegistryInMemory, share: str, shown: float) -> None:
    """0 and 1 are kept as they are (C03)."""
    assert put(registry, with_share(share)).json()["plan"]["canary"]["share"] == shown


def test_of_many_promotions_at_once_one_wins(registry: RegistryInMemory) -> None:
    """All expect the same revision: one 200, the others 409 with the present one (R04)."""
    for seen in range(5):
        bodies = [{"stable": str(n % 3 + 1)} for n in range(8)]
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(put, [registry] * 8, bodies, [seen] * 8))
        assert sorted(answer.status_code for answer in answers) == [200] + [409] * 7
        lost = [answer for answer in answers if answer.status_code == 409]
        assert all(code(answer) == (409, "revision_conflict") for answer in lost)
        assert all(answer.json()["error"]["details"] == {"revision": seen + 1} for answer in lost)


def test_promotion_and_deletion_never_both_win(registry: RegistryInMemory) -> None:
    """Over HTTP, with MLflow's record: what was deleted has no traffic and no alias, here and there (R05)."""
    registry.ready("churn", 30)
    for n in range(4, 34):
        shown = registry.ask("GET", PLAN).json()
        promotion = {"stable": "1", "canary": {"version": str(n), "share": 0.1}}
        with ThreadPoolExecutor(3) as threads:
            tried = [
                threads.submit(put, registry, promotion, shown.get("revision", 0)),
                threads.submit(registry.ask, "PUT", f"{CHURN}/aliases/champion", json={"version": str(n)}),
                threads.submit(registry.ask, "DELETE", f"{CHURN}/versions/{n}"),
            ]
        promoted, aliased, deleted = (attempt.result().status_code for attempt in tried)
        registry.reconciler.look()
        there = {version.version for version in registry.catalog.changed_since(0)[0].versions}
        assert (deleted == 204) != (promoted == 200 or aliased == 200)
        assert (str(n) in there) is (deleted != 204)
    model = registry.ask("GET", CHURN).json()
    assert set(model["aliases"].values()) <= there


def test_a_version_with_traffic_cannot_be_deleted(registry: RegistryInMemory) -> None:
    """409 in_use naming where it has traffic; there is no way to force it but to give the traffic away first (R06)."""
    put(registry, {"stable": "1", "shadows": [{"version": "2"}]})
    for version, role in (("1", "stable"), ("2", "shadow")):
        refused = registry.ask("DELETE", f"{CHURN}/versions/{version}?force=true")
        assert code(refused) == (409, "in_use") and refused.json()["error"]["details"]["as"] == [role]
    put(registry, {"stable": "3"}, 1)
    assert registry.ask("DELETE", f"{CHURN}/versions/1").status_code == 204


def test_a_version_that_failed_its_checks_gets_no_part_of_the_traffic(registry: RegistryInMemory) -> None:
    """Not as stable, canary, shadow or by a rule: 409, and what answered goes on answering (R14)."""
    put(registry, {"stable": "1"})
    registry.log_model("churn", mlmodel=b"nonsense")
    registry.settle()
    parts: list[dict[str, Any]] = [
        {"stable": "4"},
        {"stable": "1", "canary": {"version": "4", "share": 0}},
        {"stable": "1", "shadows": [{"version": "4", "sample": 0}]},
        {"stable": "1", "rules": [{"header": "a", "equals": "b", "version": "4"}]},
        {"stable": "1", "canary": {"version": "4", "share": 0.1}, "allow_incompatible": True},
    ]
    for body in parts:
        refused = put(registry, body, 1)
        assert code(refused) == (409, "not_ready") and "version 4 is rejected" in refused.json()["error"]["message"]
    assert registry.ask("GET", PLAN).json()["revision"] == 1


def test_rolling_back_is_deterministic(registry: RegistryInMemory) -> None:
    """Nothing to go back to is 409; twice is there and back (R15)."""
    assert code(registry.ask("POST", f"{PLAN}/rollback")) == (404, "no_plan")
    put(registry, {"stable": "1"})
    assert code(registry.ask("POST", f"{PLAN}/rollback")) == (409, "not_ready")
    put(registry, {"stable": "2"}, 1)
    answers = [registry.ask("POST", f"{PLAN}/rollback").json() for _ in range(3)]
    assert [(a["revision"], a["plan"]["stable"]) for a in answers] == [(3, "1"), (4, "2"), (5, "1")]


def test_rollbacks_at_once_are_one_after_the_other(registry: RegistryInMemory) -> None:
    """Each that won has a revision of its own; the others are told that they were late (R15)."""
    for revision, version in enumerate("123"):
        put(registry, {"stable": version}, revision)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: registry.ask("POST", f"{PLAN}/rollback"), range(8)))
    won = sorted(answer.json()["revision"] for answer in answers if answer.status_code == 200)
    assert won == list(range(4, 4 + len(won))) and won
    assert all(code(a) == (409, "revision_conflict") for a in answers if a.status_code != 200)


def test_a_number_is_never_given_again(registry: RegistryInMemory) -> None:
    """A deleted version's number, and those of a deleted model, stay taken; no plan or alias comes back (R08)."""
    put(registry, {"stable": "1"})
    registry.ask("PUT", f"{CHURN}/aliases/champion", json={"version": "1"})
    registry.settle()
    registry.catalog.user_deletes_model("churn")
    for _ in range(61):
        registry.reconciler.look()
    assert code(registry.ask("GET", CHURN)) == (404, "unknown_model")
    assert registry.log_model("churn") == "4"
    registry.settle()
    plan = registry.ask("GET", PLAN).json()
    assert (plan["revision"], plan["plan"], plan["who"]) == (2, None, "mlflow")
    assert registry.ask("GET", CHURN).json()["aliases"] == {}
    journal = registry.ask("GET", f"{CHURN}/aliases/champion/history").json()["revisions"]
    assert [(line["version"], line["who"]) for line in journal] == [(None, "mlflow"), ("1", "api")]


def test_a_plan_as_large_as_may_be_is_kept(registry: RegistryInMemory) -> None:
    """Sixteen shadows, thirty-two rules with the longest values, a long note: one revision, shown whole."""
    registry.ready("churn", 17)
    body = {
        "stable": "1",
        "canary": {"version": "2", "share": 0.5},
        "shadows": [{"version": str(n), "sample": 1.0} for n in range(3, 19)],
        "rules": [{"header": "x" * 64, "equals": str(n) + "y" * 254, "version": "2"} for n in range(10, 42)],
        "note": "n" * 1000,
    }
    shown = put(registry, body).json()["plan"]
    assert {key: shown[key] for key in body} == body


@pytest.mark.parametrize("note", ["\u202e<script>", "a\nb\x00c", "𝔘" * 1000, "'; DROP TABLE headgate_plans; --"])
def test_a_note_is_only_text(registry: RegistryInMemory, note: str) -> None:
    """Whatever a note says, it comes back as text in JSON and does nothing."""
    assert put(registry, {"stable": "1", "note": note}).json()["plan"]["note"] == note
