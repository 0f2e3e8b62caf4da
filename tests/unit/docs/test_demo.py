"""What the demo says, and when: the platform's own lines stand above what the demo says next."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest
from headgate import DriftReport

from docs.examples.demo import pass_on
from docs.examples.stream import open_for


def test_all_that_the_platform_says_of_being_ready_is_printed_before_the_demo_goes_on(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Ready is what the platform has said, so no line of the demo can stand above the platform's."""
    script = "print('Starting ...', flush=True); print('Headgate is ready (1 s).\\n\\n  Serving [/docs]', flush=True)"
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", script], stdout=subprocess.PIPE)
    ready = threading.Event()
    pass_on(process, ready)
    process.communicate()
    assert ready.is_set()
    assert capfd.readouterr().out == "Starting ...\nHeadgate is ready (1 s).\n\n  Serving [/docs]\n"


@pytest.mark.parametrize(
    ("rows", "closes_at", "seconds"),
    [(1000, "2026-05-03T12:05:00.000Z", 300.0), (999, "2026-05-04T12:00:00.000Z", 0.0), (1000, None, 0.0)],
)
def test_how_long_windows_stay_open_is_known_once_one_has_its_rows(
    rows: int, closes_at: str | None, seconds: float
) -> None:
    """A platform that was up already may judge windows after minutes; the demo does not wait for that."""
    window = {"rows": rows, "needed_rows": 1000, "opened_at": "2026-05-03T12:00:00.000Z", "closes_at": closes_at}
    report = DriftReport.from_json({"model": "churn", "version": "4", "open": window, "windows": []})
    assert open_for(report) == seconds
