"""The registry's own threads: how often each works, and how they end. Time is in the test's hand."""

from __future__ import annotations

from threading import Event

from registry.adapters.memory.artifacts import MemoryArtifacts
from registry.adapters.memory.catalog import MemoryCatalog
from registry.adapters.memory.ledger import memory_ledger
from registry.adapters.memory.resolver import MemoryResolver
from registry.admission.admit import Admission
from registry.background import Background
from registry.errors import Unavailable
from registry.reconciler import Reconciler
from tests.support.ledgers import Clock


class Bell(Event):
    """Ends every wait but the third at once, as if its time were over, and remembers how long each would have been."""

    def __init__(self) -> None:
        super().__init__()
        self.waited: list[float | None] = []
        self.quiet = Event()
        self.woken = False

    def wait(self, timeout: float | None = None) -> bool:
        """Return at once; at the third time only when somebody rings."""
        self.waited.append(timeout)
        if len(self.waited) < 3:
            return False
        self.quiet.set()
        self.woken = super().wait(30)
        return self.woken


def background(bells: list[Bell]) -> Background:
    """Return threads that look at MLflow once a minute."""

    def bell() -> Bell:
        bells.append(Bell())
        return bells[-1]

    clock = Clock()
    ledger, artifacts = memory_ledger(clock), MemoryArtifacts()
    admission = Admission(artifacts, ledger.versions, clock, resolver=MemoryResolver())
    return Background(Reconciler(MemoryCatalog(), ledger), admission, lambda: None, 60, bell=bell)


def test_work_has_a_pause_of_its_own() -> None:
    """Rollouts are looked at every half second also where MLflow is looked at once a minute; stopping wakes all."""
    bells: list[Bell] = []
    turns: list[int] = []
    threads = background(bells)
    threads.every("rollouts", 0.5, lambda: turns.append(1))
    threads.start()
    assert bells[-1].quiet.wait(10) and bells[0].quiet.wait(10)
    threads.stop()
    assert bells[-1].waited == [0.5] * 3
    assert len(turns) == 3
    assert bells[0].waited[0] == 60
    assert bells[-1].woken and bells[0].woken


def test_work_that_fails_waits_longer_and_then_as_long_as_ever() -> None:
    """Twice as long after each failure, and as usual once it has worked again."""
    bells: list[Bell] = []
    left = [Unavailable("registry_unavailable", "away"), ZeroDivisionError()]

    def work() -> None:
        if left:
            raise left.pop(0)

    threads = background(bells)
    threads.every("rollouts", 0.5, work)
    threads.start()
    assert bells[-1].quiet.wait(10)
    threads.stop()
    assert bells[-1].waited == [1.0, 2.0, 0.5]
