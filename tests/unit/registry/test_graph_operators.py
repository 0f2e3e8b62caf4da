"""Every operator on the list is sized as onnxruntime sizes it, and answers each row by that row alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from registry.graphs.judge import judge
from registry.graphs.operators import ML, RULES
from registry.graphs.shapes import ROWS
from tests.support.onnx_models import GRAPHS, graph, node, weight

BOOL, INT64 = 9, 7
W = weight("w", np.linspace(0.5, 2.0, 4, dtype=np.float32))
M = weight("m", np.linspace(-1.0, 1.0, 12, dtype=np.float32).reshape(4, 3))
Sample = tuple[list[Any], list[Any], list[str]]


def ints(name: str, *values: int) -> Any:
    """Return a weight of integers."""
    return weight(name, np.array(values, np.int64))


def one(op: str, *more: str, weights: Any = (), domain: str = "", outputs: int = 1, **arguments: Any) -> Sample:
    """Return a graph of one operator on ``x``."""
    names = ["y", "z", "u"][:outputs]
    return [node(op, ["x", *more], names, domain, **arguments)], list(weights), names


def ml(op: str, *more: str, **arguments: Any) -> Sample:
    """Return a graph of one operator of ai.onnx.ml."""
    return one(op, *more, domain=ML, **arguments)


def trees(prefix: str, **arguments: Any) -> dict[str, Any]:
    """Return the arguments of one tree that asks column 2."""
    return {
        "nodes_treeids": [0, 0, 0], "nodes_nodeids": [0, 1, 2], "nodes_featureids": [2, 0, 0],
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"], "nodes_values": [0.0, 0.0, 0.0],
        "nodes_truenodeids": [1, 0, 0], "nodes_falsenodeids": [2, 0, 0],
        f"{prefix}_treeids": [0, 0], f"{prefix}_nodeids": [1, 2], f"{prefix}_ids": [0, 1],
        f"{prefix}_weights": [1.0, 2.0], **arguments,
    }  # fmt: skip


SAMPLES: Mapping[tuple[str, str], Sample] = {
    ("", "Clip"): one("Clip", "lo", weights=[weight("lo", np.float32(0))]),
    ("", "Where"): (
        [node("Greater", ["x", "w"], ["c"]), node("Where", ["c", "x", "w"], ["y"])],
        [W],
        ["y"],
    ),
    ("", "Mod"): one("Mod", "w", weights=[W], fmod=1),
    ("", "Cast"): one("Cast", to=INT64),
    ("", "ArgMax"): one("ArgMax", axis=1),
    ("", "ArgMin"): one("ArgMin", axis=-1, keepdims=0),
    ("", "BatchNormalization"): one("BatchNormalization", "w", "w", "w", "w", weights=[W]),
    ("", "Concat"): one("Concat", "x", "x", axis=1),
    ("", "Constant"): (
        [node("Constant", [], ["c"], value_floats=[1.0, 2.0, 3.0, 4.0]), node("Add", ["x", "c"], ["y"])],
        [],
        ["y"],
    ),
    ("", "Flatten"): (
        [node("Unsqueeze", ["x", "a"], ["h"]), node("Flatten", ["h"], ["y"])],
        [ints("a", 2)],
        ["y"],
    ),
    ("", "Gather"): one("Gather", "i", weights=[ints("i", 3, 0)], axis=1),
    ("", "Gemm"): one("Gemm", "m", weights=[M]),
    ("", "LayerNormalization"): one("LayerNormalization", "w", weights=[W]),
    ("", "MatMul"): one("MatMul", "m", weights=[M]),
    ("", "Reshape"): one("Reshape", "s", weights=[ints("s", -1, 2, 2)]),
    ("", "Slice"): one("Slice", "b", "e", "a", weights=[ints("b", 1), ints("e", 9), ints("a", 1)]),
    ("", "Split"): one("Split", "s", weights=[ints("s", 1, 3)], outputs=2, axis=1),
    ("", "Squeeze"): (
        [node("ReduceSum", ["x", "a"], ["h"]), node("Squeeze", ["h", "a"], ["y"])],
        [ints("a", 1)],
        ["y"],
    ),
    ("", "Transpose"): one("Transpose", perm=[1, 0]),
    ("", "Unsqueeze"): one("Unsqueeze", "a", weights=[ints("a", 0, 3)]),
    (ML, "ArrayFeatureExtractor"): ml("ArrayFeatureExtractor", "i", weights=[ints("i", 1, 2)]),
    (ML, "FeatureVectorizer"): ml("FeatureVectorizer", "x", inputdimensions=[4, 4]),
    (ML, "Imputer"): ml("Imputer", imputed_value_floats=[1.0], replaced_value_float=float("nan")),
    (ML, "LabelEncoder"): ml(
        "LabelEncoder", keys_floats=[0.0], values_strings=["nought"], default_string="other"
    ),
    (ML, "LinearClassifier"): ml(
        "LinearClassifier", coefficients=[0.5] * 12, intercepts=[0.1, 0.2, 0.3], classlabels_ints=[0, 1, 2], outputs=2
    ),
    (ML, "LinearRegressor"): ml("LinearRegressor", coefficients=[0.5] * 8, intercepts=[0.1, 0.2], targets=2),
    (ML, "Scaler"): ml("Scaler", offset=[0.5] * 4, scale=[2.0] * 4),
    (ML, "TreeEnsembleClassifier"): ml(
        "TreeEnsembleClassifier", **trees("class", classlabels_int64s=[0, 1]), outputs=2
    ),
    (ML, "TreeEnsembleRegressor"): ml("TreeEnsembleRegressor", **trees("target", n_targets=2)),
    (ML, "ZipMap"): (
        [
            node("LinearClassifier", ["x"], ["l", "p"], ML, coefficients=[0.5] * 12, intercepts=[0.1, 0.2, 0.3],
                 classlabels_strings=["a", "b", "c"]),
            node("ZipMap", ["p"], ["y"], ML, classlabels_strings=["a", "b", "c"]),
        ],
        [],
        ["l", "y"],
    ),
}  # fmt: skip
_LOGICAL = ("And", "Or", "Xor", "Not")
_BITWISE = ("BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitwiseNot")
_NEWER = {"Gelu": 20, "Swish": 24}


def sample(domain: str, op: str) -> tuple[bytes, list[str], int]:
    """Return a graph that uses an operator, its outputs, and the element type of its input."""
    kind = BOOL if op in _LOGICAL else INT64 if op in _BITWISE else 1
    rule = RULES[domain, op]
    if (domain, op) in SAMPLES:
        nodes, weights, answers = SAMPLES[domain, op]
    elif rule in ("elementwise", "comparison"):
        right = "x" if kind != 1 else "w"
        nodes, weights, answers = one(op, right, weights=[] if right == "x" else [W])
    elif rule == "reduce":
        late = {"ReduceSum": 13}.get(op, 18)
        nodes, weights, answers = one(op, "a", weights=[ints("a", 1)]) if late else one(op, axes=[1])
    else:
        nodes, weights, answers = one(op, domain=domain)
    opsets = {"": _NEWER.get(op, 18), "ai.onnx.ml": 3}
    return graph(nodes, weights, kind=kind, answers=answers, opsets=opsets), answers, kind


def rows(kind: int, count: int) -> Any:
    """Return made-up rows."""
    values = np.random.default_rng(count).normal(size=(count, 4))
    return {1: values.astype(np.float32), INT64: (9 * values).astype(np.int64), BOOL: values > 0}[kind]


def run(data: bytes, given: Any) -> list[Any]:
    """Return what onnxruntime answers."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    results: list[Any] = session.run(None, {session.get_inputs()[0].name: given})
    return results


@pytest.mark.parametrize(("domain", "op"), sorted(RULES))
def test_each_listed_operator_is_sized_as_it_comes_out(domain: str, op: str) -> None:
    """The judged shape is the real one for any number of rows, and a batch answers as its rows do."""
    data, answers, kind = sample(domain, op)
    judged = judge(data)
    assert judged.reason == ""
    assert [output.name for output in judged.outputs] == answers
    given = rows(kind, 5)
    try:
        together = run(data, given)
    except Exception as error:
        assert "NOT_IMPLEMENTED" in str(error), error
        pytest.skip("this build of onnxruntime lacks it for these types")
    for output, result in zip(judged.outputs, together, strict=True):
        if output.maps:
            assert len(result) == 5
            assert all(len(each) == output.shape[1] for each in result)
            continue
        assert result.shape == tuple(5 if d == ROWS else d for d in output.shape)
        alone = [run(data, given[i : i + 1])[answers.index(output.name)] for i in range(5)]
        joined = np.concatenate(alone, axis=output.row_axis or 0)
        if joined.dtype == object:
            assert joined.tolist() == result.tolist()
        else:
            np.testing.assert_allclose(joined, result, rtol=1e-5)


@pytest.mark.parametrize("name", sorted(GRAPHS))
def test_what_scikit_learn_exports_may_run_inline(name: str) -> None:
    """Linear models, forests, boosted trees, pipelines and perceptrons pass, and are sized as they come out."""
    data = GRAPHS[name]()
    judged = judge(data)
    assert judged.reason == ""
    assert judged.takes_rows
    width = judged.inputs[0].dims[1]
    results = run(data, np.random.default_rng(1).normal(size=(7, width)).astype(np.float32))
    for output, result in zip(judged.outputs, results, strict=True):
        assert output.maps or result.shape == tuple(7 if d == ROWS else d for d in output.shape)


@pytest.mark.parametrize(
    "op", ["Loop", "Scan", "If", "RandomNormal", "Expand", "Tile", "Range", "ConstantOfShape", "Pad", "Resize", "Shape",
           "NonZero", "NonMaxSuppression", "SequenceAt", "StringConcat", "TfIdfVectorizer", "Conv", "LSTM", "TopK"],
)  # fmt: skip
def test_operators_off_the_list_are_named(op: str) -> None:
    """The reason names the operator and its set."""
    assert judge(graph([node(op, ["x"], ["y"])])).reason == f"operator {op} (ai.onnx) is not on the list"
