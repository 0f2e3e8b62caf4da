"""JSON bodies are read strictly, and refused with the code that says why."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import InvalidRequest
from serving.protocols.json_body import load_json, load_json_or_nan
from serving.protocols.json_scan import scan
from serving.protocols.limits import Limits

LIMITS = Limits()


def code_of(body: bytes, limits: Limits = LIMITS) -> str:
    """Return the code with which a body is refused."""
    with pytest.raises(InvalidRequest) as caught:
        load_json(body, limits)
    return caught.value.code


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"{} x", b"[1,]", b"{'a': 1}", b"01", b"nul", b"\xff", b'"\xff"', b'"\\ud800"', b"\xef\xbb\xbf{}",
     '{"a": 1}'.encode("utf-16"), b"\x00", b'"a\x01b"', b"{,}", b'{"a" 1}'],
)  # fmt: skip
def test_what_is_no_json_is_malformed(body: bytes) -> None:
    """Broken grammar, encodings other than UTF-8, byte order marks and lone surrogates are malformed JSON."""
    assert code_of(body) == "malformed_json"


@pytest.mark.parametrize(
    "body",
    [b"[NaN]", b'{"inputs": [1, -Infinity]}', b"Infinity", b"[1e999]", b"-1e999", b"1" * 5000, '{"é": [NaN]}'.encode()],
)
def test_numbers_beyond_json_are_named_so(body: bytes) -> None:
    """NaN and infinity, spelt out or by size, have a code of their own."""
    assert code_of(body) == "non_finite_number"


@pytest.mark.parametrize(
    "body",
    [b'{"a": 1, "a": 2}', b'{"x": {"a": 1, "a": 1}}', b'{"x": [[{"a": 1, "a": 2}]]}', b'{"a": 1, "\\u0061": 2}',
     b'{"x": ["ab"], "p": {"a": 1, "a": 2, "a": 3}}', b'{"x": [{"a": "::", "a": 2}]}'],
)  # fmt: skip
def test_a_key_said_twice_is_refused_at_every_level(body: bytes) -> None:
    """No duplicate key is lost silently, however it is spelt and wherever it stands."""
    assert code_of(body) == "duplicate_key"


def test_depth_is_counted_outside_of_strings() -> None:
    """64 levels pass, 65 do not, and brackets in strings do not count."""
    assert load_json(b"[" * 64 + b"]" * 64, LIMITS)
    assert code_of(b"[" * 65 + b"]" * 65) == "too_deep"
    assert code_of(b'{"a":' * 65 + b"1" + b"}" * 65) == "too_deep"
    assert load_json(b'{"a": "' + b"[" * 1000 + b'\\"[[[\\\\"}', LIMITS)
    assert load_json(b"[" + b",".join([b"[[]]"] * 5000) + b"]", LIMITS)


def test_values_are_counted_before_parsing() -> None:
    """More values than the limit are refused; commas inside of strings are no values."""
    limits = Limits(values=10)
    assert load_json(b"[1,2,3,4,5,6,7,8,9,0]", limits)
    assert code_of(b"[1,2,3,4,5,6,7,8,9,0,1]", limits) == "too_many_values"
    assert load_json(b'["' + b"," * 100 + b'"]', limits)


def test_marks_tell_numbers_from_the_rest() -> None:
    """Members, strings and literals are counted outside of strings."""
    marks = scan(b'{"true": ["a:b", 1, "\\"null"], "x": {"y": 2}}', LIMITS)
    assert (marks.members, marks.strings, marks.literals) == (3, 5, False)
    assert scan(b"[1, true]", LIMITS).literals
    assert scan(b"[null]", LIMITS).literals


def test_long_bodies_are_scanned_as_short_ones() -> None:
    """Above the size where strings are left out by arrays, the counts stay the same."""
    piece = b'{"a": "x:[{", "b": [true, 1]}'
    one = scan(b"[" + piece + b"]", LIMITS)
    many = scan(b"[" + b",".join([piece] * 3000) + b"]", LIMITS)
    assert (many.members, many.strings, many.literals) == (3000 * one.members, 3000 * one.strings, True)


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63),
     2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8")),
     inner, max_size=4),
)  # fmt: skip


@given(json_values)
def test_every_json_value_survives(value: Any) -> None:
    """What Python writes as JSON is read back equal, so no honest body is taken for a duplicate or too deep."""
    assert load_json(json.dumps(value).encode(), LIMITS)[0] == value
    assert load_json(json.dumps(value, ensure_ascii=False).encode(), LIMITS)[0] == value


@given(json_values, st.data())
def test_a_duplicate_put_anywhere_is_found(value: Any, draw: st.DataObject) -> None:
    """A duplicated member inside of any value is found."""
    key = draw.draw(st.text(st.characters(codec="utf-8")))
    twice = f"{{{json.dumps(key)}: 1, {json.dumps(key)}: {json.dumps(value)}}}"
    body = json.dumps({"a": [value, "HERE"]}).replace('"HERE"', twice).encode()
    if body.count(b"HERE"):
        return
    assert code_of(body) == "duplicate_key"


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"[NaN, -Infinity,Infinity]", "[None, -inf, inf]"),
        (b'{"NaN": "a \\"NaN, Infinity", "b": [NaN]}', "{'NaN': 'a \"NaN, Infinity', 'b': [None]}"),
        (b"[18446744073709551616, NaN]", "[1.8446744073709552e+19, None]"),
    ],
)
def test_words_for_floats_are_read_where_a_protocol_lets_them(body: bytes, value: str) -> None:
    """NaN is what the caller makes of it, and there may then be literals among the values."""
    found, marks = load_json_or_nan(body, LIMITS, nan=None)
    assert (repr(found), marks.literals) == (value, True)
    found, _ = load_json_or_nan(body, LIMITS, nan=math.nan)
    assert repr(found) == value.replace("None", "nan")


@pytest.mark.parametrize("word", ["Inf", "-Inf", "-NaN"])
def test_words_that_python_does_not_write_are_for_those_who_ask(word: str) -> None:
    """TensorFlow Serving reads them, MLflow does not."""
    body = f"[{word}, 1]".encode()
    with pytest.raises(InvalidRequest):
        load_json_or_nan(body, LIMITS, nan=None)
    assert repr(load_json_or_nan(body, LIMITS, nan=math.nan, short=True)[0][0]) == word.lower().replace("-nan", "nan")


@pytest.mark.parametrize("body", [b"[NaN, 1e999]", b"[NaN, nan]", b"[1NaN]", b"[-NaN]", b'[NaN, "\\ud800"]', b"[NaN"])
def test_nothing_else_gets_through_beside_nan(body: bytes) -> None:
    """What is wrong without it is wrong with it."""
    with pytest.raises(InvalidRequest):
        load_json_or_nan(body, LIMITS, nan=None)
