"""Windows of live rows and their verdicts as the JSON of the contract. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from registry.http.render import iso
from registry.monitoring.closing import Closing
from registry.monitoring.ports import BaselineRecord
from registry.monitoring.window_ports import JudgedWindow, WindowSpan
from registry.records import ModelName, VersionNumber


def drift_json(
    of: tuple[ModelName, VersionNumber],
    baseline: BaselineRecord | None,
    open_window: WindowSpan | None,
    windows: Sequence[JudgedWindow],
    rule: Closing,
) -> dict[str, Any]:
    """Return what is known of a version's live rows.

    Args:
        of: Model and version.
        baseline: What they are compared with, or None.
        open_window: Rows that wait for their verdict.
        windows: Those judged, newest first.
        rule: When a window closes.
    """
    known = None
    if baseline is not None:
        known = {"origin": baseline.origin.value, "rows": baseline.rows, "digest": baseline.digest}
    return {
        "model": of[0],
        "version": of[1],
        "baseline": known,
        "open": None if open_window is None else _open_json(open_window, rule),
        "windows": [_window_json(window) for window in windows],
    }


def _open_json(span: WindowSpan, rule: Closing) -> dict[str, Any]:
    provisional = span.baseline is None
    closes_ms = rule.closes_ms(span.rows, span.opened_ms, provisional=provisional)
    return {
        "rows": span.rows,
        "needed_rows": rule.needed_rows(provisional=provisional),
        "opened_at": iso(span.opened_ms),
        "closes_at": None if closes_ms is None else iso(closes_ms),
    }


def _window_json(window: JudgedWindow) -> dict[str, Any]:
    return {
        "number": window.key.number,
        "rows": window.span.rows,
        "first_at": iso(window.span.first_ms),
        "last_at": iso(window.span.last_ms),
        "judged_at": iso(window.judged_ms),
        "baseline": window.span.baseline,
        "verdict": window.verdict["verdict"],
        "features": window.verdict["features"],
    }
