"""Live rows from a node's report to a verdict, over HTTP: posted, sealed, judged, shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from registry.baselines import Baseline, Origin
from registry.monitoring.closing import LONGEST_MS, PROVISIONAL_ROWS
from registry.observed import FeatureWindow, Sample
from registry.records import Digest
from registry.reports import NodeReport
from registry.traffic.features import MOST_ROWS, MOST_WINDOWS, NAME_LETTERS
from tests.support.ledgers import CHURN, number
from tests.support.registry_app import RULE, V1, RegistryInMemory, code
from tests.support.rollouts import BOOT, report
from tests.support.rows import NOW, baseline, counted, normal, sample, window

DRIFT = f"{V1}/models/churn/versions/1/drift"


class Story:
    """A registry in which churn 1 is ready, and one node that reports its rows."""

    def __init__(self, *, given: bool = True) -> None:
        self.registry = RegistryInMemory()
        self.registry.ready("churn", 2)
        self.registry.clock.now_ms = NOW
        self.sequence = 0
        self.digest = self.give() if given else None

    def give(self, rows: int = 5_000) -> Digest:
        """Give churn 1 a baseline of so many rows."""
        digest = self.registry.artifacts.seal_bytes(baseline(rows).to_bytes())
        self.registry.ledger.baselines.put(CHURN, number(1), digest, Origin.GIVEN, rows)
        return digest

    def post(self, *windows: FeatureWindow) -> None:
        """Report windows."""
        self.sequence += 1
        said = NodeReport("node-a", BOOT, self.sequence, 0, features=windows)
        answer = self.registry.ask("POST", f"{V1}/windows", json=said.to_json())
        assert (answer.status_code, answer.json()) == (200, {"sequence": self.sequence})

    def seen(self, rows: int, *, shift: float = 0.0) -> None:
        """Report so many rows by the baseline that the version has."""
        self.post(window(self.digest, rows, self.sequence, shift=shift, start_ms=self.registry.clock.now_ms))

    def pass_time(self, milliseconds: int = RULE.age_ms) -> None:
        """Let time go by, and the monitor look."""
        self.registry.clock.now_ms += milliseconds
        self.registry.monitor.turn()
        self.registry.view.refresh()

    def shown(self, **query: Any) -> dict[str, Any]:
        """Return what is said of churn 1."""
        answer = self.registry.ask("GET", DRIFT, params=query)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def gauge(self, name: str, **labels: str) -> float | None:
        """Return a gauge of churn 1 as ``/metrics`` shows it."""
        said = ",".join(
            f'{key}="{value}"' for key, value in sorted({"model": "churn", "version": "1", **labels}.items())
        )
        lines = self.registry.ask("GET", "/metrics").text.splitlines()
        found = [line.rpartition(" ")[2] for line in lines if line.startswith(f"{name}{{{said}}} ")]
        return float(found[0]) if found else None


def test_from_report_to_verdict() -> None:
    """The shifted column is found and shown first, the others are in order; gauges say the same."""
    story = Story()
    story.seen(600, shift=1.0)
    story.seen(500, shift=1.0)
    before = story.shown()
    assert before["baseline"].items() >= {"origin": "given", "rows": 5_000, "digest": story.digest}.items()
    assert before["baseline"]["at"].endswith("Z")
    assert before["open"] == {
        "rows": 1_100,
        "needed_rows": 1_000,
        "opened_at": "1970-01-11T00:00:00.000Z",
        "closes_at": "1970-01-11T00:05:00.000Z",
    }
    assert before["windows"] == []
    story.pass_time()
    after = story.shown()
    assert after["open"] is None
    (judged,) = after["windows"]
    assert (judged["number"], judged["rows"], judged["verdict"]) == (1, 1_100, "drift")
    assert judged["judged_at"] == "1970-01-11T00:05:00.000Z"
    assert judged["first_at"] == judged["last_at"] == "1970-01-11T00:00:00.000Z"
    age, *others = judged["features"]
    assert (age["name"], age["kind"], age["verdict"]) == ("age", "number", "drift")
    assert age["psi"] > age["psi_drift"] > age["psi_warn"] > 0
    assert {one["name"]: one["verdict"] for one in others} == {"plan": "ok", "prediction": "ok"}
    assert story.gauge("headgate_drift_psi", feature="age") == pytest.approx(age["psi"])
    assert story.gauge("headgate_drift_psi_critical", feature="age") == pytest.approx(age["psi_drift"])
    assert [story.gauge("headgate_drift_detected", feature=n) for n in ("age", "plan", "prediction")] == [1, 0, 0]
    assert story.gauge("headgate_window_rows") == 1_100


def test_windows_come_newest_first() -> None:
    """As many as were asked for; with too few rows after a day a window says so, and shows no distances."""
    story = Story()
    for _ in range(3):
        story.seen(1_000)
        story.pass_time()
    story.seen(50)
    assert story.shown()["open"]["closes_at"] == "1970-01-12T00:15:00.000Z"
    story.pass_time(LONGEST_MS)
    windows = story.shown(limit=2)["windows"]
    assert [(one["number"], one["verdict"]) for one in windows] == [(4, "insufficient data"), (3, "ok")]
    assert story.gauge("headgate_window_rows") == 50
    assert story.gauge("headgate_drift_psi", feature="age") is None
    assert len(story.shown()["windows"]) == 4
    shown = story.shown(features=2)["windows"]
    assert [(len(one["features"]), one["feature_count"]) for one in shown] == [(2, 3)] * 4


def test_what_comes_late_is_judged_next() -> None:
    """Rows that come after their window was sealed are neither lost nor counted twice."""
    story = Story()
    story.seen(1_000)
    story.pass_time()
    story.post(window(story.digest, 40, 9, start_ms=NOW))
    story.seen(1_000)
    story.pass_time()
    assert [one["rows"] for one in story.shown()["windows"]] == [1_040, 1_000]


def test_the_first_rows_become_a_baseline() -> None:
    """Marked provisional, in the snapshot for nodes, and later rows are judged by it."""
    story = Story(given=False)
    story.seen(1_000)
    assert story.shown()["baseline"] is None
    assert story.shown()["open"] == {
        "rows": 1_000,
        "needed_rows": PROVISIONAL_ROWS,
        "opened_at": "1970-01-11T00:00:00.000Z",
        "closes_at": None,
    }
    for _ in range(9):
        story.seen(1_000)
    revision = story.registry.ledger.snapshots.revision()
    story.pass_time()
    known = story.shown()["baseline"]
    assert (known["origin"], known["rows"]) == ("provisional", PROVISIONAL_ROWS)
    assert story.registry.ledger.snapshots.revision() > revision
    assert story.shown()["windows"] == []
    story.digest = Digest(known["digest"])
    made = Baseline.from_bytes(story.registry.artifacts.read(story.digest, 2**26))
    assert [one.name for one in made.features] == ["age", "plan", "prediction"]
    for rows, shift in ((600, 0.0), (600, 0.0), (1_200, 1.0)):
        story.post(FeatureWindow(CHURN, number(1), NOW, rows, story.digest, counted(made.features, rows, shift=shift)))
        story.pass_time()
    assert [one["verdict"] for one in story.shown()["windows"]] == ["drift", "ok"]
    assert story.give() != story.digest
    assert story.shown()["baseline"]["origin"] == "given"


def test_another_baseline_ends_what_was_shown() -> None:
    """Verdicts beside the one before stay on the page, and leave the gauges until there are new ones."""
    story = Story()
    story.seen(1_000)
    story.pass_time()
    story.give(4_000)
    story.pass_time()
    assert story.gauge("headgate_window_rows") is None
    assert len(story.shown()["windows"]) == 1


def test_a_retired_version_shows_no_gauges() -> None:
    """Its past verdicts can still be read."""
    story = Story()
    story.seen(1_000)
    story.pass_time()
    assert story.registry.ask("POST", f"{V1}/models/churn/versions/1/retire").status_code == 200
    story.pass_time()
    assert story.gauge("headgate_window_rows") is None
    assert len(story.shown()["windows"]) == 1


def test_what_does_not_exist() -> None:
    """The answer says what does; a version that nobody asked yet has neither windows nor a baseline."""
    story = Story()
    assert code(story.registry.ask("GET", f"{V1}/models/churn/versions/9/drift")) == (404, "unknown_version")
    assert code(story.registry.ask("GET", f"{V1}/models/nope/versions/1/drift")) == (404, "unknown_model")
    for wrong in ({"limit": 0}, {"limit": 101}, {"features": 0}, {"features": "all"}):
        assert code(story.registry.ask("GET", DRIFT, params=wrong)) == (400, "invalid_argument")
    empty = story.registry.ask("GET", f"{V1}/models/churn/versions/2/drift").json()
    assert empty == {"model": "churn", "version": "2", "baseline": None, "open": None, "windows": []}


@pytest.fixture(scope="module")
def untouched() -> Story:
    """A story in which nothing happens: whatever is posted is refused."""
    return Story()


def in_window(**more: object) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return what puts other values into a report's window of features."""
    return lambda said: said | {"features": [said["features"][0] | more]}


def in_counts(**more: object) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return what puts other values into the counts of ``age``."""

    def damage(said: dict[str, Any]) -> dict[str, Any]:
        counts = said["features"][0]["counts"]
        return in_window(counts=counts | {"age": counts["age"] | more})(said)

    return damage


def with_sample(**more: object) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return what puts a sample with other values in place of counts."""
    one: Sample = sample(normal(3))
    return in_window(baseline=None, counts={}, samples={"age": one.to_json() | more})


@pytest.mark.parametrize(
    "damage",
    [
        in_window(rows=-1),
        in_window(rows=MOST_ROWS + 1),
        in_window(rows=1.5),
        in_window(start_ms=2**60),
        in_window(model="a/b"),
        in_window(version="01"),
        in_window(baseline="sha256:zz"),
        in_window(baseline=None),
        in_window(counts=None),
        in_window(counts={"": {"categories": [], "others": 0, "new": 0, "missing": 0}}),
        in_window(counts={"n" * (NAME_LETTERS + 1): {"categories": [], "others": 0, "new": 0, "missing": 0}}),
        in_window(counts={"a": {"categories": [1] * 51, "others": 0, "new": 0, "missing": 0}}),
        in_window(counts={f"f{n}": {"categories": [], "others": 0, "new": 0, "missing": 0} for n in range(1_201)}),
        in_window(samples={"age": sample(normal(3)).to_json()}),
        in_counts(cells=[1] * 257, sums=[0.0] * 257),
        in_counts(cells=[-1], sums=[0.0]),
        in_counts(cells=[2**53], sums=[0.0]),
        in_counts(cells=["1"], sums=[0.0]),
        in_counts(cells=[True], sums=[0.0]),
        in_counts(cells=[1, 2], sums=[0.0]),
        in_counts(missing=-1),
        in_counts(below=10**9),
        with_sample(side="both"),
        with_sample(source="s" * (NAME_LETTERS + 1)),
        with_sample(channel=2**30),
        with_sample(measure="colour"),
        with_sample(rows=2**50),
        with_sample(rows=1),
        with_sample(values=[0.0] * 2_001, weights=[1] * 2_001, rows=2_001),
        with_sample(smallest=100.0),
        with_sample(largest=-100.0),
        with_sample(words={"w" * 65: 1}, rows=9),
        with_sample(weights=[1]),
        lambda said: said | {"features": said["features"] * (MOST_WINDOWS + 1)},
        lambda said: said | {"features": None},
    ],
)
def test_a_damaged_window_is_refused(untouched: Story, damage: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """As a whole: nothing of such a report is counted."""
    story = untouched
    said = NodeReport("node-a", BOOT, 1, 0, features=(window(story.digest, 20),)).to_json()
    answer = story.registry.ask("POST", f"{V1}/windows", content=json.dumps(damage(said)).encode())
    assert code(answer) == (400, "invalid_argument")
    assert story.shown()["open"] is None
    assert not story.registry.ledger.reports.nodes()


def test_a_report_without_windows_is_whole() -> None:
    """Nodes of the release before go on reporting."""
    story = Story()
    old = report(1).to_json()
    del old["features"], old["answers"]
    assert story.registry.ask("POST", f"{V1}/windows", json=old).status_code == 200
