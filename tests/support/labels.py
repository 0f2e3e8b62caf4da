"""What tests of labels begin with: answered requests, labels, and labelled rows."""

from __future__ import annotations

from typing import Any

from registry.labels import Label, LabelledRow, Truth
from registry.observed import Answered, PredictedRow
from registry.records import ModelName
from tests.support.ledgers import CHURN, number


def answered(
    request_id: str,
    *rows: PredictedRow,
    version: int = 1,
    arm: str = "stable",
    revision: int = 1,
    at_ms: int = 0,
    model: ModelName = CHURN,
) -> Answered:
    """Return one answered request; without rows, of one row that predicted 1."""
    return Answered(model, number(version), arm, revision, request_id, at_ms, rows or (1,))


def label(request_id: str, truth: Truth = 1, row: int = 0, observed_ms: int | None = None) -> Label:
    """Return one label."""
    return Label(request_id, row, truth, observed_ms)


def item(request_id: str, truth: Truth = 1, **more: Any) -> dict[str, Any]:
    """Return one label as callers send it."""
    return {"request_id": request_id, "label": truth, **more}


def labelled(
    predicted: PredictedRow,
    truth: Truth,
    *,
    arm: str = "stable",
    at_ms: int = 0,
    came_ms: int = 0,
    revision: int = 1,
) -> LabelledRow:
    """Return one labelled row."""
    return LabelledRow(number(1), arm, revision, at_ms, came_ms, predicted, truth)
