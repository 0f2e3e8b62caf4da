"""What may be asked of a rollout, and what it is told that cannot be."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import InvalidRequest
from registry.plans import WHOLE, percent
from registry.traffic.spec import LONGEST, Metric, Spec, duration_ms, duration_text, share_of_weight
from tests.support.rollouts import SHORT, spec


@pytest.mark.parametrize(
    ("written", "milliseconds"),
    [
        ("10m", 600000),
        ("30s", 30000),
        ("1h30m", 5400000),
        ("0s", 0),
        ("250ms", 250),
        ("2d", 172800000),
        (30, 30000),
        (0, 0),
        (1.5, 1500),
        ("1m30s", 90000),
    ],
)
def test_durations(written: object, milliseconds: int) -> None:
    """A duration is units from large to small, or a number of seconds."""
    assert duration_ms(written, "pause") == milliseconds


@pytest.mark.parametrize(
    "written",
    [
        "",
        "10",
        "m",
        "10 m",
        "-5s",
        "30s1m",
        "1.5h",
        "١m",
        "10M",
        "10m\n",
        True,
        None,
        [],
        -1,
        float("nan"),
        float("inf"),
        "91d",
        10**12,
        "9" * 40 + "s",
    ],
)
def test_what_is_no_duration_is_refused(written: object) -> None:
    """Anything else is an error that shows how to write one."""
    with pytest.raises(InvalidRequest, match=r"pause .*30s"):
        duration_ms(written, "pause")


@given(st.integers(0, LONGEST))
def test_durations_are_read_as_they_are_written(milliseconds: int) -> None:
    """What is shown can be sent back."""
    assert duration_ms(duration_text(milliseconds), "pause") == milliseconds


@given(st.integers(0, WHOLE))
def test_weights_are_read_as_they_are_written(share: int) -> None:
    """Every weight of two decimals is kept exactly."""
    assert share_of_weight(percent(share)) == share


@pytest.mark.parametrize("weight", [-1, 101, 100.001, 0.001, 1e-9, float("nan"), True, "5", None])
def test_what_is_no_weight_is_refused(weight: object) -> None:
    """A weight is a percentage with at most two decimals (C03)."""
    with pytest.raises(InvalidRequest, match="setWeight"):
        share_of_weight(weight)


def test_a_spec_is_read_as_it_is_written() -> None:
    """The contract's example goes through and comes back."""
    whole = {
        "steps": [{"setWeight": 0.25, "pause": "10m"}, {"setWeight": 50, "pause": None}],
        "metrics": [
            {"name": "error-rate", "tolerance": 1.25, "thresholdRange": {"max": 0.02}},
            {"name": "latency", "tolerance": 1.25, "thresholdRange": {"max": 0.5}},
            {"name": "quality", "tolerance": 1.1},
        ],
        "alpha": 0.05,
        "minRequests": 200,
        "interval": "30s",
        "maxDuration": "1d",
        "note": "try it",
        "allow_incompatible": True,
    }
    assert Spec.from_json(whole).to_json() == whole


def test_what_is_left_out_has_its_default() -> None:
    """Steps are enough: errors, latency and invalid outputs are watched."""
    read = Spec.from_json({"steps": [{"setWeight": 5}]})
    assert read.steps[0].pause_ms is None
    assert read.metrics == (Metric("error-rate"), Metric("latency"), Metric("invalid"))
    assert (read.alpha, read.min_requests, read.interval_ms, read.max_duration_ms) == (0.05, 200, 30_000, 86_400_000)


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ({"steps": []}, "steps"),
        ({"steps": [{"setWeight": 50}, {"setWeight": 5}]}, "fall"),
        ({"steps": [{"setWeight": 5, "pause": "1s"}] * 51}, "steps"),
        ({"steps": [{"setWeight": 5, "pause": "1h"}], "maxDuration": "30m"}, "expire"),
        ({"alpha": 0}, "alpha"),
        ({"alpha": 0.6}, "alpha"),
        ({"alpha": float("nan")}, "alpha"),
        ({"minRequests": -1}, "minRequests"),
        ({"interval": "10ms"}, "interval"),
        ({"interval": "2h"}, "interval"),
        ({"maxDuration": "0s"}, "maxDuration"),
        ({"metrics": []}, "metrics"),
        ({"metrics": [{"name": "latency"}, {"name": "latency"}]}, "once"),
        ({"metrics": [{"name": "cost"}]}, "error-rate"),
        ({"metrics": [{"name": "latency", "tolerance": 0.5}]}, "tolerance"),
        ({"metrics": [{"name": "latency", "tolerance": float("nan")}]}, "tolerance"),
        ({"metrics": [{"name": "error-rate", "thresholdRange": {"max": 1}}]}, "thresholdRange"),
        ({"metrics": [{"name": "error-rate", "thresholdRange": {"max": 0}}]}, "thresholdRange"),
        ({"metrics": [{"name": "quality", "thresholdRange": {"max": 0.1}}]}, "thresholdRange"),
    ],
)
def test_what_cannot_be_is_refused(said: dict[str, Any], word: str) -> None:
    """Each wrong value is named."""
    assert spec() == Spec.from_json(SHORT)
    with pytest.raises(InvalidRequest, match=word):
        spec(**said)
