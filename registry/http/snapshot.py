"""What nodes ask for: the snapshot, by long poll.

All waiting nodes share one poll of the database, so that a thousand of them cost it what one does, and a change made by
another registry on the same database reaches them as fast as our own.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Response

from registry.errors import HeadgateError, Internal, Unavailable
from registry.log import failure
from registry.ports import Snapshots

POLL_SECONDS = 0.1


class RevisionWatch:
    """Waits for the snapshot's revision to pass a number. Lives in one event loop."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots
        self._moved = asyncio.Condition()
        self._waiting = 0
        self._revision = 0
        self._error: HeadgateError | None = None
        self._task: asyncio.Task[None] | None = None
        self._leaving = False
        # Of its own: every node waits for it, and must not wait for whatever else happens in threads.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="snapshot-poll")

    def leave(self) -> None:
        """Let everybody who waits go with what there is: the server ends only once all are answered.

        May be called from a signal's handler; the poll sees it at its next turn.
        """
        self._leaving = True

    async def wait_past(self, since: int, seconds: float) -> None:
        """Return once the revision differs from ``since``, or after ``seconds``; raise Unavailable where the database
        is gone."""
        if self._leaving or await asyncio.to_thread(self._snapshots.revision) != since:
            return
        self._waiting += 1
        if self._task is None or self._task.done():
            self._revision, self._error = since, None
            self._task = asyncio.create_task(self._poll())
        try:
            async with asyncio.timeout(seconds), self._moved:
                await self._moved.wait_for(lambda: self._leaving or self._error is not None or self._revision > since)
        except TimeoutError:
            return
        finally:
            self._waiting -= 1
        if self._error is not None:
            raise self._error

    async def _poll(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            await asyncio.sleep(POLL_SECONDS)
            try:
                self._revision = await loop.run_in_executor(self._thread, self._snapshots.revision)
            except HeadgateError as error:
                self._error = error
            except Exception as error:  # noqa: BLE001 (the edge of a task: who waits must hear of it, and not wait on)
                failure("snapshot.poll_failed", error)
                self._error = Internal("internal", "the registry failed to look for changes; its log has more")
            async with self._moved:
                self._moved.notify_all()
            if self._error is not None:
                return

    async def close(self) -> None:
        """End the poll and everybody who waits on it."""
        self._error = Unavailable("shutting_down", "the registry is stopping")
        async with self._moved:
            self._moved.notify_all()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._thread.shutdown(wait=False)


def snapshot_routes(snapshots: Snapshots, watch: RevisionWatch) -> APIRouter:
    """Return the routes, bound to the ledger's snapshots."""
    routes = APIRouter(prefix="/registry/v1", tags=["nodes"])

    @routes.get("/snapshot")
    async def snapshot(
        since: Annotated[int, Query(ge=0, le=2**53, description="The revision the node has; 0 for none")] = 0,
        wait: Annotated[float, Query(ge=0, le=60, description="Seconds to wait for a change")] = 0,
    ) -> Any:
        """Return the models that changed after ``since``; where none did, wait for one."""
        if wait > 0 and since > 0:
            await watch.wait_past(since, wait)
        # To the last byte in the thread: thousands of versions take seconds to write down, and the loop has others.
        body = await asyncio.to_thread(lambda: orjson.dumps(snapshots.page(since).to_json()))
        return Response(body, media_type="application/json")

    return routes
