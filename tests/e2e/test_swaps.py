"""Promotions under load: nobody's request fails, and they take effect at once."""

from __future__ import annotations

import time

import numpy as np
import pytest

from tests.e2e.control import Control, Models
from tests.e2e.load import steady_load

pytestmark = pytest.mark.e2e

SWAPS = 100  # fewer, and the highest would be the 99th percentile


def test_promotions_back_and_forth_fail_no_request(control: Control, models: Models) -> None:
    """Under steady load every request is answered by one of the two versions, and a PUT takes effect within a second.

    The version that the header names is the one whose number came.
    """
    numbers = {control.add("swapped", models.answering(number)): number for number in (1.0, 2.0)}
    versions = list(numbers)
    for version, number in numbers.items():
        control.wait_answer(f"swapped/versions/{version}", number)
    control.promote("swapped", versions[0])
    control.wait_answer("swapped", numbers[versions[0]])

    effects: list[float] = []
    with steady_load(f"{control.platform.serving_url}/models/swapped/predict") as load:
        for turn in range(SWAPS):
            target = versions[(turn + 1) % 2]
            began = time.monotonic()
            control.promote("swapped", target, revision=turn + 1)
            while control.predict("swapped").headers["x-headgate-version"] != target:
                assert time.monotonic() - began < 10
            effects.append(time.monotonic() - began)

    p50, p99 = np.quantile(effects, [0.5, 0.99])
    print(f"\n{len(load.outcomes)} requests over {SWAPS} swaps; PUT to effect: p50 {p50:.3f} s, p99 {p99:.3f} s")
    assert load.failed == []
    assert {outcome.version for outcome in load.outcomes} == set(versions)
    for outcome in load.outcomes:
        assert str(numbers[outcome.version]) in outcome.said
    assert p99 < 1
    assert [r["revision"] for r in control.history("swapped")] == list(range(1, SWAPS + 2))
