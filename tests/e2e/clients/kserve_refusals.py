"""What KServe's REST client raises, as its scripts print it. It runs in that client's environment."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import httpx


async def refused(call: Awaitable[Any]) -> list[Any]:
    """Return status and message of the refusal that a call must end with."""
    try:
        return ["no refusal", str(await call)]
    except httpx.HTTPStatusError as error:
        return [error.response.status_code, str(error)]
    except Exception as error:  # whatever the client raises by itself is shown as it is
        return [type(error).__name__, str(error)]
