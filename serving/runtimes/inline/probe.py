"""The probe: a throwaway process that judges, loads and runs a graph before the serving process dares to.

    python -m serving.runtimes.inline.probe <model directory>

Prints one line of JSON: a ``Verdict``, or an empty one with the reason. What ends this process (a crash, the limits
that it sets itself, the node's patience) is a verdict too. Not here: who starts it (``verdicts.py``).
"""

from __future__ import annotations

import json
import math
import resource
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from registry.graphs.fit import GRAPH_FILE
from registry.graphs.judge import MAX_FILE_BYTES, Answered, Judgement, judge
from serving.runtimes.host.child.system import private_bytes

MAX_LOADED_BYTES = 512 << 20
MAX_ROW_SECONDS = 0.05
MAX_DATA_BYTES = 2 << 30
MAX_CPU_SECONDS = 20
BATCH_ROWS = 32
_LIMITS = (
    (resource.RLIMIT_DATA, MAX_DATA_BYTES),
    (resource.RLIMIT_CPU, MAX_CPU_SECONDS),
    (resource.RLIMIT_FSIZE, 0),
    (resource.RLIMIT_CORE, 0),
)
_FILLS = ("zeros", "normal", "large", "missing")
_REPEATS = 5


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of a graph that may run inline, or the ``reason`` why it may not.

    Attributes:
        reason: Why not; empty where it may.
        memory_bytes: What a loaded session costs.
        base_seconds: What a run costs before its first row.
        row_seconds: What each row adds.
        row_bytes: What memory each row takes at most while it runs.
        answer_bytes: How much of that is its answer.
        row_axes: Of each output, the axis that counts rows; None where none does.
        takes_rows: Whether every input is open in its first axis.
        one_a_row: Whether every output is one value (or dict) for each row.
        maps: Whether an output is a list of dicts.
    """

    reason: str
    memory_bytes: int = 0
    base_seconds: float = 0.0
    row_seconds: float = 0.0
    row_bytes: int = 1
    answer_bytes: int = 0
    row_axes: tuple[int | None, ...] = ()
    takes_rows: bool = False
    one_a_row: bool = False
    maps: bool = False

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Verdict:
        """Read what ``asdict`` wrote; raise TypeError, ValueError or KeyError where it is damaged."""
        verdict = cls(**raw | {"row_axes": tuple(raw["row_axes"])})
        numbers = (verdict.memory_bytes, verdict.base_seconds, verdict.row_seconds, verdict.row_bytes)
        if not isinstance(verdict.reason, str) or not all(0 <= n < math.inf for n in numbers):
            raise ValueError("this is no verdict")
        return verdict


def probe(directory: Path) -> Verdict:
    """Judge, load and run the graph in a directory."""
    graph = directory / GRAPH_FILE
    if graph.stat().st_size > MAX_FILE_BYTES:
        return Verdict(f"its graph is larger than {MAX_FILE_BYTES >> 20} MiB")
    plain = (path for path in directory.iterdir() if path.is_file() and not path.is_symlink())
    judged = judge(graph.read_bytes(), {path.name: path.stat().st_size for path in plain})
    if judged.reason:
        return Verdict(judged.reason)
    try:
        import onnxruntime  # noqa: F401 -- so that its own memory is not counted as the graph's

        from serving.runtimes.inline.session import Session
        from serving.slack import trim
    except ImportError:
        return Verdict("onnxruntime is not installed here")
    trim()
    before = private_bytes()
    try:
        session = Session(directory)
    except Exception as error:  # noqa: BLE001 -- process edge: whatever onnxruntime raises, it does not load
        return Verdict(f"onnxruntime cannot load it ({type(error).__name__})")
    return _measure(session, judged, before)


def _measure(session: Any, judged: Judgement, before: int) -> Verdict:
    from serving.runtimes.inline.session import synthetic
    from serving.slack import trim

    timings: dict[int, list[float]] = {1: [], BATCH_ROWS: []}
    for rows, seen in timings.items():
        for fill in _FILLS:
            feeds = synthetic(session, rows, fill)
            for _ in range(_REPEATS):
                started = time.perf_counter()
                try:
                    session.run(feeds)
                except Exception:  # noqa: BLE001 -- a graph may refuse made-up rows
                    break
                seen.append(time.perf_counter() - started)
                if seen[-1] > BATCH_ROWS * MAX_ROW_SECONDS:
                    return Verdict("it is too slow for the process that answers everybody")
    if not timings[1]:
        return Verdict("it ran on none of the rows that it was tried with")
    one, many = (statistics.median(t) if t else 0.0 for t in timings.values())
    if one > MAX_ROW_SECONDS:
        return Verdict("it is too slow for the process that answers everybody")
    trim()
    memory = max(private_bytes() - before, 0)
    if memory > MAX_LOADED_BYTES:
        return Verdict(f"it takes more than {MAX_LOADED_BYTES >> 20} MiB once it is loaded")
    row_seconds = max(many - one, 0.0) / (BATCH_ROWS - 1)
    outputs: tuple[Answered, ...] = judged.outputs
    return Verdict(
        reason="",
        memory_bytes=memory,
        base_seconds=max(one - row_seconds, 0.0),
        row_seconds=row_seconds,
        row_bytes=max(judged.row_bytes, 1),
        answer_bytes=judged.answer_bytes,
        row_axes=tuple(output.row_axis for output in outputs),
        takes_rows=judged.takes_rows,
        one_a_row=all(output.one_a_row for output in outputs),
        maps=any(output.maps for output in outputs),
    )


def main() -> None:
    """Probe, within limits, and say what was found."""
    for limit, value in _LIMITS:
        resource.setrlimit(limit, (value, value))
    try:
        verdict = probe(Path(sys.argv[1]))
    except MemoryError:
        verdict = Verdict("it takes more memory than it may")
    sys.stdout.write(json.dumps(asdict(verdict)))


if __name__ == "__main__":
    main()
