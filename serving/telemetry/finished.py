"""One finished request, as whoever watches is told of it. Not here: what is made of it (``metrics.py``)."""

from __future__ import annotations

from dataclasses import dataclass

from serving.exchange import Input, Output
from serving.protocols.request import NATIVE
from serving.routing.split import Decision


@dataclass(slots=True)
class Finished:
    """One finished request as monitoring sees it. Times are seconds; a stage that was not reached stays 0.

    ``model`` and ``version`` may name what does not exist; metrics count that as ``other``. ``code`` is the error's, or
    empty; ``reason`` says more of a refusal, where its error does; ``queue`` is the wait for a lease.

    Attributes:
        revision: Of the plan that chose; 0 where none did.
        watched: Whether that plan compares a canary with stable, so that every answer is evidence.
        rows: How many rows were asked about; 0 where the request was not understood.
        inputs: What the model was asked, where it answered; ``output``: what it answered. Neither is to be changed, or
            kept beyond the next count.
        size: How many bytes the body had, and ``request_id`` who asked.
        settling: Whether it was among the first few of a process, which say little of how fast it is.
        failed: The canary, asked by its share, that could not answer this request, where stable had to (arm
            ``fallback``) because the canary's process died under it or is broken; empty where it was not loaded yet or
            is ejected, and where a rule asked it.
    """

    model: str = ""
    version: str = ""
    arm: str = ""
    protocol: str = NATIVE
    code: str = ""
    seconds: float = 0.0
    decode: float = 0.0
    queue: float = 0.0
    predict: float = 0.0
    encode: float = 0.0
    reason: str = ""
    revision: int = 0
    watched: bool = False
    rows: int = 0
    output: Output | None = None
    settling: bool = False
    failed: str = ""
    inputs: Input | None = None
    size: int = 0
    request_id: str = ""

    def follow(self, decision: Decision) -> None:
        """Take over what was decided."""
        self.version, self.arm = decision.version, decision.arm
        self.revision, self.watched = decision.revision, decision.watched
