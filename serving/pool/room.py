"""The memory of this node: what loaded versions cost, what loads under way may come to cost, and who waits for room.

    take ── fits ───────────────────────────► reserved ── enter (measured) ── leave
      ├──── somebody idle can go ── evicted ──► waits until it is gone ──► reserved
      └──── everything is in use ─── patience ──► no_capacity

Those who wait are served in the order they came, except that one who cannot be helped now does not hold up the others.
A version that is larger than the whole budget gets all of it: it loads where nothing else is loaded. Not here: who must
go (``eviction.py``, pure), how it ends (``pool.py``).
"""

from __future__ import annotations

import asyncio
import heapq
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from registry import log
from registry.errors import Unavailable
from serving.pool.eviction import Claim, Resident, Situation, choose_victim
from serving.pool.slot import Identity, Residence, Slot
from serving.pool.state import State

LEAST_ESTIMATE = 32 << 20
SIZE_FACTOR = 2
PATIENCE_SECONDS = 1.0
"""How long a load waits for something to become idle where everything is in use: leases are short."""
_REMEMBERED = 10_000


@dataclass(slots=True, eq=False)
class _Waiter:
    slot: Slot
    need: int
    granted: asyncio.Future[None]
    timer: asyncio.TimerHandle | None = None


class Room:
    """Keeps the sum of all versions within the budget. For one event loop.

    Args:
        budget: Bytes.
        evict: Begins to end an idle version; what it cost is ``left`` later.
        clock: Monotonic seconds.
        patience: Seconds to wait where everything is in use.
    """

    def __init__(
        self, budget: int, evict: Callable[[Slot], None], clock: Callable[[], float], patience: float = PATIENCE_SECONDS
    ) -> None:
        self.budget = budget
        self._evict = evict
        self._clock = clock
        self._patience = patience
        self._residents: dict[Residence, Slot] = {}
        self._reserved: dict[Slot, int] = {}
        self._waiting: list[_Waiter] = []
        self._known: OrderedDict[Identity, int] = OrderedDict()
        self._settling = self._over = False

    @property
    def used(self) -> int:
        """Bytes that all copies cost, and that loads under way have reserved."""
        return sum(r.memory_bytes for r in self._residents) + sum(self._reserved.values())

    async def take(self, slot: Slot, seconds: float) -> None:
        """Reserve what a version will probably cost; ``enter`` or ``give_back`` ends that.

        Raises Unavailable ``no_capacity`` where everything is in use, or no room came about within ``seconds``.
        """
        waiter = _Waiter(slot, self._estimate(slot), asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        try:
            self.settle()
            async with asyncio.timeout(seconds):
                await waiter.granted
        except TimeoutError:
            raise self._refusal("no_room_in_time") from None
        finally:
            if waiter.timer is not None:
                waiter.timer.cancel()
            if waiter in self._waiting:
                self._waiting.remove(waiter)
                self.settle()

    def enter(self, slot: Slot, residence: Residence) -> None:
        """Count a copy that has been loaded, in place of what was reserved for it."""
        self._residents[residence] = slot
        self._remember(slot)
        self.give_back(slot)

    def give_back(self, slot: Slot) -> None:
        """Return what was reserved. Idempotent."""
        self._reserved.pop(slot, None)
        self.settle()

    def leave(self, residence: Residence) -> None:
        """Stop counting a copy: it has ended. Idempotent."""
        if self._residents.pop(residence, None) is not None:
            self.settle()

    async def measure(self, most: int) -> None:
        """Measure anew what was measured longest ago, ``most`` copies; evict where all have grown too large."""
        present = [residence for residence in self._residents if not residence.leaving]
        for residence in heapq.nsmallest(most, present, key=lambda r: r.measured_at):
            residence.measured_at = self._clock()
            try:
                self._measured(residence, await residence.loaded.measure())
            except Exception as error:  # noqa: BLE001  # one that cannot be measured must not stop the others
                log.failure("measure_raised", error)

    def _measured(self, residence: Residence, memory_bytes: int) -> None:
        if residence in self._residents and not residence.leaving and residence.loaded.alive:
            residence.memory_bytes = memory_bytes
            self._remember(self._residents[residence])
            self.settle()

    @property
    def crowded(self) -> bool:
        """Whether somebody waits for room, or what is there has grown beyond the budget: something idle would help."""
        return bool(self._waiting) or self._over

    def settle(self) -> None:
        """Give room to whom it can be given, and have somebody go where that helps. Cheap where nobody waits."""
        if self._settling:
            return  # who is evicted reports back while we look
        self._settling = True
        try:
            free = self.budget - self.used
            coming = sum(r.memory_bytes for r in self._residents if r.leaving)
            if free + coming < 0:
                coming += self._make_room(-free - coming, None)
            self._over = free + coming < 0
            for waiter in list(self._waiting):
                free, coming = self._serve(waiter, free, coming)
        finally:
            self._settling = False

    def _serve(self, waiter: _Waiter, free: int, coming: int) -> tuple[int, int]:
        """Help one who waits; return what is free, and about to be, for those behind."""
        if waiter.granted.done():
            return free, coming
        need = waiter.need
        if need <= free:
            self._waiting.remove(waiter)
            self._reserved[waiter.slot] = need
            waiter.granted.set_result(None)
            return free - need, coming
        if need > free + coming:
            coming += self._make_room(need - free - coming, waiter.slot.claim)
        if need <= free + coming:
            self._be_patient(waiter, hopeful=True)
            return 0, free + coming - need
        # A load under way may turn out smaller than what it reserved, and is idle soon.
        self._be_patient(waiter, hopeful=bool(self._reserved))
        return free, coming

    def _make_room(self, missing: int, claim: Claim | None) -> int:
        """Have idle versions go; return how many bytes will come back."""
        coming = 0
        while True:
            victim = choose_victim(Situation(self._idle_and_busy(), missing - coming, claim, self._clock()))
            if victim is None:
                return coming
            coming += victim.memory_bytes
            self._evict(victim)

    def _idle_and_busy(self) -> list[Resident[Slot]]:
        return [
            Resident(
                key=slot,
                memory_bytes=residence.memory_bytes,
                used_at=max(residence.since, slot.last_used or 0.0),
                in_use=residence.leases > 0 or slot.waiting > 0 or slot.state is not State.READY,
                kept=slot.kept,
                background=slot.identity.background,
            )
            for residence, slot in self._residents.items()
            if slot.residence is residence and not residence.leaving
        ]

    def _be_patient(self, waiter: _Waiter, *, hopeful: bool) -> None:
        if hopeful:
            if waiter.timer is not None:
                waiter.timer.cancel()
                waiter.timer = None
        elif self._patience <= 0:
            self._give_up(waiter)
        elif waiter.timer is None:
            waiter.timer = asyncio.get_running_loop().call_later(self._patience, self._time_is_up, waiter)

    def _time_is_up(self, waiter: _Waiter) -> None:
        self.settle()  # something may have become idle that nobody told of
        if waiter.timer is not None:
            self._give_up(waiter)

    def _give_up(self, waiter: _Waiter) -> None:
        if not waiter.granted.done():
            waiter.granted.set_exception(self._refusal("memory_in_use"))

    def _refusal(self, reason: str) -> Unavailable:
        return Unavailable(
            "no_capacity",
            "there is no memory for this version now: all that is loaded is in use (HEADGATE_MEMORY_BUDGET_BYTES is "
            f"{self.budget}); retry shortly",
            {"reason": reason, "memory_budget_bytes": self.budget},
            retry_after=1.0,
        )

    def _estimate(self, slot: Slot) -> int:
        servable = slot.servable
        known = self._known.get(slot.identity)
        guess = max(LEAST_ESTIMATE, SIZE_FACTOR * servable.size) * servable.instances if known is None else known
        return min(guess, self.budget)

    def _remember(self, slot: Slot) -> None:
        self._known[slot.identity] = slot.memory_bytes
        self._known.move_to_end(slot.identity)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
