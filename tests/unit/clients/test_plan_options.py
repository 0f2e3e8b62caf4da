"""Options of ``traffic set`` as a change of the present plan, and plans as words. Pure."""

from __future__ import annotations

import json

import pytest
import typer
from headgate import Canary, InvalidRequest, Plan, Rule, Shadow
from headgate.cli.plans import Change, changed, differences, parts, percent, plan_from_document, share_of
from hypothesis import given
from hypothesis import strategies as st

FULL = Plan(
    "3", Canary("4", 0.1), (Shadow("5", 0.25),), (Rule("x-tenant", "beta", "4"),), "x-user", "why", True, 2, True
)


@given(st.integers(0, 10_000))
def test_every_share_is_read_as_it_is_shown(ten_thousandths: int) -> None:
    """Whatever share the platform keeps, its words read back as the same number."""
    share = ten_thousandths / 10_000
    assert share_of(percent(share), "--canary") == share


@pytest.mark.parametrize(("text", "share"), [("10%", 0.1), ("0.1", 0.1), ("0", 0.0), ("100 %", 1.0), ("0.01%", 0.0001)])
def test_shares_are_written_in_percent_or_as_fractions(text: str, share: float) -> None:
    """Both usual ways to write a share are understood, exactly."""
    assert share_of(text, "--canary") == share


@pytest.mark.parametrize("text", ["10", "1", "110%", "-1%", "", "%", "x%", "nan%", "inf%", "0.001%", "1.5"])
def test_what_could_mean_two_things_is_no_share(text: str) -> None:
    """A bare number might be percent or not, so it is refused, as is what is no share at all."""
    with pytest.raises(typer.BadParameter):
        share_of(text, "--canary")


def test_only_what_is_named_changes() -> None:
    """A change of the canary's share leaves every other part of the plan; the note is the change's own."""
    after = changed(FULL, Change(canary="4=25%"), "churn")
    assert (after.canary, after.note) == (Canary("4", 0.25), "")
    assert (after.shadows, after.rules, after.sticky) == (FULL.shadows, FULL.rules, FULL.sticky)
    assert (after.warm, after.instances, after.allow_incompatible) == (True, 2, True)


def test_shadows_and_rules_are_put_in_their_places() -> None:
    """The same shadow or rule is changed where it stands, another is added at the end."""
    after = changed(FULL, Change(shadows=["6", "5=50%"], rules=["X-Tenant=beta:5", "x-tenant=a=b:c:4"]), "churn")
    assert after.shadows == (Shadow("5", 0.5), Shadow("6", 1.0))
    assert after.rules == (Rule("x-tenant", "beta", "5"), Rule("x-tenant", "a=b:c", "4"))


@pytest.mark.parametrize(
    "change",
    [Change(shadows=["6=25%", "5", "6=50%"]), Change(rules=["x-tenant=beta:4", "X-Tenant=beta:5"])],
    ids=["shadow", "rule"],
)
def test_what_is_named_twice_is_refused(change: Change) -> None:
    """Of two shadows of one version, or two rules for one value, none is dropped silently."""
    with pytest.raises(typer.BadParameter, match="named twice"):
        changed(FULL, change, "churn")


def test_clearing_comes_before_putting_in() -> None:
    """``--clear-shadows --shadow 6`` leaves one shadow."""
    cleared = frozenset({"canary", "shadows", "rules", "sticky"})
    assert changed(FULL, Change(shadows=["6"], cleared=cleared), "churn") == Plan(
        "3", shadows=(Shadow("6"),), warm=True, instances=2, allow_incompatible=True
    )


def test_a_first_plan_says_who_is_stable() -> None:
    """Without a plan nobody is stable, and that is said with the command to type."""
    with pytest.raises(typer.BadParameter, match="traffic set churn --stable VERSION"):
        changed(None, Change(canary="4=10%"), "churn")
    assert changed(None, Change(stable="3", canary="4=10%"), "churn") == Plan("3", Canary("4", 0.1))


@pytest.mark.parametrize(
    "change",
    [Change(canary="4"), Change(rules=["x-tenant:4"]), Change(rules=["x-tenant=beta"]), Change(rules=["=b:4"])],
)
def test_what_cannot_be_read_is_refused_with_the_form(change: Change) -> None:
    """A canary without a share and a rule without its parts are usage errors."""
    with pytest.raises(typer.BadParameter, match="write"):
        changed(FULL, change, "churn")


def test_a_version_that_is_none_is_refused() -> None:
    """Versions are checked before anything is sent."""
    with pytest.raises(InvalidRequest, match="did you mean 4"):
        changed(FULL, Change(canary="v4=10%"), "churn")


def test_differences_are_told_part_by_part() -> None:
    """What came, went and changed is there, and what stayed is not."""
    after = changed(FULL, Change(canary="4=25%", shadows=["6=5%"], cleared=frozenset({"rules"})), "churn")
    assert differences(FULL, after) == [
        ("canary", "4 at 10 %", "4 at 25 %"),
        ("shadow 6", None, "5 %"),
        ("rule x-tenant=beta", "to 4", None),
    ]
    assert differences(None, Plan("3")) == [("stable", "nobody", "3")]
    assert parts(Plan("3")) == {"stable": "3"}


def test_a_plan_survives_its_json() -> None:
    """The contract's form and back is the same plan; so is what ``traffic show --output json`` prints."""
    assert Plan.from_json(FULL.to_json()) == FULL
    assert plan_from_document(json.dumps(FULL.to_json())) == FULL
    assert plan_from_document(json.dumps({"model": "churn", "revision": 7, "plan": FULL.to_json()})) == FULL


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{", "not JSON"),
        ("[1]", "no object"),
        ('{"note": "x"}', "'stable' is missing|missing"),
        ('{"stable": "3", "canry": {"version": "4", "share": 0.1}}', "no field 'canry'"),
        ('{"stable": "3", "canary": {"version": "4", "share": 0.1, "weight": 3}}', "no field 'weight'"),
        ('{"stable": "3", "shadows": [{"version": "4", "share": 0.1}]}', "no field 'share'"),
        ('{"stable": "3", "canary": 4}', "no plan"),
    ],
)
def test_a_file_with_a_mistake_is_refused(document: str, message: str) -> None:
    """A misspelt field would be lost silently, so it is refused and named."""
    with pytest.raises(typer.BadParameter, match=message):
        plan_from_document(document)
