"""When a version that fails again and again gets a rest, and how long. Pure: the time is an argument.

    in ── five failures running ──► out for 2 s ──► in, on trial ── the next failure ──► out for 4, 8 … 120 s
    ▲                                                   │
    └────────────── fifty answers running ──────────────┘

While it is out, stable answers for it on this node. A new revision of the plan begins anew. Not here: what a failure is
(``predictor.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from serving.routing.split import Decision

FAILURES = 5
RECOVERED = 50
FIRST_SECONDS = 2.0
MOST_SECONDS = 120.0


@dataclass(slots=True)
class _Record:
    revision: int
    failures: int = 0
    successes: int = 0
    ejections: int = 0
    until: float = 0.0


class Ejections:
    """The records of the versions that a plan tries, one for each model and version. For one thread."""

    def __init__(self) -> None:
        self._records: dict[tuple[str, str], _Record] = {}

    def is_out(self, decision: Decision, now: float) -> bool:
        """Tell whether the version of a decision rests. ``now`` is monotonic seconds, here and below."""
        record = self._records.get((decision.model, decision.version))
        return record is not None and record.revision == decision.revision and now < record.until

    def note_success(self, decision: Decision) -> None:
        """Take note that the version answered."""
        record = self._records.get((decision.model, decision.version))
        if record is None or record.revision != decision.revision:
            return
        record.failures = 0
        record.successes += 1
        if record.successes >= RECOVERED:
            del self._records[(decision.model, decision.version)]

    def note_failure(self, decision: Decision, now: float) -> float:
        """Take note that the version failed; return for how many seconds that puts it out, else 0."""
        name = (decision.model, decision.version)
        record = self._records.get(name)
        if record is None or record.revision != decision.revision:
            record = self._records[name] = _Record(decision.revision)
        if now < record.until:
            return 0.0  # it was asked before it was put out
        record.successes = 0
        record.failures += 1
        if record.failures < (1 if record.ejections else FAILURES):
            return 0.0
        seconds: float = min(MOST_SECONDS, FIRST_SECONDS * 2**record.ejections)
        record.failures, record.until = 0, now + seconds
        record.ejections = min(record.ejections + 1, 10)
        return seconds

    def retain(self, is_known: Callable[[str, str], bool]) -> None:
        """Forget the models and versions that are not known any more."""
        for name in [name for name in self._records if not is_known(*name)]:
            del self._records[name]
