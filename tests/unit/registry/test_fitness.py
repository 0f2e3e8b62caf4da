"""Whether a plan may be made: shares, contradictions, and which version does not fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import Conflict, InvalidRequest
from registry.plans import WHOLE, Canary, Plan, Rule, Shadow
from registry.records import VersionNumber, VersionRecord, VersionState
from registry.traffic.fitness import require_fit, share_of
from tests.support.ledgers import CHURN, number, sealed


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0),
        (0.0, 0),
        (-0.0, 0),
        (1, WHOLE),
        (1.0, WHOLE),
        (0.1, 1000),
        (0.1 + 0.2, 3000),
        (0.0001, 1),
        (0.3333, 3333),
    ],
)
def test_a_share_is_kept_in_ten_thousandths(value: float, expected: int) -> None:
    """0 and 1 are exact, and what floating point adds to a sum is forgiven."""
    assert share_of(value, "canary.share") == expected


NO_SHARES = [-1, -0.0001, 1.0001, 2, 101, 1e-9, 1e-300, 0.00005, 0.33333, 1e308, 1.0000000000000002]


@pytest.mark.parametrize("value", [*NO_SHARES, float("nan"), float("inf"), float("-inf")])
def test_what_is_no_share_is_refused(value: float) -> None:
    """Out of range, or finer than a ten-thousandth: refused with what would be right, never rounded."""
    with pytest.raises(InvalidRequest, match=r"canary.share: .* fraction from 0 to 1") as refused:
        share_of(value, "canary.share")
    assert refused.value.code == "invalid_input"
    assert refused.value.details["path"] == "canary.share"


@given(st.integers(0, WHOLE))
def test_every_share_survives_being_shown(share: int) -> None:
    """What is shown as a fraction is read as the same share."""
    assert share_of(share / WHOLE, "s") == share


def record(n: int, signature: dict[str, Any] | None) -> VersionRecord:
    """Return a ready version with a signature."""
    what = replace(sealed(str(n)), signature=signature)
    return VersionRecord(CHURN, number(n), VersionState.READY, "s", "l", n, None, None, (), what)


def inputs(kind: str) -> dict[str, Any]:
    """Return the signature of one column."""
    return {"inputs": [{"name": "age", "type": kind, "required": True}], "outputs": None, "params": None}


def refusal(plan: Plan, signatures: Mapping[int, dict[str, Any] | None]) -> Conflict | None:
    """Return why a plan does not fit its versions, or None."""
    records = {number(n): record(n, signature) for n, signature in signatures.items()}
    try:
        require_fit(CHURN, plan, records)
    except Conflict as error:
        assert error.code == "incompatible_signature"
        return error
    return None


ONE, TWO, THREE = number(1), number(2), number(3)


def test_every_version_is_compared_with_the_stable_one() -> None:
    """Not with one another: a rule's version may be narrower than the canary."""
    plan = Plan(ONE, canary=Canary(TWO, 100), rules=(Rule("a", "b", THREE), Rule("a", "c", ONE)))
    fitting = {1: inputs("integer"), 2: inputs("double"), 3: inputs("long")}
    assert refusal(plan, fitting) is None
    refused = refusal(plan, fitting | {3: inputs("string")})
    assert refused is not None
    assert refused.message == (
        "churn version 3 (rule) does not take all that callers of version 1 send: 'age': it takes string, "
        'they send integer. "allow_incompatible": true insists'
    )


def test_a_version_without_a_signature_takes_anything() -> None:
    """Nothing is known against it; but it shows nothing of its own callers."""
    plan = Plan(ONE, shadows=(Shadow(TWO),))
    assert refusal(plan, {1: inputs("long"), 2: None}) is None
    assert refusal(plan, {1: None, 2: None}) is None
    refused = refusal(plan, {1: None, 2: inputs("long")})
    assert refused is not None and "declares no inputs" in refused.message
    assert refused.details["column"] == "inputs"


def test_a_plan_may_insist() -> None:
    """``allow_incompatible`` is the caller's word that it knows better."""
    plan = Plan(ONE, canary=Canary(TWO, 100), allow_incompatible=True)
    assert refusal(plan, {1: inputs("string"), 2: inputs("long")}) is None


@pytest.mark.parametrize(
    "damaged",
    [
        {"inputs": [{"name": "age", "type": "array", "items": 7}]},
        {"inputs": [{"name": "age"}]},
        {"inputs": [{"name": "age", "type": "object", "properties": {"a": 7}}]},
        {"inputs": [{"name": "age", "type": "array", "required": True, "items": [1]}]},
    ],
)
def test_a_damaged_signature_fits_nothing(damaged: dict[str, Any]) -> None:
    """What cannot be read cannot be shown to fit; it is never an error of ours."""
    stable = {"inputs": [{"name": "age", "type": "array", "items": {"type": "object", "properties": {"a": {}}}}]}
    assert refusal(Plan(ONE, canary=Canary(TWO, 1)), {1: stable, 2: damaged}) is not None


def test_a_signature_that_nests_for_ever_is_refused() -> None:
    """Depth costs a refusal, not the process."""
    deep: dict[str, Any] = {"type": "double"}
    for _ in range(5000):
        deep = {"type": "array", "items": deep}
    signature = {"inputs": [{"name": "age", **deep}]}
    wide = {"inputs": [{"name": "age", "type": "array", "items": {"type": "array", "items": deep}}]}
    assert refusal(Plan(ONE, canary=Canary(TWO, 1)), {1: signature, 2: wide}) is not None


def test_many_misfits_are_listed_not_all_told() -> None:
    """The message names three and the details eight of a thousand."""
    many = {"inputs": [{"name": f"c{n}", "type": "long", "required": True} for n in range(1000)]}
    refused = refusal(Plan(ONE, canary=Canary(TWO, 1)), {1: inputs("long"), 2: many})
    assert refused is not None
    assert len(refused.details["misfits"]) == 8
    assert refused.message.count("it takes") == 3 and "and more" in refused.message


def test_roles_say_as_what_a_version_is_named() -> None:
    """One version may have several; shares are in percent."""
    plan = Plan(ONE, canary=Canary(TWO, 5), shadows=(Shadow(TWO, 2500), Shadow(THREE)), rules=(Rule("a", "b", TWO),))
    assert plan.roles(ONE) == ("stable",)
    assert plan.roles(TWO) == ("canary 0.05%", "shadow 25%", "rule")
    assert plan.roles(THREE) == ("shadow",)
    assert plan.roles(VersionNumber("9")) == ()
