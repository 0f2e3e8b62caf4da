"""What a body must be before MLflow sees it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.adapters.mlflow_app.bodies import MAX_DEPTH, check_body, deepest
from registry.errors import InvalidRequest

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='[{]}"\\a'),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
)


@pytest.mark.parametrize("body", [b"", b"  ", b"{}", b'{"a": [1, NaN]}', b'"{\\"a\\": 1}"', '{"ü": "[[["}'.encode()])
def test_objects_and_nothing_pass(body: bytes) -> None:
    """An object, one that an old client encoded twice, and no body at all."""
    check_body("/api/2.0/mlflow/runs/search", body)


@pytest.mark.parametrize("body", [b"[]", b"1", b"null", b"{", b'"x"', b"\xff", b'{"a": 1} x'])
def test_anything_else_is_refused(body: bytes) -> None:
    """Everything that is no object."""
    with pytest.raises(InvalidRequest) as refused:
        check_body("/api/2.0/mlflow/runs/search", body)
    assert refused.value.code == "malformed_json"


@pytest.mark.parametrize("body", [b"", b"{}", b'{"query": 1}'])
def test_graphql_needs_a_query(body: bytes) -> None:
    """MLflow's handler would fail without."""
    with pytest.raises(InvalidRequest, match="query"):
        check_body("/graphql", body)


def test_depth_is_bounded_before_it_is_parsed() -> None:
    """Nesting beyond the limit is refused; many brackets side by side, or in a text, are not nesting."""
    with pytest.raises(InvalidRequest) as refused:
        check_body("/x", b"[" * 1_000_000)
    assert refused.value.code == "too_deep"
    check_body("/x", json.dumps({"a": [[] for _ in range(500)], "b": "[" * 500, "c": '"' + "{" * 500}).encode())
    check_body("/x", b'{"a":' * MAX_DEPTH + b"1" + b"}" * MAX_DEPTH)


@given(JSON)
def test_the_bound_is_right(document: object) -> None:
    """It is the true depth wherever it is counted at all."""

    def depth(value: object) -> int:
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
        return 0 if inner is None else 1 + max((depth(v) for v in inner), default=0)

    wide = {"fill": [[] for _ in range(MAX_DEPTH + 1)], "document": document}
    assert deepest(json.dumps(wide).encode()) == depth(wide)
