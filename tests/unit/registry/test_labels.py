"""Labels: what a body may say, what refuses one item, and which of two labels is kept."""

from __future__ import annotations

from typing import Any

import pytest

from registry.errors import InvalidRequest, NotFound
from registry.labels import MOST_ITEMS, Given, Label, given_from_json, given_to_json, joined, read_feedback, read_label
from registry.observed import Answered
from tests.support.labels import answered, item, label


def test_a_label_is_read() -> None:
    """With all that it may say, and with no more than it must."""
    said = item("r-1", "yes", row=3, observed_at="2026-05-01T14:00:00+02:00")
    assert read_label(said) == Label("r-1", 3, "yes", 1_777_636_800_000)
    for truth in (1, 0, -2.5, True, "ja", 2**62):
        assert read_label(item("r", truth)) == Label("r", 0, truth)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (7, "an object"),
        ({"label": 1}, "request_id"),
        ({"request_id": "", "label": 1}, "request_id"),
        ({"request_id": "a b", "label": 1}, "request_id"),
        ({"request_id": "x" * 129, "label": 1}, "request_id"),
        (item("r", 1, row=-1), "row"),
        (item("r", 1, row=True), "row"),
        (item("r", 1, row="0"), "row"),
        (item("r", 1, weight=2), '"weight"'),
        ({"request_id": "r"}, "label"),
        ({"request_id": "r", "label": None}, "label"),
        ({"request_id": "r", "label": [1]}, "label"),
        (item("r", ""), "label"),
        (item("r", "x" * 65), "label"),
        (item("r", 2**63), "label"),
        (item("r", float("inf")), "label"),
        (item("r", "half \ud800"), "label"),
        (item("r", 1, observed_at="yesterday"), "observed_at"),
        (item("r", 1, observed_at="2026-05-01T12:00:00"), "observed_at"),
        (item("r", 1, observed_at=12), "observed_at"),
        (item("r", 1, observed_at="0001-01-01T00:00:00+14:00"), "observed_at"),
    ],
)
def test_an_item_that_is_no_label_is_refused_by_itself(damage: Any, said: str) -> None:
    """Its place, a code and what would be right; the others are taken."""
    feedback = read_feedback({"items": [item("a"), damage, item("b")]})
    assert [place for place, _ in feedback.labels] == [0, 2]
    (refusal,) = feedback.refused
    assert (refusal.index, refusal.code) == (1, "invalid_argument")
    assert said in refusal.message
    assert "x" * 65 not in refusal.message


@pytest.mark.parametrize(
    "body",
    [None, [], {}, {"items": {}}, {"items": [], "more": 1}, {"items": [], "answers": []}, {"items": [1] * 10_001}],
)
def test_a_body_that_is_no_list_of_labels_is_refused(body: object) -> None:
    """All of it."""
    with pytest.raises(InvalidRequest) as refused:
        read_feedback(body)
    assert refused.value.code == "invalid_argument"


def test_a_node_adds_answers() -> None:
    """They are read strictly, and refused as a whole."""
    said = answered("r", 1, "yes", None, (0.25, 0.75))
    assert read_feedback({"items": [], "answers": [said.to_json()]}, from_node=True).answers == (said,)
    damages: list[dict[str, Any]] = [
        {"arm": "x"},
        {"request_id": "a b"},
        {"rows": []},
        {"rows": ["x" * 65]},
        {"rows": [2**64]},
        {"rows": [[10**400]]},
        {"rows": ["half \udc00"]},
    ]
    for damage in damages:
        with pytest.raises(InvalidRequest):
            read_feedback({"items": [], "answers": [said.to_json() | damage]}, from_node=True)
    with pytest.raises(ValueError, match="out of range"):
        Answered.from_json(said.to_json() | {"at_ms": 2**60})


def test_a_request_is_named_once() -> None:
    """However many of its rows are labelled; 10,000 items are as many as there may be."""
    feedback = read_feedback({"items": [item("r", 1, row=n) for n in range(MOST_ITEMS)]})
    assert feedback.requests == ["r"]


def test_the_last_label_wins() -> None:
    """By arrival; where both say when they were observed, the later of those."""
    rows = (1, 2)
    first = joined(rows, {}, label("r", 1, 1, observed_ms=50), 100)
    assert first == (1, Given(1, 100, 50))
    kept = dict([first])
    assert joined(rows, kept, label("r", 0, 1), 200) == (1, Given(0, 200))
    assert joined(rows, kept, label("r", 0, 1, observed_ms=60), 200) == (1, Given(0, 200, 60))
    assert joined(rows, kept, label("r", 0, 1, observed_ms=40), 200) is None
    assert given_from_json(given_to_json(kept)) == kept


def test_a_row_that_is_not_there() -> None:
    """Is said to be none, with those that are."""
    with pytest.raises(NotFound, match="rows are 0 to 1") as refused:
        joined((1, 2), {}, label("r", 1, 2), 100)
    assert refused.value.code == "unknown_row"
