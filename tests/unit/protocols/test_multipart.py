"""Forms: taken apart within bounds, whatever their bytes are."""

from __future__ import annotations

import contextlib
import logging
import time

import pytest

from registry.errors import InvalidRequest
from registry.signature import Signature
from serving.protocols.limits import HEAVY_BYTES, Limits
from serving.protocols.multipart import MOST_PARTS, split_form
from serving.protocols.native import parse_body, shape
from tests.support.mutation import mutated
from tests.support.pictures import BOUNDARY, drawn, form, pixels
from tests.unit.protocols.signatures import LIMITS, NOTHING, column, signed, tensor

TYPE = f'multipart/form-data; boundary="{BOUNDARY}"'
EDGE = BOUNDARY.encode()
HEAD = b'Content-Disposition: form-data; name="x"'


def one(head: bytes = HEAD, data: bytes = b"data") -> bytes:
    """Return a form of one part."""
    return b"--" + EDGE + b"\r\n" + head + b"\r\n\r\n" + data + b"\r\n--" + EDGE + b"--\r\n"


def refused(content_type: str, body: bytes) -> InvalidRequest:
    """Return the error with which a form is refused."""
    with pytest.raises(InvalidRequest) as caught:
        parse_body(content_type, body, LIMITS)
    assert len(caught.value.message) < 400
    return caught.value


def test_a_form_is_taken_apart() -> None:
    """Parts keep their names, types and bytes, line breaks and all; file names are not looked at."""
    parts = split_form(*form({"image": ("Image/PNG; q=1", b"\r\n--a\x00\r\n"), "größe": b""}))
    assert [(part.name, part.media, part.data) for part in parts] == [
        ("image", "image/png", b"\r\n--a\x00\r\n"),
        ("größe", "", b""),
    ]


def test_what_precedes_and_follows_the_parts_is_left_out() -> None:
    """Clients write a line break before the first boundary, and after the last."""
    assert [part.data for part in split_form(TYPE, b"\r\n" + one() + b"\r\n")] == [b"data"]


@pytest.mark.parametrize(
    "content_type",
    ["multipart/form-data", "multipart/form-data; boundary=", 'multipart/form-data; boundary="ä"',
     'multipart/form-data; boundary="a "', f"multipart/form-data; boundary={'b' * 71}",
     f"multipart/form-data; boundary={'b' * 1_000_000}", "multipart/form-data; boundary*=utf-8''%"],
)  # fmt: skip
def test_h18_boundaries_have_a_grammar_and_70_characters(content_type: str) -> None:
    """No boundary, another alphabet, a megabyte of it: refused before the body is looked at."""
    assert refused(content_type, one()).code == "invalid_argument"


@pytest.mark.parametrize(
    "body",
    [one()[:-6], one()[:30], b"no form at all", b"--" + EDGE + b"--\r\n", one(b"Content-Type: text/plain"),
     one(b"Content-Disposition: attachment; name=x"), one(b"Content-Disposition: form-data"),
     one(b'Content-Disposition: form-data; name=""'), one(HEAD + b"\r\n" + HEAD),
     one(b'Content-Disposition: form-data; name="\xff"'),
     one(b'Content-Disposition: form-data; name="%b"' % (b"n" * 300)),
     one(HEAD + b"\r\nContent-Transfer-Encoding: base64"), one(b"broken header"), one(b"\x00: x"),
     one(HEAD + b"".join(b"\r\nx%d: y" % at for at in range(10)))],
)  # fmt: skip
def test_what_is_no_form_is_refused(body: bytes) -> None:
    """Cut short, without parts or names, with encodings or too many headers: 400, and what is wrong."""
    assert refused(TYPE, body).code == "invalid_argument"


def test_h18_parts_are_counted() -> None:
    """Sixteen parts are read, and ten thousand are refused at the seventeenth."""
    assert len(split_form(*form({f"p{at}": b"x" for at in range(MOST_PARTS)}))) == MOST_PARTS
    assert "16 parts" in refused(*form({f"p{at}": b"x" for at in range(10_000)})).message


def test_h18_a_parts_header_is_bounded() -> None:
    """A header of megabytes is refused at its first kilobyte."""
    began = time.process_time()
    refused(TYPE, one(HEAD + b"\r\nx: " + b"y" * 16_000_000))
    assert time.process_time() - began < 0.5


def test_h18_a_preamble_is_no_form() -> None:
    """Megabytes before the first boundary are not searched for one."""
    began = time.process_time()
    refused(TYPE, b"y" * 16_000_000 + one())
    assert time.process_time() - began < 0.5


def test_bodies_full_of_line_breaks_are_quick() -> None:
    """What nearly is a boundary, a million times, is no work."""
    for filling in (b"\r" * 8_000_000, b"\r\n--a boundary of" * 500_000, b"\r\n" * 4_000_000):
        began = time.process_time()
        assert split_form(TYPE, one(data=filling))[0].data == filling
        assert time.process_time() - began < 0.5


def test_a_name_comes_once() -> None:
    """Two parts of one name are not one input."""
    two = one()[: -len(EDGE) - 8] + b"\r\n" + one()
    assert len(split_form(TYPE, two)) == 2
    assert "several parts 'x'" in refused(TYPE, two).message


def test_params_are_a_part_that_is_a_json_object() -> None:
    """``params`` is no input; it is held to what a JSON body's params are held to."""
    parsed = parse_body(*form({"x": b"1", "params": b'{"a": 1}'}), LIMITS)
    assert parsed.params == {"a": 1}
    assert [part.name for part in parsed.value] == ["x"]
    for given, code in ((b"[1]", "invalid_argument"), (b"{", "malformed_json"), (b'{"a":1,"a":2}', "duplicate_key"),
                        (b"[" * 100_000, "too_deep"), (b" " * (HEAVY_BYTES + 1), "body_too_large")):  # fmt: skip
        assert refused(*form({"x": b"1", "params": given})).code == code
    assert refused(*form({"params": b"{}"})).code == "invalid_argument"


SIGNATURES: tuple[Signature, ...] = (
    NOTHING,
    signed(column("x", "binary"), column("y", "double", required=False), column("z", "string", required=False)),
    signed(tensor("x", "uint8", -1, 8, 8, 3), tensor("y", "float32", -1)),
    signed(tensor(None, "float32", -1, 3, 8, 8)),
)


def test_damaged_forms_are_read_or_refused(caplog: pytest.LogCaptureFixture) -> None:
    """Any bytes give an input or a proper error, in milliseconds."""
    caplog.set_level(logging.ERROR, logger="python_multipart")  # as the node has it; else all its words are kept
    seeds = [
        form({"x": ("image/png", drawn(pixels())), "y": b"1.5"})[1],
        form({"x": b"abc", "params": b'{"a": [1, null]}'})[1],
        form({"x": ("application/json", b"[[1, 2]]"), "z": ("text/plain", "é".encode())})[1],
        one(),
    ]
    worst = 0.0
    for at, body in enumerate(mutated(seeds)):
        began = time.process_time()
        with contextlib.suppress(InvalidRequest):
            shape(parse_body(TYPE, body, LIMITS), SIGNATURES[at % len(SIGNATURES)], None, Limits())
        worst = max(worst, time.process_time() - began)
    assert worst < 0.2


def test_damaged_content_types_are_read_or_refused() -> None:
    """Any Content-Type of a form gives an input or a proper error."""
    seeds = [
        TYPE.encode(),
        b"multipart/form-data; boundary*0=a; boundary*1=b",
        b"multipart/form-data;charset=x;boundary=a",
    ]
    for kind in mutated(seeds, 2_000):
        with contextlib.suppress(InvalidRequest):
            parse_body(kind.decode("latin-1"), one(), LIMITS)
