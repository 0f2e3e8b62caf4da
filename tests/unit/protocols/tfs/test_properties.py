"""TensorFlow Serving's bodies, whatever stands in them: an answer or a refusal, never anything else."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import HeadgateError, InvalidRequest
from registry.signature import Signature, parse_signature
from serving.exchange import ArrayOutput, JsonOutput, Output, TensorInput, TensorsInput, TensorsOutput
from serving.protocols.json_body import load_json, load_json_or_nan
from serving.protocols.limits import Limits
from serving.protocols.native import parse_body, shape
from serving.protocols.request import Head, Request, Told
from serving.protocols.tfs.errors import tfs_body, tfs_problem, tfs_status
from serving.protocols.tfs.examples import read_examples
from serving.protocols.tfs.paths import read_path
from serving.protocols.tfs.predict import read_predict
from serving.protocols.tfs.results import classifications, regressions
from tests.support.mutation import mutated

WIRE = Path(__file__).resolve().parents[3] / "wire" / "tfs"
LIMITS = Limits(depth=16, values=10_000, response_bytes=100_000)
HEAD = Head()
FILES = [
    json.loads(file.read_text()) for file in sorted(WIRE.glob("*.json")) if file.stem not in ("routes", "documented")
]
CASES: list[dict[str, Any]] = [case for file in FILES for case in file["cases"]]
SIGNATURES = [parse_signature(case["signature"]) for case in CASES] + [Signature()]
READERS: tuple[Callable[[bytes, Head, Limits], Request], ...] = (
    read_predict,
    partial(read_examples, "classify"),
    partial(read_examples, "regress"),
)
OUTPUTS: tuple[Output, ...] = (
    ArrayOutput(np.array([1.0, np.nan])),
    ArrayOutput(np.array(3)),
    TensorsOutput({"a": np.array(["x", b"y", None], dtype=object), "b_bytes": np.zeros((2, 2))}),
    JsonOutput({"scores": [{"a": 0.5}], "label": [True]}),
    JsonOutput([[1, "a"], {"b": None}]),
)
_FINITE = st.floats(allow_nan=False, allow_infinity=False, width=32)
load_tolerant = partial(load_json_or_nan, nan=math.nan, short=True)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc") | st.just("b64"), inner),
    max_leaves=12,
)


def test_damaged_bodies_are_answered_or_refused() -> None:
    """No bytes raise anything but a refusal, for any model, through reading, fitting and answering; and soon."""
    seeds = [case["request"].encode() for case in CASES]
    slowest = 0.0
    for at, body in enumerate(mutated(seeds)):
        begun = process_time()
        signature = SIGNATURES[at % len(SIGNATURES)]
        told = Told("half", "1", "r", "stable", 1, signature)
        try:
            request = READERS[at % 3](body, HEAD, LIMITS)
            request.shape(signature, None, LIMITS)
            orjson.loads(request.encode(OUTPUTS[at % len(OUTPUTS)], told, LIMITS).body)
        except HeadgateError as error:
            assert tfs_status(error.code) in range(400, 505)
            assert list(orjson.loads(tfs_body("/v1/models/half:predict", error))) == ["error"]
        slowest = max(slowest, process_time() - begun)
    assert slowest < 1


@given(st.lists(st.lists(_FINITE, min_size=2, max_size=2), min_size=1, max_size=5))
def test_rows_mean_what_they_mean_on_our_own_route(rows: list[list[float]]) -> None:
    """A body that both protocols read gives the model the same array."""
    body = json.dumps({"instances": rows}).encode()
    signature = parse_signature({"inputs": [{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 2]}}]})
    theirs = read_predict(body, HEAD, LIMITS).shape(signature, None, LIMITS).data
    ours = shape(parse_body(None, body, LIMITS), signature, None, LIMITS).data
    assert isinstance(theirs, TensorInput)
    assert isinstance(ours, TensorInput)
    np.testing.assert_array_equal(theirs.array, ours.array)


@given(st.lists(st.floats(), min_size=1, max_size=6), st.text())
def test_all_floats_arrive(values: list[float], text: str) -> None:
    """What Python's json writes, NaN and infinities included, arrives as the same numbers, whatever text is beside."""
    signature = parse_signature(
        {"inputs": [{"type": "tensor", "name": "x", "tensor-spec": {"dtype": "float64", "shape": [-1]}}]}
    )
    body = json.dumps({"note": text, "inputs": values}, ensure_ascii=True)
    try:
        body.encode().decode("unicode_escape")
        data = read_predict(body.encode(), HEAD, LIMITS).shape(signature, None, LIMITS).data
    except (UnicodeError, InvalidRequest):
        assert any(0xD800 <= ord(letter) < 0xE000 for letter in text) or "\\" in text
        return
    assert isinstance(data, TensorsInput)
    np.testing.assert_array_equal(data.arrays["x"], np.array(values))


@given(_VALUES)
def test_the_tolerant_reader_is_the_strict_one_elsewhere(value: Any) -> None:
    """Where the strict reader takes a body, both agree; where it does not, only NaN and infinities were in the way."""
    body = json.dumps(value).encode()
    try:
        expected = load_json(body, LIMITS)
    except InvalidRequest:
        found, _ = load_tolerant(body, LIMITS)
        assert not _all_finite(found)
    else:
        assert load_tolerant(body, LIMITS) == expected


def _all_finite(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_all_finite, value.values()))
    if isinstance(value, list):
        return all(map(_all_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": NaN, "a": 1}',
        b'{"a": NaN',
        b'{"a": NaN, "b": "\xff"}',
        b'{"a": NaN, "b": "\\ud800"}',
        b'{"a": NaNNaN}',
        b'{"a": +NaN}',
        b'{"a": 4NaN}',
        b'{"a": --Inf}',
        b'{"a": "NaN}',
        b'{"a": Infinit}',
        b'{"NaN": Nan}',
        b"[" * 20 + b"NaN" + b"]" * 20,
        b'{"a": NaN, "b": "' + b"\\" * 50_001,
    ],
)
def test_a_body_is_wrong_in_the_same_ways_beside_nan(body: bytes) -> None:
    """NaN lets nothing else through: keys twice, broken UTF-8, half surrogates, depth, what is no JSON."""
    with pytest.raises(InvalidRequest):
        load_tolerant(body, LIMITS)


def test_many_quotes_cost_linear_time() -> None:
    """A body made of escapes and open strings is refused as fast as it is read."""
    body = b'{"a": NaN, "b": "' + b'\\"' * 500_000
    begun = process_time()
    with pytest.raises(InvalidRequest):
        load_tolerant(body, Limits())
    assert process_time() - begun < 2


def test_large_integers_beside_nan_are_those_of_the_strict_reader() -> None:
    """Beyond 64 bits they are floats, at whatever length."""
    found, _ = load_tolerant(b"[NaN, 18446744073709551615, 18446744073709551616, -9223372036854775809]", LIMITS)
    assert found[1:] == [2**64 - 1, float(2**64), -float(2**63)]
    assert [type(number) for number in found[1:]] == [int, float, float]


@given(st.text(max_size=60))
def test_any_path_is_read_or_none(text: str) -> None:
    """No path raises, and every error of it can be written."""
    for path in (f"/v1/{text}", f"/v1/models/{text}", f"/v1/models/churn{text}:predict"):
        read_path(path)
        for error in (InvalidRequest("invalid_argument", "no"), InvalidRequest("method_not_allowed", "no")):
            _, body, _ = tfs_problem(path, error, "r")
            assert len(orjson.loads(body)["error"]) < 2200


@given(st.dictionaries(st.sampled_from(["classes", "scores", "label", "a", "outputs"]), _VALUES, max_size=3))
def test_results_are_pairs_and_numbers_or_refused(outputs: dict[str, Any]) -> None:
    """Whatever a model answers, a classification is a list of label and score an example, a regression a number."""
    for cells in outputs.values():
        rows = len(cells) if isinstance(cells, list) else 1
        try:
            for row in classifications(outputs, rows):
                assert all(isinstance(label, str) and isinstance(score, float | None) for label, score in row)
        except HeadgateError as error:
            assert error.code in ("invalid_argument", "model_output_invalid")
        try:
            assert all(isinstance(number, float | None) for number in regressions(outputs, rows))
        except HeadgateError as error:
            assert error.code in ("invalid_argument", "model_output_invalid")
