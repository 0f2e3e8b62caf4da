"""Who answers under a plan with a canary, rules and shadows: fair, steady, and quick."""

from __future__ import annotations

import math
import timeit
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.plans import WHOLE, Canary, Plan, Rule, Shadow
from registry.records import ModelName, VersionNumber
from registry.snapshots import SnapshotPage
from serving.routing.choose import Ask, choose
from serving.routing.split import Decision, point
from serving.routing.table import Table
from tests.support.serving_fakes import SIGNATURE, servable, snapshot

CHURN = ModelName("churn")
ONE, TWO, THREE, FOUR = (VersionNumber(n) for n in "1234")
VERSIONS = {n: servable(n, f"churn {n}", SIGNATURE) for n in "123"}


def table_of(revision: int = 1, name: str = "churn", **plan: Any) -> Table:
    """Return a table with one model, versions 1 to 3 and this plan; 1 is stable."""
    model = snapshot(name, VERSIONS, plan=Plan(ONE, **plan), revision=revision)
    return Table().merged(SnapshotPage(1, full=True, models=(model,)))


def ask(table: Table, key: str = "", request: str = "r", **fields: str) -> Decision:
    """Decide for a caller with this key, request id and headers (``_`` for ``-``)."""
    sent = {name.replace("_", "-").encode(): text.encode() for name, text in fields.items()}
    if key:
        sent[b"x-headgate-key"] = key.encode()
    return choose(table, Ask(ModelName(next(iter(table.models)))), sent, request)


def arms(table: Table, keys: range) -> dict[int, str]:
    """Return the arm of each key."""
    return {key: ask(table, f"user-{key}").arm for key in keys}


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_a_point_is_one_of_ten_thousand(seed: bytes, key: bytes) -> None:
    """Any seed and key give a number from 0 to 9,999, and the same one again."""
    assert 0 <= point(seed, key) < WHOLE
    assert point(seed, key) == point(seed, key)


@pytest.mark.parametrize("share", [1, 10, 500, 1000, 5000, 9000, 9999])
def test_a_share_is_kept_within_three_sigma(share: int) -> None:
    """Of 20,000 users, the canary gets its share, as near as chance allows."""
    table = table_of(canary=Canary(TWO, share, "7"))
    users, ratio = 20_000, share / WHOLE
    got = sum(arm == "canary" for arm in arms(table, range(users)).values())
    assert abs(got - users * ratio) <= 3 * math.sqrt(users * ratio * (1 - ratio)) + 1


def test_none_and_all_are_exact() -> None:
    """A share of 0 is nobody, a share of 1 everybody."""
    assert set(arms(table_of(canary=Canary(TWO, 0, "7")), range(3000)).values()) == {"stable"}
    assert set(arms(table_of(canary=Canary(TWO, WHOLE, "7")), range(3000)).values()) == {"canary"}


@given(st.text(min_size=1, max_size=30), st.integers(0, WHOLE), st.integers(0, WHOLE), st.integers(1, 99))
def test_raising_a_share_only_adds_keys(key: str, one: int, other: int, revision: int) -> None:
    """Who is in a smaller share is in every larger one, whatever the revision."""
    low, high = sorted((one, other))
    smaller = ask(table_of(canary=Canary(TWO, low, "7")), key).arm
    larger = ask(table_of(revision, canary=Canary(TWO, high, "7")), key).arm
    assert (smaller, larger) != ("canary", "stable")


def test_one_key_stays_where_it_is() -> None:
    """Ten thousand requests of one user get one arm, whatever their ids."""
    table = table_of(canary=Canary(TWO, 5000, "7"))
    assert len({ask(table, "ada", request=str(i)).version for i in range(10_000)}) == 1


def test_without_a_key_the_requests_id_decides() -> None:
    """Requests of nobody in particular are spread over both arms, and a repeated one stays."""
    table = table_of(canary=Canary(TWO, 5000, "7"))
    seen = Counter(ask(table, request=f"id-{i}").arm for i in range(4000))
    assert 1850 < seen["canary"] < 2150
    assert ask(table, request="id-1") == ask(table, request="id-1")


@pytest.mark.parametrize("other", [{"seed": "8"}, {"name": "fraud"}])
def test_other_rollouts_and_models_try_other_people(other: dict[str, str]) -> None:
    """Two canaries of 10 % have about 1 % of the users in common."""
    here = arms(table_of(canary=Canary(TWO, 1000, "7")), range(10_000))
    there = arms(
        table_of(name=other.get("name", "churn"), canary=Canary(TWO, 1000, other.get("seed", "7"))), range(10_000)
    )
    common = sum(here[key] == there[key] == "canary" for key in here)
    assert 60 < common < 140


def test_the_plan_may_name_another_header_for_the_key() -> None:
    """The sticky header is the plan's to choose."""
    table = table_of(canary=Canary(TWO, 5000, "7"), sticky="x-user")
    by_user = {ask(table, request=str(i), x_user="ada").version for i in range(100)}
    by_other = {ask(table, key="ada", request=str(i)).version for i in range(100)}
    assert (len(by_user), len(by_other)) == (1, 2)


def test_the_first_rule_that_fits_decides() -> None:
    """Rules come before the canary's share, in order, and only an equal value fits."""
    rules = (Rule("x-tenant", "beta", TWO), Rule("x-tenant", "beta", THREE), Rule("x-team", "ops", THREE))
    table = table_of(rules=rules, canary=Canary(TWO, WHOLE, "7"))
    assert (ask(table, x_tenant="beta").arm, ask(table, x_tenant="beta").version) == ("rule", TWO)
    assert ask(table, x_tenant="gold", x_team="ops").version == THREE
    assert ask(table, x_tenant="Beta").arm == "canary"


def test_what_cannot_answer_falls_back_to_stable() -> None:
    """A canary or rule whose version may not serve here is answered by stable, and is counted as that."""
    table = table_of(canary=Canary(FOUR, WHOLE, "7"), rules=(Rule("x-tenant", "beta", FOUR),))
    for decision in (ask(table), ask(table, x_tenant="beta")):
        assert (decision.arm, decision.version, decision.stable) == ("fallback", ONE, None)


def test_a_decision_says_who_stands_behind_it() -> None:
    """Only what the plan tries has stable behind it; falling back keeps the revision."""
    table = table_of(revision=5, canary=Canary(TWO, WHOLE, "7"), rules=(Rule("x-a", "b", ONE),))
    tried = ask(table)
    back = tried.fallen_back()
    assert (back.version, back.arm, back.revision, back.watched, back.stable) == (ONE, "fallback", 5, True, None)
    assert ask(table, x_a="b").stable is None
    assert choose(table, Ask(CHURN, version=TWO)).stable is None


def test_shadows_get_a_sample_of_requests_whoever_answers() -> None:
    """A sample is one of requests, not of users; a whole one is every request; the answering version is no shadow."""
    table = table_of(shadows=(Shadow(TWO, 2500), Shadow(THREE)), canary=Canary(TWO, 5000, "7"))
    seen: Counter[str] = Counter()
    for i in range(4000):
        decision = ask(table, "ada", request=f"id-{i}")
        seen.update(shadow.servable.version for shadow in decision.shadows)
        assert decision.chosen not in decision.shadows
    assert seen[THREE] == 4000
    assert seen[TWO] == 0 if ask(table, "ada").version == TWO else 880 < seen[TWO] < 1120


def test_pinned_and_alias_requests_have_no_shadows() -> None:
    """Only what the plan decides is copied."""
    assert not choose(table_of(shadows=(Shadow(TWO),)), Ask(CHURN, version=ONE)).shadows


def test_choosing_takes_less_than_two_microseconds() -> None:
    """With five rules that do not fit and a canary, the best of many rounds is under 2 µs."""
    rules = tuple(Rule(f"x-header-{i}", "value", THREE) for i in range(5))
    table = table_of(rules=rules, canary=Canary(TWO, 1000, "7"))
    fields = {b"host": b"localhost", b"content-type": b"application/json", b"x-headgate-key": b"user-1"}
    asked = Ask(CHURN)
    best = min(timeit.repeat(lambda: choose(table, asked, fields, "id"), number=2000, repeat=20)) / 2000
    assert best < 2e-6
