"""Single rows laid one behind the other as they come: what most requests are, noted without keeping their arrays.

To copy a row's bytes takes a tenth of a microsecond; to keep its arrays until they are counted costs as much again and
more, in memory that is cold when it is read, and in joining them. A stage takes rows of one version that are all alike:
one block of columns or one unnamed array each, one array of plain numbers as the answer. Not here: every other request
(``joined.py``).
"""

from __future__ import annotations

import numpy as np

from serving.exchange import Array
from serving.telemetry.joined import Part

_PLAIN = "iufb"


class Stage:
    """Rows that are all alike. For one thread at a time.

    Attributes:
        rows: How many there are.
        row_bytes: How many bytes each takes.
        full: From how many rows on it is to be counted.
    """

    __slots__ = (
        "_answers",
        "_inputs",
        "answer_dtype",
        "answer_shape",
        "dtype",
        "full",
        "model",
        "names",
        "row_bytes",
        "rows",
        "shape",
        "version",
    )

    def __init__(self, model: str, version: str, names: tuple[str, ...] | None, array: Array, answer: Array) -> None:
        self.model, self.version, self.names = model, version, names
        self.dtype, self.shape = array.dtype, array.shape
        self.answer_dtype, self.answer_shape = answer.dtype, answer.shape
        self.row_bytes = array.nbytes + answer.nbytes
        self.rows = self.full = 0
        self._inputs, self._answers = bytearray(), bytearray()

    def add(self, array: Array, answer: Array) -> bool:
        """Take a row; tell whether that could be done: its arrays must lie in one piece each."""
        try:
            self._inputs.extend(array)
            self._answers.extend(answer)
        except (BufferError, TypeError, ValueError):
            del self._inputs[self.rows * array.nbytes :]
            return False
        self.rows += 1
        return True

    def parts(self) -> tuple[Part, Part]:
        """Return all rows as the parts of one request."""
        answers = np.frombuffer(self._answers, self.answer_dtype).reshape(-1, *self.answer_shape[1:])
        rows = np.frombuffer(self._inputs, self.dtype)
        if self.names is None:
            return rows.reshape(-1, *self.shape[1:]), answers
        return (self.names, np.ascontiguousarray(rows.reshape(-1, self.shape[0]).T)), answers


def is_stageable(names: tuple[str, ...] | None, array: Array, answer: Array) -> bool:
    """Tell whether a request of one row can stand in a stage."""
    plain = array.dtype.kind in _PLAIN and answer.dtype.kind in _PLAIN
    rows = array.shape[:1] if names is None else array.shape[1:]
    return plain and rows == (1,) and answer.shape[:1] == (1,) and array.size > 0 and answer.size > 0
