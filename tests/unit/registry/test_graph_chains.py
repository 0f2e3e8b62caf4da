"""Whatever operators follow one another: a graph that is judged fit comes out as judged, row by row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.graphs.judge import judge
from registry.graphs.shapes import ROWS
from tests.support.onnx_models import graph, node, weight

ROW_COUNTS = (1, 2, 5)
EXAMPLES = 300
small = st.integers(1, 4)
axis = st.integers(-3, 3)


def ints(name: str, values: Sequence[int]) -> Any:
    """Return a weight of integers."""
    return weight(name, np.array(values, np.int64))


def numbers(name: str, shape: Sequence[int]) -> Any:
    """Return a weight of small numbers, none of them nought."""
    return weight(name, (np.arange(np.prod(shape)) % 5 + 1).reshape(shape).astype(np.float32) / 3)


@st.composite
def steps(draw: st.DrawFn, at: int) -> tuple[list[Any], list[Any]]:
    """Draw nodes that make ``h<at+1>`` of ``h<at>``, and their weights."""
    here, there, more, extra = f"h{at}", f"h{at + 1}", f"w{at}", f"v{at}"
    kind = draw(st.sampled_from(("reshape", "transpose", "reduce", "arg", "softmax", "add", "self", "matmul", "left",
                                 "concat", "unsqueeze", "squeeze", "flatten", "slice", "gather", "pick")))  # fmt: skip
    if kind == "reshape":
        target = draw(st.lists(st.sampled_from((-1, 0, 1, 2, 3, 4, 6, 12)), min_size=1, max_size=4))
        return [node("Reshape", [here, more], [there])], [ints(more, target)]
    if kind == "transpose":
        order = draw(st.permutations(range(draw(st.integers(1, 3)))))
        return [node("Transpose", [here], [there], perm=order)], []
    if kind == "reduce":
        op = draw(st.sampled_from(("ReduceSum", "ReduceMax", "ReduceMean")))
        axes = draw(st.lists(axis, max_size=2))
        return [node(op, [here, more], [there], keepdims=draw(st.integers(0, 1)))], [ints(more, axes)]
    if kind == "arg":
        nodes = [node("ArgMax", [here], [more], axis=draw(axis), keepdims=draw(st.integers(0, 1)))]
        return [*nodes, node("Cast", [more], [there], to=1)], []
    if kind == "softmax":
        return [node("Softmax", [here], [there], axis=draw(axis))], []
    if kind == "add":
        shape = draw(st.lists(st.sampled_from((1, 2, 3, 4)), max_size=3))
        return [node("Add", [here, more], [there])], [numbers(more, shape)]
    if kind == "self":
        return [node(draw(st.sampled_from(("Mul", "MatMul"))), draw(st.permutations([here, "x"])), [there])], []
    if kind in ("matmul", "left"):
        given_weight = numbers(more, draw(st.tuples(small, small)))
        sides = [here, more] if kind == "matmul" else [more, here]
        return [node("MatMul", sides, [there])], [given_weight]
    if kind == "concat":
        return [node("Concat", [here, draw(st.sampled_from((here, "x")))], [there], axis=draw(axis))], []
    if kind in ("unsqueeze", "squeeze"):
        axes = draw(st.lists(axis, min_size=1, max_size=2))
        return [node(kind.capitalize(), [here, more], [there])], [ints(more, axes)]
    if kind == "flatten":
        return [node("Flatten", [here], [there], axis=draw(axis))], []
    if kind == "slice":
        limits = [ints(more, [draw(axis)]), ints(extra, [draw(axis)]), ints(f"a{at}", [draw(axis)])]
        return [node("Slice", [here, more, extra, f"a{at}"], [there])], limits
    indices = draw(st.lists(st.integers(0, 3), min_size=1, max_size=3))
    if kind == "gather":
        return [node("Gather", [here, more], [there], axis=draw(axis))], [ints(more, indices)]
    return [node("ArrayFeatureExtractor", [here, more], [there], "ai.onnx.ml")], [ints(more, indices)]


@given(st.integers(1, 5).flatmap(lambda count: st.tuples(*(steps(i) for i in range(count)))))
@settings(max_examples=EXAMPLES, deadline=None)
def test_a_graph_that_is_judged_fit_comes_out_as_judged(chain: tuple[tuple[list[Any], list[Any]], ...]) -> None:
    """Its answer has the judged shape for any number of rows, and each row's part is what the row gets alone."""
    import onnxruntime

    nodes = [node("Identity", ["x"], ["h0"]), *(each for nodes, _ in chain for each in nodes)]
    data = graph(nodes, [each for _, weights in chain for each in weights], answers=[f"h{len(chain)}"])
    judged = judge(data)
    if judged.reason:
        return
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception:  # what onnxruntime does not load never runs
        return
    (output,) = judged.outputs
    for count in ROW_COUNTS:
        given_rows = np.random.default_rng(count).normal(size=(count, 4)).astype(np.float32)
        try:
            (result,) = session.run(None, {"x": given_rows})
        except onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument:
            return  # an index that is not there: it raises, and that is its answer
        assert result.shape == tuple(count if d == ROWS else d for d in output.shape)
        for i in range(count):
            (alone,) = session.run(None, {"x": given_rows[i : i + 1]})
            part = result if output.row_axis is None else np.take(result, [i], axis=output.row_axis)
            np.testing.assert_allclose(alone, part, rtol=1e-4, atol=1e-5)
