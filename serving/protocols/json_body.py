"""A JSON body as a value, strictly: one document, UTF-8, finite numbers, every key once. Pure.

orjson parses, and is strict about the grammar; what it lets pass (a key said twice: the last wins) is caught here by
comparing how many members the bytes spell with how many the value has. Not here: what the value means.

Integers beyond 64 bits arrive as floats, as JSON numbers do in most languages: columns of integers refuse them then.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

import orjson

from registry.errors import InvalidRequest, quote
from serving.protocols.json_scan import Marks, scan
from serving.protocols.limits import Limits

_QUICK_BYTES = 16_384
_NON_FINITE = re.compile(rb"[-+]?(NaN|Infinity|nan|inf)")


def load_json(body: bytes, limits: Limits) -> tuple[Any, Marks]:
    """Parse a body.

    Raises InvalidRequest ``malformed_json``, ``too_deep``, ``duplicate_key``, ``non_finite_number``,
    ``too_many_values``.
    """
    if not body:
        raise InvalidRequest("malformed_json", "the body is empty; send a JSON object")
    marks = scan(body, limits)
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        _refuse(body, error)
    if marks.members and not _all_keys_kept(value, marks.members):
        _refuse_duplicate(body)
    return value, marks


def load_value(body: bytes, limits: Limits) -> Any:
    """Parse a body as ``load_json`` does, for who asks only what it says; a small one in less time."""
    # Colons outside of keys only make more of them, so as many as there are members means that all were kept.
    if len(body) <= _QUICK_BYTES <= limits.values and body.count(b"[") + body.count(b"{") <= limits.depth:
        try:
            value = orjson.loads(body)
        except orjson.JSONDecodeError:
            return load_json(body, limits)[0]
        if _all_keys_kept(value, body.count(b":")):
            return value
    return load_json(body, limits)[0]


def load_json_or_nan(body: bytes, limits: Limits, *, nan: float | None, short: bool = False) -> tuple[Any, Marks]:
    """Parse a body as ``load_json`` does, but let floats also be NaN, Infinity and -Infinity, as Python's own encoder
    writes what JSON has no word for.

    Only a body that cannot be read otherwise, and has such a word, is read again: with zeros for the words, as strictly
    as before, and then as it is. So nothing else that is wrong gets through.

    Args:
        body: The whole of it.
        limits: The same as for ``load_json``.
        nan: What NaN becomes: itself, or None for a missing value.
        short: Whether Inf, -Inf and -NaN are such words too.

    Raises InvalidRequest as ``load_json`` does.
    """
    try:
        return load_json(body, limits)
    except InvalidRequest as error:
        if error.code not in ("non_finite_number", "malformed_json") or not (b"NaN" in body or b"Inf" in body):
            raise
    words = _SHORT_WORDS if short else _WORDS
    _, marks = load_json(words.sub(_zero, body), limits)
    if short:
        body = words.sub(_longer, body)
    constants = {"NaN": nan, "Infinity": math.inf, "-Infinity": -math.inf}
    value = json.loads(body, parse_constant=constants.__getitem__, parse_int=_int)
    return value, marks if nan is not None else Marks(marks.members, marks.strings, literals=True)


# Strings are consumed whole, so that words inside of them are left alone, and nothing is ever tried twice. What stands
# before a word is looked at once its first letter is found: the search goes from one such letter to the next.
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)'
_ALONE = rb"(?<![A-Za-z0-9.+-]%b)%b(?![A-Za-z0-9])"


def _pattern(*words: tuple[bytes, bytes]) -> re.Pattern[bytes]:
    return re.compile(b"|".join((_STRING, *(first + _ALONE % (first, rest) for first, rest in words))), re.DOTALL)


_WORDS = _pattern((b"N", b"aN"), (b"I", b"nfinity"), (b"-", b"Infinity"))
_SHORT_WORDS = _pattern((b"N", b"aN"), (b"I", b"nf(?:inity)?+"), (b"-", b"(?:NaN|Inf(?:inity)?+)"))
# As long as the words, so that places in messages are right.
_ZEROS = {
    word: (b"-0" if word[:1] == b"-" else b"0").ljust(len(word))
    for word in (b"NaN", b"-NaN", b"Inf", b"-Inf", b"Infinity", b"-Infinity")
}
_LONGER = {b"-NaN": b"NaN", b"Inf": b"Infinity", b"-Inf": b"-Infinity"}
_LONGEST_INT = 20


def _zero(found: re.Match[bytes]) -> bytes:
    return _ZEROS.get(found[0], found[0])


def _longer(found: re.Match[bytes]) -> bytes:
    return _LONGER.get(found[0], found[0])


def _int(digits: str) -> int | float:
    number = int(digits) if len(digits) <= _LONGEST_INT else float(digits)
    return number if -(2**63) <= number < 2**64 else float(number)  # as the other parser has it


def _refuse(body: bytes, error: orjson.JSONDecodeError) -> NoReturn:
    """Translate the parser's complaint; it never quotes the body."""
    place = {"line": error.lineno, "column": error.colno}
    spot = f"line {error.lineno}, column {error.colno}"
    # The parser counts characters, the pattern below bytes.
    at = error.pos if body.isascii() else len(body.decode("utf-8", "replace")[: error.pos].encode())
    if "infinity" in error.msg:
        raise InvalidRequest(
            "non_finite_number", f"a number at {spot} is too large for a 64-bit float", place
        ) from None
    if _NON_FINITE.match(body, max(0, at - 1)) or _NON_FINITE.match(body, at):
        raise InvalidRequest(
            "non_finite_number", f"NaN and Infinity are not JSON ({spot}); send null for a missing number", place
        ) from None
    raise InvalidRequest("malformed_json", f"the body is not valid JSON: {quote(error.msg)} ({spot})", place) from None


def _all_keys_kept(value: Any, members: int) -> bool:
    """Whether the value has as many members as the bytes spelt. Looks no deeper than it must."""
    if type(value) is not dict:
        return _count_members(value) == members
    found = len(value)
    for part in value.values():
        if type(part) is dict:
            found += len(part)
    if found == members:
        return True
    for part in value.values():
        if type(part) is list:
            found += sum([len(row) for row in part if type(row) is dict])
    return found == members or _count_members(value) == members


def _count_members(value: Any) -> int:
    count = 0
    waiting = [value]
    while waiting:
        current = waiting.pop()
        if type(current) is dict:
            count += len(current)
            current = current.values()
        elif type(current) is not list:
            continue
        waiting.extend([part for part in current if type(part) is dict or type(part) is list])
    return count


def _refuse_duplicate(body: bytes) -> NoReturn:
    """Parse again, slowly, to name the key."""

    def check(pairs: list[tuple[str, Any]]) -> None:
        seen = set()
        for key, _ in pairs:
            if key in seen:
                raise InvalidRequest(
                    "duplicate_key", f"the key '{quote(key)}' occurs twice in one object", {"key": quote(key)}
                )
            seen.add(key)

    # Integers are left as text: their length is no concern here, and Python refuses to convert very long ones.
    json.loads(body, object_pairs_hook=check, parse_int=str)
    raise InvalidRequest("duplicate_key", "a key occurs twice in one object")
