"""The ``traceparent`` header: read strictly, written, and whether a request that begins a trace is recorded. Pure.

https://www.w3.org/TR/trace-context/ §3.2. What is not exactly a header of that form counts as none: whoever is asked
then begins a trace of its own. Not here: what is recorded (``traces.py``), and ``tracestate``, which is for those who
ask somebody further on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

NAME = b"traceparent"
_FORM = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[\x21-\x7e]*)?")
_SAMPLED = 0x01
_CHANCE_BITS = 56
"""How many bits of a trace's id are random for certain (§4.2: the rightmost seven bytes)."""


@dataclass(frozen=True, slots=True)
class Traceparent:
    """A place in a trace: the trace, the span that is the parent of what follows, and whether it is recorded."""

    trace: int
    span: int
    sampled: bool

    def header(self) -> bytes:
        """Return the header's value."""
        return b"00-%032x-%016x-%02x" % (self.trace, self.span, _SAMPLED if self.sampled else 0)


def read(value: bytes | None) -> Traceparent | None:
    """Return what a header says; None where there is none, or it is not of the form, or of several headers."""
    found = None if value is None else _FORM.fullmatch(value)
    if found is None:
        return None
    version, trace, span, flags, more = found.groups()
    if version == b"ff" or (version == b"00" and more is not None):
        return None
    said = Traceparent(int(trace, 16), int(span, 16), bool(int(flags, 16) & _SAMPLED))
    return said if said.trace and said.span else None


def is_chosen(trace: int, ratio: float) -> bool:
    """Tell whether a trace that begins here is recorded; all who are given the same ratio choose the same ones."""
    return trace % (1 << _CHANCE_BITS) < ratio * (1 << _CHANCE_BITS)
