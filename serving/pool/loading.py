"""One load from its beginning to its end: files, room, runtime; and the end of a loaded copy.

Whatever goes wrong comes out as an error of the kernel. Not here: who waits for it and what its failure means
(``pool.py``, ``setbacks.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from registry import log
from registry.errors import HeadgateError, Internal, Unavailable
from serving.pool.ports import Artifacts
from serving.pool.room import Room
from serving.pool.slot import Residence, Slot
from serving.ports import Runtime

_GRACE_SECONDS = 5.0


class Loader:
    """Makes copies of versions. ``seconds`` is how long one load may take, ``clock`` monotonic."""

    def __init__(
        self, cache: Artifacts, runtime: Runtime, room: Room, *, seconds: float, clock: Callable[[], float]
    ) -> None:
        self._cache = cache
        self._runtime = runtime
        self._room = room
        self._seconds = seconds
        self._clock = clock

    async def load(self, slot: Slot) -> Residence:
        """Return a loaded copy, for which room is reserved: ``Room.enter`` or ``give_back`` ends that.

        Raises HeadgateError.
        """
        try:
            return await self._load(slot)
        except HeadgateError:
            raise
        except TimeoutError:
            raise Unavailable("loading", f"loading took longer than {self._seconds:g} seconds") from None
        except Exception as error:
            log.failure("load_raised", error, version=slot.servable.version)
            message = "loading failed for a fault of the platform; its log has the place"
            raise Internal("internal", message) from error

    async def _load(self, slot: Slot) -> Residence:
        begun, servable = self._clock(), slot.servable
        artifact = await self._cache.hold(servable.digest, self._seconds)
        try:
            await self._room.take(slot, self._left(begun))
            left = self._left(begun)
            async with asyncio.timeout(left + _GRACE_SECONDS):
                loaded = await self._runtime.load(servable, artifact.directory, left)
        except BaseException:
            artifact.release()
            raise
        now = self._clock()
        return Residence(loaded, artifact, slot=slot, since=now, memory_bytes=loaded.memory_bytes, measured_at=now)

    def _left(self, begun: float) -> float:
        return max(0.1, self._seconds - (self._clock() - begun))


async def end(residence: Residence) -> None:
    """Unload a copy and give back its files. Never raises."""
    try:
        await residence.loaded.close()
    except Exception as error:  # noqa: BLE001  # the edge of a task: a version that cannot end must not keep its files
        log.failure("unload_raised", error)
    finally:
        residence.artifact.release()
