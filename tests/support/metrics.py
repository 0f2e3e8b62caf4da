"""What tests read off a page of metrics."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample


def samples(page: bytes, name: str) -> Iterator[Sample]:
    """Yield the samples of one name; the page must be one that Prometheus' own parser takes."""
    for family in text_string_to_metric_families(page.decode()):
        yield from (sample for sample in family.samples if sample.name == name)


def sample(page: bytes, name: str, **labels: str) -> float | None:
    """Return the value of the series with exactly these labels, or None where there is none."""
    return next((float(found.value) for found in samples(page, name) if found.labels == labels), None)


def shown(page: bytes) -> set[tuple[str, str]]:
    """Return name and type of each family on a page."""
    lines = (line.split() for line in page.decode().splitlines() if line.startswith("# TYPE "))
    return {(words[2], words[3]) for words in lines}


def check_with_promtool(page: bytes) -> None:
    """Have Prometheus' own tool judge a page; skip where it is missing, except in CI."""
    promtool = shutil.which("promtool")
    if promtool is None:
        if os.environ.get("CI") == "true":
            pytest.fail("promtool is missing; .ci/run installs it with Prometheus")
        pytest.skip("promtool is not installed")
    done = subprocess.run(
        [promtool, "check", "metrics"], input=page, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60
    )
    assert done.returncode == 0, done.stdout.decode()
