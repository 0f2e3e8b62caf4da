"""What nodes report, and what can be seen of them, over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from registry.plans import Canary, Plan, Shadow
from registry.reports import HeldPlan, NodeReport
from registry.windows import Difference, ShadowCounts, ShadowWindow, latency_bin, value_bins
from tests.support.ledgers import CHURN, number
from tests.support.registry_app import V1, RegistryInMemory, code
from tests.support.rollouts import BOOT, arm, counts, loaded, report

WINDOWS = f"{V1}/windows"
STATUS = f"{V1}/models/churn/traffic/status"
PLAN = Plan(number(1), "n", canary=Canary(number(2), 1_000, "s"), shadows=(Shadow(number(3)),))


@pytest.fixture
def registry() -> RegistryInMemory:
    """A registry in which churn has three ready versions: stable, canary and shadow."""
    made = RegistryInMemory()
    made.ready("churn", 3)
    made.ledger.plans.append(CHURN, 0, PLAN, "ana", "")
    return made


def post(registry: RegistryInMemory, said: NodeReport) -> int:
    """Post a report; return the sequence that was acknowledged."""
    answer = registry.ask("POST", WINDOWS, json=said.to_json())
    assert answer.status_code == 200, answer.text
    return int(answer.json()["sequence"])


def test_the_document_says_what_a_report_holds(registry: RegistryInMemory) -> None:
    """OpenAPI describes the body of a report: every field that a node sends, and no other."""
    operation = registry.ask("GET", "/openapi.json").json()["paths"][WINDOWS]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    sent = report(1).to_json()
    assert set(schema["properties"]) == set(sent) >= set(schema["required"])


def test_a_report_counts_once(registry: RegistryInMemory) -> None:
    """The same one again is acknowledged and changes nothing; so is one that comes late."""
    first, second = report(1, arm(counts(10), 1)), report(2, arm(counts(5), 1))
    assert [post(registry, said) for said in (first, first, second, first)] == [1, 1, 2, 2]
    assert sum(part.window.counts.requests for part in registry.ledger.reports.arms(CHURN, [1])) == 15


def broken(**more: object) -> Callable[[dict[str, Any]], object]:
    """Return what puts other values into a report."""
    return lambda said: said | more


def in_arm(**more: object) -> Callable[[dict[str, Any]], object]:
    """Return what puts other values into a report's first arm."""
    return lambda said: said | {"arms": [said["arms"][0] | more]}


def in_counts(**more: object) -> Callable[[dict[str, Any]], object]:
    """Return what puts other values into the counts of a report's first arm."""
    return lambda said: said | {"arms": [said["arms"][0] | {"counts": said["arms"][0]["counts"] | more}]}


def with_example(example: object) -> Callable[[dict[str, Any]], object]:
    """Return what adds a shadow with an example."""
    return with_shadow(examples=[example])


def with_shadow(**more: object) -> Callable[[dict[str, Any]], object]:
    """Return what adds a shadow whose counts are these."""
    window = {"model": "churn", "revision": 1, "version": "3", "start_ms": 0, "counts": ShadowCounts().to_json() | more}
    return lambda said: said | {"shadows": [window]}


def with_output(name: str = "score", **more: object) -> Callable[[dict[str, Any]], object]:
    """Return what adds a shadow with one output that differed so."""
    return with_shadow(outputs={name: Difference().to_json() | more})


DEEP: Any = {}
for _ in range(40):
    DEEP = {"a": DEEP}


@pytest.mark.parametrize(
    "damage",
    [
        lambda said: [],
        lambda said: None,
        lambda said: {},
        broken(node=""),
        broken(node="a b"),
        broken(node=7),
        broken(node="n" * 129),
        broken(boot="xyz"),
        broken(sequence=0),
        broken(sequence="many"),
        broken(sequence="7"),
        broken(sequence=1.9),
        broken(sequence=True),
        broken(revision="7"),
        broken(sequence=2**60),
        broken(revision=-1),
        broken(held=None),
        broken(held=[{"model": "churn", "revision": 1, "awaits": ["0"]}]),
        broken(held=[{"model": "churn", "revision": 1, "awaits": ["1"] * 10_001}]),
        broken(versions=[{"model": "-", "version": "1", "state": "ready", "memory_bytes": 1}]),
        broken(versions=[{"model": "churn", "version": "1", "state": "<b>", "memory_bytes": 1}]),
        broken(versions=[{"model": "churn", "version": "1", "state": "ready", "memory_bytes": -1}]),
        broken(arms=[{}]),
        in_arm(arm="shadow"),
        in_arm(revision=0),
        in_arm(start_ms=-1),
        in_arm(start_ms=1.9),
        in_arm(revision="1"),
        in_arm(version="01"),
        in_counts(requests=-1),
        in_counts(requests=1.5),
        in_counts(requests=True),
        in_counts(requests=2**60),
        in_counts(errors=11),
        in_counts(latency={"5": 11}),
        in_counts(latency={"500": 1}),
        in_counts(latency=[1]),
        in_counts(predictions={str(n): 1 for n in range(300)}),
        in_counts(predictions={"n:abc": 5}),
        in_counts(predictions={"n:": 5}),
        in_counts(predictions={"n:1e3": 5}),
        in_counts(predictions={"n:99999999": 5}),
        in_counts(predictions={"c:" + "x" * 65: 5}),
        in_counts(predictions={"yes": 5}),
        in_counts(predictions={"n:1": 2**60}),
        with_output("n" * 129),
        with_output(absolute={"n:abc": 1}),
        with_output(relative={"n:1": 2**60}),
        with_output(differed=2**60),
        with_output(compared=2**60),
        with_output(pairs=[["a", "b", 2**60]]),
        with_output(pairs=[["a", "b" * 65, 1]]),
        with_output(pairs=[["a", str(n), 1] for n in range(258)]),
        with_shadow(outputs={str(n): Difference().to_json() for n in range(65)}),
        with_shadow(outcomes={"a" * n: 1 for n in range(1, 34)}),
        with_example(DEEP),
        with_example({"a": "x" * 20_000}),
        with_example({"a": "\ud800"}),
        with_example("words"),
    ],
)
def test_damaged_reports_are_refused(registry: RegistryInMemory, damage: Callable[[dict[str, Any]], object]) -> None:
    """As a whole: 400, and no node and no count comes of it."""
    body = json.dumps(damage(report(1, arm(counts(10), 1)).to_json()))
    answer = registry.ask("POST", WINDOWS, content=body, headers={"content-type": "application/json"})
    assert code(answer) == (400, "invalid_argument")
    assert registry.ask("GET", f"{V1}/nodes").json() == {"nodes": []}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", (400, "malformed_json")),
        (b"{", (400, "malformed_json")),
        (b'{"node": "a", "node": "b"}', (400, "duplicate_key")),
        (b'{"node": NaN}', (400, "non_finite_number")),
        (b'{"node": 1e999}', (400, "non_finite_number")),
        (b"[" * 100_000, (400, "too_deep")),
        (b" " * (16 * 2**20 + 1), (413, "body_too_large")),
    ],
)
def test_bodies_that_are_none(registry: RegistryInMemory, body: bytes, expected: tuple[int, str]) -> None:
    """They are refused before anybody looks into them."""
    answer = registry.ask("POST", WINDOWS, content=body, headers={"content-type": "application/json"})
    assert code(answer) == expected


def test_reports_are_json(registry: RegistryInMemory) -> None:
    """Any other content type is refused."""
    answer = registry.ask("POST", WINDOWS, content=b"{}", headers={"content-type": "text/plain"})
    assert code(answer) == (415, "unsupported_media_type")


def test_nodes_are_listed(registry: RegistryInMemory) -> None:
    """What each serves and waits for; lost after a minute, gone after an hour."""
    held = (HeldPlan(CHURN, 1, (number(2),)),)
    post(registry, report(1, revision=5, held=held, versions=(loaded(1), loaded(2, "loading"))))
    registry.clock.now_ms += 30_000
    (node,) = registry.ask("GET", f"{V1}/nodes").json()["nodes"]
    assert node == {
        "node": "node-a",
        "boot": BOOT,
        "revision": 5,
        "age_seconds": 30.0,
        "lost": False,
        "held": [{"model": "churn", "revision": 1, "awaits": ["2"]}],
        "versions": [
            {"model": "churn", "version": "1", "state": "ready", "memory_bytes": 1000},
            {"model": "churn", "version": "2", "state": "loading", "memory_bytes": 1000},
        ],
    }
    registry.clock.now_ms += 31_000
    assert registry.ask("GET", f"{V1}/nodes").json()["nodes"][0]["lost"] is True
    registry.clock.now_ms += 3_600_000
    assert registry.ask("GET", f"{V1}/nodes").json()["nodes"] == []


def test_a_restarted_node_is_one_node(registry: RegistryInMemory) -> None:
    """Its process before is not shown as lost beside it."""
    post(registry, report(9, boot="1" * 32))
    registry.clock.now_ms += 61_000
    post(registry, report(1, boot="2" * 32))
    assert [node["boot"][0] for node in registry.ask("GET", f"{V1}/nodes").json()["nodes"]] == ["2"]


def test_a_change_is_seen_arriving(registry: RegistryInMemory) -> None:
    """Told, loading, arrived; a node that is behind, one that holds the plan back, one that lacks the canary."""
    changed = registry.ledger.snapshots.changed(CHURN)
    held = (HeldPlan(CHURN, 0, (number(2),)),)
    post(registry, report(1, node="behind", boot="1" * 32, revision=changed - 1, versions=(loaded(1),)))
    post(
        registry,
        report(1, node="holding", boot="2" * 32, revision=changed, held=held, versions=(loaded(2, "loading"),)),
    )
    post(registry, report(1, node="lacking", boot="3" * 32, revision=changed, versions=(loaded(2, "quarantined"),)))
    post(registry, report(1, node="there", boot="4" * 32, revision=changed, versions=(loaded(2), loaded(1))))
    shown = registry.ask("GET", STATUS).json()
    assert (shown["model"], shown["revision"], shown["arrived"]) == ("churn", 1, 1)
    assert shown["plan"]["stable"] == "1"
    assert [(n["node"], n["arrived"], n["in_force"], n["awaits"], n["versions"]) for n in shown["nodes"]] == [
        ("behind", False, None, ["2"], {"1": "ready"}),
        ("holding", False, 0, ["2"], {"2": "loading"}),
        ("lacking", False, 1, ["2"], {"2": "quarantined"}),
        ("there", True, 1, [], {"1": "ready", "2": "ready"}),
    ]
    assert shown["nodes"][0].keys() == {
        "node", "boot", "age_seconds", "lost", "arrived", "in_force", "awaits", "versions",
    }  # fmt: skip
    registry.clock.now_ms += 61_000
    assert registry.ask("GET", STATUS).json()["arrived"] == 0


def test_status_of_what_is_not(registry: RegistryInMemory) -> None:
    """A model that is none, and one without a plan."""
    assert code(registry.ask("GET", f"{V1}/models/nothing/traffic/status")) == (404, "unknown_model")
    registry.ready("other")
    assert code(registry.ask("GET", f"{V1}/models/other/traffic/status")) == (404, "no_plan")


def shadow(
    requests: int,
    *,
    errors: int = 0,
    timeouts: int = 0,
    incomparable: int = 0,
    nan: int = 0,
    seconds: float = 0.01,
    revision: int = 1,
) -> ShadowWindow:
    """Return what a shadow did beside a primary that took 10 ms."""
    import numpy as np

    good = requests - errors - timeouts - incomparable
    apart = {**value_bins(np.full(good - nan, 0.5)), "nan": nan} if nan else value_bins(np.full(good, 0.5))
    score = Difference(good, good, apart, value_bins(np.full(good, 2.0)))
    label = Difference(good, 1, pairs={("yes", "yes"): good - 1, ("yes", "no"): 1})
    compared = ShadowCounts(
        {"compared": good, "error": errors, "dropped": 3}
        | ({"timeout": timeouts} if timeouts else {})
        | ({"incomparable": incomparable} if incomparable else {}),
        requests,
        good,
        {latency_bin(0.01): requests},
        {latency_bin(seconds): good},
        {"score": score, "label": label},
        ({"input": {"age": 41}, "primary": 1, "shadow": 2},),
    )
    return ShadowWindow(CHURN, revision, number(3), 0, compared)


SHADOW = f"{V1}/models/churn/shadows/3"


def test_a_shadow_that_would_have_been_a_good_canary(registry: RegistryInMemory) -> None:
    """Counts, quantiles of the differences, agreement by class, times, examples, and the verdict."""
    post(registry, report(1, shadows=(shadow(400),)))
    shown = registry.ask("GET", SHADOW).json()
    verdict = shown.pop("verdict")
    assert (verdict["good_canary"], verdict["reason"]) == (True, "nothing speaks against it after 400 requests")
    assert verdict["evidence"].keys() == {"error-rate", "latency"}
    score, label = shown["outputs"]["score"], shown["outputs"]["label"]
    assert all(value == pytest.approx(0.5, rel=0.07) for value in score["absolute"].values())
    assert score["relative"].keys() == {"p50", "p90", "p99", "max"} and score["agreement_ratio"] is None
    assert label["agreement"][0] == {"primary": "yes", "shadow": "yes", "count": 399}
    assert label["agreement_ratio"] == 399 / 400 and label["absolute"]["p50"] is None
    assert shown["latency"]["shadow"]["p50"] == pytest.approx(0.01, rel=0.1)
    assert {k: shown[k] for k in ("model", "version", "requests", "differing", "outcomes", "examples")} == {
        "model": "churn",
        "version": "3",
        "requests": 400,
        "differing": 400,
        "outcomes": {"compared": 400, "dropped": 3, "error": 0},
        "examples": [{"input": {"age": 41}, "primary": 1, "shadow": 2}],
    }
    assert shown["since"] == "1970-01-01T00:00:00.000Z"


@pytest.mark.parametrize(
    ("window", "good", "word"),
    [
        (shadow(300, errors=60), False, "it failed on 60 of 300"),
        (shadow(300, errors=20, timeouts=40), False, "40 of them are timeouts, which say little on a busy machine"),
        (shadow(1000, incomparable=999), False, "999 of 1,000 answers have other outputs or shapes"),
        (shadow(300, incomparable=31), False, "31 of 300 answers have other outputs"),
        (shadow(300, incomparable=30), True, "nothing speaks against it"),
        (shadow(10, incomparable=9), None, "too little traffic"),
        (shadow(600, seconds=0.1), None, "a canary of a small share tells whether that is the machine or the version"),
        (shadow(400, nan=400), False, "400 of 800 values are NaN"),
        (shadow(20), None, "too little traffic: 20 of 200"),
    ],
)
def test_verdicts_on_shadows(registry: RegistryInMemory, window: ShadowWindow, good: bool | None, word: str) -> None:
    """One that fails, one that is slow, one that nobody knows yet."""
    post(registry, report(1, shadows=(window,)))
    verdict = registry.ask("GET", SHADOW).json()["verdict"]
    assert verdict["good_canary"] is good
    assert word in verdict["reason"]


def test_a_shadow_that_saw_nothing(registry: RegistryInMemory) -> None:
    """Nothing compared, no verdict; a version that is none is 404."""
    shown = registry.ask("GET", SHADOW).json()
    assert (shown["requests"], shown["since"], shown["outputs"]) == (0, None, {})
    assert shown["verdict"] == {"good_canary": None, "reason": "nothing was compared yet", "evidence": {}}
    assert code(registry.ask("GET", f"{V1}/models/churn/shadows/9")) == (404, "unknown_version")


def test_a_comparison_is_with_one_stable_version(registry: RegistryInMemory) -> None:
    """What was compared before stable changed is left out; other changes of the plan don't matter."""
    post(registry, report(1, shadows=(shadow(300),)))
    registry.ledger.plans.append(CHURN, 1, Plan(number(1), shadows=PLAN.shadows), "ana", "no canary any more")
    post(registry, report(2, shadows=(shadow(200, revision=2),)))
    assert registry.ask("GET", SHADOW).json()["requests"] == 500
    registry.ledger.plans.append(CHURN, 2, Plan(number(2), shadows=PLAN.shadows), "ana", "promoted")
    post(registry, report(3, shadows=(shadow(50, revision=3),)))
    assert registry.ask("GET", SHADOW).json()["requests"] == 50
