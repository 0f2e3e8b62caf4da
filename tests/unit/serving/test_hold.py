"""Which plan may answer: the newest, or for now the one before."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.plans import Canary, Plan, Rule, Shadow
from registry.records import ModelName, VersionNumber
from registry.snapshots import ModelSnapshot, SnapshotPage
from serving.routing.choose import Ask, choose
from serving.routing.hold import decide
from serving.routing.table import Hold, RoutedModel, Routes, Table, routed
from tests.support.serving_fakes import SIGNATURE, servable, snapshot

V = {n: servable(n, f"m {n}", SIGNATURE) for n in ("1", "2", "3")}


def model(stable: str | None = "1", **more: Any) -> ModelSnapshot:
    """Return model m with versions 1 to 3."""
    return snapshot("m", more.pop("versions", V), stable, **more)


def hold(before: ModelSnapshot, newest: ModelSnapshot, loaded: str = "1") -> Hold | None:
    """Decide, with these versions loaded."""
    here = {V[n].digest for n in loaded} if "+" not in loaded else set()
    return decide(routed(before), routed(newest), lambda s: s.digest in here, lambda s: s.digest in here)


def test_a_plan_waits_for_its_version() -> None:
    """Version 1 answers here, 2 is not loaded: the plan before stays, with its revision."""
    found = hold(model("1", revision=4), model("2", revision=5))
    assert found is not None
    assert found.plan is not None
    assert (found.plan.stable, found.revision, [r.servable for r in found.awaits]) == ("1", 4, [V["2"]])


@pytest.mark.parametrize(
    ("before", "newest", "loaded"),
    [
        (model("1"), model("2"), "12"),
        (model("1"), model("2"), ""),
        (model(None), model("2"), "1"),
        (model("1"), model(None), "1"),
        (model("1"), model("1", revision=2), ""),
        (model("1"), model("1", revision=2, warm=True), "1"),
        (model("1"), model("2", versions={"2": V["2"]}), "1"),
        (model("1"), model("2", versions={"2": V["2"], "1": servable("1", "other bytes")}), "1"),
    ],
    ids=[
        "the new version is loaded",
        "the old one is not",
        "there was no plan",
        "there is none any more",
        "the version is the same",
        "only its warmth is new",
        "the old version is retired",
        "the old version has other bytes",
    ],
)
def test_a_plan_does_not_wait(before: ModelSnapshot, newest: ModelSnapshot, loaded: str) -> None:
    """Where waiting could not help anybody, the newest plan is in force at once."""
    assert hold(before, newest, loaded) is None


def test_a_canary_holds_nothing_back() -> None:
    """Only the stable version of the newest plan is waited for; stable answers for the others meanwhile."""
    one, two, three = (VersionNumber(n) for n in "123")
    tried = Plan(one, canary=Canary(two, 1000, "7"), rules=(Rule("x-a", "b", three),), shadows=(Shadow(three),))
    assert hold(model("1"), model(plan=tried, revision=2)) is None
    swapped = Plan(three, canary=Canary(two, 1000, "7"))
    found = hold(model(plan=tried), model(plan=swapped, revision=2))
    assert found is not None
    assert ([r.servable.version for r in found.awaits], found.plan) == ([three], tried)


def test_a_shadow_that_becomes_stable_is_loaded_anew_first() -> None:
    """Its processes came after everybody else's, so it is another copy."""
    behind = {**V, "2": replace(V["2"], background=True)}
    found = decide(
        routed(model("1", versions=behind)),
        routed(model("2", revision=2)),
        lambda s: True,
        lambda s: s.background or s.version == "1",
    )
    assert found is not None
    assert [r.servable for r in found.awaits] == [V["2"]]


def test_a_version_that_cannot_be_read_is_waited_for() -> None:
    """A node that cannot read the new version's signature goes on with the old one."""
    damaged = {**V, "2": servable("2", "damaged", {"inputs": [{"nothing": 1}]})}
    found = hold(model("1"), model("2", versions=damaged))
    assert found is not None
    assert (found.unreadable, found.awaits) == (("2",), ())


def test_an_alias_waits_for_itself() -> None:
    """A moved alias stays while its new version is cold; the plan and other aliases go on."""
    before = model("1", aliases={"champion": "1", "other": "3"})
    newest = model("1", aliases={"champion": "2", "other": "2", "new": "2"}, revision=2)
    found = hold(before, newest)
    assert found is not None
    assert found.aliases == {"champion": "1"}
    applied = found.applied(routed(newest))
    assert applied.aliases == {"champion": "1", "other": "2", "new": "2"}
    assert applied.revision == 2


def test_more_processes_are_loaded_before_the_fewer_go() -> None:
    """The same version with other instances is another copy: the one before answers under its number meanwhile."""
    more = {**V, "1": replace(V["1"], instances=4)}
    found = decide(
        routed(model("1")),
        routed(model("1", versions=more, revision=2)),
        lambda s: s.instances == 1,
        lambda s: s.instances == 1,
    )
    assert found is not None
    applied = found.applied(routed(model("1", versions=more, revision=2)))
    assert (applied.versions[VersionNumber("1")].servable.instances, applied.revision) == (1, 1)
    assert [r.servable.instances for r in found.awaits] == [4]


def test_routes_keep_what_is_in_force_and_what_is_learnt_apart() -> None:
    """A hold changes what is in force of one model; pinned requests see every version; lifting it lets the rest in."""
    old = Table().merged(SnapshotPage(1, full=True, models=(model("1"), snapshot("other"))))
    new = old.merged(SnapshotPage(2, full=False, models=(model("2", revision=2),)))
    routes = Routes()
    routes.swap(new)
    found = decide(old.models["m"], new.models["m"], lambda s: True, lambda s: False)
    assert found is not None
    routes.hold({"m": found})
    name = ModelName("m")
    decision = choose(routes.table, Ask(name))
    assert (decision.version, decision.revision) == ("1", 1)
    assert choose(routes.table, Ask(name, version=VersionNumber("2"))).version == "2"
    assert routes.table.models["other"] is routes.learnt.models["other"]
    assert routes.learnt is new
    routes.hold({})
    assert choose(routes.table, Ask(name)).version == "2"


NUMBERS = st.sampled_from(("1", "2", "3"))
MODELS = st.builds(
    lambda stable, there, revision, aliases: snapshot(
        "m", {n: V[n] for n in there}, stable, revision=revision, aliases=aliases
    ),
    st.none() | NUMBERS,
    st.sets(NUMBERS),
    st.integers(1, 5),
    st.dictionaries(st.sampled_from(("a", "b")), NUMBERS),
)


@given(MODELS, MODELS, st.sets(NUMBERS), st.sets(NUMBERS))
def test_whatever_is_held_can_answer(
    before: ModelSnapshot, newest: ModelSnapshot, usable: set[str], ready: set[str]
) -> None:
    """What stays may serve by the registry's word and can here, and something is missing of what comes."""
    old, new = routed(before), routed(newest)
    found = decide(old, new, lambda s: s.version in usable, lambda s: s.version in ready)
    if found is None:
        return
    in_force = found.applied(new)
    assert in_force.versions.keys() == new.versions.keys()
    stayed: set[VersionNumber] = set(found.aliases.values())
    if found.plan != new.plan or found.revision != new.revision:
        assert found.plan is not None
        stayed |= found.plan.versions
    for number in stayed:
        assert number in new.versions
        assert number in usable
    assert found.awaits or found.unreadable
    assert all(r.servable.version not in ready for r in found.awaits)


@given(MODELS, st.sets(NUMBERS))
def test_what_does_not_change_is_not_held(same: ModelSnapshot, loaded: set[str]) -> None:
    """Nothing waits for itself."""
    one: RoutedModel = routed(same)
    assert decide(one, routed(same), lambda s: s.version in loaded, lambda s: s.version in loaded) is None
