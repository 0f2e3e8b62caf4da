"""JSON that may hold NaN and Infinity, as TensorFlow Serving's clients send it. Pure.

A body is first read as strictly as any other. Only where that fails, and such a word stands in it, is it read again:
with zeros for the words, as strictly as before, and then as it is. So nothing else that is wrong gets through.
"""

from __future__ import annotations

import json
import re
from typing import Any

from registry.errors import InvalidRequest
from serving.protocols.json_body import load_json
from serving.protocols.json_scan import Marks
from serving.protocols.limits import Limits

# Strings are consumed whole, so that words inside of them are left alone. Nothing here is ever tried twice.
_WORDS = re.compile(
    rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|(?<![A-Za-z0-9.+-])(-?)(NaN|Inf(?:inity)?+)(?![A-Za-z0-9])', re.DOTALL
)
_LONGEST_INTEGER = 20


def load_tolerant(body: bytes, limits: Limits) -> tuple[Any, Marks]:
    """Read a body in which floats may also be NaN, Infinity and -Infinity; raise as ``load_json`` does."""
    try:
        return load_json(body, limits)
    except InvalidRequest as error:
        if error.code not in ("non_finite_number", "malformed_json") or not (b"NaN" in body or b"Inf" in body):
            raise
    _, marks = load_json(_WORDS.sub(_zero, body), limits)
    return json.loads(_WORDS.sub(_word, body), parse_int=_integer), marks


def _zero(found: re.Match[bytes]) -> bytes:
    # As long as the word, so that places in messages are right; a sign may stand before it.
    if found[2] is None:
        return found[0]
    return found[1] + b"0" + b" " * (len(found[2]) - 1)


def _word(found: re.Match[bytes]) -> bytes:
    if found[2] is None:
        return found[0]
    return b"NaN" if found[2] == b"NaN" else found[1] + b"Infinity"


def _integer(text: str) -> int | float:
    """Return an integer, or beyond 64 bits the float that the strict reader would return."""
    if len(text) <= _LONGEST_INTEGER:
        number = int(text)
        if -(2**63) <= number < 2**64:
            return number
    return float(text)
