"""Answers made shorter, where the caller says that it reads such: gzip and deflate. Pure.

``deflate`` is the zlib format (RFC 9110 §8.4.1.2). Not here: compressed requests (the HTTP body reader's).
"""

from __future__ import annotations

import zlib
from typing import Literal

Coding = Literal["gzip", "deflate"]

WORTH_BYTES = 256
"""Shorter answers stay as they are: little is saved, and it takes longer than writing them."""
_LEVEL = 1
_OFFERED: tuple[Coding, ...] = ("gzip", "deflate")


def choose_coding(accepted: bytes | None) -> Coding | None:
    """Return what Accept-Encoding prefers of what is offered (RFC 9110 §12.5.3); None for neither."""
    if not accepted:
        return None
    weights: dict[str, float] = {}
    for part in accepted[:1024].decode("latin-1").lower().split(","):
        name, _, rest = part.partition(";")
        weights[name.strip()] = _weight(rest)
    anything = weights.get("*", 0.0)
    best = max(_OFFERED, key=lambda coding: weights.get(coding, anything))  # the first of equals
    return best if weights.get(best, anything) > 0 else None


def _weight(parameters: str) -> float:
    name, _, value = parameters.partition("=")
    return read_quality(value) if name.strip() == "q" else 1.0


def read_quality(value: str) -> float:
    """Return what follows ``q=`` in a header of what is accepted: from 0 to 1 (RFC 9110 §12.4.2); 0 for no number."""
    try:
        return max(0.0, min(1.0, float(value)))  # in this order NaN becomes 1
    except ValueError:
        return 0.0


def compress(body: bytes, coding: Coding | None) -> tuple[bytes, bytes]:
    """Return a body as it is sent, and the header line that says how; both as they were where nothing is gained."""
    if coding is None or len(body) < WORTH_BYTES:
        return body, b""
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, zlib.MAX_WBITS + (16 if coding == "gzip" else 0))
    packed = packer.compress(body) + packer.flush()
    if len(packed) >= len(body):
        return body, b""
    return packed, b"content-encoding: %b\r\n" % coding.encode()
