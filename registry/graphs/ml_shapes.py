"""How large the output of each operator of ``ai.onnx.ml`` is, by its inputs and arguments. Pure.

These operators carry their weights as arguments and find things in them by number, and not every number is checked
where it is used: a tree that asks for a column which its input does not have reads somebody else's memory. So the
numbers are checked here. Promises as in ``shapes.py``. Source: https://onnx.ai/onnx/operators/index.html#ai-onnx-ml
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from registry.graphs.onnx_file import FLOAT, INT64, STRING, Attribute
from registry.graphs.shapes import ROWS, Rule, Step, Value
from registry.graphs.wire import decode

MAX_TARGETS = 65_536
_NODE_LISTS = ("nodes_treeids", "nodes_nodeids", "nodes_values", "nodes_modes", "nodes_truenodeids",
               "nodes_falsenodeids")  # fmt: skip


def _same(step: Step) -> Sequence[Value]:
    return (Value(step.need(0).dtype, step.need(0).shape),)


def _columns(step: Step) -> Sequence[Value]:
    first = step.need(0)
    _matrix(step, first)
    dtype = first.dtype if step.node.op == "Imputer" else FLOAT
    return (Value(dtype, first.shape),)


def _matrix(step: Step, value: Value) -> int:
    """Return how many columns a matrix of rows has."""
    if len(value.shape) != 2 or value.shape[0] != ROWS or value.dtype == STRING:
        raise step.unfit("takes something else than a matrix of rows")
    return value.shape[1]


def _attribute(step: Step, name: str) -> Attribute:
    return step.node.attributes.get(name) or Attribute()


def _extract(step: Step) -> Sequence[Value]:
    data, indices = step.need(0), step.need(1)
    if not data.shape or data.shape[-1] == ROWS or (data.has_rows and indices.has_rows):
        raise step.unfit("mixes the rows of a request")
    count = math.prod(d for d in indices.shape if d != ROWS)
    if indices.has_rows and count != 1:
        raise step.unfit("picks several values by one row")
    before = data.shape[:-1] if len(data.shape) > 1 else (1,)
    return (Value(data.dtype, (*before, ROWS if indices.has_rows else count), longest=data.longest),)


def _vectorize(step: Step) -> Sequence[Value]:
    widths = [_matrix(step, step.need(i)) for i in range(max(1, len(step.inputs)))]
    if _attribute(step, "inputdimensions").ints != widths:
        raise step.unfit("names other widths than its inputs have")
    return (Value(FLOAT, (ROWS, sum(widths))),)


def _labels(step: Step) -> Sequence[Value]:
    names = [n for n in step.node.attributes if n.startswith("values_") or n == "classes_strings"]
    if len(names) != 1 or names[0] not in ("values_int64s", "values_floats", "values_strings"):
        raise step.unfit("has a table of a kind that is not known here")
    dtype = {"values_int64s": INT64, "values_floats": FLOAT, "values_strings": STRING}[names[0]]
    longest = max(_attribute(step, names[0]).longest, _attribute(step, "default_string").longest, 8)
    return (Value(dtype, step.need(0).shape, longest=longest if dtype == STRING else 0),)


def _classes(step: Step, words: str, numbers: str) -> tuple[int, Value]:
    texts, ints = _attribute(step, words), _attribute(step, numbers)
    count = texts.strings or ints.int_count
    if bool(texts.strings) == bool(ints.int_count) or count > MAX_TARGETS:
        raise step.unfit("names no classes, or too many")
    return count, Value(STRING if texts.strings else INT64, (ROWS,), longest=texts.longest if texts.strings else 0)


def _linear_classifier(step: Step) -> Sequence[Value]:
    columns = _matrix(step, step.need(0))
    count, label = _classes(step, "classlabels_strings", "classlabels_ints")
    scores = _attribute(step, "intercepts").floats
    if scores != count and not (scores == 1 and count == 2):
        raise step.unfit("has other intercepts than classes")
    if _attribute(step, "coefficients").floats != scores * columns:
        raise step.unfit("has other coefficients than its input has columns")
    return label, Value(FLOAT, (ROWS, count))


def _linear_regressor(step: Step) -> Sequence[Value]:
    columns, targets = _matrix(step, step.need(0)), step.number("targets", 1)
    _check_targets(step, targets)
    if _attribute(step, "coefficients").floats != targets * columns:
        raise step.unfit("has other coefficients than its input has columns")
    if _attribute(step, "intercepts").floats not in (0, targets):
        raise step.unfit("has other intercepts than targets")
    return (Value(FLOAT, (ROWS, targets)),)


def _check_targets(step: Step, targets: int) -> None:
    if not 1 <= targets <= MAX_TARGETS:
        raise step.unfit("names no targets, or too many")


def _check_trees(step: Step, prefix: str, targets: int) -> None:
    if any(name.endswith("_as_tensor") for name in step.node.attributes):
        raise step.unfit("keeps its trees in tensors")
    columns = _matrix(step, step.need(0))
    features = _attribute(step, "nodes_featureids")
    nodes = {_length(_attribute(step, name)) for name in _NODE_LISTS} | {features.int_count}
    if len(nodes) != 1 or 0 in nodes:
        raise step.unfit("has lists of nodes that differ in length")
    leaves = {_length(_attribute(step, f"{prefix}_{name}")) for name in ("ids", "nodeids", "treeids", "weights")}
    if len(leaves) != 1:
        raise step.unfit("has lists of leaves that differ in length")
    _check_range(step, features, columns, "a column")
    _check_range(step, _attribute(step, f"{prefix}_ids"), targets, "a class or target")
    if _attribute(step, "base_values").floats not in (0, 1, targets):
        raise step.unfit("has other base values than classes or targets")


def _length(attribute: Attribute) -> int:
    return attribute.floats or attribute.int_count or attribute.strings


def _check_range(step: Step, numbers: Attribute, end: int, what: str) -> None:
    if any(not 0 <= decode(n) < end for n in numbers.distinct):
        raise step.unfit(f"asks for {what} that is not there")


def _tree_classifier(step: Step) -> Sequence[Value]:
    count, label = _classes(step, "classlabels_strings", "classlabels_int64s")
    _check_trees(step, "class", count)
    if count < 2:
        raise step.unfit("names one class alone")
    return label, Value(FLOAT, (ROWS, count))


def _tree_regressor(step: Step) -> Sequence[Value]:
    targets = step.number("n_targets", 1)
    _check_targets(step, targets)
    _check_trees(step, "target", targets)
    return (Value(FLOAT, (ROWS, targets)),)


def _zipmap(step: Step) -> Sequence[Value]:
    columns = _matrix(step, step.need(0))
    texts, ints = _attribute(step, "classlabels_strings"), _attribute(step, "classlabels_int64s")
    if bool(texts.strings) == bool(ints.int_count) or columns != (texts.strings or ints.int_count):
        raise step.unfit("names other classes than its input has columns")
    return (Value(FLOAT, (ROWS, columns), longest=texts.longest, maps=True),)


ML_SHAPES: Mapping[str, Rule] = {
    "same": _same, "columns": _columns, "extract": _extract, "vectorize": _vectorize, "labels": _labels,
    "linear_classifier": _linear_classifier, "linear_regressor": _linear_regressor,
    "tree_classifier": _tree_classifier, "tree_regressor": _tree_regressor, "zipmap": _zipmap,
}  # fmt: skip
"""Rule name → rule."""
