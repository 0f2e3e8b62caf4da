"""An infer request over HTTP: what ``body.py`` reads, fitted by ``inputs.py``, answered by ``answer.py``. Pure.

Not here: gRPC, whose messages are Inferences as well.
"""

from __future__ import annotations

from dataclasses import replace

from registry.signature import Schema, Signature
from serving.exchange import Call, Output, Priority
from serving.protocols.compression import Coding, choose_coding, compress
from serving.protocols.limits import Limits
from serving.protocols.native import Parsed
from serving.protocols.oip.answer import write_answer
from serving.protocols.oip.body import HEADER_LENGTH, read_inference
from serving.protocols.oip.inputs import fit_inference
from serving.protocols.oip.outputs import outputs_of
from serving.protocols.oip.parameters import flag, priority_of, seconds_of
from serving.protocols.oip.values import Inference
from serving.protocols.request import Encoded, Head, Told
from serving.values import value

OIP = "oip"
"""What metrics call the protocol over HTTP."""
_JSON = "application/json"
_BINARY = "application/octet-stream"
_LONG_BODY = 16_384
_BLOB_BYTES = 8
"""How many bytes of binary numbers weigh as much as one of JSON: a view costs nothing, another type little."""


@value
class OipRequest:
    """An infer request whose syntax is right; binds ``Request``.

    Attributes:
        inference: The request.
        seconds: By its ``timeout``.
        priority: By its ``priority``.
        coding: How the answer may be compressed.
        encodes_aside: Whether writing the answer may take long: a long request is likely to have a long answer, and to
            compress that is slow; so is the text of classes.
        binary: Whether outputs that do not say otherwise go behind the JSON.
    """

    inference: Inference
    seconds: float | None
    priority: Priority | None
    coding: Coding | None
    encodes_aside: bool
    binary: bool

    @property
    def table(self) -> Parsed | None:
        """None: no table is read elsewhere."""
        return None

    def shape(self, signature: Signature, graph_inputs: Schema | None, limits: Limits) -> Call:
        """Fit it to what the model takes; raise as ``fit_inference`` does."""
        return fit_inference(self.inference, signature, graph_inputs, limits)

    def encode(self, output: Output, told: Told, limits: Limits) -> Encoded:
        """Write the answer; raise as ``outputs_of`` and ``write_answer`` do."""
        inference = self.inference
        outputs = outputs_of(output, inference, told.signature, limits)
        if inference.outputs:
            binary = [self.binary if each.binary is None else each.binary for each in inference.outputs]
        else:
            binary = [self.binary] * len(outputs)
        body, header = write_answer(outputs, binary, inference, told, limits)
        lines = b"" if header is None else b"%b: %d\r\n" % (HEADER_LENGTH, header)
        if self.coding is not None:
            body, line = compress(body, self.coding)
            lines += line
        return Encoded(_JSON if header is None else _BINARY, body, lines)


def read_oip(body: bytes, head: Head, limits: Limits) -> OipRequest:
    """Read an infer request; raise as ``read_inference`` does.

    Its content type is not looked at: Triton's client sends none, and curl a form's.
    """
    fields = head.fields
    inference = read_inference(body, fields.get(HEADER_LENGTH), limits)
    coding = choose_coding(fields.get(b"accept-encoding"))
    aside = (coding is not None and len(body) > _LONG_BODY) or any(each.classes for each in inference.outputs)
    parameters = inference.parameters
    if not parameters:
        return OipRequest(inference, None, None, coding, aside, inference.unnamed)
    binary = bool(flag(parameters, "binary_data_output"))
    return OipRequest(inference, seconds_of(parameters), priority_of(parameters), coding, aside, binary)


def read_oip_stream(body: bytes, head: Head, limits: Limits) -> OipRequest:
    """Read an infer request whose answer comes as events; raise as ``read_oip`` does.

    Each event is an answer in JSON: nothing can follow it, so no output is binary, whatever it asks, and none is
    compressed.
    """
    request = read_oip(body, head, limits)
    outputs = tuple(replace(each, binary=False) for each in request.inference.outputs)
    return replace(request, inference=replace(request.inference, outputs=outputs), coding=None, binary=False)


def weigh_oip(body: bytes, head: Head) -> int:
    """Return how many bytes of JSON take as long to read: few for a body that is mostly numbers in binary."""
    given = head.fields.get(HEADER_LENGTH)
    if given is None or not given.isdigit() or len(given) > 9:
        return len(body)
    size = int(given)
    # BYTES are read one by one, and may hide behind an escape.
    if body.find(b"BYTES", 0, size) >= 0 or body.find(b"\\", 0, size) >= 0:
        return len(body)
    return size + (len(body) - size) // _BLOB_BYTES
