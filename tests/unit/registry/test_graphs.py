"""What the judgement of a graph refuses, and in which words; and that it never raises, whatever it is given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.graphs.fit import flavor_misfit, signature_misfit
from registry.graphs.judge import judge
from registry.graphs.operators import RULES
from tests.support.onnx_models import GRAPHS, graph, node, weight


def ints(name: str, *values: int) -> Any:
    """Return a weight of integers."""
    return weight(name, np.array(values, np.int64))


def floats(name: str, *shape: int) -> Any:
    """Return a weight of noughts."""
    return weight(name, np.zeros(shape, np.float32))


RELU = node("Relu", ["x"], ["y"])
REFUSED = {
    "rows for rows": (graph([node("Transpose", ["x"], ["t"]), node("MatMul", ["x", "t"], ["y"])]), "mixes the rows"),
    "rows against columns": (
        graph([node("Reshape", ["x", "s"], ["f"]), node("Add", ["f", "x"], ["y"])], [ints("s", -1)], takes=("N", 1)),
        "every row for every other",
    ),
    "mean of the batch": (graph([node("ReduceMean", ["x", "a"], ["y"])], [ints("a", 0)]), "mixes the rows"),
    "softmax over rows": (graph([node("Softmax", ["x"], ["y"], axis=0)]), "mixes the rows"),
    "old softmax over rows": (graph([node("Softmax", ["x"], ["y"], axis=0)], opsets={"": 11}), "mixes the rows"),
    "first rows": (graph([node("Slice", ["x", "b", "e"], ["y"])], [ints("b", 0), ints("e", 1)]), "picks among"),
    "rows below rows": (graph([node("Concat", ["x", "x"], ["y"], axis=0)]), "rows below rows"),
    "rows side by side": (graph([node("Flatten", ["x"], ["y"], axis=0)]), "side by side"),
    "rows cut apart": (graph([node("Reshape", ["x", "s"], ["y"])], [ints("s", 4, -1)]), "cuts rows apart|side by side"),
    "shape from values": (graph([node("Reshape", ["x", "x"], ["y"])]), "no constants"),
    "squeeze of whatever": (graph([node("Squeeze", ["x"], ["y"])]), "number of rows"),
    "wide": (graph([node("Add", ["x", "w"], ["y"])], [floats("w", 1_000_000)], takes=("N", 1)), "too much memory"),
    "outer product": (
        graph([node("MatMul", ["a", "b"], ["c"]), RELU], [floats("a", 40_000, 1), floats("b", 1, 40_000)]),
        "too much memory",
    ),
    "two open lengths": (graph([RELU], takes=("N", "M")), "open in more than its rows"),
    "text": (graph([node("Identity", ["x"], ["y"])], kind=8), "takes text"),
    "text made": (graph([node("Cast", ["x"], ["y"], to=8)]), "makes text"),
    "training": (graph([node("Dropout", ["x", "", "t"], ["y"])], [weight("t", np.array(True))]), "random"),
    "batch statistics": (
        graph([node("BatchNormalization", ["x", "w", "w", "w", "w"], ["y"], training_mode=1)], [floats("w", 4)]),
        "mixes the rows",
    ),
    "old broadcasting": (graph([RELU], opsets={"": 6}), "version 6 of ai.onnx is not known"),
    "no operator set": (graph([node("Relu", ["x"], ["y"])], opsets={"ai.onnx.ml": 3}), "version 0"),
    "order": (graph([node("Relu", ["h"], ["y"]), node("Relu", ["x"], ["h"])]), "before what it needs"),
    "circle": (graph([node("Add", ["x", "y"], ["h"]), node("Relu", ["h"], ["y"])]), "before what it needs"),
    "one name twice": (graph([RELU, RELU]), "one name"),
    "weight as input": (graph([node("Relu", ["x"], ["y"])], [floats("x", 4)]), "name of a weight"),
    "no answer": (graph([RELU], answers=["z"]), "nothing makes"),
    "column not there": (
        graph([node("TreeEnsembleRegressor", ["x"], ["y"], "ai.onnx.ml", nodes_treeids=[0], nodes_nodeids=[0],
                    nodes_featureids=[1 << 31], nodes_modes=["BRANCH_LEQ"], nodes_values=[0.0], nodes_truenodeids=[0],
                    nodes_falsenodeids=[0], target_ids=[0], target_nodeids=[0], target_treeids=[0],
                    target_weights=[1.0])]),
        "a column that is not there",
    ),
    "class not there": (
        graph([node("TreeEnsembleClassifier", ["x"], ["l", "y"], "ai.onnx.ml", nodes_treeids=[0], nodes_nodeids=[0],
                    nodes_featureids=[0], nodes_modes=["LEAF"], nodes_values=[0.0], nodes_truenodeids=[0],
                    nodes_falsenodeids=[0], class_ids=[7], class_nodeids=[0], class_treeids=[0], class_weights=[1.0],
                    classlabels_int64s=[0, 1])]),
        "a class or target that is not there",
    ),
    "a billion targets": (
        graph([node("TreeEnsembleRegressor", ["x"], ["y"], "ai.onnx.ml", n_targets=1_000_000_000)]), "targets",
    ),
    "too few coefficients": (
        graph([node("LinearRegressor", ["x"], ["y"], "ai.onnx.ml", coefficients=[1.0], targets=1)]), "coefficients",
    ),
    "dicts at work": (
        graph([node("ZipMap", ["x"], ["m"], "ai.onnx.ml", classlabels_int64s=[0, 1, 2, 3]),
               node("Identity", ["m"], ["y"])]),
        "dicts",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_grows_mixes_or_reaches_too_far_is_refused(name: str) -> None:
    """Each such graph has a reason, in words."""
    data, words = REFUSED[name]
    reason = judge(data).reason
    assert reason
    assert any(word in reason for word in words.split("|")), reason


def test_a_fixed_number_of_rows_is_no_batch() -> None:
    """A graph that takes exactly one row may run, and says that requests cannot share a run."""
    judged = judge(graph([RELU], takes=(1, 4)))
    assert judged.reason == ""
    assert not judged.takes_rows


def test_memory_counts_everything_on_the_way() -> None:
    """A row's memory is that of its input and of all that is made of it; the answer's part is told apart."""
    nodes = [node("MatMul", ["x", "w"], ["h"]), node("Relu", ["h"], ["y"])]
    judged = judge(graph(nodes, [floats("w", 4, 100)]))
    assert (judged.row_bytes, judged.answer_bytes) == (4 * (4 + 100 + 100), 400)


@given(st.text(min_size=1, max_size=30), st.text(max_size=20), st.integers(0, 3))
@settings(max_examples=200, deadline=None)
def test_no_operator_outside_the_list_ever_runs_inline(op: str, domain: str, place: int) -> None:
    """Wherever an unlisted operator stands in a graph, the graph has a reason to run elsewhere."""
    known = "" if domain == "ai.onnx" else domain
    if (known, op) in RULES:
        return
    names = ["x", "a", "b", "c", "y"]
    chain = [node("Relu", [names[i]], [names[i + 1]]) for i in range(4)]
    chain[place] = node(op, [names[place]], [names[place + 1]], domain)
    opsets = {"": 18, "ai.onnx.ml": 3} | {known: 18}
    assert "is not on the list" in judge(graph(chain, opsets=opsets)).reason


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_damaged_graphs_are_judged_and_never_raise(data: st.DataObject) -> None:
    """Bytes changed, cut, doubled or made up: there is a judgement, whatever it is."""
    whole = graph([node("Reshape", ["x", "s"], ["h"]), node("Softmax", ["h"], ["y"])], [ints("s", 0, 4)])
    at = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(at, len(whole)))
    judge(whole[:at] + data.draw(st.binary(max_size=16)) + whole[end:])
    judge(data.draw(st.binary(max_size=200)))


def test_a_real_forest_survives_every_cut() -> None:
    """No beginning of a file is the whole file, nor an error of ours."""
    whole = GRAPHS["forest"]()
    assert all(judge(whole[:n]).reason for n in range(0, len(whole) - 64, 97))


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ([{"name": "a", "type": "double"}, {"name": "b", "type": "long"}], ""),
        ([{"name": "a", "type": "boolean"}, {"name": "b", "type": "boolean"}], ""),
        ([{"name": "a", "type": "boolean"}, {"name": "b", "type": "long"}], "no numbers"),
        ([{"name": "a", "type": "string"}], "no numbers"),
        ([{"name": "a", "type": "double", "required": False}], "missing"),
        ([{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 4]}}], ""),
        ([{"type": "tensor", "name": "x", "tensor-spec": {"dtype": "float32", "shape": [-1, 4]}}], ""),
        ([{"type": "tensor", "name": "z", "tensor-spec": {"dtype": "float32", "shape": [-1, 4]}}], "other tensors"),
    ],
)
def test_signatures_that_mlflow_would_reshape_go_to_a_host(columns: Any, words: str) -> None:
    """Only inputs that become one plain array, or the graph's own tensors, are handed over here."""
    misfit = signature_misfit({"inputs": columns}, judge(graph([RELU])))
    assert (words in misfit) if words else (misfit == "")


def test_settings_that_only_mlflow_honours_go_to_a_host() -> None:
    """Session options, other providers and other file names are reasons."""
    plain = {"data": "model.onnx"}
    assert flavor_misfit({"providers": ["CUDAExecutionProvider", "CPUExecutionProvider"]}, plain) == ""
    assert flavor_misfit({"providers": None, "onnx_session_options": None}, plain) == ""
    assert "options" in flavor_misfit({"onnx_session_options": {"execution_mode": "parallel"}}, plain)
    assert "providers" in flavor_misfit({"providers": [["TensorrtExecutionProvider", {}]]}, plain)
    assert "model.onnx" in flavor_misfit({}, {"data": "other.onnx"})
