"""What came of labels, as values: those sent back, what the platform took of them, and quality by arm.

Reading is lenient where the platform may learn to say more. Not here: drift (``drift.py``).
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headgate.drift import numbers, optional
from headgate.errors import InvalidRequest
from headgate.names import a_type, quoted

Json = Mapping[str, Any]
_KEYS = frozenset({"request_id", "row", "label", "observed_at"})


@dataclass(frozen=True, slots=True)
class Label:
    """What turned out to be true of one predicted row.

    Attributes:
        request_id: Of the answer (``Prediction.request_id``, the header ``X-Request-Id``).
        label: The truth: a number, a text or a truth value.
        row: Which row of that request, from 0.
        observed_at: When it turned out, with a zone (or ISO 8601 text); now, where it is left out.
    """

    request_id: str
    label: Any
    row: int = 0
    observed_at: dt.datetime | str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the item of the request; raise InvalidRequest where JSON cannot carry the label."""
        document = {"request_id": self.request_id, "row": int(self.row), "label": _scalar(self.label)}
        if isinstance(self.observed_at, dt.datetime):
            if self.observed_at.tzinfo is None:
                raise InvalidRequest("observed_at has no time zone; give it one, such as datetime.now(timezone.utc)")
            document["observed_at"] = self.observed_at.isoformat()
        elif self.observed_at is not None:
            document["observed_at"] = self.observed_at
        return document


def label_from(item: Any) -> Label:
    """Return a label given as ``Label``, or as a mapping with the same names; raise InvalidRequest otherwise."""
    if isinstance(item, Label):
        return item
    if not isinstance(item, Mapping):
        raise InvalidRequest(
            f"{a_type(item)} is no label; give headgate.Label(request_id, label), or a dict with those names"
        )
    for key in item:
        if key not in _KEYS:
            raise InvalidRequest(f"a label has no field {quoted(key)}; it has request_id, label, row and observed_at")
    request_id = item.get("request_id")
    if not isinstance(request_id, str) or not request_id:
        raise InvalidRequest("a label needs the request_id of its prediction, as text")
    if "label" not in item:
        raise InvalidRequest(f"the label of the request {quoted(request_id)} is missing")
    row, observed_at = item.get("row"), item.get("observed_at")
    return Label(request_id, item["label"], _row(row), observed_at or None)


@dataclass(frozen=True, slots=True)
class RefusedLabel:
    """A label that was not taken: ``index`` counts all that were sent, from 0."""

    index: int
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class FeedbackResult:
    """What came of labels that were sent back."""

    accepted: int
    refused: tuple[RefusedLabel, ...] = ()

    @classmethod
    def from_json(cls, raw: Json, *, offset: int = 0) -> FeedbackResult:
        """Read what came of one request whose first label was the ``offset``-th of all."""
        return cls(
            int(raw["accepted"]),
            tuple(
                RefusedLabel(int(one["index"]) + offset, str(one["code"]), str(one.get("message") or ""))
                for one in raw.get("refused") or ()
            ),
        )

    def __add__(self, other: FeedbackResult) -> FeedbackResult:
        return FeedbackResult(self.accepted + other.accepted, self.refused + other.refused)


@dataclass(frozen=True, slots=True)
class ArmQuality:
    """How good one arm was, as far as labels came.

    Attributes:
        arm: ``stable``, ``canary`` …
        labelled: Answered requests with a label, of the ``predictions`` that are kept; ``coverage_ratio``: their share.
        rows: Rows that were compared with a label.
        delay_seconds: How long labels took, by ``p50`` and ``p90``.
        metrics: By name, such as ``accuracy`` or ``rmse``; what cannot be said yet is left out.
        average: Of precision, recall and F1: ``binary`` (of class 1) or ``macro`` (over all classes, each alike).
    """

    arm: str
    labelled: int = 0
    predictions: int = 0
    rows: int = 0
    coverage_ratio: float | None = None
    delay_seconds: Mapping[str, float] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    since: str | None = None
    until: str | None = None
    average: str | None = None

    @classmethod
    def from_json(cls, raw: Json) -> ArmQuality:
        """Read an arm's line, of now or of a day in the past."""
        return cls(
            arm=str(raw.get("arm") or ""),
            labelled=int(raw.get("labelled") or 0),
            predictions=int(raw.get("predictions") or 0),
            rows=int(raw.get("rows") or 0),
            coverage_ratio=optional(raw.get("coverage_ratio")),
            delay_seconds=numbers(raw.get("delay_seconds")),
            metrics=numbers(raw.get("metrics")),
            since=raw.get("since") or raw.get("day"),
            until=raw.get("until"),
            average=raw.get("average"),
        )


@dataclass(frozen=True, slots=True)
class QualityReport:
    """How good a version is on live traffic, beside its training.

    Attributes:
        task: ``classification`` or ``regression``; None before labels tell.
        arms: Of now.
        training: By metric, as the training logged it; empty where it did not.
        windows: Past ones, a line for each arm and day.
    """

    model: str
    version: str
    task: str | None = None
    arms: tuple[ArmQuality, ...] = ()
    training: Mapping[str, float] = field(default_factory=dict)
    windows: tuple[ArmQuality, ...] = ()

    @classmethod
    def from_json(cls, raw: Json) -> QualityReport:
        """Read a report."""
        return cls(
            model=str(raw["model"]),
            version=str(raw["version"]),
            task=raw.get("task"),
            arms=tuple(ArmQuality.from_json(one) for one in raw.get("arms") or ()),
            training=numbers(raw.get("training")),
            windows=tuple(ArmQuality.from_json(one) for one in raw.get("windows") or ()),
        )


def _scalar(value: Any) -> Any:
    """Return a label as JSON can say it; a scalar of numpy's or pandas' becomes Python's."""
    if type(value).__module__.partition(".")[0] == "numpy" and hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and math.isnan(value):
        raise InvalidRequest("a label is NaN; leave out the rows whose truth is not known")
    if isinstance(value, (str, bool, int, float)):
        return value
    raise InvalidRequest(f"a label is {a_type(value)}; give a number, a text or a truth value")


def _row(row: Any) -> int:
    if row in (None, ""):
        return 0
    try:
        number = int(row)
    except (TypeError, ValueError) as error:
        raise InvalidRequest(f"{quoted(row)} is no row; rows of a request are 0, 1, 2, …") from error
    return number
