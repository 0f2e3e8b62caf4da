"""ModelInferRequest and ModelInferResponse as the protocol's own nouns, in both directions. Pure.

Values come either typed, in the field of their datatype, or raw; never both in one message, and the answer is written
as the request was. FP16 and BF16 have no typed field: an answer that holds one is raw as a whole. Not here: what
tensors mean for a model (``protocols/oip``).

Source: kserve/open-inference-protocol, ``open_inference_grpc.proto``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.protobuf.message import DecodeError

from registry.errors import HeadgateError, InvalidRequest, quote
from registry.signature import Schema, Signature
from serving.exchange import Call, Output, Priority
from serving.grpc.messages import Message, message
from serving.grpc.wire import EMPTY_FINAL, Cut, broken, in_stream, with_raw
from serving.protocols.answer_json import invalid
from serving.protocols.limits import Limits
from serving.protocols.oip.answer import told_as
from serving.protocols.oip.byte_strings import as_bytes
from serving.protocols.oip.datatypes import datatype
from serving.protocols.oip.inputs import fit_inference
from serving.protocols.oip.outputs import outputs_of, raw_of
from serving.protocols.oip.parameters import check_memory, flag, priority_of, seconds_of
from serving.protocols.oip.values import Inference, InferTensor, OutputTensor, Parameters, WantedOutput
from serving.protocols.request import Encoded, Told
from serving.values import value

CONTENT_TYPE = "application/grpc"
_REQUEST, _RESPONSE = message("ModelInferRequest"), message("ModelInferResponse")
_STREAMED = message("ModelStreamInferResponse")
FIELDS = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""Where each datatype's values are; the others travel raw."""
FINAL = "triton_final_response"
"""The parameter of an answer in a stream that says whether it is the request's last."""
RAW_BYTES = 8
"""How many bytes of raw numbers are read in the time of one byte of JSON."""
_ONLY_RAW = ("FP16", "BF16")


@value
class GrpcRequest:
    """A ModelInferRequest whose syntax is right; binds ``Request``.

    ``raw`` tells whether its tensors were raw; ``final`` what each of its answers says of being the last, None for
    nothing.
    """

    inference: Inference
    raw: bool
    seconds: float | None
    priority: Priority | None
    final: bool | None = None

    @property
    def table(self) -> None:
        """None: it is tensors."""
        return

    @property
    def encodes_aside(self) -> bool:
        """False: what is small is written at once."""
        return False

    def shape(self, signature: Signature, graph_inputs: Schema | None, limits: Limits) -> Call:
        """Fit it to what the model takes; raise as ``fit_inference`` does."""
        return fit_inference(self.inference, signature, graph_inputs, limits)

    def encode(self, output: Output, told: Told, limits: Limits) -> Encoded:
        """Write the answer; raise as ``outputs_of`` does, or ModelFault for one that is too long."""
        tensors = outputs_of(output, self.inference, told.signature, limits)
        said = told_as(told) if self.final is None else {**told_as(told), FINAL: self.final}
        head = _RESPONSE(model_name=told.model, model_version=told.version, id=self.inference.id)
        for name, given in said.items():
            _write_parameter(head.parameters[name], given)
        return Encoded(CONTENT_TYPE, write_response(head, tensors, limits, raw=self.raw))


def read_inference(parts: Cut, limits: Limits, *, final: bool | None = None) -> GrpcRequest:
    """Read a request; raise InvalidRequest ``invalid_argument``, ``invalid_input`` or ``too_many_values``.

    ``final`` is what its answers shall say of being the last; None outside of streams.
    """
    try:
        asked = _REQUEST.FromString(parts.rest)
    except DecodeError:
        raise broken("it is no ModelInferRequest") from None
    raw = bool(parts.raw)
    if not asked.inputs:
        raise InvalidRequest("invalid_input", "the request has no inputs; it needs at least one tensor")
    if raw and len(parts.raw) != len(asked.inputs):
        message = f"{len(asked.inputs)} inputs came with {len(parts.raw)} raw_input_contents; each input needs its own"
        raise InvalidRequest("invalid_input", message)
    tensors = [_raw(given, parts.raw[at]) if raw else _typed(given, limits) for at, given in enumerate(asked.inputs)]
    parameters = _parameters(asked.parameters)
    if final is not None:
        flag(parameters, EMPTY_FINAL)  # which ``wants_empty_final`` looks at later
    wanted = tuple([_wanted(output) for output in asked.outputs])
    inference = Inference(tuple(tensors), wanted, asked.id, parameters)
    return GrpcRequest(inference, raw, seconds_of(parameters), priority_of(parameters), final)


def weigh(parts: Cut, size: int) -> int:
    """Return how many bytes of JSON take as long to read as ``size`` bytes of this: few for raw numbers."""
    if not parts.raw or b"BYTES" in parts.rest:  # BYTES are read one by one
        return size
    return len(parts.rest) + (size - len(parts.rest)) // RAW_BYTES


def write_response(answer: Message, tensors: Sequence[OutputTensor], limits: Limits, *, raw: bool) -> bytes:
    """Return a serialized ModelInferResponse; raise ModelFault ``model_output_invalid`` where it is too long.

    Args:
        answer: The response without tensors; they are written into it.
        tensors: The outputs.
        limits: How long an answer may be.
        raw: Whether to write raw tensors whatever their datatypes.
    """
    _check_length(sum([tensor.array.nbytes for tensor in tensors]), limits)
    raw = raw or any(tensor.datatype not in FIELDS for tensor in tensors)
    blobs = []
    for tensor in tensors:
        written = _add_output(answer, tensor)
        if raw:
            blobs.append(raw_of(tensor))
        else:
            _write_typed(written.contents, tensor)
    body = with_raw(answer.SerializeToString(), blobs)
    _check_length(len(body), limits)
    return body


def wants_empty_final(parts: Cut) -> bool:
    """Tell whether a stream shall say with an answer of its own that a request, which was read, has no more answers."""
    given = parts.empty_final
    return bool(given) and bool(flag(_parameters(_REQUEST.FromString(given).parameters), EMPTY_FINAL))


def empty_final(model: str, version: str, request_id: str) -> bytes:
    """Return the answer of a stream that says that a request has no more answers, and nothing else."""
    last = _RESPONSE(model_name=model, model_version=version, id=request_id)
    last.parameters[FINAL].bool_param = True
    return in_stream(last.SerializeToString())


def stream_refusal(request_id: str, error: HeadgateError) -> bytes:
    """Return the answer of a stream to a request that failed: the error's message, and the request's id.

    No more answers to that request follow it.
    """
    refusal = _STREAMED(error_message=error.message)
    refusal.infer_response.id = request_id
    refusal.infer_response.parameters[FINAL].bool_param = True
    refused: bytes = refusal.SerializeToString()
    return refused


def _raw(given: Message, raw: memoryview) -> InferTensor:
    if given.HasField("contents") and given.contents.ListFields():
        message = f"tensor '{quote(given.name)}' has contents beside raw_input_contents; send all tensors in one way"
        raise InvalidRequest("invalid_input", message, {"tensor": quote(given.name)})
    return InferTensor(given.name, given.datatype, _shape(given), raw, True, _parameters(given.parameters))


def _shape(given: Message) -> tuple[int, ...]:
    shape = tuple(given.shape)
    if shape and min(shape) < 0:
        message = f"tensor '{quote(given.name)}' has a negative length in its shape; each is 0 or more"
        raise InvalidRequest("invalid_input", message, {"tensor": quote(given.name)})
    return shape


def _typed(given: Message, limits: Limits) -> InferTensor:
    field = FIELDS.get(given.datatype, "")
    if given.datatype in _ONLY_RAW:
        message = f"tensor '{quote(given.name)}' is {given.datatype}, whose values travel in raw_input_contents only"
        raise InvalidRequest("invalid_input", message, {"tensor": quote(given.name)})
    if not field:
        datatype(given.datatype, given.name)  # raises, and names those that there are
    for descriptor, values in given.contents.ListFields():
        if descriptor.name != field:
            message = (
                f"tensor '{quote(given.name)}' of {given.datatype} has values in contents.{descriptor.name}; "
                f"they belong in contents.{field}"
            )
            raise InvalidRequest("invalid_input", message, {"tensor": quote(given.name)})
        if len(values) > limits.values:
            message = f"tensor '{quote(given.name)}' has {len(values):,} values; at most {limits.values:,} are read"
            raise InvalidRequest("too_many_values", message, {"limit": limits.values})
    values = list(getattr(given.contents, field))
    return InferTensor(given.name, given.datatype, _shape(given), values, False, _parameters(given.parameters))


def _wanted(given: Message) -> WantedOutput:
    parameters = _parameters(given.parameters)
    check_memory(parameters, given.name)
    classes = parameters.get("classification", 0)
    if type(classes) is not int or classes < 0:
        message = "parameter 'classification' must be a whole number of classes, such as 3"
        raise InvalidRequest("invalid_argument", message)
    return WantedOutput(given.name, classes, parameters=parameters)


def _parameters(given: Message) -> Parameters:
    return {name: _parameter(name, one) for name, one in given.items()} if given else {}


def _parameter(name: str, given: Message) -> Any:
    which = given.WhichOneof("parameter_choice")
    if which is None:
        raise InvalidRequest("invalid_argument", f"parameter '{quote(name)}' has no value")
    return getattr(given, which)


def _write_parameter(written: Message, given: bool | int | float | str) -> None:
    if isinstance(given, bool):
        written.bool_param = given
    elif isinstance(given, int):
        written.int64_param = given
    elif isinstance(given, float):
        written.double_param = given
    else:
        written.string_param = given


def _add_output(answer: Message, tensor: OutputTensor) -> Message:
    try:
        written = answer.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.array.shape)
    except UnicodeEncodeError:
        raise invalid("the name of one of its outputs is not Unicode") from None
    for name, given in tensor.parameters.items():
        _write_parameter(written.parameters[name], given)
    return written


def _write_typed(contents: Message, tensor: OutputTensor) -> None:
    values = tensor.array.ravel().tolist()
    if tensor.datatype == "BYTES":
        values = [as_bytes(one) for one in values]
    getattr(contents, FIELDS[tensor.datatype]).extend(values)


def _check_length(size: int, limits: Limits) -> None:
    if size > limits.response_bytes:
        raise invalid(f"it is {size:,} bytes long; at most {limits.response_bytes:,} are sent")
