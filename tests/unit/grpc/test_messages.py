"""Reading and writing messages: raw tensors without copies, damaged bytes, statuses, the one proto file."""

from __future__ import annotations

import tracemalloc
from importlib.resources import files
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from registry.edge.problems import STATUS
from registry.errors import HeadgateError, InvalidRequest, ModelFault
from registry.signature import Signature
from serving.exchange import ArrayOutput, TensorInput
from serving.grpc.inference import FIELDS, read_inference, stream_refusal, wants_empty_final, write_response
from serving.grpc.messages import FILE, POOL, SERVICE, message
from serving.grpc.methods import METHODS
from serving.grpc.proto import read_proto
from serving.grpc.statuses import Status, grpc_status
from serving.grpc.wire import EMPTY_FINAL, MAX_FIELDS, cut, in_stream, with_raw
from serving.protocols.limits import Limits
from serving.protocols.oip.datatypes import DATATYPES
from serving.protocols.oip.values import OutputTensor
from serving.protocols.request import Told
from tests.support.mutation import mutated

UNSIGNED = Signature(None, None, None)
TOLD = Told("m", "1", "r-1", "stable", 4, UNSIGNED)
LIMITS = Limits()
REQUEST, RESPONSE = message("ModelInferRequest"), message("ModelInferResponse")
GOLDEN = sorted((Path(__file__).parents[2] / "wire" / "grpc").glob("*.json"))
MIB = 1024 * 1024

texts = st.text(max_size=8)
tensors = st.fixed_dictionaries(
    {"name": texts, "datatype": texts, "shape": st.lists(st.integers(-1, 2**40), max_size=3)}
)


@given(texts, texts, texts, st.lists(tensors, max_size=3), st.lists(st.binary(max_size=300), max_size=4))
def test_cutting_is_what_protobuf_reads(
    model: str, version: str, name: str, inputs: list[object], raw: list[bytes]
) -> None:
    """The parts hold what the message holds, and nothing is lost from the rest."""
    asked = REQUEST(model_name=model, model_version=version, id=name, inputs=inputs, raw_input_contents=raw)
    parts = cut(asked.SerializeToString())
    assert (parts.model, parts.version, [bytes(each) for each in parts.raw]) == (model, version, raw)
    asked.ClearField("raw_input_contents")
    assert REQUEST.FromString(parts.rest) == asked


@given(texts, st.lists(st.binary(max_size=300), max_size=4))
def test_writing_raw_is_what_protobuf_writes(name: str, raw: list[bytes]) -> None:
    """A response with raw tensors behind it reads as one that was made of them, alone and in a stream."""
    head = RESPONSE(model_name=name).SerializeToString()
    body = with_raw(head, [memoryview(each) for each in raw])
    assert RESPONSE.FromString(body) == RESPONSE(model_name=name, raw_output_contents=raw)
    streamed = message("ModelStreamInferResponse").FromString(in_stream(body))
    assert list(streamed.infer_response.raw_output_contents) == raw


@pytest.mark.parametrize(
    "body",
    [
        b"\x0a",
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\x0a\x01\xff",
        b"\x0b\x0c",
        b"\x0a\x05ab",
        b"\x80",
    ],
)
def test_bytes_that_are_no_message_are_refused(body: bytes) -> None:
    """Cut short, endless numbers, names that are no text, groups: all are the caller's mistake."""
    with pytest.raises(InvalidRequest) as refused:
        cut(body)
    assert refused.value.code == "invalid_argument"


def test_many_fields_are_refused_before_they_are_kept() -> None:
    """A megabyte of empty tensors is a million of them: the walk ends at its bound."""
    with pytest.raises(InvalidRequest) as refused:
        cut(b"\x3a\x00" * (MAX_FIELDS + 1))
    assert (refused.value.code, refused.value.details) == ("too_many_values", {"limit": MAX_FIELDS})
    assert len(cut(b"\x3a\x00" * 1000, 1000).raw) == 1000


def test_cutting_finds_what_a_stream_asks_first() -> None:
    """The request's id, for its refusal; and the parameter that asks for an empty last answer, among others."""
    for asked, wanted in ((True, True), (False, False)):
        parameters = {"other": {"string_param": "x"}, EMPTY_FINAL: {"bool_param": asked}}
        parts = cut(REQUEST(model_name="m", id="7", parameters=parameters).SerializeToString())
        assert (parts.id, wants_empty_final(parts)) == ("7", wanted)
    assert not wants_empty_final(cut(REQUEST(id="7").SerializeToString()))


def test_damaged_requests_are_answered_or_refused() -> None:
    """Any bytes are read, or raise an error of ours, within a few milliseconds."""
    import json

    seeds = [bytes.fromhex(json.loads(path.read_text())["bytes"]) for path in GOLDEN]
    worst = 0.0
    for body in mutated(seeds):
        began = perf_counter()
        try:
            read_inference(cut(body), LIMITS).shape(UNSIGNED, None, LIMITS)
        except HeadgateError as error:
            stream_refusal("", error)
        worst = max(worst, perf_counter() - began)
    assert worst < 0.5


def test_a_large_raw_tensor_is_not_copied() -> None:
    """16 MB go in as a view of the bytes that came, and come out with one copy: the answer itself."""
    values = np.zeros(2 * MIB)
    tensor = {"name": "x", "datatype": "FP64", "shape": [1, 2 * MIB]}
    body = REQUEST(model_name="m", inputs=[tensor], raw_input_contents=[values.tobytes()]).SerializeToString()
    tracemalloc.start()
    request = read_inference(cut(body), LIMITS)
    data = request.shape(UNSIGNED, None, LIMITS).data
    read = tracemalloc.get_traced_memory()[1]
    assert isinstance(data, TensorInput)
    encoded = request.encode(ArrayOutput(data.array), TOLD, LIMITS)
    written = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert read < MIB
    assert len(encoded.body) > 16 * MIB
    assert written < 17 * MIB


def test_a_typed_nan_is_a_number() -> None:
    """As in raw tensors: it is the model that decides about it."""
    tensor = {"name": "x", "datatype": "FP32", "shape": [2], "contents": {"fp32_contents": [float("nan"), 1.0]}}
    request = read_inference(cut(REQUEST(inputs=[tensor]).SerializeToString()), LIMITS)
    data = request.shape(UNSIGNED, None, LIMITS).data
    assert isinstance(data, TensorInput)
    assert np.isnan(data.array).tolist() == [True, False]


def test_too_many_values_are_refused_before_they_are_listed() -> None:
    """A typed tensor has a limit of its own kind."""
    tensor = {"name": "x", "datatype": "INT32", "shape": [9], "contents": {"int_contents": [0] * 9}}
    with pytest.raises(InvalidRequest, match="9 values; at most 8"):
        read_inference(cut(REQUEST(inputs=[tensor]).SerializeToString()), Limits(values=8))


def test_half_numbers_make_an_answer_raw() -> None:
    """FP16 has no typed field, and an answer is of one kind."""
    outputs = [OutputTensor("x", "FP16", np.ones(2, "f2")), OutputTensor("y", "FP32", np.ones(2, "f4"))]
    answer = RESPONSE.FromString(write_response(RESPONSE(), outputs, LIMITS, raw=False))
    assert [len(raw) for raw in answer.raw_output_contents] == [4, 8]
    assert not answer.outputs[1].HasField("contents")


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (OutputTensor("x", "BYTES", np.array(["\ud800"], object)), "not Unicode"),
        (OutputTensor("\ud800", "FP32", np.ones(1, "f4")), "name"),
    ],
)
@pytest.mark.parametrize("raw", [True, False])
def test_text_that_is_not_unicode_is_the_models_fault(output: OutputTensor, words: str, raw: bool) -> None:
    """In a value or a name, raw or typed: refused in words."""
    with pytest.raises(ModelFault, match=words) as refused:
        write_response(RESPONSE(), [output], LIMITS, raw=raw)
    assert refused.value.code == "model_output_invalid"


def test_nothing_is_no_word() -> None:
    """None among texts is empty, typed as raw."""
    output = OutputTensor("x", "BYTES", np.array(["a", None, b"b"], object))
    typed = RESPONSE.FromString(write_response(RESPONSE(), [output], LIMITS, raw=False))
    assert list(typed.outputs[0].contents.bytes_contents) == [b"a", b"", b"b"]
    raw = RESPONSE.FromString(write_response(RESPONSE(), [output], LIMITS, raw=True))
    assert raw.raw_output_contents[0] == b"\x01\0\0\0a\0\0\0\0\x01\0\0\0b"


@pytest.mark.parametrize("place", ["inputs", "outputs"])
def test_shared_memory_is_refused_wherever_it_is_asked_for(place: str) -> None:
    """An output that should lie there would otherwise be sent, and its reader look elsewhere."""
    tensor = {"name": "x", "datatype": "FP32", "shape": [1], "contents": {"fp32_contents": [1.0]}}
    shared = {"name": "x", "parameters": {"shared_memory_region": {"string_param": "mine"}}}
    asked = {"inputs": [tensor], "outputs": [shared]} if place == "outputs" else {"inputs": [{**tensor, **shared}]}
    with pytest.raises(InvalidRequest, match="shared memory is not offered"):
        read_inference(cut(REQUEST(**asked).SerializeToString()), LIMITS).shape(UNSIGNED, None, LIMITS)


def test_an_answer_has_a_length() -> None:
    """What is too long is refused before it is written."""
    outputs = [OutputTensor("x", "FP64", np.ones(1000))]
    with pytest.raises(ModelFault, match="at most 1,024"):
        write_response(RESPONSE(), outputs, Limits(response_bytes=1024), raw=True)


def test_every_code_has_a_status() -> None:
    """Each is of the kind that its HTTP status is of."""
    found = {code: grpc_status(code) for code in STATUS}
    assert found["unknown_model"] is Status.NOT_FOUND
    assert found["overloaded"] is Status.RESOURCE_EXHAUSTED
    assert found["loading"] is found["shutting_down"] is Status.UNAVAILABLE
    assert found["model_timeout"] is Status.DEADLINE_EXCEEDED
    ours = {Status.INTERNAL, Status.UNAVAILABLE, Status.DEADLINE_EXCEEDED}
    assert all((found[code] in ours) == (status >= 500 or status == 408) for code, status in STATUS.items())


def test_every_method_is_in_the_file() -> None:
    """The table of methods is the service, streams and all; each datatype has a field but for those that are raw."""
    service = POOL.FindServiceByName(SERVICE)
    assert {method.name for method in METHODS} == set(service.methods_by_name)
    assert {m.name for m in METHODS if m.streams} == {m.name for m in service.methods if m.server_streaming}
    assert FIELDS.keys() | {"FP16", "BF16"} == DATATYPES.keys()


def test_a_file_with_what_is_not_read_is_refused() -> None:
    """The reader knows what it does not know."""
    text = files("serving.grpc").joinpath(FILE).read_text()
    DescriptorPool().Add(read_proto(text, "again.proto"))
    with pytest.raises(ValueError, match="import"):
        read_proto('syntax = "proto3"; import "other.proto";', FILE)
    with pytest.raises(DecodeError):
        REQUEST.FromString(b"\x0a")
