"""Bodies as protocols read them, for tests."""

from __future__ import annotations

from functools import partial

from serving.protocols.native_request import read_native
from serving.protocols.request import Head, Read


def native(body: bytes, content_type: str | None = None) -> Read:
    """Return what reads a body of our own protocol."""
    return partial(read_native, body, Head(content_type))
