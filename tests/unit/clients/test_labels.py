"""What a cell of CSV says of a label. Pure."""

from __future__ import annotations

import pytest
from headgate.cli.labels import value_of
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1), ("-3", -3), ("0", 0), ("0.5", 0.5), ("1e-3", 0.001), (".5", 0.5), ("True", True), ("false", False),
        ("007", "007"), ("-01", "-01"), ("left", "left"), ("nan", "nan"), ("1_000", "1_000"), ("١", "١"), ("", ""),
    ],
)  # fmt: skip
def test_numbers_and_truths_are_read_and_codes_stay_texts(text: str, value: object) -> None:
    """A number is a number, since a text would make it a class; a postal code is none."""
    assert value_of(text) == value
    assert type(value_of(text)) is type(value)


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers())
def test_every_number_survives(number: float) -> None:
    """What Python writes down is read back as the same number."""
    assert value_of(repr(number)) == number
