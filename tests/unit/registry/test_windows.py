"""Counts that add up: bins that are the same everywhere, and merging in any order."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.plans import Canary, Plan, Rule, Shadow
from registry.records import ModelName, VersionNumber
from registry.reports import HeldPlan, LoadedVersion, NodeReport
from registry.windows import (
    LATENCY_BINS,
    MOST_BINS,
    MOST_OUTCOMES,
    MOST_OUTPUTS,
    ArmCounts,
    ArmWindow,
    Difference,
    ShadowCounts,
    ShadowWindow,
    is_bin,
    latency_bin,
    latency_edge,
    merged_bins,
    value_bins,
    value_edge,
)

bins = st.dictionaries(st.sampled_from(["n:17601", "c:a", "c:b", "nan"]), st.integers(1, 50))
latencies = st.dictionaries(st.integers(0, LATENCY_BINS - 1), st.integers(1, 50))
counts = st.builds(ArmCounts, st.integers(0, 99), st.integers(0, 9), st.integers(0, 9), latencies, bins)
pairs = st.dictionaries(st.tuples(st.sampled_from("ab"), st.sampled_from("ab")), st.integers(1, 9))
differences = st.builds(Difference, st.integers(0, 99), st.integers(0, 9), bins, bins, pairs)
shadows = st.builds(
    ShadowCounts,
    st.dictionaries(st.sampled_from(["compared", "error"]), st.integers(1, 9)),
    st.integers(0, 99),
    st.integers(0, 9),
    latencies,
    latencies,
    st.dictionaries(st.sampled_from(["", "score"]), differences, max_size=2),
)


@given(st.floats(1e-6, 100))
def test_a_time_lies_between_the_edges_of_its_bin(seconds: float) -> None:
    """A time is above its bin's edge and not above the next one, to within rounding."""
    number = latency_bin(seconds)
    assert latency_edge(number) <= seconds * (1 + 1e-9)
    assert seconds <= latency_edge(number + 1) * (1 + 1e-9)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_counted_near_its_bins_edge(number: float) -> None:
    """The edge of a number's bin has its sign, is not farther from zero, and at most a sixteenth nearer."""
    (name,) = value_bins(np.array([number]))
    edge = value_edge(name)
    assert edge is not None
    assert math.copysign(1, edge) == math.copysign(1, number) or number == 0
    assert abs(edge) <= abs(number)
    assert abs(number) <= max(abs(edge) * (1 + 1 / 16), 5e-324) or abs(number) < 1e-300


@given(st.lists(st.floats() | st.sampled_from([1.7976931348623157e308, 5e-324])))
def test_every_value_has_a_name_that_is_one(numbers: list[float]) -> None:
    """What values are counted by is what reports may say, the largest and the smallest doubles included."""
    assert all(map(is_bin, value_bins(np.array(numbers, dtype=np.float64))))


@pytest.mark.parametrize("name", ["n:abc", "n:", "n:1e3", "n:99999999", "n:-0", "n:007", "n:\u0663", "n:5\n", "x", ""])
def test_a_name_that_is_none_is_no_number(name: str) -> None:
    """What a database may have of before has no edge, and raises nothing."""
    assert not is_bin(name)
    assert value_edge(name) is None


def test_the_largest_bins_have_an_edge() -> None:
    """Above the largest double it is that one."""
    assert value_edge("n:35200") == -float(value_edge("n:-35200") or 0) == 1.7976931348623157e308


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([1, 1, 0]), {"c:1": 2, "c:0": 1}),
        (np.array([True, False]), {"c:True": 1, "c:False": 1}),
        (np.array(["yes", "no", None], dtype=object), {"c:yes": 1, "c:no": 1, "nan": 1}),
        (np.array([np.nan, np.inf, 0.0]), {"nan": 1, "inf": 1, "n:0": 1}),
        (np.array([], dtype=np.float64), {}),
    ],
)
def test_what_is_no_real_number_is_counted_by_its_own_words(values: np.ndarray, expected: dict[str, int]) -> None:
    """Labels, booleans, missing and infinite values each have a name of their own."""
    assert value_bins(values) == expected


def test_there_are_never_more_bins_than_agreed() -> None:
    """A thousand different labels are kept as so many and the rest together."""
    counted = merged_bins({}, value_bins(np.array([f"label-{i}" for i in range(1000)], dtype=object)))
    assert len(counted) == MOST_BINS + 1
    assert sum(counted.values()) == 1000


@given(counts, counts, counts)
def test_arms_merge_in_any_order(one: ArmCounts, two: ArmCounts, three: ArmCounts) -> None:
    """Adding is associative and commutative, so it does not matter when a report comes."""
    assert one.plus(two).plus(three) == three.plus(one.plus(two)) == two.plus(three).plus(one)


@given(shadows, shadows)
def test_shadows_merge_in_any_order(one: ShadowCounts, two: ShadowCounts) -> None:
    """Adding comparisons is commutative."""
    assert one.plus(two) == two.plus(one)


def test_a_shadow_has_at_most_so_many_outputs_and_outcomes() -> None:
    """Names that change from report to report do not add up without an end."""
    total = ShadowCounts()
    for n in range(100):
        total = total.plus(ShadowCounts({f"word_{n}": 1}, outputs={f"out-{n}": Difference(1)}))
    assert len(total.outputs) == MOST_OUTPUTS
    assert len(total.outcomes) == MOST_OUTCOMES + 1
    assert sum(total.outcomes.values()) == 100


@pytest.mark.parametrize("pairs", [[["a", "b", 1]] * 2, [[str(n), "b", 1] for n in range(MOST_BINS + 2)], [["a", 1]]])
def test_pairs_that_are_too_many_or_twice_are_refused(pairs: list[object]) -> None:
    """Nothing is overwritten, and nothing is endless."""
    with pytest.raises(ValueError):
        Difference.from_json({**Difference().to_json(), "pairs": pairs})


@given(counts, shadows)
def test_a_report_says_the_same_after_the_wire(arm: ArmCounts, shadow: ShadowCounts) -> None:
    """What a node sends is what the registry reads."""
    model, version = ModelName("churn"), VersionNumber("4")
    report = NodeReport(
        node="one:8080",
        boot="0" * 32,
        sequence=3,
        revision=17,
        held=(HeldPlan(model, 2, (version,)),),
        versions=(LoadedVersion(model, version, "ready", 4096),),
        arms=(ArmWindow(model, 3, "canary", version, 1000, arm),),
        shadows=(ShadowWindow(model, 3, version, 1000, shadow),),
    )
    assert NodeReport.from_json(json.loads(json.dumps(report.to_json()))) == report


@pytest.mark.parametrize("damage", [-1, 1.5, True, "1"])
def test_a_count_is_a_whole_number(damage: object) -> None:
    """Anything else in a report is refused, not added."""
    raw = {**ArmCounts().to_json(), "requests": damage}
    with pytest.raises(ValueError, match="count"):
        ArmCounts.from_json(raw)


def test_a_plan_says_the_same_after_the_journal() -> None:
    """Every part of a plan is kept."""
    four, five = VersionNumber("4"), VersionNumber("5")
    plan = Plan(
        VersionNumber("3"),
        canary=Canary(four, 1000, "r1"),
        shadows=(Shadow(five, 2500),),
        rules=(Rule("x-tenant", "beta", four),),
        sticky="x-user",
        allow_incompatible=True,
    )
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan
    assert plan.answering == {"3", "4"}
    assert plan.versions == {"3", "4", "5"}


def test_a_plan_of_before_has_only_a_stable_version() -> None:
    """Journals that older registries wrote are read as they were meant."""
    assert Plan.from_json({"stable": "3", "note": "first"}) == Plan(VersionNumber("3"), "first")
