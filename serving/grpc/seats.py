"""How many calls of a kind may be open at once, of those that last as long as their caller likes.

Calls are counted together, and so many are refused by the library itself: without this, watchers and idle streams
would leave no room for predictions. Not here: what the calls do.
"""

from __future__ import annotations

from types import TracebackType

from registry.errors import Refused

STREAMS, WATCHERS, REFLECTIONS = 512, 64, 16
"""Of each kind, in one process: together well below ``server.MAX_CALLS``."""


class Seats:
    """At most ``most`` at once: a context manager, which raises Refused ``overloaded`` where all are taken.

    ``what`` they are, for people.
    """

    def __init__(self, most: int, what: str) -> None:
        self._most = self._free = most
        self._what = what

    def __enter__(self) -> None:
        if not self._free:
            message = f"{self._most} {self._what} are open here, which is as many as there may be; close some"
            raise Refused("overloaded", message, retry_after=1)
        self._free -= 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._free += 1
