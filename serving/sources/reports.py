"""Where a node's reports go: the registry, by one route; or nobody.

Not here: what is in them, and when they are sent (``serving/reporter.py``).
"""

from __future__ import annotations

import asyncio

import httpx
import orjson

from registry.errors import Unavailable
from serving.sources.registry import registry_client, registry_route

ANSWER_SECONDS = 10.0
_AGAIN = {httpx.codes.REQUEST_TIMEOUT, httpx.codes.TOO_MANY_REQUESTS}


class HttpReports:
    """Posts reports to the registry (``POST /registry/v1/windows``)."""

    def __init__(self, registry_url: str) -> None:
        self._url = registry_route(registry_url, "windows")
        self._client = registry_client(registry_url)

    async def send(self, body: bytes, sequence: int) -> bool:
        """Send one report; tell whether it was taken, or will never be.

        Raises Unavailable ``registry_unavailable`` where nobody knows: it may have been taken, and must be sent again.
        """
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                headers = {"content-type": "application/json"}
                answer = await self._client.post(self._url, content=body, headers=headers, timeout=ANSWER_SECONDS)
        except (httpx.HTTPError, TimeoutError) as error:
            raise Unavailable(
                "registry_unavailable", f"the registry does not answer ({type(error).__name__})"
            ) from error
        if answer.is_client_error and answer.status_code not in _AGAIN:
            return False
        if answer.status_code != httpx.codes.OK or not _is_receipt(answer.content, sequence):
            raise Unavailable("registry_unavailable", f"the registry answered {answer.status_code}, and no receipt")
        return True

    async def close(self) -> None:
        """Let go of connections."""
        await self._client.aclose()


class NoReports:
    """A node that nobody watches: every report is taken, and forgotten."""

    async def send(self, body: bytes, sequence: int) -> bool:
        """Take it."""
        return True

    async def close(self) -> None:
        """Nothing is open."""


def _is_receipt(body: bytes, sequence: int) -> bool:
    # A proxy that answers for a registry that is away must not make a node forget what it counted.
    try:
        taken = orjson.loads(body)["sequence"]
    except (ValueError, TypeError, KeyError):
        return False
    return isinstance(taken, int) and taken >= sequence
