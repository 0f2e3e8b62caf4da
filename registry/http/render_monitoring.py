"""Windows of live rows and their verdicts as the JSON of the contract. Pure."""

from __future__ import annotations

from typing import Any

from registry.http.render import iso
from registry.monitoring.closing import Closing
from registry.monitoring.window_ports import JudgedWindow, WindowSpan


def open_json(span: WindowSpan | None, rule: Closing) -> dict[str, Any] | None:
    """Return the window that is growing, and when it closes if no more rows come."""
    if span is None:
        return None
    provisional = span.baseline is None
    closes_ms = rule.closes_ms(span.rows, span.opened_ms, provisional=provisional)
    return {
        "rows": span.rows,
        "needed_rows": rule.needed_rows(provisional=provisional),
        "opened_at": iso(span.opened_ms),
        "closes_at": None if closes_ms is None else iso(closes_ms),
    }


def window_json(window: JudgedWindow, features: int) -> dict[str, Any]:
    """Return a window with its verdict, how many features it has, and the first of them, which moved most."""
    return {
        "number": window.key.number,
        "rows": window.span.rows,
        "first_at": iso(window.span.first_ms),
        "last_at": iso(window.span.last_ms),
        "judged_at": iso(window.judged_ms),
        "baseline": window.span.baseline,
        "verdict": window.verdict["verdict"],
        "feature_count": len(window.verdict["features"]),
        "features": window.verdict["features"][:features],
    }
