"""The syntax of infer requests and the way of their answers: refusals, parameters, compression, weight, metadata."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import numpy as np
import pytest

from registry.errors import HeadgateError, InvalidRequest, ModelFault
from registry.signature import Column, Schema, Signature, Tensor
from serving.exchange import ArrayOutput, Priority, TensorInput, TensorsOutput
from serving.protocols.compression import choose_coding, compress
from serving.protocols.limits import Limits
from serving.protocols.oip.body import HEADER_LENGTH
from serving.protocols.oip.errors import is_oip, oip_status
from serving.protocols.oip.metadata import GENERIC, describe
from serving.protocols.oip.request import OipRequest, read_oip, weigh_oip
from serving.protocols.request import Head, Told

LIMITS = Limits()
X: dict[str, Any] = {"name": "x", "shape": [1], "datatype": "FP64", "data": [1.0]}
TOLD = Told("m", "1", "r", "stable", 1, Signature())


def read(document: Any, **fields: str) -> OipRequest:
    """Read a body, given as a JSON value or as bytes."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    named = {name.replace("_", "-").encode(): text.encode() for name, text in fields.items()}
    return read_oip(body, Head(None, None, named), LIMITS)


@pytest.mark.parametrize(
    ("document", "code", "said"),
    [
        (b"", "malformed_json", "empty"),
        (b"{", "malformed_json", "not valid JSON"),
        (b'{"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [nan]}]}', "non_finite_number", "NaN"),
        (b'{"inputs": [{"name": "x", "shape": [NaN], "datatype": "FP64", "data": []}]}', "invalid_argument", "shape"),
        (b'{"inputs": [NaN], "inputs": []}', "duplicate_key", "inputs"),
        (b'{"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [1e999]}]}', "non_finite_number", ""),
        (b'{"inputs": [], "inputs": []}', "duplicate_key", "inputs"),
        (b'{"inputs": [{"name": "x", "name": "y"}]}', "duplicate_key", "name"),
        (b'{"inputs": ' + b"[" * 100 + b"]" * 100 + b"}", "too_deep", "64"),
        ([], "invalid_argument", "the body"),
        ({}, "invalid_argument", "inputs: expected"),
        ({"inputs": {}}, "invalid_argument", "inputs: expected"),
        ({"inputs": [1]}, "invalid_argument", "inputs[0]"),
        ({"inputs": [dict(X, name=None)]}, "invalid_argument", "inputs[0].name"),
        ({"inputs": [dict(X, shape=3)]}, "invalid_argument", "inputs[0].shape"),
        ({"inputs": [dict(X, shape=[-1])]}, "invalid_argument", "inputs[0].shape"),
        ({"inputs": [dict(X, shape=[True])]}, "invalid_argument", "inputs[0].shape"),
        ({"inputs": [dict(X, datatype=1)]}, "invalid_argument", "inputs[0].datatype"),
        ({"inputs": [dict(X, data={})]}, "invalid_argument", "inputs[0].data"),
        ({"inputs": [dict(X, data=None)]}, "invalid_argument", "inputs[0].data"),
        ({"inputs": [dict(X, data=1.0, shape=[2])]}, "invalid_argument", "inputs[0].data"),
        ({"inputs": [dict(X, parameters=[])]}, "invalid_argument", "inputs[0].parameters"),
        ({"inputs": [dict(X, parameters={"binary_data_size": 1})]}, "invalid_argument", "both"),
        ({"inputs": [dict(X, data=None, parameters={"binary_data_size": 8})]}, "invalid_argument", "Content-Length"),
        ({"inputs": [dict(X, data=None, parameters={"binary_data_size": -8})]}, "invalid_argument", "binary_data_size"),
        ({"inputs": [dict(X, parameters={"shared_memory_region": "r"})]}, "invalid_argument", "shared memory"),
        ({"inputs": [X], "id": 1}, "invalid_argument", "id"),
        ({"inputs": [X], "parameters": 1}, "invalid_argument", "parameters"),
        ({"inputs": [X], "parameters": {"priority": "high"}}, "invalid_argument", "priority"),
        ({"inputs": [X], "parameters": {"timeout": 1.5}}, "invalid_argument", "timeout"),
        ({"inputs": [X], "parameters": {"binary_data_output": 1}}, "invalid_argument", "binary_data_output"),
        ({"inputs": [X], "outputs": [{}]}, "invalid_argument", "outputs[0]"),
        ({"inputs": [X], "outputs": ["y"]}, "invalid_argument", "outputs[0]"),
        ({"inputs": [X], "outputs": {"name": "y"}}, "invalid_argument", "outputs"),
        (
            {"inputs": [X], "outputs": [{"name": "y", "parameters": {"classification": "2"}}]},
            "invalid_argument",
            "class",
        ),
        (
            {"inputs": [X], "outputs": [{"name": "y", "parameters": {"binary_data": "no"}}]},
            "invalid_argument",
            "binary",
        ),
    ],
)
def test_what_is_no_request(document: Any, code: str, said: str) -> None:
    """Each flaw has its words, which say where it is."""
    with pytest.raises(InvalidRequest) as refused:
        read(document)
    assert refused.value.code == code
    assert said in refused.value.message


@pytest.mark.parametrize("datatype", ["INT64", "UINT8", "BOOL", "BYTES"])
def test_only_floats_are_not_a_number(datatype: str) -> None:
    """NaN in a tensor of anything else is refused, by its place."""
    request = read({"inputs": [dict(X, datatype=datatype, data=[float("nan")])]})
    with pytest.raises(InvalidRequest) as refused:
        request.shape(Signature(), None, LIMITS)
    assert (refused.value.code, refused.value.details["path"]) == ("invalid_input", "inputs.x[0]")


@pytest.mark.parametrize("shape", [[], [1], [1, 1]])
def test_one_value_needs_no_list(shape: list[int]) -> None:
    """As MLServer takes it, whatever the shape of one element."""
    data = read({"inputs": [dict(X, shape=shape, data=2.5)]}).shape(Signature(), None, LIMITS).data
    assert isinstance(data, TensorInput)
    assert (data.array.shape, data.array.item()) == (tuple(shape), 2.5)


def test_null_stands_for_what_is_not_there() -> None:
    """Clients that write every field as null are understood."""
    nothing = {"id": None, "parameters": None, "outputs": None}
    request = read({**nothing, "inputs": [dict(X, parameters={"content_type": None})]})
    assert (request.inference.id, request.inference.outputs, request.inference.parameters) == ("", (), {})
    assert request.inference.inputs[0].parameters == {}


@pytest.mark.parametrize(
    ("parameters", "seconds", "priority"),
    [
        ({}, None, None),
        ({"timeout": 0, "priority": 0}, None, None),
        ({"timeout": 1_500_000, "priority": 1}, 1.5, Priority.HIGH),
        ({"timeout": 2**63, "priority": 2}, 1e9, Priority.NORMAL),
        ({"priority": 9}, None, Priority.LOW),
    ],
)
def test_timeout_and_priority(parameters: Any, seconds: float | None, priority: Priority | None) -> None:
    """Microseconds, and levels of which the first is the highest."""
    request = read({"inputs": [X], "parameters": parameters})
    assert (request.seconds, request.priority) == (seconds, priority)


def test_fp16_answers_have_no_json_form() -> None:
    """They are refused with the way out: binary, which works."""
    half = ArrayOutput(np.array([1, 2], "f2"))
    with pytest.raises(InvalidRequest, match="binary_data"):
        read({"inputs": [X]}).encode(half, TOLD, LIMITS)
    encoded = read({"inputs": [X], "parameters": {"binary_data_output": True}}).encode(half, TOLD, LIMITS)
    assert encoded.body.endswith(b"\x00\x3c\x00\x40")


def test_bytes_that_are_no_text_are_base64_in_json() -> None:
    """The output's content type says so."""
    encoded = read({"inputs": [X]}).encode(ArrayOutput(np.array([b"\xff", None], dtype=object)), TOLD, LIMITS)
    (output,) = json.loads(encoded.body)["outputs"]
    assert (output["data"], output["parameters"]) == (["/w==", None], {"content_type": "base64"})


def test_what_json_cannot_say_is_the_models_fault() -> None:
    """Half a surrogate pair is no text, in neither form."""
    odd = ArrayOutput(np.array(["\ud800"], dtype=object))
    for parameters in ({}, {"binary_data_output": True}):
        with pytest.raises(ModelFault, match="answer"):
            read({"inputs": [X], "parameters": parameters}).encode(odd, TOLD, LIMITS)


def test_long_answers_are_refused() -> None:
    """Both forms are held to the limit."""
    few = Limits(response_bytes=2000)
    for parameters in ({}, {"binary_data_output": True}):
        with pytest.raises(ModelFault, match="at most"):
            read({"inputs": [X], "parameters": parameters}).encode(ArrayOutput(np.zeros(999)), TOLD, few)


def test_answers_are_compressed_when_worth_it() -> None:
    """Long ones, in the coding that is accepted; the header length stays."""
    request = read({"inputs": [X], "parameters": {"binary_data_output": True}}, accept_encoding="deflate")
    output = TensorsOutput({"y": np.zeros(1000)})
    encoded = request.encode(output, TOLD, LIMITS)
    assert encoded.headers.endswith(b"content-encoding: deflate\r\n")
    plain = zlib.decompress(encoded.body)
    size = int(encoded.headers.split(b"\r\n")[0].partition(b": ")[2])
    assert json.loads(plain[:size])["outputs"][0]["parameters"] == {"binary_data_size": 8000}
    assert compress(b"x" * 255, "gzip") == (b"x" * 255, b"")
    assert gzip.decompress(compress(b"x" * 256, "gzip")[0]) == b"x" * 256
    random = np.random.default_rng(0).bytes(1000)
    assert compress(random, "gzip") == (random, b"")


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        (None, None),
        (b"", None),
        (b"gzip, deflate, br", "gzip"),
        (b"deflate", "deflate"),
        (b"DEFLATE;Q=1, gzip;q=0.1", "deflate"),
        (b"*", "gzip"),
        (b"*;q=0", None),
        (b"gzip;q=0, *", "deflate"),
        (b"gzip;q=nan", "gzip"),
        (b"gzip;q=x", None),
        (b"identity", None),
    ],
)
def test_codings(accepted: bytes | None, coding: str | None) -> None:
    """The header's weights decide; what is not named is not sent."""
    assert choose_coding(accepted) == coding


def test_classes_are_written_aside() -> None:
    """Sorting and spelling them takes far longer than their numbers would."""
    assert not read({"inputs": [X], "outputs": [{"name": "y"}]}).encodes_aside
    wanted = [{"name": "z"}, {"name": "y", "parameters": {"classification": 2}}]
    assert read({"inputs": [X], "outputs": wanted}).encodes_aside


def test_numbers_in_binary_weigh_little() -> None:
    """Bodies of them are read at once; those with BYTES, or an escape that may hide it, count in full."""

    def weight(header: bytes, blob: int, length: bytes | None = None) -> int:
        fields = {HEADER_LENGTH: length or b"%d" % len(header)}
        return weigh_oip(header + bytes(blob), Head(None, None, fields))

    assert weight(b'{"FP32"}', 8000) == 1008
    assert weight(b'{"BYTES"}', 8000) == 8009
    assert weight(b'{"\\u0042"}', 8000) == 8010
    assert weight(b"{}", 8000, b"nonsense") == 8002
    assert weigh_oip(bytes(8000), Head()) == 8000


def test_metadata_of_each_kind() -> None:
    """Columns are tensors of one dimension; an output without a name has one all the same."""
    columns = Schema(
        columns=(
            Column("a", "double", True, {}),
            Column("b", "string", False, {}),
            Column("c", "array", True, {"items": {"type": "float"}}),
            Column("d", "datetime", True, {}),
        )
    )
    found = describe(Signature(columns, Schema(tensors=(Tensor(None, "int64", (-1,)),))), None)
    assert [(each.name, each.datatype, each.shape) for each in found.inputs] == [
        ("a", "FP64", (-1,)),
        ("b", "BYTES", (-1,)),
        ("c", "FP32", (-1, -1)),
        ("d", "BYTES", (-1,)),
    ]
    assert [(each.name, each.datatype, each.shape) for each in found.outputs] == [("output-1", "INT64", (-1,))]
    graph = Schema(tensors=(Tensor("X", "float32", (-1, 4)),))
    assert [each.name for each in describe(Signature(), graph).inputs] == ["X"]
    assert describe(Signature(), None).inputs == (GENERIC,)


def test_statuses_and_paths() -> None:
    """What does not fit the model is 400; other codes keep their status; only paths of the protocol have its errors."""
    assert [oip_status(code) for code in ("invalid_input", "not_servable", "unknown_model", "loading")] == [
        400,
        400,
        404,
        503,
    ]
    assert [is_oip(path) for path in ("/v2", "/v2/models", "/v2x", "/models/v2")] == [True, True, False, False]


def test_every_refusal_is_short() -> None:
    """No error repeats what was sent."""
    long = "y" * 100_000
    for document in ({"inputs": [dict(X, datatype=long)]}, {"inputs": [dict(X, name=long, data=[long])]}):
        with pytest.raises(HeadgateError) as refused:
            read(document).shape(Signature(), None, LIMITS)
        assert len(refused.value.message) < 1000
