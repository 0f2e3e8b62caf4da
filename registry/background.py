"""The registry's own work besides answering: looking at MLflow, admitting versions, sweeping abandoned uploads.

Threads, because all of it blocks on the database and S3. Each runs until ``stop``; a store that cannot be reached makes
it wait and try again, and nothing it was doing is lost, because every step may be done twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event, Thread

from registry.admission.admit import Admission
from registry.errors import Unavailable
from registry.log import WARNING, event, failure
from registry.reconciler import Reconciler

ADMISSIONS = 2
"""Versions admitted side by side: a large one must not hold up a small one."""
MAX_PAUSE_SECONDS = 5.0


class Background:
    """Owns the threads. ``wake`` makes the reconciler and the admissions look now.

    Args:
        reconciler: Looks at MLflow.
        admission: Admits versions.
        prepare: Done once, before the first look, and tried again until it succeeds (the bucket must exist).
        pause: Seconds between two looks.
        bell: Makes what a thread waits at.
        turned: Told of each turn: its task, and ``done``, ``unavailable`` or ``failed``.
    """

    def __init__(
        self,
        reconciler: Reconciler,
        admission: Admission,
        prepare: Callable[[], None],
        pause: float,
        *,
        bell: Callable[[], Event] = Event,
        turned: Callable[[str, str], None] = lambda _, __: None,
    ) -> None:
        self._bell = bell
        self._turned = turned
        self._admission = admission
        self._prepare: Callable[[], None] | None = prepare
        self._stopping = Event()
        self._look = bell()
        self._admit = [bell() for _ in range(ADMISSIONS)]
        self._bells: list[Event] = []
        self._threads: list[Thread] = []
        self._add("reconcile", self._reconciling(reconciler), self._look, pause)
        for i, wanted in enumerate(self._admit):
            self._add(f"admit-{i}", admission.run_once, wanted, pause)

    def _add(self, name: str, turn: Callable[[], bool], wanted: Event, pause: float) -> None:
        self._bells.append(wanted)
        self._threads.append(Thread(target=self._loop, args=(name, turn, wanted, pause), daemon=True))

    def _reconciling(self, reconciler: Reconciler) -> Callable[[], bool]:
        def turn() -> bool:
            if self._prepare is not None:
                self._prepare()
                self._prepare = None
            reconciler.look()
            for wanted in self._admit:
                wanted.set()
            return False

        return turn

    def every(self, name: str, seconds: float, work: Callable[[], object]) -> None:
        """Have ``work`` done every ``seconds`` as well, whatever ``pause`` is. Call before ``start``."""

        def turn() -> bool:
            work()
            return False

        self._add(name, turn, self._bell(), seconds)

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """Look now. May be called from any thread, any number of times."""
        self._look.set()
        for wanted in self._admit:
            wanted.set()

    def stop(self, seconds: float = 5.0) -> None:
        """End the threads; what one was doing is taken up again at the next start."""
        self._stopping.set()
        self._admission.stop()
        for wanted in self._bells:
            wanted.set()
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _loop(self, name: str, turn: Callable[[], bool], wanted: Event, usual: float) -> None:
        pause = usual
        while True:
            wanted.clear()
            if self._stopping.is_set():  # asked after the bell was silenced, so that the ring of ``stop`` is not lost
                return
            try:
                again = turn()
                self._turned(name, "done")
                if again:
                    continue
                pause = usual
            except Unavailable as error:
                self._turned(name, "unavailable")
                event("background.waiting", WARNING, task=name, code=error.code)
                pause = min(pause * 2, MAX_PAUSE_SECONDS)
            except Exception as error:  # noqa: BLE001 (the edge of a thread: it must go on, and say what it met)
                self._turned(name, "failed")
                failure("background.failed", error, task=name)
                pause = min(pause * 2, MAX_PAUSE_SECONDS)
            wanted.wait(pause)
