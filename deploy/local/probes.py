"""Asking a process whether it is ready: one plain-HTTP GET, past any proxy, with a deadline."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

DEADLINE_SECONDS = 2.0


async def answers_200(url: str, deadline: float = DEADLINE_SECONDS) -> bool:
    """Tell whether ``url`` (http, of this machine) answers 200 now."""
    parts = urlsplit(url)
    request = f"GET {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n"
    try:
        async with asyncio.timeout(deadline):
            line = await _status_line(parts.hostname or "", parts.port or 80, request.encode("ascii"))
    except (OSError, TimeoutError, ValueError):
        return False
    words = line.split(b" ", 2)
    return len(words) > 1 and words[0].startswith(b"HTTP/1.") and words[1].strip() == b"200"


async def accepts(url: str, deadline: float = DEADLINE_SECONDS) -> bool:
    """Tell whether something listens where ``url`` points; no byte is sent."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        async with asyncio.timeout(deadline):
            _, writer = await asyncio.open_connection(parts.hostname, port)
            writer.close()
            await writer.wait_closed()
    except (OSError, TimeoutError):
        return False
    return True


async def _status_line(host: str, port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(request)
        await writer.drain()
        return await reader.readline()
    finally:
        writer.close()
