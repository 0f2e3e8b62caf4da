"""Takes labels in: adds the answers that the registry may not have yet, and hands both over in one call.

So a label right after its prediction is accepted: what this node or a sibling worker answered and has not reported goes
with it, and the registry keeps both in one transaction. Nothing is acknowledged that the registry has not written. Not
here: HTTP (``http/feedback.py``), what is refused (``registry/labels.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import orjson

from registry.labels import read_feedback
from registry.observed import Answered
from registry.records import ModelName
from serving.ports import FeedbackSink

AskSiblings = Callable[[ModelName, list[str]], Awaitable[list[Any]]]
"""Asks the other workers of this node for answers; they come as JSON values."""


class Finds(Protocol):
    """Who knows what was answered lately."""

    def find(self, model: str, request_ids: list[str]) -> list[Answered]:
        """Return the answers to these requests; may block for some milliseconds."""
        ...


async def _alone(_model: ModelName, _ids: list[str]) -> list[Any]:
    return []


class FeedbackDesk:
    """Takes the labels of one node.

    Args:
        sink: Where they go.
        answers: What this process answered lately.
        siblings: Asks what the other workers did.
        note: Has ``answers`` take in what was observed and not noted yet.
    """

    def __init__(
        self,
        sink: FeedbackSink,
        answers: Finds,
        siblings: AskSiblings = _alone,
        note: Callable[[], None] = lambda: None,
    ) -> None:
        self._sink = sink
        self._answers = answers
        self._siblings = siblings
        self._note = note

    async def take(self, model: ModelName, document: Any) -> dict[str, Any]:
        """Return what became of the labels: ``accepted`` and ``refused``.

        Raises InvalidRequest where the body is no list of labels, NotFound ``unknown_model``, and Unavailable
        ``registry_unavailable`` where the registry did not take them: then none was acknowledged.
        """
        said = await asyncio.to_thread(read_feedback, document)
        ours, theirs = await asyncio.gather(self.find(model, said.requests), self._siblings(model, said.requests))
        body = {"items": document["items"], "answers": [*ours, *theirs]}
        return await self._sink.send(model, await asyncio.to_thread(orjson.dumps, body))

    async def find(self, model: ModelName, request_ids: list[str]) -> list[Any]:
        """Return the answers of this process to these requests, JSON-ready."""

        def look() -> list[Any]:
            return [answered.to_json() for answered in self._answers.find(model, request_ids)]

        self._note()
        return await asyncio.to_thread(look)
