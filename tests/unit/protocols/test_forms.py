"""Which bodies and content types are read at all, and as what."""

from __future__ import annotations

import pytest

from registry.errors import InvalidRequest
from serving.protocols.native import ARROW, CSV, PARQUET, parse_body
from tests.unit.protocols.signatures import LIMITS, parse, refusal


@pytest.mark.parametrize("form", ["dataframe_split", "dataframe_records", "instances", "inputs"])
@pytest.mark.parametrize("content_type", [None, "", "application/json", "Application/JSON; charset=UTF-8"])
def test_the_four_forms_are_told_apart(form: str, content_type: str | None) -> None:
    """JSON, also without a content type, is known by its one form, with params beside it."""
    parsed = parse_body(content_type, b'{"%s": [1], "params": {"p": 1}}' % form.encode(), LIMITS)
    assert (parsed.form, parsed.value, parsed.params) == (form, [1], {"p": 1})


@pytest.mark.parametrize(
    "body",
    [b"null", b"[]", b"{}", b"5", b'"x"', b'{"params": {}}', b'{"inputs": [1], "instances": [1]}',
     b'{"inputs": [1], "signature_name": "x"}',
     b'{"inputs": [1], "params": [1]}', b'{"inputs": [1], "params": {}, "x": 1}', b'{"data": [1]}'],
)  # fmt: skip
def test_anything_but_one_form_is_refused(body: bytes) -> None:
    """No form, two forms, unknown keys and params that are no object are invalid arguments."""
    assert refusal(body).code == "invalid_argument"


@pytest.mark.parametrize(("content_type", "form"), [(CSV, "csv"), (PARQUET, "parquet"), (ARROW, "arrow")])
def test_tables_are_known_by_their_content_type(content_type: str, form: str) -> None:
    """The three table types keep their bytes until the signature is known."""
    assert parse_body(f"{content_type}; header=present", b"x", LIMITS).form == form
    with pytest.raises(InvalidRequest) as caught:
        parse_body(content_type, b"", LIMITS)
    assert caught.value.code == "invalid_argument"


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/xml", "application/x-pickle", "application/jsonx", "application/json; charset=latin-1",
     "text/csv;charset='utf-16'", ";", "multipart/mixed"],
)  # fmt: skip
def test_other_types_and_charsets_are_unsupported(content_type: str) -> None:
    """Only the four types and UTF-8 are supported."""
    if content_type == ";":
        assert parse_body(content_type, b'{"inputs": [1]}', LIMITS).form == "inputs"
        return
    with pytest.raises(InvalidRequest) as caught:
        parse_body(content_type, b"{}", LIMITS)
    assert caught.value.code == "unsupported_media_type"


def test_a_body_of_numbers_is_marked_plain() -> None:
    """Strings and literals among the values are noticed, keys are none of them."""
    assert parse({"inputs": {"a": [1, 2]}}).plain
    assert not parse({"inputs": [1, "2"]}).plain
    assert not parse({"inputs": [1, True]}).plain
