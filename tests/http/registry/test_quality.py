"""Labels and live quality over HTTP: what is taken, what is refused, what is shown, and a rollout that it ends."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from registry.observed import Answered
from registry.plans import Canary, Plan
from tests.support.labels import answered, item
from tests.support.ledgers import CHURN, number
from tests.support.registry_app import V1, RegistryInMemory, code
from tests.support.rollouts import SHORT, arm, counts, report

MODEL = f"{V1}/models/churn"
FEEDBACK = f"{MODEL}/feedback"
QUALITY = f"{MODEL}/versions/1/quality"


@pytest.fixture
def registry() -> RegistryInMemory:
    """A registry in which churn has two ready versions, the first of which is stable."""
    made = RegistryInMemory()
    made.ready("churn", 2)
    made.ledger.plans.append(CHURN, 0, Plan(number(1)), "ana", "")
    return made


def send(registry: RegistryInMemory, items: list[Any], *answers: Answered) -> dict[str, Any]:
    """Send labels as a node does; return what became of them."""
    body = {"items": items, "answers": [one.to_json() for one in answers]}
    answer = registry.ask("POST", FEEDBACK, json=body)
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


def test_labels_are_taken_one_by_one(registry: RegistryInMemory) -> None:
    """With their answers, or after the node has reported them; what cannot be is refused with its place."""
    said = replace(report(1), answers=(answered("r-1", 1, 0),))
    assert registry.ask("POST", f"{V1}/windows", json=said.to_json()).status_code == 200
    items = [item("r-1"), {"request_id": "r-1"}, item("r-1", 0, row=2), item("r-2"), item("r-3"), item("r-1", 0, row=1)]
    taken = send(registry, items, answered("r-2"))
    assert taken["accepted"] == 3
    assert [(one["index"], one["code"]) for one in taken["refused"]] == [
        (1, "invalid_argument"),
        (2, "unknown_row"),
        (4, "unknown_request"),
    ]
    assert send(registry, []) == {"accepted": 0, "refused": []}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{", (400, "malformed_json")),
        (b'{"items": [], "items": []}', (400, "duplicate_key")),
        (b'{"items": [{"request_id": "a", "label": NaN}]}', (400, "non_finite_number")),
        (b'{"items": {}}', (400, "invalid_argument")),
        (b'{"items": [], "more": 1}', (400, "invalid_argument")),
        (b'{"items": [], "answers": [{}]}', (400, "invalid_argument")),
        (b'{"items": [%b]}' % b",".join([b"1"] * 10_001), (400, "invalid_argument")),
    ],
)
def test_bodies_that_cannot_be(registry: RegistryInMemory, body: bytes, expected: tuple[int, str]) -> None:
    """Are refused whole."""
    headers = {"content-type": "application/json"}
    assert code(registry.ask("POST", FEEDBACK, content=body, headers=headers)) == expected


def test_what_does_not_exist(registry: RegistryInMemory) -> None:
    """A model, a version; a form that is no JSON."""
    assert code(registry.ask("POST", f"{V1}/models/no/feedback", json={"items": []})) == (404, "unknown_model")
    assert code(registry.ask("GET", f"{MODEL}/versions/9/quality")) == (404, "unknown_version")
    form = registry.ask("POST", FEEDBACK, content=b"a=1", headers={"content-type": "text/plain"})
    assert code(form) == (415, "unsupported_media_type")


def test_a_report_with_damaged_answers_is_refused_whole(registry: RegistryInMemory) -> None:
    """As any other report that is none."""
    said = replace(report(1), answers=(answered("r-1"),)).to_json()
    damages: list[dict[str, Any]] = [{"arm": "best"}, {"rows": [{}]}, {"request_id": ""}, {"rows": [1] * 1001}]
    for damage in damages:
        said["answers"] = [answered("r-1").to_json() | damage]
        assert code(registry.ask("POST", f"{V1}/windows", json=said)) == (400, "invalid_argument")
    assert send(registry, [item("r-1")])["accepted"] == 0


def test_live_quality_of_a_version(registry: RegistryInMemory) -> None:
    """The whole answer: its task, its arms with coverage, delay and figures, and its days."""
    empty: dict[str, Any] = {"model": "churn", "version": "1", "task": None, "arms": [], "training": {}, "windows": []}
    assert registry.ask("GET", QUALITY).json() == empty
    registry.clock.now_ms = 100_000
    rows = [((0.25, 0.75), 1), ((0.75, 0.25), 0), ((0.5, 0.5), 1), ((1.0, 0.0), 0)]
    answers = [answered(f"r-{n}", row, at_ms=90_000) for n, (row, _) in enumerate(rows)]
    unlabelled = [answered(f"s-{n}", (0.5, 0.5), at_ms=90_000) for n in range(4)]
    send(registry, [item(f"r-{n}", truth) for n, (_, truth) in enumerate(rows)], *answers, *unlabelled)
    found = registry.ask("GET", QUALITY).json()
    (arm_,) = found.pop("arms")
    figures = arm_.pop("metrics")
    assert arm_ == {
        "arm": "stable",
        "labelled": 4,
        "predictions": 8,
        "coverage_ratio": 0.5,
        "delay_seconds": {"p50": 10, "p90": 10},
        "rows": 4,
        "average": "binary",
        "since": "1970-01-01T00:01:30.000Z",
        "until": "1970-01-01T00:01:30.000Z",
    }
    assert figures.keys() == {"accuracy", "precision", "recall", "f1", "log_loss", "auc", "calibration_error"}
    assert (figures["accuracy"], figures["auc"]) == (0.75, 1)
    (day,) = found.pop("windows")
    assert day == {"day": "1970-01-01", "arm": "stable", "rows": 4, "metrics": figures, "average": "binary"}
    assert found == {"model": "churn", "version": "1", "task": "classification", "training": {}}


def rolled_out(registry: RegistryInMemory, **more: Any) -> dict[str, Any]:
    """Begin a rollout of version 2 that asks about quality alone."""
    body = {"version": "2", **SHORT, "metrics": [{"name": "quality"}], "minRequests": 10, **more}
    answer = registry.ask("POST", f"{MODEL}/rollouts", json=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def after(registry: RegistryInMemory, seconds: int) -> None:
    """Let time pass, in turns of a second."""
    for _ in range(seconds):
        registry.clock.now_ms += 1_000
        registry.controller.turn()


def label_both(registry: RegistryInMemory, rollout: dict[str, Any], canary_wrong: int, name: str = "a") -> None:
    """Label 400 answers of stable, a tenth of them wrong, and 100 of the canary, some of them wrong."""
    revision, now = rollout["plan_revision"], registry.clock.now_ms
    stable = [answered(f"{name}s{n}", 1, revision=revision, at_ms=now) for n in range(400)]
    canary = [answered(f"{name}c{n}", 1, version=2, arm="canary", revision=revision, at_ms=now) for n in range(100)]
    truths = [item(f"{name}s{n}", int(n >= 40)) for n in range(400)]
    truths += [item(f"{name}c{n}", int(n >= canary_wrong)) for n in range(100)]
    assert send(registry, truths, *stable, *canary)["accepted"] == 500


def test_labels_that_show_a_canary_worse_roll_it_back(registry: RegistryInMemory) -> None:
    """Until they come it says so; then the reason names both mean losses, and stable has all traffic again."""
    rollout = rolled_out(registry)
    at = f"{MODEL}/rollouts/{rollout['id']}"
    after(registry, 3)
    assert registry.ask("GET", at).json()["evidence"]["quality"] == {"evidence": None, "message": "no labels yet"}
    label_both(registry, rollout, canary_wrong=45)
    after(registry, 5)
    ended = registry.ask("GET", at).json()
    assert ended["state"] == "failed"
    assert "quality: the mean loss of 100 labelled predictions of the canary is 0.450" in ended["reason"]
    assert "of 400 of stable 0.100; 1.25 times stable's is tolerated" in ended["reason"]
    assert ended["evidence"]["quality"]["evidence"] >= 1
    plan = registry.ledger.plans.current(CHURN)
    assert plan is not None and plan.plan == Plan(number(1), note=plan.plan.note if plan.plan else "")


def test_labels_of_a_good_canary_let_it_through(registry: RegistryInMemory) -> None:
    """As wrong as stable is no reason; nor are labels of another plan's answers, however bad."""
    old = Plan(number(1), canary=Canary(number(2), 500, "s"))
    registry.ledger.plans.append(CHURN, 1, old, "ana", "")
    label_both(registry, {"plan_revision": 2}, canary_wrong=100, name="old")
    registry.ledger.plans.append(CHURN, 2, Plan(number(1)), "ana", "")
    rollout = rolled_out(registry)
    label_both(registry, rollout, canary_wrong=10)
    for sequence in range(1, 9):
        newest = registry.ledger.rollouts.page(CHURN, 1)[0].plan_revision
        arms = (arm(counts(60), newest), arm(counts(600), newest, "stable", 1))
        registry.ask("POST", f"{V1}/windows", json=report(sequence, *arms).to_json())
        after(registry, 5)
    ended = registry.ask("GET", f"{MODEL}/rollouts/{rollout['id']}").json()
    assert ended["state"] == "succeeded", ended["reason"]
    assert ended["evidence"]["quality"]["canary"] == {"requests": 100, "bad": 10, "ratio": 0.1}
