"""What ``tritonclient`` raises, as its scripts print it. It runs in that client's environment."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from tritonclient.utils import InferenceServerException


def refused(call: Callable[[], Any]) -> list[str]:
    """Return status and message of the refusal that a call must end with."""
    try:
        return ["no refusal", str(call())]
    except InferenceServerException as error:
        return [str(error.status()), error.message()]


async def refused_later(call: Awaitable[Any]) -> list[str]:
    """Return the same of a call that is awaited."""
    try:
        return ["no refusal", str(await call)]
    except InferenceServerException as error:
        return [str(error.status()), error.message()]
