"""Heads of requests that came before, byte for byte: read once, known from then on.

A client that keeps its connection sends the same head again and again; only the body differs. To read it anew each
time, and to look anew at what it asks for, costs a quarter of a small predict. Whatever equal bytes say is equal, so
what was made of a head may be kept with it: by the parser here, and by whoever stands further in.

Not here: when a connection may look its bytes up (``connection.py``), and what depends on more than the head: who may
do what, and which plan holds, are asked for each request.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]

MAX_BYTES = 4096
MAX_BODY_BYTES = 16_384
MAX_HEADS = 1024
MAX_ONCE = 16_384
"""How many heads that came once are remembered, by their hashes."""
_END = b"\r\n\r\n"
_KEY = "headgate.head"
_SPECIAL = {b"transfer-encoding", b"expect", b"upgrade"}
_SAID = ("method", "path", "raw_path", "query_string", "headers")


class Head:
    """One head that is known.

    Attributes:
        length: How long the body is that follows it.
        kept: What those who answer its requests have made of it, by who keeps it. For what follows from the head alone.
    """

    __slots__ = ("_said", "kept", "length")

    def __init__(self, scope: Scope, length: int) -> None:
        self.length = length
        self.kept: dict[object, Any] = {}
        self._said = {name: scope[name] for name in _SAID}

    def scope(self, of: Scope) -> Scope:
        """Return the scope of one more of its requests: what ``of``, its connection, says, and what the head says."""
        return {**of, **self._said, "headers": [*self._said["headers"]], _KEY: self}


class Heads:
    """The heads that a process knows. For its event loop's thread."""

    def __init__(self) -> None:
        self._known: dict[bytes, Head] = {}
        self._once: set[int] = set()

    def find(self, data: bytes) -> Head | None:
        """Return the head that ``data`` begins with, where it is known and ``data`` is one whole request."""
        end = data.find(_END, 0, MAX_BYTES) + len(_END)
        head = self._known.get(data[:end])
        return head if head is not None and len(data) - end == head.length else None

    def note(self, data: bytes, scope: Scope) -> None:
        """Note the head of ``data``; one that comes for the second time is known from then on.

        Args:
            data: A request that the parser took for exactly one, and that ends no connection.
            scope: What the parser made of it.
        """
        head = data[: data.find(_END, 0, MAX_BYTES) + len(_END)]
        once = hash(head)  # enough to tell, and what never comes again takes no room
        if once not in self._once:
            if len(self._once) >= MAX_ONCE:
                self._once.clear()
            self._once.add(once)
            return
        fields = dict(scope["headers"])
        length = int(fields.get(b"content-length", b"0"))
        # What else could say where a body ends, or that it is waited for: such a head is read each time.
        if 0 < length <= MAX_BODY_BYTES and len(data) - len(head) == length and not fields.keys() & _SPECIAL:
            if len(self._known) >= MAX_HEADS:
                self._known.clear()
            self._known[head] = Head(scope, length)


def head_of(scope: Scope) -> Head | None:
    """Return the head of a request, where it was known."""
    found: Head | None = scope.get(_KEY)
    return found
