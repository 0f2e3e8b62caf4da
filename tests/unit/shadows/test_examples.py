"""Examples for the operator: JSON of at most 4 KB, whatever was asked and answered."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.exchange import ArrayOutput, JsonOutput, Output, Table, TableOutput
from serving.shadows.backlog import Answered
from serving.shadows.examples import example
from tests.support.protocols import native


def shown(body: bytes, primary: Output, shadow: Output, media: str | None = None) -> dict[str, Any]:
    """Return an example, as it is after the wire."""
    found = example(Answered(body, media, "r1", primary, 0.001, native(body, media)), shadow)
    text = json.dumps(found, allow_nan=False)
    assert len(text) <= 4096
    read: dict[str, Any] = json.loads(text)
    return read


def test_a_small_exchange_is_shown_whole() -> None:
    """Body and answers as JSON, the request's id beside them."""
    found = shown(b'{"inputs": [[1.5]]}', ArrayOutput(np.array([1.0])), ArrayOutput(np.array([math.nan])))
    assert found == {"request_id": "r1", "primary": [1.0], "shadow": ["nan"], "inputs": {"inputs": [[1.5]]}}


def test_columns_are_shown_by_name() -> None:
    """A table is an object of columns."""
    table = TableOutput(Table(("a", "b"), (np.array([1]), np.array(["x"], dtype=object))))
    assert shown(b"{}", table, table)["primary"] == {"a": [1], "b": ["x"]}


def test_what_is_long_is_cut() -> None:
    """Long bodies and answers end with an ellipsis."""
    long = ArrayOutput(np.arange(1000.0) / 7)
    found = shown(json.dumps({"inputs": ["é" * 5000]}).encode(), long, JsonOutput("é" * 5000))
    assert found["inputs"].endswith("…")
    assert found["primary"].endswith("…")
    assert found["shadow"].endswith("…")


@pytest.mark.parametrize(
    ("media", "body", "inputs"),
    [
        ("text/csv; charset=utf-8", b"a,b\n1,2\n", "a,b\n1,2\n"),
        ("application/vnd.apache.parquet", b"PAR1", "4 bytes of application/vnd.apache.parquet"),
    ],
)
def test_tables_are_shown_as_text_or_by_their_size(media: str, body: bytes, inputs: str) -> None:
    """What no operator can read is not shown."""
    assert shown(body, JsonOutput(1), JsonOutput(2), media)["inputs"] == inputs


words = st.recursive(
    st.none() | st.floats() | st.integers() | st.text(),
    lambda i: st.lists(i, max_size=50) | st.dictionaries(st.text(), i, max_size=5),
    max_leaves=60,
)


@given(words, words, words)
def test_any_exchange_fits(inputs: Any, primary: Any, shadow: Any) -> None:
    """No body and no answer makes an example that is too long, or no JSON."""
    shown(json.dumps({"inputs": inputs}).encode(), JsonOutput(primary), JsonOutput(shadow))
