"""What is shown of live quality: when a version is looked at, and when its figures go."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from registry.adapters.memory.ledger import memory_ledger
from registry.monitoring.quality import DAY_MS
from registry.monitoring.quality_watch import AGAIN_MS, PAUSE_MS, QualityWatch
from registry.telemetry import RegistryMetrics
from tests.support.labels import answered, label
from tests.support.ledgers import CHURN, Clock, add, number


class Story:
    """A ledger with two versions, a watch and what it shows."""

    def __init__(self) -> None:
        self.clock = Clock(DAY_MS)
        self.ledger = memory_ledger(self.clock)
        self.metrics = RegistryMetrics()
        self.watch = QualityWatch(self.ledger.predictions, self.metrics, 7 * DAY_MS)
        for n in (1, 2):
            add(self.ledger, n)

    def label(self, name: str, truth: object, predicted: object = 1, version: int = 1) -> None:
        """Have a request answered and labelled."""
        said = answered(name, predicted, version=version, at_ms=self.clock.now_ms)  # type: ignore[arg-type] # a value
        assert not self.ledger.predictions.label(CHURN, [(0, label(name, truth))], [said])  # type: ignore[arg-type] # a value

    def look(self, after_ms: int = 0) -> None:
        """Let time pass, and look."""
        self.clock.now_ms += after_ms
        self.watch.look(self.clock.now_ms)

    def shown(self) -> dict[str, float]:
        """Return what is shown, by metric and version."""
        return {
            f"{sample.labels['version']} {sample.labels.get('metric', 'coverage')}": sample.value
            for family in text_string_to_metric_families(self.metrics.page().decode())
            for sample in family.samples
            if sample.name in ("headgate_quality", "headgate_label_coverage_ratio")
        }


def test_a_version_with_labels_is_shown() -> None:
    """Its figures by arm, and how many of its predictions have a label; a version without labels is not."""
    story = Story()
    story.label("a", 1)
    story.label("b", 0)
    story.look()
    shown = story.shown()
    assert shown["1 accuracy"] == 0.5 and shown["1 coverage"] == 1
    assert not any(name.startswith("2") for name in shown)
    page = story.metrics.page().decode()
    assert 'headgate_quality{arm="stable",metric="accuracy",model="churn",version="1"} 0.5\n' in page


def test_a_version_is_looked_at_when_it_is_due() -> None:
    """After new labels, but not at each of them; and now and then without, because old rows go."""
    story = Story()
    story.label("a", 1)
    story.look()
    story.label("b", 0)
    story.look(1_000)
    assert story.shown()["1 accuracy"] == 1
    story.look(PAUSE_MS)
    assert story.shown()["1 accuracy"] == 0.5
    story.look(8 * DAY_MS)
    assert story.shown() == {"1 coverage": 0}
    story.label("c", 1)
    story.look(AGAIN_MS)
    assert story.shown()["1 accuracy"] == 1


def test_figures_go_with_their_version() -> None:
    """When it is retired, and when its task has other figures."""
    story = Story()
    story.label("a", 1)
    story.label("b", 1, version=2)
    story.look()
    story.ledger.versions.retire(CHURN, number(2))
    story.look(1_000)
    assert {name.partition(" ")[0] for name in story.shown()} == {"1"}
    story.label("c", 1.75, 0.25)
    story.look(PAUSE_MS)
    assert story.shown().keys() == {"1 mae", "1 rmse", "1 r2", "1 coverage"}


def test_what_the_training_run_said_is_shown_beside() -> None:
    """As an arm of its own, for who compares; it goes with the version's other figures."""
    story = Story()
    story.watch = QualityWatch(
        story.ledger.predictions, story.metrics, 7 * DAY_MS, lambda _model, version: {"accuracy": 0.9, "auc": 0.8}
    )
    story.label("a", 1)
    story.look()
    page = story.metrics.page().decode()
    assert 'headgate_quality{arm="training",metric="accuracy",model="churn",version="1"} 0.9' in page
    story.ledger.versions.retire(CHURN, number(1))
    story.look(1_000)
    assert story.shown() == {}
