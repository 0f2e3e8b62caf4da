"""Labels: what turned out to be true of a predicted row, as callers send them and as they join what was predicted.

    {"items": [{"request_id": "6f1c", "row": 0, "label": 1, "observed_at": "2026-05-01T12:00:00Z"}]}

Nodes and the registry share this form; a node adds ``answers`` that the registry may not have yet. An item that is no
label is refused by itself, with its place, a code and a message; what is wrong with the body refuses all of it. Values
and pure functions. Not here: what a label says of a prediction (``outcomes.py``), where labels are kept (adapters).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from registry.columns import LARGEST_WHOLE, WORD_LETTERS
from registry.errors import HeadgateError, InvalidRequest, NotFound, quote
from registry.observed import REQUEST_ID, Answered, PredictedRow, is_text
from registry.records import VersionNumber

MOST_ITEMS = 10_000
"""Labels of one request."""
MOST_ROW = 10**6
_FIELDS = frozenset({"request_id", "row", "label", "observed_at"})
_UNTIL_REPORTED = (
    "no prediction of this model has this request id here: check model and id; what a node has just answered reaches "
    "the registry within HEADGATE_WINDOW_SECONDS, so send it again then; and predictions are kept for a while only"
)
Truth = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Label:
    """What was true of one row of one answered request; ``observed_ms`` says since when, where the caller did."""

    request_id: str
    row: int
    label: Truth
    observed_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """An item that was not taken: its place among the items, and why."""

    index: int
    code: str
    message: str

    @classmethod
    def of(cls, index: int, error: HeadgateError) -> Refusal:
        """Return an error as the refusal of an item."""
        return cls(index, error.code, error.message)

    def to_json(self) -> dict[str, Any]:
        """Return the wire form, JSON-ready."""
        return {"index": self.index, "code": self.code, "message": self.message}


@dataclass(frozen=True, slots=True)
class Feedback:
    """A body that was read: labels with their places, items that are none, and what a node adds to them."""

    labels: tuple[tuple[int, Label], ...]
    refused: tuple[Refusal, ...]
    answers: tuple[Answered, ...] = ()

    @property
    def requests(self) -> list[str]:
        """Each request that is named, once, in order."""
        return list(dict.fromkeys(label.request_id for _, label in self.labels))


@dataclass(frozen=True, slots=True)
class Given:
    """A label as it is kept beside its prediction: when it came, and since when it was known if somebody said so."""

    label: Truth
    came_ms: int
    observed_ms: int | None = None


@dataclass(frozen=True, slots=True)
class LabelledRow:
    """One predicted row with its label. Times are wall-clock milliseconds: of the answer, and of the label's coming."""

    version: VersionNumber
    arm: str
    revision: int
    at_ms: int
    came_ms: int
    predicted: PredictedRow
    label: Truth


@dataclass(frozen=True, slots=True)
class Coverage:
    """Of one arm: how many answered requests are kept, and of how many of them a label has come."""

    arm: str
    predictions: int
    labelled: int


def read_feedback(document: object, *, from_node: bool = False) -> Feedback:
    """Return what a body says.

    Args:
        document: The JSON value.
        from_node: Whether ``answers`` may stand beside ``items``.

    Raises InvalidRequest ``invalid_argument`` where the body is no list of items, or has more than ``MOST_ITEMS``.
    """
    if not isinstance(document, dict) or not isinstance(document.get("items"), list):
        raise InvalidRequest("invalid_argument", 'send {"items": [{"request_id", "row", "label", "observed_at"}, …]}')
    allowed = {"items", "answers"} if from_node else {"items"}
    for name in document:
        if name not in allowed:
            raise InvalidRequest("invalid_argument", f'the body has no field "{quote(name)}"; it has "items" alone')
    items: list[object] = document["items"]
    if len(items) > MOST_ITEMS:
        raise InvalidRequest(
            "invalid_argument", f"items may be at most {MOST_ITEMS:,}; send the rest with another request"
        )
    labels: list[tuple[int, Label]] = []
    refused: list[Refusal] = []
    for index, item in enumerate(items):
        try:
            labels.append((index, read_label(item)))
        except InvalidRequest as error:
            refused.append(Refusal.of(index, error))
    return Feedback(tuple(labels), tuple(refused), _answers(document.get("answers", [])))


def read_label(item: object) -> Label:
    """Return one item; raise InvalidRequest ``invalid_argument`` saying what is wrong with it."""
    if not isinstance(item, dict):
        raise _wrong("an item is an object with request_id, row, label and perhaps observed_at")
    for name in item:
        if name not in _FIELDS:
            raise _wrong(f'there is no field "{quote(name)}"; there are {", ".join(sorted(_FIELDS))}')
    request_id, row = item.get("request_id"), item.get("row", 0)
    if not isinstance(request_id, str) or not REQUEST_ID.fullmatch(request_id):
        raise _wrong("request_id must be the id of an answer: 1 to 128 visible ASCII characters")
    if type(row) is not int or not 0 <= row <= MOST_ROW:
        raise _wrong("row must be the number of a predicted row, from 0 on")
    return Label(request_id, row, _truth(item.get("label")), _moment(item.get("observed_at")))


def joined(
    rows: Sequence[PredictedRow], given: Mapping[int, Given], label: Label, came_ms: int
) -> tuple[int, Given] | None:
    """Return the row and what is to be kept of a label that came; None where a newer one is there.

    The last to come wins; where both say when they were observed, the later of those. Raises NotFound ``unknown_row``.
    """
    if label.row >= len(rows):
        last = len(rows) - 1
        raise NotFound("unknown_row", f"this answer has no row {label.row}: its rows are 0 to {last}")
    before = given.get(label.row)
    if before is not None and None not in (before.observed_ms, label.observed_ms):
        assert before.observed_ms is not None and label.observed_ms is not None
        if label.observed_ms < before.observed_ms:
            return None
    return label.row, Given(label.label, came_ms, label.observed_ms)


def unknown_request() -> NotFound:
    """Return what is said of a label for nothing known."""
    return NotFound("unknown_request", _UNTIL_REPORTED)


def given_to_json(given: Mapping[int, Given]) -> dict[str, Any]:
    """Return labels by row as they are kept, JSON-ready."""
    return {str(row): [one.label, one.came_ms, one.observed_ms] for row, one in given.items()}


def given_from_json(raw: Mapping[str, Any]) -> dict[int, Given]:
    """Read what ``given_to_json`` wrote."""
    return {int(row): Given(*kept) for row, kept in raw.items()}


def _answers(raw: object) -> tuple[Answered, ...]:
    try:
        if not isinstance(raw, list) or len(raw) > MOST_ITEMS:
            raise ValueError("answers are a list")
        return tuple(Answered.from_json(one) for one in raw)
    except (AttributeError, KeyError, TypeError, ValueError, HeadgateError) as error:
        raise InvalidRequest("invalid_argument", "answers have not the form that nodes send") from error


def _truth(raw: object) -> Truth:
    if isinstance(raw, bool):
        return raw
    if isinstance(raw, str) and 0 < len(raw) <= WORD_LETTERS and is_text(raw):
        return raw
    if isinstance(raw, int) and -LARGEST_WHOLE <= raw < LARGEST_WHOLE:
        return raw
    if isinstance(raw, float) and math.isfinite(raw):
        return raw
    raise _wrong(f"label must be a number, true, false, or a text of 1 to {WORD_LETTERS} characters")


def _moment(raw: object) -> int | None:
    if raw is None:
        return None
    try:
        moment = datetime.fromisoformat(raw) if isinstance(raw, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or moment.year < 1970:
        raise _wrong("observed_at must be a time with its zone, such as 2026-05-01T12:00:00Z")
    try:
        return int(moment.astimezone(UTC).timestamp() * 1000)
    except OverflowError:
        raise _wrong("observed_at must be a time with its zone, such as 2026-05-01T12:00:00Z") from None


def _wrong(why: str) -> InvalidRequest:
    return InvalidRequest("invalid_argument", why)
