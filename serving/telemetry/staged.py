"""Single rows laid one behind the other as they come: what most requests are, noted without keeping their arrays.

To copy a row's bytes takes a tenth of a microsecond; to keep its arrays until they are counted costs as much again and
more, in memory that is cold when it is read, and in joining them. A stage takes rows of one version that are all alike:
one block of columns or one array each, and as the answer one array of plain numbers or a few named ones. Not here:
every other request (``joined.py``).
"""

from __future__ import annotations

import math

import numpy as np

from serving.exchange import Array, ArrayOutput, Input, Output, Table, TensorInput, TensorsInput, TensorsOutput
from serving.telemetry.joined import Part
from serving.values import value

_PLAIN = "iufb"
MOST_ANSWERS = 4


@value
class Row:
    """One row that may be laid beside others.

    ``names`` are the columns of a block, or the name of a lone array; None where that has none. ``answers`` have names
    where the answer was of named arrays.
    """

    names: tuple[str, ...] | str | None
    array: Array
    answers: tuple[Array, ...]
    answer_names: tuple[str, ...] | None


def row_of(data: Input, output: Output) -> Row | None:
    """Return a request as a row; None where it has another form."""
    answers: tuple[Array, ...]
    answer_names: tuple[str, ...] | None = None
    if type(output) is ArrayOutput:
        answers = (output.array,)
    elif type(output) is TensorsOutput and 0 < len(output.arrays) <= MOST_ANSWERS:
        answers, answer_names = tuple(output.arrays.values()), tuple(output.arrays)
    else:
        return None
    if type(data) is Table:
        return None if data.block is None else Row(data.names, data.block, answers, answer_names)
    if type(data) is TensorInput:
        return Row(None, data.array, answers, answer_names)
    if type(data) is TensorsInput and len(data.arrays) == 1:
        ((name, array),) = data.arrays.items()
        return Row(name, array, answers, answer_names)
    return None


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
        "answer_kinds",
        "answer_names",
        "dtype",
        "full",
        "model",
        "names",
        "row_bytes",
        "rows",
        "shape",
        "version",
    )

    def __init__(self, model: str, version: str, row: Row) -> None:
        self.model, self.version, self.names = model, version, row.names
        self.dtype, self.shape = row.array.dtype, row.array.shape
        self.answer_names = row.answer_names
        self.answer_kinds = tuple([(answer.dtype, answer.shape) for answer in row.answers])
        self.row_bytes = row.array.nbytes + sum(answer.nbytes for answer in row.answers)
        self.rows = self.full = 0
        self._inputs, self._answers = bytearray(), [bytearray() for _ in row.answers]

    def takes(self, row: Row) -> bool:
        """Tell whether a row is like the others, but for its names."""
        if row.array.shape != self.shape or row.array.dtype is not self.dtype or row.answer_names != self.answer_names:
            return False
        for answer, (dtype, shape) in zip(row.answers, self.answer_kinds, strict=True):
            if answer.dtype is not dtype or answer.shape != shape:
                return False
        return True

    def add(self, row: Row) -> bool:
        """Take a row; tell whether that could be done: its arrays must lie in one piece each."""
        try:
            self._inputs.extend(row.array)
            for kept, answer in zip(self._answers, row.answers, strict=True):
                kept.extend(answer)
        except (BufferError, TypeError, ValueError):
            del self._inputs[self.rows * row.array.nbytes :]
            for kept, (dtype, shape) in zip(self._answers, self.answer_kinds, strict=True):
                del kept[self.rows * dtype.itemsize * math.prod(shape) :]
            return False
        self.rows += 1
        return True

    def parts(self) -> tuple[Part, Part]:
        """Return all rows as the parts of one request."""
        answers = [
            np.frombuffer(kept, dtype).reshape(-1, *shape[1:])
            for kept, (dtype, shape) in zip(self._answers, self.answer_kinds, strict=True)
        ]
        answer: Part = answers[0]
        if self.answer_names is not None:
            answer = dict(zip(self.answer_names, answers, strict=True))
        rows = np.frombuffer(self._inputs, self.dtype)
        if isinstance(self.names, tuple):
            return (self.names, np.ascontiguousarray(rows.reshape(-1, self.shape[0]).T)), answer
        array = rows.reshape(-1, *self.shape[1:])
        return (array if self.names is None else {self.names: array}), answer


def is_stageable(row: Row) -> bool:
    """Tell whether a request of one row can stand in a stage."""
    plain = all(array.dtype.kind in _PLAIN and array.size for array in (row.array, *row.answers))
    rows = row.array.shape[1:] if isinstance(row.names, tuple) else row.array.shape[:1]
    return plain and rows == (1,) and all(answer.shape[:1] == (1,) for answer in row.answers)
