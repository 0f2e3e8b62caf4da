"""How much one request or answer may hold. Values only; the settings fill them in."""

from __future__ import annotations

from dataclasses import dataclass

# Wider than any table a person makes, and narrow enough that a header of a million names costs nothing.
MAX_COLUMNS = 65_536

# What a compressed or dictionary-encoded table may grow to while it is read.
EXPANDED_BYTES = 256 * 2**20

# Bodies and answers above this, and answers that are tables whatever their size (their library takes long to import),
# are worked on beside the event loop, which must go on turning. Bodies that are tables are read by another process, and
# so are copies of large ones.
HEAVY_BYTES = 128 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds that hold after expansion.

    Attributes:
        depth: How deep JSON may nest; the outermost object is 1.
        values: How many scalar values an input may expand to.
        response_bytes: How long an encoded answer may be; of a stream, one piece.
        stream_seconds: How long a streamed answer may take in all.
    """

    depth: int = 64
    values: int = 10_000_000
    response_bytes: int = 256 * 2**20
    stream_seconds: float = 300.0
