"""A JSON body as a value, strictly: one document, UTF-8, finite numbers, every key once. Pure.

orjson parses, and is strict about the grammar; what it lets pass (a key said twice: the last wins) is caught here by
comparing how many members the bytes spell with how many the value has. Not here: what the value means.

Integers beyond 64 bits arrive as floats, as JSON numbers do in most languages: columns of integers refuse them then.
"""

from __future__ import annotations

import json
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
