"""How a node learns of changes: a long poll of the registry, and a copy on disk to start from.

The follower owns the table: it merges pages, swaps the table whole, and keeps it. Without the registry the node goes on
with what it has; ``age`` says for how long. Not here: what a change means for loaded versions (``bootstrap`` wires it).
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import orjson

from registry import log
from registry.errors import HeadgateError, Unavailable
from registry.snapshots import SnapshotPage
from serving.ports import SnapshotSource
from serving.routing.table import Routes, Table
from serving.sources.registry import is_news, pause_seconds, registry_client, registry_route

WAIT_SECONDS = 25.0
WHOLE_SECONDS = 120.0
"""How long an answer may take from its beginning to its end."""
QUICK_BYTES = 64 * 1024
QUICK_VERSIONS = 100
"""Pages above these are read and merged beside the event loop, which must go on turning."""
_ANSWER_SECONDS = 10.0


class HttpSnapshotSource:
    """Asks the registry (``GET /registry/v1/snapshot?since=&wait=``)."""

    def __init__(self, registry_url: str) -> None:
        self._url = registry_route(registry_url, "snapshot")
        self._client = registry_client(registry_url)

    async def wait(self, since: int, seconds: float) -> SnapshotPage:
        """Return what changed after ``since``, or after ``seconds`` an empty page of the same revision.

        Raises Unavailable ``registry_unavailable`` where the registry does not answer, or not with a snapshot.
        """
        timeout = httpx.Timeout(_ANSWER_SECONDS, connect=3.0, read=seconds + _ANSWER_SECONDS)
        try:
            async with asyncio.timeout(seconds + WHOLE_SECONDS):  # the other one is for each piece of the answer
                asked = {"since": str(since), "wait": f"{seconds:g}"}
                answer = await self._client.get(self._url, params=asked, timeout=timeout)
        except (httpx.HTTPError, TimeoutError) as error:
            raise Unavailable(
                "registry_unavailable", f"the registry does not answer ({type(error).__name__})"
            ) from error
        if answer.status_code != httpx.codes.OK:
            raise Unavailable("registry_unavailable", f"the registry answered {answer.status_code}, not a snapshot")
        try:
            if len(answer.content) <= QUICK_BYTES:
                return _read_page(answer.content)
            return await asyncio.to_thread(_read_page, answer.content)
        except (KeyError, TypeError, ValueError, AttributeError, HeadgateError) as error:
            raise Unavailable("registry_unavailable", "the registry's answer is no snapshot") from error

    async def close(self) -> None:
        """Let go of connections."""
        await self._client.aclose()


def _read_page(body: bytes) -> SnapshotPage:
    return SnapshotPage.from_json(orjson.loads(body))


class SnapshotFile:
    """The node's copy on disk: a line with the sha256 of the rest, then one full page as JSON."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writing = threading.Lock()

    def save(self, page: SnapshotPage) -> None:
        """Replace the copy; after a crash there is the old one or the new one, whole. Blocks."""
        with self._writing:
            self._write(orjson.dumps(page.to_json()))

    def _write(self, body: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        beside = self._path.with_name(self._path.name + ".new")
        with beside.open("wb") as out:
            out.write(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
            out.flush()
            os.fsync(out.fileno())
        beside.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def load(self) -> tuple[SnapshotPage, float] | None:
        """Return the copy and its age in seconds; None where there is none or it is damaged. Blocks."""
        try:
            raw = self._path.read_bytes()
            age = max(0.0, time.time() - self._path.stat().st_mtime)
        except FileNotFoundError:
            return None
        except OSError as error:
            log.event("snapshot_file_unreadable", logging.WARNING, error=type(error).__name__)
            return None
        digest, _, body = raw.partition(b"\n")
        try:
            if hashlib.sha256(body).hexdigest().encode() != digest:
                raise ValueError("digest")
            return _read_page(body), age
        except (KeyError, TypeError, ValueError, AttributeError, HeadgateError) as error:
            log.event("snapshot_file_damaged", logging.WARNING, error=type(error).__name__)
            return None


class SnapshotFollower:
    """The task that keeps the table in step with the registry.

    Args:
        source: Where pages come from.
        file: The copy on disk.
        routes: Gets each new table.
        changed: Called after each swap, with the table; must not block.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        source: SnapshotSource,
        file: SnapshotFile,
        routes: Routes,
        *,
        changed: Callable[[Table], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._file = file
        self._routes = routes
        self._changed = changed
        self._clock = clock
        self._confirmed_at: float | None = None
        self._failures = 0
        self._learnt: Table | None = None
        self._kept: Table | None = None
        self._unsaved = asyncio.Event()
        self._saving = threading.Lock()
        # 0 asks for everything: at the start, and after any failure, because the registry may have been restored from
        # a backup meanwhile and have given the same revision numbers to other changes.
        self._since = 0

    @property
    def age(self) -> float | None:
        """Seconds since the registry last confirmed what we have; None without any snapshot."""
        return None if self._confirmed_at is None else max(0.0, self._clock() - self._confirmed_at)

    def start_from_file(self) -> bool:
        """Put the copy on disk in force; return whether there was one. Blocks."""
        kept = self._file.load()
        if kept is None:
            return False
        page, age = kept
        self._confirmed_at = self._clock() - age
        self._put_in_force(self._routes.learnt.merged(page))
        log.event("snapshot_from_file", revision=page.revision, models=len(page.models), age_seconds=round(age))
        return True

    async def run(self) -> None:
        """Follow for ever, and keep what was learnt, side by side: a slow disk must not hold up a change."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow())
            group.create_task(self._keep())

    async def _follow(self) -> None:
        while True:
            try:
                await self.follow_once()
            except Unavailable as error:
                await asyncio.sleep(self._note_failure(error.message))
            except Exception as error:  # noqa: BLE001  # the edge of a task: if it ended, the node would go stale unseen
                log.failure("snapshot_raised", error)
                await asyncio.sleep(self._note_failure("a fault of the platform"))

    async def follow_once(self) -> None:
        """Ask once, and act on the answer. Raises Unavailable ``registry_unavailable``."""
        page = await self._source.wait(self._since, WAIT_SECONDS if self._since else 0.0)
        if self._failures:
            log.event("snapshot_source_back", after_failures=self._failures)
        self._failures = 0
        self._confirmed_at = self._clock()
        if page.revision < self._since and not page.full:
            # The registry knows less than we do: its database was reset or restored.
            log.event("snapshot_reset", logging.WARNING, ours=self._since, theirs=page.revision)
            self._since = 0
            return
        self._since = page.revision
        if page.full or page.models or page.removed:
            await self._adopt(page)
        if not page.revision:
            # An empty registry answers at once, since 0 asks for everything.
            await asyncio.sleep(0.2)

    async def _keep(self) -> None:
        try:
            while True:
                await self._unsaved.wait()
                self._unsaved.clear()
                await asyncio.to_thread(self.save)
        finally:
            # The node ends: what it learnt last is what it must start from, so this once the loop waits.
            self.save()

    def save(self) -> None:
        """Keep on disk what was learnt last, unless it is there. Blocks."""
        # One at a time: the last word of a node that ends must not be overtaken by a thread that began before it.
        with self._saving:
            table = self._learnt
            if table is None or table is self._kept:
                return
            try:
                self._file.save(table.as_page())
                self._kept = table
            except OSError as error:
                # What serves is in memory; a full disk only costs the next start its head start.
                log.event("snapshot_not_kept", logging.WARNING, error=type(error).__name__)

    async def _adopt(self, page: SnapshotPage) -> None:
        before = self._routes.learnt
        quick = sum(len(m.versions) + len(m.others) for m in page.models) <= QUICK_VERSIONS
        after = _merged(before, page) if quick else await asyncio.to_thread(_merged, before, page)
        if after is not before:
            self._put_in_force(after)
            log.event("snapshot_changed", revision=page.revision, models=len(after.models))
            self._learnt = after
            self._unsaved.set()

    def _put_in_force(self, table: Table) -> None:
        self._routes.swap(table)
        self._changed(table)

    def _note_failure(self, reason: str) -> float:
        self._failures += 1
        self._since = 0
        if is_news(self._failures):
            log.event("snapshot_unavailable", logging.WARNING, reason=reason, failures=self._failures)
        return pause_seconds(self._failures)


def _merged(before: Table, page: SnapshotPage) -> Table:
    """Return the table after a page; ``before`` itself where nothing has changed."""
    after = before.merged(page)
    return before if after == before else after
