"""Requests whose client hangs up are given up: nobody shall wait behind what nobody waits for.

A client that gives up and asks again would otherwise leave its first request in the model's queue, and its second
behind it. Not here: what giving up means further in, which is the cancellation of the request's task.
"""

from __future__ import annotations

from types import TracebackType

from registry.edge.direct import Direct
from serving.http.body import ClientGoneError


class Hangup:
    """A context in which the running task is cancelled once its client has gone; leaves it with ClientGoneError.

    Args:
        direct: The request's connection; None where nothing can tell of a hang-up.
    """

    __slots__ = ("_direct",)

    def __init__(self, direct: Direct | None) -> None:
        self._direct = direct

    def __enter__(self) -> None:
        if self._direct is not None:
            self._direct.watched = True

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        direct = self._direct
        if direct is not None:
            direct.watched = False
            if direct.gone and direct.task is not None:
                direct.task.uncancel()
                raise ClientGoneError from None
