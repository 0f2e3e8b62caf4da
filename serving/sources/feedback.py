"""Where labels go: the registry, by one route; or nobody.

Not here: which answers go with them (``serving/feedback.py``).
"""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import orjson

from registry.errors import HeadgateError, InvalidRequest, NotFound, Refused, Unavailable
from registry.records import ModelName
from serving.sources.registry import registry_client, registry_route

ANSWER_SECONDS = 15.0
RETRY_SECONDS = 5.0
_RELAYED = (InvalidRequest, NotFound, Refused)
"""What the registry may say of the caller's own request; anything else is no fault of the caller's."""


class HttpFeedback:
    """Posts labels to the registry (``POST /registry/v1/models/{name}/feedback``)."""

    def __init__(self, registry_url: str) -> None:
        self._url = registry_url
        self._client = registry_client(registry_url)

    async def send(self, model: ModelName, body: bytes) -> dict[str, Any]:
        """See ``FeedbackSink.send``."""
        url = registry_route(self._url, f"models/{model}/feedback")
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                headers = {"content-type": "application/json"}
                answer = await self._client.post(url, content=body, headers=headers, timeout=ANSWER_SECONDS)
        except (httpx.HTTPError, TimeoutError) as error:
            raise _away(f"it does not answer ({type(error).__name__})") from error
        said = _read(answer.content)
        if answer.status_code == httpx.codes.ACCEPTED and type(said.get("accepted")) is int:
            return {"accepted": said["accepted"], "refused": list(said.get("refused", []))}
        if answer.is_client_error:
            _relay(said.get("error"))
        raise _away(f"it answered {answer.status_code}")

    async def close(self) -> None:
        """Let go of connections."""
        await self._client.aclose()


class NoFeedback:
    """A node without a registry: labels have nowhere to go."""

    async def send(self, model: ModelName, body: bytes) -> dict[str, Any]:
        """Refuse."""
        raise _away("this node has none")

    async def close(self) -> None:
        """Nothing is open."""


def _read(body: bytes) -> dict[str, Any]:
    # Somebody else, such as a proxy, may answer for a registry that is away.
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return said if isinstance(said, dict) else {}


def _relay(error: object) -> None:
    """Raise what the registry said, as this node's own."""
    if not isinstance(error, dict):
        return
    code, message = error.get("code"), error.get("message")
    for branch in _RELAYED:
        if isinstance(code, str) and isinstance(message, str) and code in branch.codes:
            raise branch(code, message)


def _away(why: str) -> HeadgateError:
    return Unavailable(
        "registry_unavailable",
        f"labels are kept by the registry, and {why}; none of them was taken, so send all again later",
        retry_after=RETRY_SECONDS,
    )
