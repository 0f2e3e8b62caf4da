"""What bounds the pool. Values only."""

from __future__ import annotations

from dataclasses import dataclass

from serving.pool.room import PATIENCE_SECONDS


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """How long one load may take in seconds, how many bytes all versions may, and how long a load waits for room."""

    load_seconds: float
    memory_bytes: int
    patience_seconds: float = PATIENCE_SECONDS
