"""Large answers are written piece by piece: the bytes are those of one call, and other threads have their turn."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import ModelFault
from registry.signature import Signature
from serving.exchange import Array, ArrayOutput, JsonOutput, Output, Table, TableOutput, TensorsOutput
from serving.protocols import in_pieces
from serving.protocols.answer import encode_answer
from serving.protocols.in_pieces import LARGE_BYTES, write_in_pieces
from serving.protocols.limits import Limits
from serving.protocols.mlflow.answer import encode_scores
from serving.protocols.oip.answer import write_answer
from serving.protocols.oip.outputs import outputs_of
from serving.protocols.oip.values import Inference
from serving.protocols.request import Told

SMALL, LARGE = 0, LARGE_BYTES + 1
TOLD = Told("churn", "3", "r-1", "stable", 1, Signature())
RANDOM = np.random.default_rng(0)
PARTS = st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3)
VALUES = st.recursive(
    PARTS, lambda part: st.lists(part, max_size=8) | st.dictionaries(st.text(max_size=3), part, max_size=8)
)


def with_gaps(array: Array) -> Array:
    """Return an array where some values are missing, and some are infinite."""
    array.flat[::7], array.flat[::11] = np.nan, np.inf
    return array


ARRAYS = [
    with_gaps(RANDOM.normal(size=(6000, 7))),
    with_gaps(RANDOM.normal(size=50_000)).astype(np.float32),
    RANDOM.normal(size=(200, 7, 100)).astype(np.float16),
    RANDOM.normal(size=(3, 40_000)).T,
    RANDOM.normal(size=(1, 1, 40_000)),
    RANDOM.integers(-9, 9, (300, 300)),
    RANDOM.integers(0, 9, (2, 30_000)).astype(">i4"),
    np.arange(70_000) % 3 == 0,
    np.arange(40_000).astype("U"),
    np.arange(40_000).astype("S").reshape(2, -1),
    np.arange(40_000).astype("M8[s]").reshape(-1, 2),
    np.zeros((40_000, 0)),
]


@pytest.mark.parametrize("write", ["ours", "mlflow"])
@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype}-{array.shape}")
def test_arrays_in_pieces_are_the_same_bytes(array: Array, write: str) -> None:
    """Of all kinds and shapes, alone, named and as columns."""
    columns = (array.reshape(-1), array.reshape(-1)[::-1])
    for make in (
        lambda size: ArrayOutput(array, size),
        lambda size: TensorsOutput({"a": array[:1], "b": array, "c": array[:2]}, size),
        lambda size: TableOutput(Table(("a", "b"), columns), size),
    ):
        assert written(make(LARGE), write) == written(make(SMALL), write)


@pytest.mark.parametrize("write", ["ours", "mlflow"])
@pytest.mark.parametrize(
    "value",
    [
        [[1, "a"]] * 1000 + [{"b": [None] * 1000}],
        {str(key): {"c": [key]} for key in range(1000)},
        {key: [key] for key in range(1000)},
        [{"n": n, "deep": [[n]] * (n % 5)} for n in range(2000)],
        [["x" * 300_000], ["y"], []] * 2,
        [1.5, float("nan")] * 5000,
        "text",
        [],
    ],
    ids=range(8),
)
def test_any_json_in_pieces_is_the_same_bytes(value: Any, write: str) -> None:
    """Lists of lists, objects of many keys, keys that are numbers, and parts of very different lengths."""
    assert written(JsonOutput(value, LARGE), write) == written(JsonOutput(value, SMALL), write)


@given(VALUES, st.integers(1, 4), st.integers(1, 40))
def test_pieces_of_any_size_make_the_same_bytes(value: Any, few: int, piece: int) -> None:
    """Wherever it is cut."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(in_pieces, "_FEW", few)
        patched.setattr(in_pieces, "_PIECE_BYTES", piece)
        assert write_in_pieces(value, lambda part, _: orjson.dumps(part), Limits()) == orjson.dumps(value)


@pytest.mark.parametrize(
    "array", [a for a in ARRAYS[:8] if a.dtype != np.float16], ids=lambda array: f"{array.dtype}-{array.shape}"
)
def test_tensors_in_pieces_say_the_same(array: Array) -> None:
    """The Open Inference Protocol's data are flat."""
    limits, asked = Limits(), Inference(())
    output = ArrayOutput(np.tile(array, 1 + LARGE_BYTES // array.nbytes))
    tensors = outputs_of(output, asked, TOLD.signature, limits)
    body, _ = write_answer(tensors, [False], asked, TOLD, limits)
    document = orjson.loads(body)
    assert body == orjson.dumps(document)
    (said,) = document["outputs"]
    flat = output.array.reshape(-1)
    if flat.dtype.kind == "f":
        flat = np.where(np.isfinite(flat), flat, np.nan)
    np.testing.assert_array_equal(np.array(said["data"], dtype=flat.dtype), flat)


@pytest.mark.parametrize("write", ["ours", "mlflow"])
def test_what_is_too_long_is_refused_before_all_of_it_is_written(write: str) -> None:
    """Nothing behind the limit is even looked at."""
    value: list[Any] = [[1, 2, 3]] * 20_000
    value[-1] = object()
    with pytest.raises(ModelFault, match="longer than the 50,000 bytes"):
        written(JsonOutput(value, LARGE), write, Limits(response_bytes=50_000))


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_depth_is_refused_wherever_it_is(size: int) -> None:
    """What nests as deep as allowed passes, and a level more does not."""

    def nested(levels: int) -> Any:
        return [[0]] * 1000 + [{"a": [json.loads("[" * levels + "]" * levels)]}]

    limits = Limits(depth=12)
    assert written(JsonOutput(nested(8), size), "ours", limits)
    with pytest.raises(ModelFault, match="nests deeper than 12 levels"):
        written(JsonOutput(nested(9), size), "ours", limits)


def test_no_call_writes_more_than_a_piece() -> None:
    """So that whoever waits for the interpreter has it soon."""
    longest = 0

    def dumps(value: Any, level: int) -> bytes:
        nonlocal longest
        piece = orjson.dumps(value, None, orjson.OPT_SERIALIZE_NUMPY)
        longest = max(longest, len(piece))
        return piece

    rows = [{"a": 1.0, "b": [n] * 5} for n in range(100_000)]
    for value in (rows, {"p": rows}, {"p": [rows, rows]}, {"p": RANDOM.normal(size=(1, 300_000))}):
        write_in_pieces(value, dumps, Limits())
    assert longest < 1 << 20


def written(output: Output, write: str, limits: Limits = Limits()) -> bytes:  # noqa: B008  # frozen value
    """Write an answer."""
    if write == "mlflow":
        return encode_scores(output, limits)
    return encode_answer(output, "application/json", limits, model="churn", version="3", request_id="r-1").body
