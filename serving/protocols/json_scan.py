"""What a JSON body's bytes tell before anybody parses them: nesting, members, literals. Pure, linear, no recursion.

One ``bytes.translate`` throws away digits and whatever else has no say (0.3 ns a byte), so that a large body of numbers
is down to its brackets when anything looks closer. Not here: whether the body is JSON at all; the parser says so.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from registry.errors import InvalidRequest
from serving.protocols.limits import MAX_COLUMNS, Limits
from serving.protocols.refusals import too_many_values
from serving.values import value

# What is kept: structure, and the first letters of true, false and null.
_KEPT = b'[]{}":tfn'
_DROPPED = bytes(c for c in range(256) if c not in _KEPT)
_DROPPED_BUT_COMMAS = bytes(c for c in range(256) if c not in _KEPT + b",")
_BRACES_AND_COLONS = bytes(c for c in range(256) if c not in b"{}:")

_QUOTE = 0x22
# Up to here the pieces between quotes are cheaper as a list of bytes than as arrays.
_SMALL = 4096
_CHUNK = 1 << 20


@value
class Marks:
    """Counts over a body, strings left out.

    Attributes:
        members: ``"key":`` pairs, at every level, duplicates counted.
        strings: Strings, keys included.
        literals: Whether ``true``, ``false`` or ``null`` may occur.
    """

    members: int
    strings: int
    literals: bool


def scan(body: bytes, limits: Limits) -> Marks:
    """Count what matters, and refuse what must never reach a parser.

    Raises InvalidRequest ``too_deep`` and ``too_many_values``.
    """
    if b"\\" in body:
        # Pairs first: what then still stands before a quote is what escapes it.
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    if len(body) // 2 >= limits.values:
        _check_values(body, limits)
    kept = body.translate(None, _DROPPED)
    outside = _outside_strings(kept)
    opened = outside.count(b"[") + outside.count(b"{")
    if opened > limits.depth:
        _check_depth(outside, limits)
    members = outside.count(b":")
    if members > MAX_COLUMNS:
        _check_members(outside)
    return Marks(
        members=members,
        strings=kept.count(b'"') // 2,
        literals=b"t" in outside or b"f" in outside or b"n" in outside,
    )


def _outside_strings(kept: bytes) -> bytes:
    """Return the bytes that are in no string, without their quotes."""
    if len(kept) <= _SMALL:
        return b"".join(kept.split(b'"')[::2])
    parts = []
    inside = np.uint8(0)
    for start in range(0, len(kept), _CHUNK):
        chunk = np.frombuffer(kept, np.uint8, min(_CHUNK, len(kept) - start), start)
        quotes = (chunk == _QUOTE).view(np.uint8)
        parity = np.bitwise_xor.accumulate(quotes) ^ inside
        inside = parity[-1]
        parts.append(chunk[(parity | quotes) == 0].tobytes())
    return b"".join(parts)


def _check_values(body: bytes, limits: Limits) -> None:
    # A container of n commas holds n + 1 values, and all but the outermost are values themselves, so commas + 1 bounds
    # the scalars. Commas of the whole body first: they are counted without leaving strings out.
    count = body.count(b",") + 1
    if count > limits.values:
        count = _outside_strings(body.translate(None, _DROPPED_BUT_COMMAS)).count(b",") + 1
    if count > limits.values:
        raise too_many_values(count, limits.values)


def _check_depth(outside: bytes, limits: Limits) -> None:
    depth = 0
    for start in range(0, len(outside), _CHUNK):
        chunk = np.frombuffer(outside, np.uint8, min(_CHUNK, len(outside) - start), start)
        levels = _steps(chunk).cumsum(dtype=np.int32)
        if depth + int(levels.max()) > limits.depth:
            raise InvalidRequest(
                "too_deep",
                f"the JSON nests deeper than {limits.depth} levels; a request needs no more than its data's dimensions",
                {"limit": limits.depth},
            )
        depth += int(levels[-1])


def _steps(chunk: npt.NDArray[np.uint8]) -> npt.NDArray[np.int8]:
    """Return +1 for each opening bracket or brace, -1 for each closing one, else 0."""
    folded = chunk | 0x20  # [ becomes {, and ] becomes }
    steps: npt.NDArray[np.int8] = (folded == 0x7B).view(np.int8) - (folded == 0x7D).view(np.int8)
    return steps


def _check_members(outside: bytes) -> None:
    # A dict of a million keys costs the parser more time than any honest request. Nested objects break the run of
    # colons, so this catches the flat flood and lets long lists of records pass.
    if b":" * (MAX_COLUMNS + 1) in outside.translate(None, _BRACES_AND_COLONS):
        raise InvalidRequest(
            "too_many_values",
            f"an object in the JSON has more than {MAX_COLUMNS:,} keys",
            {"limit": MAX_COLUMNS},
        )
