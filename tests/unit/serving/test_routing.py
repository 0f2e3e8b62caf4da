"""The table and the choice: which version answers, and what is said where none does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import HeadgateError
from registry.records import AliasName, ModelName, VersionNumber
from registry.snapshots import ModelSnapshot, SnapshotPage
from serving.routing.choose import Ask, choose
from serving.routing.table import Routes, Table
from tests.support.serving_fakes import SIGNATURE, servable, snapshot

CHURN = ModelName("churn")


def table_of(*models: object, revision: int = 1) -> Table:
    """Return a table with these models."""
    return Table().merged(SnapshotPage(revision, full=True, models=models))  # type: ignore[arg-type]  # snapshots


def refused(table: Table, ask: Ask) -> tuple[str, str]:
    """Return code and message of the refusal."""
    with pytest.raises(HeadgateError) as error:
        choose(table, ask)
    return error.value.code, error.value.message


def test_the_plan_chooses_its_stable_version() -> None:
    """Without a version or alias, the plan decides, and its revision is told."""
    decision = choose(table_of(snapshot(stable="2", revision=7)), Ask(CHURN))
    assert (decision.version, decision.arm, decision.revision) == ("2", "stable", 7)


def test_a_pinned_version_answers_itself() -> None:
    """Naming a version overrides the plan, also where there is none."""
    decision = choose(table_of(snapshot(stable=None)), Ask(CHURN, version=VersionNumber("2")))
    assert (decision.version, decision.arm) == ("2", "pinned")


def test_an_alias_answers_with_its_version() -> None:
    """An alias names a version."""
    decision = choose(table_of(snapshot(aliases={"champion": "2"})), Ask(CHURN, alias=AliasName("champion")))
    assert (decision.version, decision.arm) == ("2", "alias")


def test_signatures_are_parsed_once() -> None:
    """A page that changes another model keeps this one's parsed signature."""
    before = table_of(snapshot())
    after = before.merged(SnapshotPage(2, full=False, models=(snapshot("other"),)))
    assert after.models["churn"] is before.models["churn"]
    signature = choose(after, Ask(CHURN)).chosen.signature
    assert signature.inputs is not None
    assert [c.name for c in signature.inputs.columns] == ["a", "b"]


def test_an_unknown_model_is_said_to_be_one() -> None:
    """The message says where to find those that exist."""
    code, message = refused(table_of(snapshot()), Ask(ModelName("chrun")))
    assert code == "unknown_model"
    assert "chrun" in message
    assert "GET /models" in message


def test_an_unknown_version_is_told_which_exist() -> None:
    """At most ten are listed, the newest, and how many more there are."""
    assert refused(table_of(snapshot()), Ask(CHURN, version=VersionNumber("9"))) == (
        "unknown_version",
        "churn has no version 9; it has 1, 2",
    )
    many = snapshot(versions={str(n): servable(str(n)) for n in range(1, 31)})
    _, message = refused(table_of(many), Ask(CHURN, version=VersionNumber("99")))
    assert message.endswith("it has 21, 22, 23, 24, 25, 26, 27, 28, 29, 30 and 20 older ones")


def test_an_unknown_alias_is_told_which_exist() -> None:
    """Aliases that exist are listed."""
    code, message = refused(table_of(snapshot(aliases={"champion": "1"})), Ask(CHURN, alias=AliasName("best")))
    assert (code, message) == ("unknown_alias", "churn has no alias best; its aliases: champion")


def test_a_model_without_a_plan_says_how_to_name_a_version() -> None:
    """No plan is not the end: the versioned URL is in the message."""
    code, message = refused(table_of(snapshot(stable=None)), Ask(CHURN))
    assert code == "no_plan"
    assert "/models/churn/versions/<version>/predict" in message


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("pending", "not_ready"),
        ("checking", "not_ready"),
        ("rejected", "not_servable"),
        ("retired", "unknown_version"),
        ("something new", "unknown_version"),
    ],
)
def test_a_version_that_may_not_answer_says_why(state: str, code: str) -> None:
    """Its state in the registry decides what the caller is told."""
    table = table_of(snapshot(others={"3": state}))
    assert refused(table, Ask(CHURN, version=VersionNumber("3")))[0] == code


def test_a_signature_that_cannot_be_read_stops_its_version_alone() -> None:
    """The other versions of the model go on."""
    damaged = servable("1", "damaged", {"inputs": [{"nothing": 1}]})
    table = table_of(snapshot(versions={"1": damaged, "2": servable("2", "fine", SIGNATURE)}))
    assert refused(table, Ask(CHURN, version=VersionNumber("1")))[0] == "not_servable"
    assert choose(table, Ask(CHURN, version=VersionNumber("2"))).version == "2"


def test_a_full_page_replaces_everything_and_another_only_what_it_names() -> None:
    """Pages merge as the registry means them."""
    table = table_of(snapshot("a"), snapshot("b"))
    partial = table.merged(SnapshotPage(2, full=False, models=(snapshot("c"),), removed=("a",)))
    assert sorted(partial.models) == ["b", "c"]
    assert sorted(partial.merged(SnapshotPage(3, full=True, models=(snapshot("d"),))).models) == ["d"]


def test_a_swap_does_not_touch_the_table_that_a_request_holds() -> None:
    """A request that read the table before a change sees the world before it."""
    routes = Routes()
    routes.swap(table_of(snapshot(stable="1")))
    held = routes.table
    routes.swap(held.merged(SnapshotPage(2, full=False, models=(snapshot(stable="2"),))))
    assert (choose(held, Ask(CHURN)).version, choose(routes.table, Ask(CHURN)).version) == ("1", "2")


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("12"), st.booleans()), max_size=20))
def test_page_after_page_is_the_same_as_one_full_page(steps: list[tuple[str, str, bool]]) -> None:
    """Merging changes one by one ends where a full page ends."""
    table = Table()
    truth: dict[str, ModelSnapshot] = {}
    for revision, (name, stable, remove) in enumerate(steps, 1):
        if remove:
            truth.pop(name, None)
            page = SnapshotPage(revision, full=False, models=(), removed=(name,))
        else:
            truth[name] = snapshot(name, stable=stable)
            page = SnapshotPage(revision, full=False, models=(truth[name],))
        table = table.merged(page)
    full = Table().merged(SnapshotPage(len(steps), full=True, models=tuple(truth.values())))
    assert table.models == full.models
