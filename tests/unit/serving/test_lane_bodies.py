"""The predict lane gives a body's share of the budget back, whatever happens to its request."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from serving.http.body import BodyReader
from serving.http.lane import PredictLane
from serving.http.spoken import all_spoken
from serving.protocols.request import Head
from serving.question import Answer, Question
from serving.streams import Streamed
from serving.telemetry.finished import Finished

pytestmark = pytest.mark.anyio


class Nobody:
    """A predictor that nobody reaches."""

    async def streams(self, question: Question) -> bool:
        """Never be asked."""
        raise AssertionError

    async def predict(self, question: Question, done: Finished) -> Answer:
        """Never be asked."""
        raise AssertionError

    async def stream(self, question: Question, done: Finished) -> Streamed:
        """Never be asked."""
        raise AssertionError


def too_heavy(body: bytes, head: Head) -> int:
    """Fail."""
    raise MemoryError


@pytest.mark.parametrize("path", ["/models/churn/predict", "/models/churn/predict_stream"])
async def test_a_body_that_cannot_be_weighed_is_given_back(path: str) -> None:
    """Else each such request would make the node a little smaller, until it refuses all."""
    bodies = BodyReader(1000)
    spoken = [replace(each, weigh=too_heavy) for each in all_spoken()]
    lane = PredictLane(Nobody(), bodies, spoken, lambda _: None, 5.0)
    scope = {"path": path, "query_string": b"", "headers": [], "headgate.request_id": "r", "extensions": {}}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"x" * 100}

    with pytest.raises(MemoryError):
        await lane.answer(scope, None, receive)
    assert bodies.free_bytes == bodies.budget
