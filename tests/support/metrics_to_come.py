"""Metrics that dashboards and rules ask for and that the platform does not have yet, with series as it will show them.

Tests feed them to Prometheus in its place. A metric leaves this file when the generated page has it: a test insists.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tests.support.promql import known

MODEL = "watched"

# By metric: its series' labels and values.
TO_COME: Mapping[str, Mapping[str, float]] = {
    # With batch jobs, which are an issue of their own.
    "headgate_jobs": {f'state="{state}"': 3 for state in ("queued", "running", "succeeded", "failed")},
}


def exposition() -> str:
    """Return the page of those that the platform does not have, in Prometheus' text format."""
    return "".join(_lines())


def _lines() -> Iterator[str]:
    have = known()
    for name, series in TO_COME.items():
        for labels, value in series.items() if name not in have else ():
            if name.endswith("_seconds") and "timestamp" not in name:
                yield f'{name}_bucket{{{labels},le="0.01"}} 1\n{name}_bucket{{{labels},le="+Inf"}} 1\n'
                yield f"{name}_sum{{{labels}}} {value}\n{name}_count{{{labels}}} 1\n"
            else:
                yield f"{name}{{{labels}}} {value}\n"
