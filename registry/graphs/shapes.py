"""How large the output of each operator of ONNX's main set is, by its inputs. Pure.

A shape is a tuple of lengths in which at most one is ROWS: however many rows a request has. Each rule keeps two
promises or raises Unfit: the output has at most one such axis (so memory grows with rows and no faster), and its i-th
row depends on the i-th row of the inputs alone (so requests may share a batch). Not here: ``ai.onnx.ml``
(``ml_shapes.py``), and how much is too much (``judge.py``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from registry.graphs.onnx_file import BOOL, FLOAT, INT64, ITEM_BYTES, STRING, Node
from registry.graphs.wire import Unfit

ROWS = -1
Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor on its way: element type, shape, its integers where they are known, its longest text."""

    dtype: int
    shape: Shape
    ints: tuple[int, ...] | None = None
    longest: int = 0
    maps: bool = False

    @property
    def has_rows(self) -> bool:
        """Whether it grows with the rows of a request."""
        return ROWS in self.shape

    @property
    def unit_bytes(self) -> int:
        """Bytes it takes for each row, or in all where it has none."""
        item = 64 + self.longest if self.dtype == STRING else ITEM_BYTES[self.dtype]
        return math.prod(d for d in self.shape if d != ROWS) * (item + 96 * self.maps)


@dataclass(frozen=True, slots=True)
class Step:
    """One node with what its inputs are; a missing input is None."""

    node: Node
    inputs: tuple[Value | None, ...]
    opset: int

    def need(self, index: int) -> Value:
        """Return an input that must be there."""
        value = self.inputs[index] if index < len(self.inputs) else None
        if value is None:
            raise self.unfit("lacks an input")
        return value

    def ints(self, name: str, index: int) -> tuple[int, ...] | None:
        """Return integers that are an argument or, in later versions, a constant input; None where neither is there."""
        if index < len(self.inputs) and (value := self.inputs[index]) is not None:
            if value.ints is None:
                raise self.unfit(f"takes its {name} from values that are no constants")
            return value.ints
        attribute = self.node.attributes.get(name)
        return None if attribute is None else tuple(attribute.ints)

    def number(self, name: str, default: int) -> int:
        """Return an integer argument."""
        attribute = self.node.attributes.get(name)
        return default if attribute is None or attribute.i is None else attribute.i

    def axis(self, axis: int, rank: int) -> int:
        """Return an axis counted from the front."""
        if not -rank <= axis < rank:
            raise self.unfit("names an axis that its input does not have")
        return axis % rank

    def unfit(self, why: str) -> Unfit:
        """Return the refusal of this node."""
        return Unfit(f"operator {self.node.op[:64]} {why}")


Rule = Callable[[Step], Sequence[Value]]


def broadcast(step: Step, shapes: Sequence[Shape]) -> Shape:
    """Return the shape of several by NumPy's rules."""
    rank = max(map(len, shapes))
    result = []
    for axis in range(rank):
        lengths = {s[axis - rank + len(s)] for s in shapes if axis - rank + len(s) >= 0} - {1}
        if len(lengths) > 1:
            raise step.unfit("joins shapes that do not fit, or whose fit depends on the number of rows")
        result.append(lengths.pop() if lengths else 1)
    if result.count(ROWS) > 1:
        raise step.unfit("answers every row for every other row")
    return tuple(result)


def _present(step: Step) -> list[Value]:
    return [v for v in step.inputs if v is not None] or [step.need(0)]


def _same(step: Step) -> Sequence[Value]:
    first = step.need(0)
    if any(v.shape not in ((), (1,)) or v.has_rows for v in _present(step)[1:]):
        raise step.unfit("takes a limit that is no single number")
    return (Value(first.dtype, first.shape, first.ints if step.node.op == "Identity" else None, first.longest),)


def _elementwise(step: Step) -> Sequence[Value]:
    values = _present(step)
    if any(v.dtype == STRING for v in values):
        raise step.unfit("works on text")
    return (Value(values[0].dtype, broadcast(step, [v.shape for v in values])),)


def _comparison(step: Step) -> Sequence[Value]:
    return (Value(BOOL, broadcast(step, [v.shape for v in _present(step)])),)


def _where(step: Step) -> Sequence[Value]:
    chosen = step.need(1), step.need(2)
    shape = broadcast(step, [step.need(0).shape, *(v.shape for v in chosen)])
    return (Value(chosen[0].dtype, shape, longest=max(v.longest for v in chosen)),)


def _test(step: Step) -> Sequence[Value]:
    return (Value(BOOL, step.need(0).shape),)


def _cast(step: Step) -> Sequence[Value]:
    to = step.number("to", 0)
    if to not in ITEM_BYTES:
        raise step.unfit("makes text or an element type that is not known here")
    return (Value(to, step.need(0).shape, step.need(0).ints if to in (INT64, 6) else None),)


def _dropout(step: Step) -> Sequence[Value]:
    if len(step.inputs) > 2 and step.inputs[2] is not None:
        raise step.unfit("draws random numbers")
    return Value(step.need(0).dtype, step.need(0).shape), Value(BOOL, step.need(0).shape)


def _along(step: Step) -> Sequence[Value]:
    first = step.need(0)
    old = step.opset < 13 and step.node.op in ("Softmax", "LogSoftmax", "Hardmax")
    axis = step.axis(step.number("axis", 1 if old else -1), len(first.shape))
    if first.has_rows and axis <= first.shape.index(ROWS):
        raise step.unfit("mixes the rows of a request")
    if len(step.node.outputs) > 1:
        raise step.unfit("has more outputs than one")
    return (Value(first.dtype, first.shape),)


def _channels(step: Step) -> Sequence[Value]:
    first = step.need(0)
    if len(step.node.outputs) > 1 or step.number("training_mode", 0) or not first.shape or first.shape[0] != ROWS:
        raise step.unfit("mixes the rows of a request")
    return (Value(first.dtype, first.shape),)


def _reduce(step: Step) -> Sequence[Value]:
    first, rank = step.need(0), len(step.need(0).shape)
    axes = step.ints("axes", 1)
    if not axes:
        if step.number("noop_with_empty_axes", 0):
            return (Value(first.dtype, first.shape),)
        axes = tuple(range(rank))
    return (_without(step, first, {step.axis(a, rank) for a in axes}, first.dtype),)


def _arg(step: Step) -> Sequence[Value]:
    first = step.need(0)
    return (_without(step, first, {step.axis(step.number("axis", 0), len(first.shape))}, INT64),)


def _without(step: Step, value: Value, axes: set[int], dtype: int) -> Value:
    if any(value.shape[a] == ROWS for a in axes):
        raise step.unfit("mixes the rows of a request")
    if step.number("keepdims", 1):
        return Value(dtype, tuple(1 if a in axes else d for a, d in enumerate(value.shape)))
    return Value(dtype, tuple(d for a, d in enumerate(value.shape) if a not in axes))


def _matmul(step: Step) -> Sequence[Value]:
    left, right = step.need(0), step.need(1)
    if len(left.shape) < 2 or len(right.shape) < 2 or ROWS in (left.shape[-1], *right.shape[-2:]):
        raise step.unfit("mixes the rows of a request")
    if left.shape[-1] != right.shape[-2]:
        raise step.unfit("joins shapes that do not fit")
    outer = broadcast(step, [left.shape[:-2], right.shape[:-2]]) if max(len(left.shape), len(right.shape)) > 2 else ()
    shape = (*outer, left.shape[-2], right.shape[-1])
    if shape.count(ROWS) > 1:
        raise step.unfit("answers every row for every other row")
    return (Value(left.dtype, shape),)


def _gemm(step: Step) -> Sequence[Value]:
    left, right = step.need(0), step.need(1)
    if len(left.shape) != 2 or len(right.shape) != 2 or right.has_rows:
        raise step.unfit("mixes the rows of a request")
    rows, inner = left.shape[::-1] if step.number("transA", 0) else left.shape
    other, columns = right.shape[::-1] if step.number("transB", 0) else right.shape
    if inner == ROWS or inner != other:
        raise step.unfit("joins shapes that do not fit, or mixes the rows of a request")
    if len(step.inputs) > 2 and broadcast(step, [(rows, columns), step.need(2).shape]) != (rows, columns):
        raise step.unfit("joins shapes that do not fit")
    return (Value(left.dtype, (rows, columns)),)


def _concat(step: Step) -> Sequence[Value]:
    values = [step.need(i) for i in range(max(1, len(step.inputs)))]
    first = values[0].shape
    axis = step.axis(step.number("axis", 1), len(first))
    rest = {v.shape[:axis] + v.shape[axis + 1 :] for v in values if len(v.shape) == len(first)}
    if len(rest) != 1 or any(len(v.shape) != len(first) or v.shape[axis] == ROWS for v in values):
        raise step.unfit("joins shapes that do not fit, or puts rows below rows")
    ints = [i for v in values for i in v.ints] if len(first) == 1 and all(v.ints for v in values) else None  # type: ignore[union-attr]  # asked just before
    shape = (*first[:axis], sum(v.shape[axis] for v in values), *first[axis + 1 :])
    longest = max(v.longest for v in values)
    return (Value(values[0].dtype, shape, None if ints is None else tuple(ints), longest),)


def _flatten(step: Step) -> Sequence[Value]:
    first = step.need(0)
    axis, rank = step.number("axis", 1), len(first.shape)
    if not -rank <= axis <= rank:
        raise step.unfit("names an axis that its input does not have")
    axis += rank * (axis < 0)
    before, after = first.shape[:axis], first.shape[axis:]
    if ROWS in after or (ROWS in before and math.prod(before) != ROWS):
        raise step.unfit("lays rows side by side")
    return (Value(first.dtype, (math.prod(before), math.prod(after)), longest=first.longest),)


def _reshape(step: Step) -> Sequence[Value]:
    first, wanted = step.need(0), step.ints("shape", 1)
    if wanted is None or len(wanted) > 8 or step.number("allowzero", 0):
        raise step.unfit("takes its shape from values that are no constants")
    if any(d < -1 or d > 1 << 31 for d in wanted) or wanted.count(-1) > 1:
        raise step.unfit("names a shape that is none")
    if any(d == 0 and i >= len(first.shape) for i, d in enumerate(wanted)):
        raise step.unfit("names a shape that is none")
    copied = [first.shape[i] if d == 0 else d if d > 0 else None for i, d in enumerate(wanted)]
    fixed = math.prod(d for d in first.shape if d != ROWS)
    known = math.prod(d for d in copied if d is not None and d != ROWS)
    if first.has_rows and ROWS not in copied:  # the open length must be the rows
        shape = tuple(ROWS if d is None else d for d in copied)
        left = 1
    else:
        left = fixed // known if known and None in copied else 1
        shape = tuple(left if d is None else d for d in copied)
    if known * left != fixed or (ROWS in shape) != first.has_rows:
        raise step.unfit("names a shape that does not hold its input, or cuts rows apart")
    if first.has_rows and {math.prod(s[: s.index(ROWS)]) for s in (shape, first.shape)} != {1}:
        raise step.unfit("lays rows side by side")
    return (Value(first.dtype, shape, None if first.has_rows else first.ints, first.longest),)


def _squeeze(step: Step) -> Sequence[Value]:
    first, axes = step.need(0), step.ints("axes", 1)
    if axes is None:
        raise step.unfit("drops whichever axes are short, which depends on the number of rows")
    dropped = {step.axis(a, len(first.shape)) for a in axes}
    if any(first.shape[a] != 1 for a in dropped):
        raise step.unfit("drops an axis that is not of length 1")
    kept = tuple(d for a, d in enumerate(first.shape) if a not in dropped)
    return (Value(first.dtype, kept, first.ints, first.longest),)


def _unsqueeze(step: Step) -> Sequence[Value]:
    first, axes = step.need(0), step.ints("axes", 1) or ()
    rank = len(first.shape) + len(axes)
    if rank > 8:
        raise step.unfit("makes too many axes")
    added = {step.axis(a, rank) for a in axes}
    rest = iter(first.shape)
    if len(added) != len(axes):
        raise step.unfit("names an axis twice")
    shape = tuple(1 if a in added else next(rest) for a in range(rank))
    return (Value(first.dtype, shape, first.ints, first.longest),)


def _transpose(step: Step) -> Sequence[Value]:
    first = step.need(0)
    order = step.ints("perm", 1) or tuple(reversed(range(len(first.shape))))
    if sorted(order) != list(range(len(first.shape))):
        raise step.unfit("names an order that is none")
    return (Value(first.dtype, tuple(first.shape[a] for a in order), longest=first.longest),)


def _gather(step: Step) -> Sequence[Value]:
    data, indices = step.need(0), step.need(1)
    axis = step.axis(step.number("axis", 0), len(data.shape))
    if data.shape[axis] == ROWS or (data.has_rows and indices.has_rows):
        raise step.unfit("mixes the rows of a request")
    ints = None
    if data.ints is not None and indices.ints is not None and len(data.shape) == 1:
        length = len(data.ints)
        if any(not -length <= i < length for i in indices.ints):
            raise step.unfit("reaches beyond its input")
        ints = tuple(data.ints[i] for i in indices.ints)
    shape = data.shape[:axis] + indices.shape + data.shape[axis + 1 :]
    return (Value(data.dtype, shape, ints, data.longest),)


def _slice(step: Step) -> Sequence[Value]:
    first, rank = step.need(0), len(step.need(0).shape)
    starts, ends = step.ints("starts", 1), step.ints("ends", 2)
    axes, steps = step.ints("axes", 3), step.ints("steps", 4)
    if starts is None or ends is None:
        raise step.unfit("takes its limits from values that are no constants")
    axes = tuple(range(len(starts))) if axes is None else axes
    steps = (1,) * len(starts) if steps is None else steps
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise step.unfit("names limits that do not fit together")
    shape = list(first.shape)
    for start, end, axis, by in zip(starts, ends, axes, steps, strict=True):
        at = step.axis(axis, rank)
        if shape[at] == ROWS:
            raise step.unfit("picks among the rows of a request")
        shape[at] = len(range(*slice(start, end, by).indices(shape[at])))
    return (Value(first.dtype, tuple(shape), longest=first.longest),)


def _split(step: Step) -> Sequence[Value]:
    first, count = step.need(0), len(step.node.outputs)
    axis = step.axis(step.number("axis", 0), len(first.shape))
    length = first.shape[axis]
    if length == ROWS:
        raise step.unfit("picks among the rows of a request")
    each = -(-length // count) if count else 0
    parts = step.ints("split", 1) or tuple(max(0, min(each, length - i * each)) for i in range(count))
    if len(parts) != count or sum(parts) != length or min(parts) < 0:
        raise step.unfit("splits into parts that do not add up")
    shapes = ((*first.shape[:axis], part, *first.shape[axis + 1 :]) for part in parts)
    return tuple(Value(first.dtype, shape, longest=first.longest) for shape in shapes)


def _constant(step: Step) -> Sequence[Value]:
    if len(step.node.attributes) != 1:
        raise step.unfit("has no one value")
    ((name, given),) = step.node.attributes.items()
    if name == "value" and given.tensor is not None and given.tensor.place is None:
        return (Value(given.tensor.dtype, given.tensor.dims, given.tensor.ints, given.tensor.longest),)
    if name == "value_int" and given.i is not None:
        return (Value(INT64, (), (given.i,)),)
    if name == "value_ints" and given.int_count == len(given.ints):
        return (Value(INT64, (given.int_count,), tuple(given.ints)),)
    if name in ("value_float", "value_floats"):
        return (Value(FLOAT, () if name == "value_float" else (given.floats,)),)
    raise step.unfit("has a value of a kind that is not known here")


SHAPES: Mapping[str, Rule] = {
    "same": _same, "elementwise": _elementwise, "comparison": _comparison, "where": _where, "test": _test,
    "cast": _cast, "dropout": _dropout, "along": _along, "channels": _channels, "reduce": _reduce, "arg": _arg,
    "matmul": _matmul, "gemm": _gemm, "concat": _concat, "flatten": _flatten, "reshape": _reshape,
    "squeeze": _squeeze, "unsqueeze": _unsqueeze, "transpose": _transpose, "gather": _gather, "slice": _slice,
    "split": _split, "constant": _constant,
}  # fmt: skip
"""Rule name → rule."""
