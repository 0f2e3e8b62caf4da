"""Has calls wait for one another where they come in crowds, so that a batch holds more than one of them.

HTTP's requests of one turn of the loop make one batch by themselves. grpc.aio hands over one call at a time, however
many it has (decision 23), and a call that goes alone pays a whole run of its model. So in a crowd the first waits until
as many have come as lately came together. How many that is, one gathering finds out every so often by waiting until
nobody came for a tick. Who comes alone, or after a calm, waits for nobody: but for that one gathering, every 0.2 s.

Not here: what makes batches of what arrives together (``batching/``).
"""

from __future__ import annotations

import asyncio
import enum
from time import perf_counter

TICK_SECONDS = 0.001
"""What a crowd's calls do not lie apart; the shortest time that the loop's timers know."""
HOLD_SECONDS = 0.006
"""How long a call waits at the most, but for the tick under way."""
CROWD = 3
"""How many calls are worth waiting for."""
CALM_SECONDS = 0.005
"""After such a time without calls and answers, who comes next waits for nobody."""
LEARN_SECONDS = (0.05, 0.2)
"""How long what was learnt is believed: at first, and once it was found again and again."""
EARLY, LATE = 0.8, 3.0
"""Between which numbers of ticks a timer of one tick ends, where the loop was free."""


class Turn(enum.Enum):
    """What becomes of those who wait."""

    GO = enum.auto()
    """All go, and who just came with them."""
    WAIT = enum.auto()
    """They wait on; who just came is one of them."""


class Crowd:
    """Decides when calls that wait go. Pure: times are seconds of any one clock that does not go back."""

    __slots__ = (
        "_expected",
        "_fresh",
        "_last",
        "_learning",
        "_learnt_at",
        "_open",
        "_pause",
        "_since",
        "_tick_at",
        "waiting",
    )

    def __init__(self) -> None:
        self.waiting = 0
        """How many wait."""
        self._open = 0  # that came and were not answered
        self._expected = 1
        self._last = -CALM_SECONDS
        self._learnt_at, self._pause = -LEARN_SECONDS[0], LEARN_SECONDS[0]
        self._learning = False
        self._fresh = 0
        self._since = self._tick_at = 0.0

    def come(self, now: float) -> Turn:
        """A call came."""
        self._open += 1
        calm, self._last = now - self._last >= CALM_SECONDS, now
        if not self.waiting:
            if calm:
                return Turn.GO
            unseen = self._expected == 1 and self._open >= CROWD
            self._learning = now - self._learnt_at >= (LEARN_SECONDS[0] if unseen else self._pause)
            if self._expected == 1 and not self._learning:
                return Turn.GO
            self._since = self._tick_at = now
            self._fresh = 0
        elif self.waiting + 1 >= self._expected and not self._learning:
            self.waiting = 0
            return Turn.GO
        self.waiting += 1
        self._fresh += 1
        return Turn.WAIT

    def answered(self, now: float) -> None:
        """A call was answered: its caller may come again at once."""
        self._open -= 1
        self._last = now

    def tick(self, now: float) -> Turn:
        """A timer of TICK_SECONDS ended.

        After a long turn of the loop it ends early, or late; who came meanwhile was not handed over, and that nobody
        came says nothing.
        """
        ticks = (now - self._tick_at) / TICK_SECONDS
        if ticks < EARLY:
            return Turn.WAIT
        if (self._fresh >= CROWD or ticks > LATE) and now - self._since < HOLD_SECONDS:
            self._tick_at, self._fresh = now, 0
            return Turn.WAIT
        # A loop that is late teaches nothing; but what is believed stands for another while, or each call would wait.
        self._learn(max(self.waiting, self._expected // 2) if ticks <= LATE else self._expected, now)
        self.waiting = 0
        return Turn.GO

    def _learn(self, count: int, now: float) -> None:
        """Expect so many from now on. One small gathering is an accident: no less than half of before."""
        count = count if count >= CROWD else 1
        first, last = LEARN_SECONDS
        self._pause = min(last, 2 * self._pause) if count == self._expected else first
        self._expected, self._learnt_at = count, now


class Gathering:
    """Has the calls of one event loop wait as ``Crowd`` says."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._crowd = Crowd()
        self._waiting: list[asyncio.Future[None]] = []
        self._timer: asyncio.TimerHandle | None = None

    async def join(self) -> None:
        """Wait for others where others come. Call ``answered`` afterwards, unless this raises."""
        if self._crowd.come(perf_counter()) is Turn.GO:
            if self._waiting:
                self._go()
            return
        if not self._waiting:
            self._set_timer()
        future = self._loop.create_future()
        self._waiting.append(future)
        try:
            await future
        except BaseException:
            self.answered()
            raise

    def answered(self) -> None:
        """Note that a call was answered, or given up."""
        self._crowd.answered(perf_counter())

    def _set_timer(self) -> None:
        self._timer = self._loop.call_later(TICK_SECONDS, self._tick)

    def _tick(self) -> None:
        if self._crowd.tick(perf_counter()) is Turn.GO:
            self._go()
        else:
            self._set_timer()

    def _go(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():  # its caller may have left
                future.set_result(None)
