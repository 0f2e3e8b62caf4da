"""The runtime of a node: a version that may runs in the serving process, every other in a process of its own.

The registry's word (``ServableVersion.runtime``) is a wish; this node's setting and its own probe decide. What is in
the background always gets a process, whose time the system can give to others first: in this one it would stand in the
way of every answer. Not here: how either runtime works.
"""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path

from registry import log
from registry.snapshots import ServableVersion
from serving.ports import LoadedVersion, StartedRuntime
from serving.runtimes.inline.runtime import InlineRuntime, NotInline


class ChosenRuntime:
    """Binds ``Runtime``. Without ``inline`` everything gets a host."""

    def __init__(self, host: StartedRuntime, inline: InlineRuntime | None) -> None:
        self._host, self._inline = host, inline

    async def start(self) -> None:
        """Get the hosts' runtime ready; the other one needs nothing before its first version."""
        await self._host.start()

    async def load(self, version: ServableVersion, directory: Path, seconds: float) -> LoadedVersion:
        """Load a version where it may run; see ``Runtime``."""
        until = time.monotonic() + seconds
        if self._inline is not None and version.runtime == "inline" and not version.background:
            try:
                async with asyncio.timeout(seconds / 2):  # the host that may have to follow needs time too
                    return await self._inline.load(version, directory)
            except NotInline as refused:
                why = str(refused)
            except TimeoutError:
                why = "its probe did not end in time"
            log.event("inline_refused", logging.WARNING, version=version.version, digest=version.digest, reason=why)
        return await self._host.load(version, directory, until - time.monotonic())

    async def close(self) -> None:
        """End both."""
        if self._inline is not None:
            await self._inline.close()
        await self._host.close()
