"""Which columns of a table a baseline is made of: those of the signature's inputs, and the prediction. Pure.

    columns by name               the table's columns of those names; optional ones where the table has them
    columns without names         the table's first columns, in order
    one tensor (n,) or (n, k)     the table's first column, or first k columns, in order
    several tensors               by name: ``x`` of a tensor (n,) or (n, 1), ``x[0]`` … ``x[k-1]`` of one (n, k)
    no signature                  every column

Any other tensor (images, sequences) cannot come from a table. The prediction is the column that the caller names, else
``prediction``, else that of the output's own name; of several outputs ``prediction.<name>`` or the output's own name,
of an output (n, k) ``prediction[0]`` … ``prediction[k-1]``. A column that an input is found by is no prediction, unless
the caller says so. Of several outputs the first is the feature ``prediction``, as nodes count it. Not here: what the
columns hold (``making.py``), and how a table is read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import count, takewhile

from registry.baselines import INPUT, OUTPUT, PREDICTION, name_apart
from registry.columns import MOST_COLUMNS, Measure, channels_of, feature_name
from registry.errors import InvalidRequest, quote
from registry.monitoring.grids import Watched
from registry.signature import Column, Schema, Signature, Tensor

NAMELESS = "input"


class Family(StrEnum):
    """What a column must hold."""

    NUMBER = "numbers"
    TRUTH = "booleans"
    WORD = "strings"
    MOMENT = "dates"
    LONG = "bytes, lists or objects"
    ANY = "anything"


_FAMILIES = {
    "boolean": Family.TRUTH,
    "integer": Family.NUMBER,
    "long": Family.NUMBER,
    "float": Family.NUMBER,
    "double": Family.NUMBER,
    "string": Family.WORD,
    "datetime": Family.MOMENT,
    "any": Family.ANY,
}


@dataclass(frozen=True, slots=True)
class Part:
    """One input or output as a table has it.

    Attributes:
        side: Of the feature, and ``source``: as in ``baselines.Feature``.
        label: What its features' names begin with.
        columns: Positions in the table; several where it is a matrix.
        family: What they must hold.
        narrow: Whether live values are 32-bit floats, so that these are rounded alike.
        matrix: Whether it is an array (n, k): a feature a column, or mean and deviation of all.
    """

    side: str
    source: str
    label: str
    columns: tuple[int, ...]
    family: Family
    narrow: bool = False
    matrix: bool = False

    def watched(self) -> Iterator[tuple[Watched, tuple[int, ...]]]:
        """Yield each feature of numbers with the columns that it is made of."""
        shape = (-1, len(self.columns)) if self.matrix else (-1,)
        for measure, channel in channels_of(shape):
            taken = self.columns if channel is None else (self.columns[channel],)
            yield self.as_watched(measure, channel), taken

    def as_watched(self, measure: Measure, channel: int | None = None) -> Watched:
        """Return a feature of it."""
        name = name_apart(self.side, feature_name(self.label, measure, channel))
        return Watched(name, self.side, self.source, measure, channel)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The parts of a table, and its columns that no part is made of."""

    parts: tuple[Part, ...]
    ignored: tuple[str, ...]


def choose(signature: Signature, names: Sequence[str], prediction: str | None = None) -> Wanted:
    """Return what of a table with these columns a baseline is made of.

    ``prediction`` names the column that has the predictions, where the caller says so. Raises InvalidRequest
    ``invalid_input`` where a column is missing or there twice, or where the inputs cannot come from a table.
    """
    if len(set(names)) != len(names):
        twice = next(name for at, name in enumerate(names) if name in names[:at])
        raise _refusal(f"the table has two columns called '{quote(twice)}'; give each a name of its own", twice)
    if prediction is not None and not any(
        name == prediction or name.startswith((f"{prediction}[", f"{prediction}.")) for name in names
    ):
        raise _refusal(f"the table has no column '{quote(prediction)}', which shall be the prediction", prediction)
    table = _Names(names)
    # A model may take a column of that name: training data that has it says nothing of what is predicted.
    free = table if prediction is not None else _Names(names, _taken(signature.inputs))
    outputs = tuple(_outputs(signature.outputs, free, prediction))
    if prediction is not None and not outputs:
        raise _refusal(f"the column '{quote(prediction)}' does not fit the output of the model's signature", prediction)
    used = {at for part in outputs for at in part.columns}
    inputs = tuple(_inputs(signature.inputs, table, used))
    if not inputs:
        raise _refusal("the table has no column of the model's inputs", None)
    used |= {at for part in inputs for at in part.columns}
    return Wanted((*inputs, *outputs), tuple(name for at, name in enumerate(names) if at not in used))


class _Names:
    def __init__(self, names: Sequence[str], hidden: Collection[str] = ()) -> None:
        self.names = names
        self._places = {name: at for at, name in enumerate(names) if name not in hidden}

    def find(self, *candidates: str) -> int | None:
        return next((self._places[name] for name in candidates if name in self._places), None)

    def beginning(self, start: str) -> list[int]:
        return [at for name, at in self._places.items() if name.startswith(start)]

    def rest(self, used: set[int]) -> list[int]:
        return [at for at in range(len(self.names)) if at not in used]


def _inputs(schema: Schema | None, table: _Names, used: set[int]) -> Iterator[Part]:
    if schema is None or not (schema.columns or schema.tensors):
        for at in table.rest(used)[:MOST_COLUMNS]:
            yield Part(INPUT, table.names[at], table.names[at], (at,), Family.ANY)
    elif schema.columns:
        yield from _columns(schema.columns[:MOST_COLUMNS], table, used)
    elif len(schema.tensors) == 1:
        yield _only_tensor(schema.tensors[0], table.rest(used))
    else:
        for tensor in schema.tensors:
            yield _named_tensor(tensor, table)


def _taken(schema: Schema | None) -> frozenset[str]:
    """Return the columns that inputs are found by."""
    if schema is None:
        return frozenset()
    tensors = schema.tensors if len(schema.tensors) > 1 else ()
    widths = {tensor.name: tensor.shape[1] if len(tensor.shape) == 2 else 1 for tensor in tensors if tensor.name}
    places = {f"{name}[{number}]" for name, width in widths.items() for number in range(min(width, MOST_COLUMNS))}
    return frozenset({column.name for column in schema.columns if column.name is not None} | widths.keys() | places)


def _columns(columns: Sequence[Column], table: _Names, used: set[int]) -> Iterator[Part]:
    ordered = dict(enumerate(table.rest(used)))
    for number, column in enumerate(columns):
        at = table.find(column.name) if column.name is not None else ordered.get(number)
        label = str(number) if column.name is None else column.name
        if at is None and column.required:
            raise _refusal(f"the table has no column '{quote(label)}', which the model's signature requires", label)
        if at is not None:
            yield Part(INPUT, label, label, (at,), _family(column.type), narrow=column.type == "float")


def _only_tensor(tensor: Tensor, rest: Sequence[int]) -> Part:
    label = tensor.name or NAMELESS
    width = _width(tensor, label)
    if width is None:
        width = len(rest)
    if len(rest) < max(width, 1):
        raise _refusal(f"the model takes {width} columns ('{quote(label)}'); the table has {len(rest)}", label)
    return _tensor_part(tensor, INPUT, label, rest[: max(width, 1)])


def _named_tensor(tensor: Tensor, table: _Names) -> Part:
    label = tensor.name or NAMELESS
    width = _width(tensor, label)
    if width is None:
        raise _refusal(f"the input '{quote(label)}' has rows of any length, which no table has", label)
    names = [label] if width <= 1 else [f"{label}[{number}]" for number in range(width)]
    places = [table.find(name, f"{label}[0]") if width <= 1 else table.find(name) for name in names]
    missing = next((name for name, at in zip(names, places, strict=True) if at is None), None)
    if missing is not None:
        raise _refusal(f"the table has no column '{quote(missing)}', which the model's signature requires", missing)
    return _tensor_part(tensor, INPUT, label, [at for at in places if at is not None])


def _width(tensor: Tensor, label: str) -> int | None:
    """Return how many columns a tensor takes: 0 where it is one column itself, None for as many as there are."""
    if len(tensor.shape) == 1:
        return 0
    if len(tensor.shape) != 2:
        shape = ", ".join("n" if size < 0 else str(size) for size in tensor.shape) or "no axis"
        raise _refusal(
            f"the input '{quote(label)}' is an array ({shape}), which no table can hold; leave the baseline out, and "
            "the first live rows make a provisional one",
            label,
        )
    return None if tensor.shape[1] < 0 else tensor.shape[1]


def _tensor_part(tensor: Tensor, side: str, label: str, columns: Sequence[int]) -> Part:
    matrix = len(tensor.shape) == 2
    narrow = tensor.dtype in ("float32", "float16")
    return Part(side, tensor.name or "", label, tuple(columns), _dtype_family(tensor.dtype), narrow, matrix)


def _outputs(schema: Schema | None, table: _Names, prediction: str | None) -> Iterator[Part]:
    base = prediction or PREDICTION
    outputs: tuple[Column | Tensor, ...] = () if schema is None else schema.columns or schema.tensors
    if not outputs:
        yield from _undescribed(table, base)
    for number, output in enumerate(outputs):
        name = output.name or ""
        # The table's column of the output's own name will do, unless the caller named another.
        own = [name] if name and prediction is None else []
        if len(outputs) == 1:
            yield from _output(output, PREDICTION, [base, *own], table)
        elif number:
            yield from _output(output, f"{PREDICTION}.{name}", [f"{base}.{name}", *own], table)
        else:  # the first output is the prediction itself, as nodes count it
            yield from _output(output, PREDICTION, [f"{base}.{name}", base, *own], table)


def _undescribed(table: _Names, base: str) -> Iterator[Part]:
    """Yield the outputs of a model that does not describe them: one, those of an array, or named ones in order."""
    at = table.find(base)
    if at is not None:
        yield Part(OUTPUT, "", PREDICTION, (at,), Family.ANY)
        return
    array = list(takewhile(lambda at: at is not None, (table.find(f"{base}[{number}]") for number in count())))
    if array:
        yield Part(OUTPUT, "", PREDICTION, tuple(at for at in array if at is not None), Family.ANY, matrix=True)
        return
    for number, at in enumerate(table.beginning(f"{base}.")):
        name = table.names[at].removeprefix(f"{base}.")
        yield Part(OUTPUT, name, f"{PREDICTION}.{name}" if number else PREDICTION, (at,), Family.ANY)


def _output(output: Column | Tensor, label: str, bases: Sequence[str], table: _Names) -> Iterator[Part]:
    if isinstance(output, Tensor) and len(output.shape) == 2 and output.shape[1] > 1:
        yield from _wide(output, label, bases[0], table)
        return
    at = table.find(*bases)
    if at is None:
        return
    if isinstance(output, Column):
        yield Part(OUTPUT, output.name or "", label, (at,), _family(output.type), narrow=output.type == "float")
    elif len(output.shape) <= 2:
        yield _tensor_part(output, OUTPUT, label, [at])


def _wide(tensor: Tensor, label: str, base: str, table: _Names) -> Iterator[Part]:
    places = [table.find(f"{base}[{number}]") for number in range(tensor.shape[1])]
    found = [at for at in places if at is not None]
    if len(found) == len(places):
        yield _tensor_part(tensor, OUTPUT, label, found)


def _family(kind: str) -> Family:
    return _FAMILIES.get(kind, Family.LONG)


def _dtype_family(dtype: str) -> Family:
    if dtype.startswith("datetime64"):
        return Family.MOMENT
    if dtype.startswith(("int", "uint", "float")):
        return Family.NUMBER
    if dtype == "bool":
        return Family.TRUTH
    return Family.WORD


def _refusal(message: str, column: str | None) -> InvalidRequest:
    details = {"reason": "wrong_columns"} | ({} if column is None else {"column": quote(column)})
    return InvalidRequest("invalid_input", message, details)
