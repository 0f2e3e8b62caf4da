"""Writes a large value as JSON piece by piece: the bytes that one call would give, but other threads have their turn.

A call of an encoder holds the interpreter until it is done, for seconds where the answer has hundreds of megabytes, and
the event loop stands still meanwhile. Pure. Not here: the encoders (``answer_json``, ``oip``, ``mlflow``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from itertools import islice
from typing import Any

import numpy as np

from registry.errors import ModelFault
from serving.exchange import Array
from serving.protocols.limits import Limits

LARGE_BYTES = 1 << 20
"""What took less on its way from the model is written in one call."""
MANY_VALUES = 1 << 14
"""An array of more is written in pieces of about as many."""
_PIECE_BYTES = 1 << 18
_MOST_PARTS = 1 << 14
_FEW = 256
_DEEPEST = 8
_CONTAINERS = frozenset((list, tuple, dict, np.ndarray))

Dumps = Callable[[Any, int], bytes]
"""Returns a value's JSON, and is told in how many containers it stands; writes arrays, too."""


def write_in_pieces(value: Any, dumps: Dumps, limits: Limits, comma: bytes = b",") -> bytes:
    """Return what ``dumps`` would make of a value in one call.

    ``comma`` is what it has between two parts. Raises what it raises, and ModelFault ``model_output_invalid`` as soon
    as there is more than may be sent.
    """
    pieces = _Pieces(dumps, limits, comma)
    pieces.write(value, 0)
    return pieces.whole()


class _Pieces:
    def __init__(self, dumps: Dumps, limits: Limits, comma: bytes) -> None:
        self._dumps = dumps
        self._most = limits.response_bytes
        self._comma = comma
        self._out = BytesIO()

    def whole(self) -> bytes:
        # What was written is not copied: nobody else has it.
        return self._out.getvalue()

    def write(self, value: Any, level: int) -> None:
        kind = type(value)
        if level < _DEEPEST:
            if kind is list or kind is tuple:
                if len(value) > _FEW or _holds_containers(value[:1]) or _holds_containers(value[-1:]):
                    return self._write_list(value, level)
            elif kind is dict:
                if len(value) > _FEW or _holds_containers(value.values()):
                    return self._write_dict(value, level)
            elif kind is np.ndarray and value.size > MANY_VALUES:
                return self._write_array(value, level)
        return self._put(self._dumps(value, level))

    def _write_list(self, value: Any, level: int) -> None:
        self._put(b"[")
        for at, many in self._runs(len(value)):
            if many == 1:
                self.write(value[at], level + 1)
            else:
                self._put(self._dumps(value[at : at + many], level)[1:-1])
        self._put(b"]")

    def _write_dict(self, value: dict[Any, Any], level: int) -> None:
        self._put(b"{")
        items = iter(value.items())
        for _, many in self._runs(len(value)):
            if many == 1:
                key, part = next(items)
                self._put(self._dumps({key: 0}, level)[1:-2])
                self.write(part, level + 1)
            else:
                self._put(self._dumps(dict(islice(items, many)), level)[1:-1])
        self._put(b"}")

    def _write_array(self, array: Array, level: int) -> None:
        row = array.size // len(array)
        many = MANY_VALUES // row
        self._put(b"[")
        for at in range(0, len(array), max(many, 1)):
            if at:
                self._put(self._comma)
            if many:
                self._put(self._dumps(array[at : at + many], level)[1:-1])
            else:
                self.write(array[at], level + 1)
        self._put(b"]")

    def _runs(self, length: int) -> Iterator[tuple[int, int]]:
        """Yield where the next parts begin and how many of them are written at once, with commas between.

        Few parts may be of any sizes, and go one by one. Of many it is one, then two, then four: for as long as they
        prove to be small.
        """
        at, many = 0, 1
        while at < length:
            if at:
                self._put(self._comma)
            many = min(many, length - at)
            before = self._out.tell()
            yield at, many
            at += many
            if length > _FEW:
                written = self._out.tell() - before
                many = max(1, min(2 * many, many * _PIECE_BYTES // max(written, 1), _MOST_PARTS))

    def _put(self, piece: bytes) -> None:
        self._out.write(piece)
        if self._out.tell() > self._most:
            raise ModelFault(
                "model_output_invalid",
                f"the model's answer is longer than the {self._most:,} bytes that are sent at most. "
                "Send fewer rows at once",
                {"limit": self._most},
            )


def _holds_containers(values: Any) -> bool:
    return any(type(value) in _CONTAINERS for value in values)
