"""What training runs said of quality, read when asked and remembered for a while."""

from __future__ import annotations

from registry.adapters.memory.ledger import memory_ledger
from registry.errors import Unavailable
from registry.monitoring.ports import LoggedRun
from registry.records import VersionRecord
from registry.trained import REMEMBERED_MS, Trained
from tests.support.ledgers import CHURN, Clock, add, number


class Runs:
    """Runs that say what they are told to, or cannot be asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.metrics: dict[str, float] | None = {"test_accuracy": 0.875, "epochs": 3.0}

    def of(self, version: VersionRecord) -> LoggedRun | None:
        """See ``Runs.of``."""
        self.asked += 1
        if self.metrics is None:
            raise Unavailable("registry_unavailable", "MLflow is away")
        return LoggedRun("r", "mlflow-artifacts:/r", self.metrics) if version.version == "1" else None


def test_quality_of_the_run_is_remembered_for_a_minute() -> None:
    """By our own names; a run that cannot be asked, a version without one, and no version say nothing."""
    clock = Clock(0)
    ledger, runs = memory_ledger(clock), Runs()
    for n in (1, 2):
        add(ledger, n)
    trained = Trained(ledger.versions, runs, clock)
    assert [trained(CHURN, number(1)), trained(CHURN, number(1))] == [{"accuracy": 0.875}] * 2
    assert runs.asked == 1
    runs.metrics = None
    assert trained(CHURN, number(1)) == {"accuracy": 0.875}
    clock.now_ms += REMEMBERED_MS
    assert trained(CHURN, number(1)) == {}
    assert trained(CHURN, number(2)) == trained(CHURN, number(9)) == {}
