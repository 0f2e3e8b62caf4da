"""Group J of the abuse catalogue, as far as reading bodies goes: the right code, cheaply, without an echo."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from registry.errors import InvalidRequest
from registry.signature import Signature
from serving.exchange import Table
from serving.protocols.limits import Limits
from serving.protocols.native import parse_body, shape
from tests.unit.protocols.signatures import LIMITS, NOTHING, column, signed, tensor

MIB = 2**20
DOUBLE = signed(column("a", "double"))
LONG = signed(column("a", "long"))
TENSOR = signed(tensor(None, "float64", -1, 2))


def refused(body: bytes, signature: Signature = NOTHING, limits: Limits = LIMITS) -> InvalidRequest:
    """Return the error; its message and details are short, whatever the input was."""
    with pytest.raises(InvalidRequest) as caught:
        shape(parse_body(None, body, limits), signature, None, limits)
    error = caught.value
    assert len(json.dumps([error.message, error.details]).encode()) <= 3 * 2048
    assert len(error.message.encode()) <= 2048
    return error


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"inputs": [[NaN, 1]]}', "non_finite_number"),
        (b'{"inputs": [[-Infinity, 1]]}', "non_finite_number"),
        (b'{"inputs": [[1e999, 1]]}', "non_finite_number"),
        (b'{"inputs": [[' + b"7" * 5000 + b"]]}", "non_finite_number"),
        (b'{"inputs": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "too_deep"),
        (b'{"inputs": ' + b'{"a":' * 100_000, "too_deep"),
        (b'{"inputs": [1], "inputs": [2]}', "duplicate_key"),
        (b'{"inputs": "\\ud800"}', "malformed_json"),
        (b'{"inputs": "\xff"}', "malformed_json"),
        ('{"inputs": [1]}'.encode("utf-16"), "malformed_json"),
        (b'\xef\xbb\xbf{"inputs": [1]}', "malformed_json"),
        (b"", "malformed_json"),
        (b"null", "invalid_argument"),
        (b"[]", "invalid_argument"),
        (b"{}", "invalid_argument"),
        (b"{} x", "malformed_json"),
        (b'{"inputs": []}', "invalid_input"),
        (b'{"inputs": [[]]}', "invalid_input"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_j01_to_j13_bad_bodies(body: bytes, code: str) -> None:
    """Each malformed body has the code of the contract."""
    assert refused(body).code == code


@pytest.mark.parametrize("number", [2**63, 2**64, -(2**63) - 1, 10**30])
def test_j04_integers_beyond_64_bits(number: int) -> None:
    """An integer that does not fit its column is out of range, with the column."""
    error = refused(b'{"dataframe_records": [{"a": %d}]}' % number, LONG)
    assert (error.code, error.details["column"], error.details["reason"]) == ("invalid_input", "a", "out_of_range")
    assert refused(b'{"inputs": [%d]}' % -1, signed(tensor(None, "uint8", -1))).details["reason"] == "out_of_range"


def test_j06_depth_is_refused_before_parsing() -> None:
    """16 MiB of brackets are refused in well under a second."""
    started = time.process_time()
    for body in (b"[" * 16 * MIB, b'{"a":' * 3 * MIB, b'["' + b"[" * 16 * MIB, b"[]" * 8 * MIB):
        assert refused(body).code in {"too_deep", "malformed_json"}
    assert time.process_time() - started < 4


def test_j07_a_million_keys_cost_little() -> None:
    """A flat object of a million keys is refused before it becomes a dict, and one of many levels is not slower."""
    flat = b'{"inputs": {' + b",".join(b'"k%d":1' % at for at in range(1_000_000)) + b"}}"
    started = time.process_time()
    assert refused(flat).code == "too_many_values"
    assert time.process_time() - started < 1


def test_j16_values_are_counted_after_expansion() -> None:
    """A million rows beyond the limit are refused before any array is built; sparse records count as expanded."""
    limits = Limits(values=999_999)
    assert refused(b'{"inputs": [' + b"0," * 999_999 + b"0]}", TENSOR, limits).code == "too_many_values"
    sparse = json.dumps({"dataframe_records": [{f"k{at}": 1} for at in range(2000)]}).encode()
    assert refused(sparse, NOTHING, limits).code == "too_many_values"


@pytest.mark.parametrize(
    "text", ["nul\x00inside", "x" * 10_000_000, "😀👩‍👩‍👧", "\u202egnp.exe", "\ufeff", "'; DROP TABLE"]
)
def test_j18_strings_pass_unchanged(text: str) -> None:
    """Strings of any content and length arrive as they were sent."""
    body = json.dumps({"dataframe_records": [{"s": text}]}).encode()
    shaped = shape(parse_body(None, body, LIMITS), signed(column("s", "string")), None, LIMITS).data
    assert isinstance(shaped, Table)
    assert shaped.arrays[0].tolist() == [text]


@pytest.mark.parametrize("text", ["a", "ab!=", "YQ", "=", "YQ==YQ==", "é"])
def test_j21_bad_base64(text: str) -> None:
    """Wrong alphabet, length or padding is refused."""
    assert refused(json.dumps({"inputs": [text]}).encode(),
     signed(column("x", "binary"))).details["reason"] == "bad_base64"  # fmt: skip


SECRET = "canary-4711"


@pytest.mark.parametrize(
    "request_",
    [{"inputs": [SECRET * 10_000]}, {"dataframe_records": [{SECRET * 10_000: 1}]}, {SECRET * 10_000: 1},
     {"inputs": [1], "params": {SECRET * 10_000: 1}},
     {"inputs": {SECRET * 10_000: [1], "a": [1]}}, {"dataframe_split": {SECRET * 10_000: [1]}},
      {"inputs": [[SECRET] * 10_000]}, {"inputs": {f"{SECRET}{at}": [1] for at in range(10_000)}}],
)  # fmt: skip
def test_j26_errors_do_not_echo_the_input(request_: Any) -> None:
    """However large the input, the error repeats little of it."""
    error = refused(json.dumps(request_).encode(), DOUBLE)
    assert len(error.message) < 1024


def test_a_huge_string_among_numbers_is_no_bomb() -> None:
    """numpy would give every number the width of the longest string; nothing of the kind happens."""
    body = b'{"inputs": ["' + b"x" * MIB + b'"' + b",1" * 500_000 + b"]}"
    for signature in (NOTHING, DOUBLE, TENSOR, signed(tensor(None, "str", -1))):
        assert refused(body, signature).code == "invalid_input"
