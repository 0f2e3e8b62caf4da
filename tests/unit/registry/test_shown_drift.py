"""What the gauges show of the newest verdicts: bounded, the prediction first, the same on every registry."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from registry.baselines import Kind
from registry.catalogue import DRIFT
from registry.drift_view import DriftView
from registry.monitoring.closing import Closing
from registry.monitoring.drift import FeatureVerdict, Level, WindowVerdict
from registry.monitoring.shown import GAUGES, MOST_FEATURES, MOST_OF_ONE, OTHER, ROWS, series, shown
from registry.monitoring.window_ports import JudgedWindow, WindowKey, WindowSpan
from registry.records import Digest, ModelName, VersionNumber
from registry.telemetry import RegistryMetrics
from tests.support.ledgers import CHURN, number
from tests.support.metrics import sample

DIGEST = Digest("sha256:" + "a" * 64)
ONE = (CHURN, number(1))


def feature(name: str, psi: float, level: Level = Level.OK, missing: float = 0.0) -> FeatureVerdict:
    """Return a feature's verdict whose critical value is 0.5."""
    return FeatureVerdict(
        name, Kind.NUMBER, level, 1_000, psi, 0.25, 0.5, psi / 2, psi / 3, psi / 4, missing_ratio=missing
    )


def judged(features: Sequence[FeatureVerdict], version: int = 1, at: int = 1, level: Level = Level.OK) -> JudgedWindow:
    """Return a judged window of these features."""
    verdict = WindowVerdict(level, 1_000, tuple(features)).to_json()
    return JudgedWindow(WindowKey(CHURN, number(version), at), WindowSpan(DIGEST, 1_000, 0, 0, 0), 5, verdict)


def test_each_feature_has_its_numbers() -> None:
    """All gauges of the contract, with model, version and feature."""
    found = series({ONE: shown(judged([feature("age", 0.8, Level.DRIFT, 0.1), feature("plan", 0.3, Level.WARN)]))})
    age = (CHURN, "1", "age")
    assert {name: found[name].get(age) for name in GAUGES} == {
        "headgate_drift_psi": 0.8,
        "headgate_drift_psi_critical": 0.5,
        "headgate_drift_js": 0.4,
        "headgate_drift_ks": 0.8 / 3,
        "headgate_drift_wasserstein": 0.2,
        "headgate_drift_detected": 1.0,
        "headgate_drift_warned": 1.0,
        "headgate_missing_ratio": 0.1,
    }
    plan = (CHURN, "1", "plan")
    assert (found["headgate_drift_detected"][plan], found["headgate_drift_warned"][plan]) == (0.0, 1.0)
    assert found[ROWS] == {(CHURN, "1"): 1_000}


def test_what_was_not_measured_has_no_series() -> None:
    """A category has no Wasserstein distance, and a window of few rows nothing but its rows."""
    word = FeatureVerdict("plan", Kind.CATEGORY, Level.OK, 1_000, 0.1, 0.2, 0.3, 0.1)
    found = series({ONE: shown(judged([word]))})
    assert found["headgate_drift_psi"] and not found["headgate_drift_wasserstein"]
    few = series({ONE: shown(judged([feature("age", 9.0)], level=Level.INSUFFICIENT))})
    assert few[ROWS] and not any(few[name] for name in GAUGES)


def test_a_wide_version_shows_the_worst_and_the_rest_as_one() -> None:
    """The prediction always; then those that moved most; the rest is as bad as the worst of it."""
    many = [feature(f"x{n}", 1.0 - n / 1_000, missing=n / 1_000) for n in range(500)]
    found = series({ONE: shown(judged([*many, feature("prediction", 0.01)]))})
    psi = {labels[2]: value for labels, value in found["headgate_drift_psi"].items()}
    assert len(psi) == MOST_OF_ONE + 1
    assert "prediction" in psi and "x98" in psi and "x99" not in psi
    assert psi[OTHER] == many[99].psi
    assert found["headgate_missing_ratio"][CHURN, "1", OTHER] == 0.499


def test_a_feature_called_other_is_part_of_the_rest() -> None:
    """Two series with one name would be no exposition at all."""
    found = series({ONE: shown(judged([feature("other", 0.9), feature("age", 0.1)]))})
    assert sorted(labels[2] for labels in found["headgate_drift_psi"]) == ["age", OTHER]


def test_a_thousand_versions_share_what_there_is() -> None:
    """Each keeps the prediction and its worst features; the whole stays bounded."""
    wide = shown(judged([*(feature(f"x{n}", 1.0) for n in range(200)), feature("prediction", 0.0)]))
    found = series({(CHURN, number(n)): wide for n in range(1, 1_001)})
    assert len(found["headgate_drift_psi"]) == 1_000 * (MOST_FEATURES // 1_000 + 1)
    assert all((CHURN, str(n), "prediction") in found["headgate_drift_psi"] for n in (1, 500, 1_000))


@dataclass
class Windows:
    """Judged windows that a test puts there, and how often they were read."""

    kept: dict[tuple[ModelName, VersionNumber], JudgedWindow] = field(default_factory=dict)
    read: int = 0

    def put(self, window: JudgedWindow) -> None:
        """Let this be a version's newest."""
        self.kept[window.key.model, window.key.version] = window

    def newest(self) -> Mapping[tuple[ModelName, VersionNumber], int]:
        """Return the numbers."""
        return {of: window.key.number for of, window in self.kept.items()}

    def page(self, model: ModelName, version: VersionNumber, limit: int) -> Sequence[JudgedWindow]:
        """Return one."""
        self.read += 1
        return [self.kept[model, version]]

    def seal(self, rule: Closing) -> int:
        """Nothing is open."""
        return 0

    unjudged = settle = open = sweep = None  # nobody asks


def test_the_view_reads_only_what_is_new() -> None:
    """A verdict is read once; what is gone is shown no more."""
    windows, metrics = Windows(), RegistryMetrics()
    view = DriftView(windows, metrics)  # type: ignore[arg-type]  # only what the view asks for
    windows.put(judged([feature("age", 0.1)]))
    windows.put(judged([feature("age", 0.2)], version=2))
    for _ in range(3):
        view.refresh()
    assert windows.read == 2

    def psi(version: str, name: str = "age") -> float | None:
        return sample(metrics.page(), "headgate_drift_psi", model="churn", version=version, feature=name)

    assert (psi("1"), psi("2")) == (0.1, 0.2)
    windows.put(judged([feature("income", 0.3)], at=2))
    del windows.kept[CHURN, number(2)]
    view.refresh()
    assert (psi("1"), psi("1", "income"), psi("2"), windows.read) == (None, 0.3, None, 3)


def test_every_gauge_is_declared() -> None:
    """The names that are shown are those of the catalogue, with their labels."""
    found = series({ONE: shown(judged([feature("age", 0.1)]))})
    assert found.keys() == {metric.name for metric in DRIFT}
    for metric in DRIFT:
        assert all(len(labels) == len(metric.labels) for labels in found[metric.name])


def test_a_thousand_versions_are_scraped_in_time() -> None:
    """Each with more features than are shown: the page is bounded, and made in a tenth of a second."""
    wide = shown(judged([*(feature(f"x{n}", 1.0) for n in range(200)), feature("prediction", 0.0)]))
    metrics = RegistryMetrics()
    metrics.drift_is(series({(CHURN, number(n)): wide for n in range(1, 1_001)}))
    metrics.page()
    began = time.process_time()
    page = metrics.page()
    took = time.process_time() - began
    assert page.count(b"headgate_drift_psi{") == 1_000 * (MOST_FEATURES // 1_000 + 1)
    assert len(page) < 10_000_000
    assert took < 0.1
