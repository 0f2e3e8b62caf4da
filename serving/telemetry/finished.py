"""One finished request, as whoever watches is told of it. Not here: what is made of it (``metrics.py``)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Finished:
    """One finished request as monitoring sees it. Times are seconds; a stage that was not reached stays 0.

    ``model`` and ``version`` may name what does not exist; metrics count that as ``other``. ``code`` is the error's, or
    empty; ``reason`` says more of a refusal, where its error does; ``queue`` is the wait for a lease.
    """

    model: str = ""
    version: str = ""
    arm: str = ""
    protocol: str = "native"
    code: str = ""
    seconds: float = 0.0
    decode: float = 0.0
    queue: float = 0.0
    predict: float = 0.0
    encode: float = 0.0
    reason: str = ""
