"""Hostile ONNX files are judged in bounded time and memory, and never sent into the serving process (A15, J)."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from registry.graphs.judge import MAX_FILE_BYTES, judge
from tests.support.onnx_models import graph, node, weight

RELU = node("Relu", ["x"], ["y"])


def field(number: int, body: bytes) -> bytes:
    """Return a length-delimited protobuf field."""
    return varint(number << 3 | 2) + varint(len(body)) + body


def varint(value: int) -> bytes:
    """Return a protobuf integer."""
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def claim() -> bytes:
    """Return a graph of fewer than 100 bytes whose answer takes 582 MB."""
    from onnx import TensorProto, helper

    size = helper.make_tensor("s", TensorProto.INT64, [1], [145_500_000])
    return graph([node("ConstantOfShape", ["s"], ["y"])], [size], takes=())


def outside(location: str, **more: str) -> bytes:
    """Return a graph whose weight lies elsewhere."""
    from onnx import TensorProto, helper

    tensor = helper.make_tensor("w", TensorProto.FLOAT, [4], [0.0] * 4)
    tensor.ClearField("float_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **more}.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return graph([node("Add", ["x", "w"], ["y"])], [tensor])


def huge_weight(*dims: int) -> bytes:
    """Return a graph whose weight claims to be huge, and brings no bytes."""
    from onnx import TensorProto

    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims)
    return graph([node("Add", ["x", "w"], ["y"])], [tensor])


def nested(depth: int) -> bytes:
    """Return a graph in a graph in a graph …, and so on."""
    body = b""
    for _ in range(depth):
        body = field(1, field(4, b"If") + field(5, field(1, b"then_branch") + field(6, body)))
    return field(7, body) + field(8, b"\x10\x12")


def doubled(value: int) -> bytes:
    """Return a graph that is doubled at every step."""
    nodes = [node("Concat", [f"h{i}"] * 2, [f"h{i + 1}"], axis=1) for i in range(value)]
    return graph([node("Relu", ["x"], ["h0"]), *nodes, node("Relu", [f"h{value}"], ["y"])])


HOSTILE: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "noughts": lambda: bytes(1000),
    "text": lambda: b"not a graph at all" * 10,
    "claim": claim,
    "loop": lambda: graph([node("Loop", ["", "", "x"], ["y"])]),
    "custom operators": lambda: graph([node("Run", ["x"], ["y"], "com.microsoft")], opsets={"com.microsoft": 1}),
    "path up": lambda: outside("../../etc/passwd"),
    "path down": lambda: outside("a/b.data"),
    "absolute path": lambda: outside("/etc/passwd"),
    "address": lambda: outside("https://example.com/w"),
    "hidden file": lambda: outside(".data"),
    "negative offset": lambda: outside("w.data", offset="-16"),
    "far offset": lambda: outside("w.data", offset="999999999999"),
    "other length": lambda: outside("w.data", length="1"),
    "odd key": lambda: outside("w.data", basepath="/"),
    "huge weight": lambda: huge_weight(1 << 40),
    "huge product": lambda: huge_weight(1 << 20, 1 << 20, 1 << 20),
    "negative weight": lambda: huge_weight(-4),
    "nested": lambda: nested(5000),
    "doubled": lambda: doubled(40),
    "broadcast": lambda: graph(
        [node("Mul", ["a", "b"], ["c"]), RELU],
        [weight("a", np.ones((100_000, 1), np.float32)), weight("b", np.ones((1, 100_000), np.float32))],
    ),
    "reshaped to much": lambda: graph([node("Reshape", ["x", "s"], ["y"])], [weight("s", np.array([-1, 1 << 31]))]),
    "functions": lambda: graph([RELU]) + field(25, field(1, b"Relu")),
    "second graph": lambda: graph([RELU]) + field(7, b""),
    "training": lambda: graph([RELU]) + field(20, b""),
    "unknown part": lambda: graph([RELU]) + field(99, b"x"),
    "group": lambda: graph([RELU]) + b"\x3b\x3c",
    "length beyond": lambda: b"\x3a\xff\xff\xff\xff\x0f",
    "endless number": lambda: b"\x08" + b"\xff" * 64,
    "too large": lambda: b"\x08\x08" * (MAX_FILE_BYTES // 2 + 1),
    "many fields": lambda: b"\x08\x08" * (MAX_FILE_BYTES // 2 - 1),
    "many numbers": lambda: field(7, field(1, field(4, b"Relu") + field(5, b"\x40\x01" * (4 << 20)))),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile_graph_has_a_reason_to_stay_out(name: str) -> None:
    """Each is refused with a short reason that names no path."""
    reason = judge(HOSTILE[name](), {"w.data": 16}).reason
    assert 0 < len(reason) < 200
    assert "/" not in reason


def test_claim_of_half_a_gigabyte_is_small() -> None:
    """The file that claims so much is tiny: its size says nothing."""
    assert len(claim()) < 110
    assert judge(claim()).reason == "operator ConstantOfShape (ai.onnx) is not on the list"


@pytest.mark.parametrize("name", ["many fields", "many numbers", "nested", "doubled", "huge product"])
def test_judging_takes_seconds_and_megabytes_at_worst(name: str) -> None:
    """What is built to be slow to read is given up on, within bounds."""
    data = HOSTILE[name]()
    tracemalloc.start()
    try:
        judge(data)
        assert tracemalloc.get_traced_memory()[1] < 256 << 20
    finally:
        tracemalloc.stop()
    started = time.process_time()
    judge(data)
    assert time.process_time() - started < 20


def test_weights_that_lie_beside_the_graph_are_fine() -> None:
    """The same graph with its weight in a file that is there, and large enough, may run."""
    assert judge(outside("w.data", offset="0", length="16"), {"w.data": 16}).reason == ""
    assert judge(outside("w.data", offset="1", length="16"), {"w.data": 16}).reason != ""


def big_forest(nodes: int) -> Any:
    """Return an honest forest of one-node trees."""
    many = [0] * nodes
    return graph([
        node("TreeEnsembleRegressor", ["x"], ["y"], "ai.onnx.ml", n_targets=1, nodes_treeids=list(range(nodes)),
             nodes_nodeids=many, nodes_featureids=many, nodes_modes=["LEAF"] * nodes, nodes_values=[0.0] * nodes,
             nodes_truenodeids=many, nodes_falsenodeids=many, target_ids=many, target_nodeids=many,
             target_treeids=list(range(nodes)), target_weights=[1.0] * nodes),
    ])  # fmt: skip


def test_large_honest_forest_is_judged_quickly() -> None:
    """A million values are read in less than a few seconds."""
    data = big_forest(200_000)
    started = time.process_time()
    assert judge(data).reason == ""
    assert time.process_time() - started < 5
