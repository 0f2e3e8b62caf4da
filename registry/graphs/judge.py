"""Judges whether an ONNX file may run in the serving process itself: every operator on the list, every size bounded.

Pure: bytes in, judgement out, and it never raises. The registry asks it at admission, and each node asks again before
it loads: what came from outside may claim anything. Not here: whether the file loads at all and how fast it runs, which
only a probe can tell (``serving/runtimes/inline``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from registry.graphs.ml_shapes import ML_SHAPES
from registry.graphs.onnx_file import FREE, ITEM_BYTES, Declared, Graph, Node, Weight, domain_name, read_graph
from registry.graphs.operators import ML, OPSETS, RULES
from registry.graphs.shapes import ROWS, SHAPES, Shape, Step, Value
from registry.graphs.wire import Unfit

MAX_FILE_BYTES = 64 << 20
"""The largest graph, with the files that hold its weights."""
MAX_FIXED_BYTES = 128 << 20
MAX_ROW_BYTES = 1 << 20
MAX_NODES = 10_000


@dataclass(frozen=True, slots=True)
class Answered:
    """One output: its shape, in which ROWS (-1) stands for the rows, and whether it is a list of dicts (ZipMap)."""

    name: str
    shape: Shape
    maps: bool

    @property
    def row_axis(self) -> int | None:
        """Which axis counts rows; None where none does."""
        return self.shape.index(ROWS) if ROWS in self.shape else None

    @property
    def one_a_row(self) -> bool:
        """Whether it is a single value (or dict) for each row."""
        return self.row_axis is not None and (self.maps or all(d in (1, ROWS) for d in self.shape))


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was found.

    Attributes:
        reason: Why it may not run in the serving process, in words; empty where it may.
        inputs: What it takes.
        outputs: What it answers.
        row_bytes: How much memory one row takes at most while it runs.
        answer_bytes: How much of that is its answer.
    """

    reason: str
    inputs: tuple[Declared, ...] = ()
    outputs: tuple[Answered, ...] = ()
    row_bytes: int = 0
    answer_bytes: int = 0

    @property
    def takes_rows(self) -> bool:
        """Whether every input is open in its first axis, so that requests may share a run."""
        return all(declared.dims[:1] == (FREE,) for declared in self.inputs)


def judge(data: bytes, beside: Mapping[str, int] | None = None) -> Judgement:
    """Judge the bytes of a graph's file; ``beside`` is the size of each file that lies in the same folder."""
    try:
        if len(data) > MAX_FILE_BYTES:
            raise Unfit(f"it is larger than {MAX_FILE_BYTES >> 20} MiB")
        return _judge(read_graph(data), beside or {})
    except Unfit as unfit:
        return Judgement(str(unfit))
    except (ValueError, OverflowError, ArithmeticError, LookupError, TypeError, MemoryError) as error:
        # A rule met what it was not written for: that is no bounded graph, whatever it is.
        return Judgement(f"it cannot be judged ({type(error).__name__})")


def _judge(graph: Graph, beside: Mapping[str, int]) -> Judgement:
    if len(graph.nodes) > MAX_NODES:
        raise Unfit(f"it has more than {MAX_NODES} operators")
    for node in graph.nodes:
        _check_listed(node, graph.opsets)
    values = _weights(graph.weights, beside)
    values |= _inputs(graph.inputs, values)
    fixed = sum(v.unit_bytes for v in values.values() if not v.has_rows)
    row = sum(v.unit_bytes for v in values.values() if v.has_rows)
    for node in graph.nodes:
        for name, value in _run(node, graph, values).items():
            values[name] = value
            fixed, row = (fixed, row + value.unit_bytes) if value.has_rows else (fixed + value.unit_bytes, row)
            if fixed > MAX_FIXED_BYTES or row > MAX_ROW_BYTES:
                raise Unfit(f"operator {node.op} makes it take too much memory")
    answers = _answers(graph, values)
    return Judgement(
        reason="",
        inputs=tuple(graph.inputs),
        outputs=tuple(Answered(n, v.shape, v.maps) for n, v in answers.items()),
        row_bytes=row,
        answer_bytes=sum(v.unit_bytes for v in answers.values()),
    )


def _check_listed(node: Node, opsets: Mapping[str, int]) -> None:
    if (node.domain, node.op) not in RULES:
        raise Unfit(f"operator {node.op[:64]} ({domain_name(node.domain)[:64]}) is not on the list")
    version = opsets.get(node.domain, 1 if node.domain == ML else 0)
    if version not in OPSETS[node.domain]:
        raise Unfit(f"version {version} of {domain_name(node.domain)} is not known here")
    if any(attribute.nested for attribute in node.attributes.values()):
        raise Unfit("it holds a graph within the graph")


def _weights(weights: list[Weight], beside: Mapping[str, int]) -> dict[str, Value]:
    found: dict[str, Value] = {}
    total = 0
    for weight in weights:
        if not weight.name or weight.name in found:
            raise Unfit("two weights have one name, or one has none")
        if weight.place is not None:
            file, offset, length = weight.place
            if offset + length > beside.get(file, -1):
                raise Unfit("a weight lies in a file that is not there, or beyond its end")
            total += length
        found[weight.name] = Value(weight.dtype, weight.dims, weight.ints, weight.longest)
    if total > MAX_FILE_BYTES:
        raise Unfit(f"its weights are larger than {MAX_FILE_BYTES >> 20} MiB")
    return found


def _inputs(declared: list[Declared], weights: Mapping[str, Value]) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for each in declared:
        if each.name in weights or each.name in found or not each.name:
            raise Unfit("an input has the name of a weight or of another input")
        if each.dtype not in ITEM_BYTES:
            raise Unfit("it takes text, or an element type that is not known here")
        if len(each.dims) > 8 or FREE in each.dims[1:]:
            raise Unfit("an input is open in more than its rows")
        found[each.name] = Value(each.dtype, tuple(ROWS if d == FREE else d for d in each.dims))
    if not found:
        raise Unfit("it takes no input")
    return found


def _run(node: Node, graph: Graph, values: Mapping[str, Value]) -> dict[str, Value]:
    given = []
    for name in node.inputs:
        if name and name not in values:
            raise Unfit("an operator stands before what it needs")
        if name and values[name].maps:
            raise Unfit("it works on the dicts that ZipMap makes")
        given.append(values[name] if name else None)
    rules = ML_SHAPES if node.domain == ML else SHAPES
    step = Step(node, tuple(given), graph.opsets.get(node.domain, 1))
    results = rules[RULES[node.domain, node.op]](step)
    if len(node.outputs) > len(results) or not node.outputs:
        raise step.unfit("has another number of outputs")
    named = {name: value for name, value in zip(node.outputs, results, strict=False) if name}
    if any(0 in value.shape for value in named.values()):
        raise step.unfit("makes an empty tensor, of which operators disagree what it means")
    if named.keys() & values.keys() or len(named) != sum(map(bool, node.outputs)):
        raise Unfit("two values have one name")
    return named


def _answers(graph: Graph, values: Mapping[str, Value]) -> dict[str, Value]:
    answers = {name: values[name] for name in graph.outputs if name in values}
    if not answers or len(answers) != len(graph.outputs):
        raise Unfit("it answers what nothing makes")
    return answers
