"""What a version has done so far, as servers of the Open Inference Protocol tell it: counts and times.

Cumulative since this process began to count the version, over all protocols. The words are those of Triton's statistics
extension, the numbers those of ``tally.py``:

    queue            the wait for a lease (a load, where there was one)
    compute_input    reading the body and fitting it to the signature
    compute_infer    from there to the model's answer, the wait for its turn included
    compute_output   writing the answer

Not here: counting (``tally.py``), and how a protocol spells these. Source: ``extension_statistics.md`` of
triton-inference-server/server.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from serving.telemetry.tally import Tally


@dataclass(frozen=True, slots=True)
class Timed:
    """How often, and how long in all, in nanoseconds."""

    count: int = 0
    ns: int = 0

    def plus(self, other: Timed) -> Timed:
        """Return both together."""
        return Timed(self.count + other.count, self.ns + other.ns)

    def to_json(self) -> dict[str, int]:
        """Return both by their names."""
        return {"count": self.count, "ns": self.ns}


@dataclass(frozen=True, slots=True)
class BatchRuns:
    """The runs of batches of ``rows`` rows."""

    rows: int
    ran: Timed


@dataclass(frozen=True, slots=True)
class Statistics:
    """What one version has done.

    Attributes:
        last_inference: When it was asked last: milliseconds since the epoch; 0 for never.
        inferences: Rows that were answered.
        executions: Runs of the model: of batches, where requests share them. Copies for shadows run too.
        success: Answers, and how long they took as a whole; ``fail``: errors, by whosever fault.
        batches: By how many rows, fewest first; the sizes that were seen first where there are very many.
    """

    last_inference: int = 0
    inferences: int = 0
    executions: int = 0
    success: Timed = Timed()
    fail: Timed = Timed()
    queue: Timed = Timed()
    compute_input: Timed = Timed()
    compute_infer: Timed = Timed()
    compute_output: Timed = Timed()
    batches: tuple[BatchRuns, ...] = ()

    def plus(self, other: Statistics) -> Statistics:
        """Return what two processes have done together."""
        sizes: dict[int, Timed] = {}
        for each in (*self.batches, *other.batches):
            sizes[each.rows] = each.ran.plus(sizes.get(each.rows, Timed()))
        return Statistics(
            max(self.last_inference, other.last_inference),
            self.inferences + other.inferences,
            self.executions + other.executions,
            self.success.plus(other.success),
            self.fail.plus(other.fail),
            self.queue.plus(other.queue),
            self.compute_input.plus(other.compute_input),
            self.compute_infer.plus(other.compute_infer),
            self.compute_output.plus(other.compute_output),
            tuple(BatchRuns(rows, sizes[rows]) for rows in sorted(sizes)),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the form in which siblings tell one another: that of ``asdict``, which is many times slower, and a
        node may have a thousand versions."""
        return {
            "last_inference": self.last_inference,
            "inferences": self.inferences,
            "executions": self.executions,
            "success": self.success.to_json(),
            "fail": self.fail.to_json(),
            "queue": self.queue.to_json(),
            "compute_input": self.compute_input.to_json(),
            "compute_infer": self.compute_infer.to_json(),
            "compute_output": self.compute_output.to_json(),
            "batches": [{"rows": each.rows, "ran": each.ran.to_json()} for each in self.batches],
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Statistics:
        """Read that form."""
        times = {name: Timed(**value) for name, value in raw.items() if isinstance(value, dict)}
        batches = tuple(BatchRuns(each["rows"], Timed(**each["ran"])) for each in raw["batches"])
        return cls(**{**raw, **times, "batches": batches})


def statistics_of(tally: Tally | None) -> Statistics:
    """Return what a version has done, by its tally; all zeros for one that was never asked."""
    if tally is None:
        return Statistics()
    tally.settle()
    answered = sum(count for (_, _, status), count in tally.requests.items() if status == "2xx")
    failed = sum(tally.requests.values()) - answered
    whole, decode, queue, predict, encode = (Timed(answered, _ns(seconds)) for seconds in tally.seconds)
    batches = tally.batches.runs if tally.batches is not None else {}
    runs = tuple(BatchRuns(rows, Timed(count, _ns(seconds))) for rows, (count, seconds) in sorted(batches.items()))
    return Statistics(
        last_inference=int(tally.last * 1000),
        inferences=tally.rows,
        executions=tally.batches.executions if tally.batches is not None else answered,
        success=whole,
        fail=Timed(failed, _ns(tally.failed_seconds)),
        queue=queue,
        compute_input=decode,
        compute_infer=predict,
        compute_output=encode,
        batches=runs,
    )


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)
