"""``:predict``: rows or columns in, ``predictions`` or ``outputs`` back. Pure.

Rows (``instances``) are answered as rows, columns (``inputs``) as columns; one output stands there without its name.
The JSON is always valid: NaN and infinities are null in answers. KServe's V1 is the same protocol with ``predictions``
for either, which cannot be said beside this: here TensorFlow Serving is followed.

Source: ``json_tensor.cc`` of TensorFlow Serving; KServe's V1 data plane.
"""

from __future__ import annotations

from typing import Any

from registry.errors import InvalidRequest, quote
from registry.signature import Schema, Signature
from serving.exchange import ArrayOutput, Call, Output, Priority
from serving.protocols.answer_json import check_length, jsonable, write_json
from serving.protocols.limits import Limits
from serving.protocols.native import JSON, Parsed, only_numbers
from serving.protocols.refusals import describe
from serving.protocols.request import Encoded, Head, Told
from serving.protocols.tfs.body import DEFAULT_SIGNATURE, load_object
from serving.protocols.tfs.inputs import fit_call
from serving.protocols.tfs.outputs import Named, is_plain, listed, listed_one, named_outputs
from serving.values import value

_SIGNATURES = (DEFAULT_SIGNATURE,)


@value
class PredictRequest:
    """A body whose syntax is right; binds ``Request``.

    Attributes:
        parsed: Its input, as our own protocol has it.
        has_base64: Whether ``{"b64": …}`` may be in it.
    """

    parsed: Parsed
    has_base64: bool = False
    table: Parsed | None = None
    seconds: float | None = None
    priority: Priority | None = None
    encodes_aside: bool = False

    def shape(self, signature: Signature, graph_inputs: Schema | None, limits: Limits) -> Call:
        """Fit it to what the model takes; raise as ``native.shape`` does."""
        return fit_call(self.parsed, self.has_base64, signature, graph_inputs, limits)

    def encode(self, output: Output, told: Told, limits: Limits) -> Encoded:
        """Write the answer; raise ModelFault ``model_output_invalid``, or InvalidRequest ``invalid_argument`` where
        rows were asked for and the outputs have none in common."""
        by_row = self.parsed.form == "instances"
        rows = len(self.parsed.value) if by_row else None
        named = named_outputs(output, told.signature, rows)
        if named is None:
            answer = jsonable(output, limits)
        elif len(named) == 1:
            answer = _alone(*next(iter(named.items())), limits)
        elif by_row:
            answer = _by_row(named, limits)
        else:
            answer = listed(named, limits)
        body = write_json({"predictions" if by_row else "outputs": answer}, limits, output.size)
        check_length(len(body), limits)
        return Encoded(JSON, body)


def read_predict(body: bytes, head: Head, limits: Limits) -> PredictRequest:
    """Read a body; raise InvalidRequest as ``load_object`` does."""
    quick = only_numbers(body, limits)
    if quick is not None and (quick.form == "inputs" or (type(quick.value) is list and quick.value)):
        return PredictRequest(quick)
    given, marks, strings = load_object(body, limits, _SIGNATURES)
    if "instances" in given:
        if "inputs" in given:
            raise _invalid("expecting only one of 'inputs' or 'instances' keys to exist")
        rows = given["instances"]
        if type(rows) is not list:
            raise _invalid(f"expecting 'instances' to be a list, got {describe(rows)}")
        if not rows:
            raise _invalid("no values in 'instances' array; send at least one")
        parsed = Parsed("instances", rows, None, strings, marks.literals)
    elif "inputs" in given:
        parsed = Parsed("inputs", given["inputs"], None, strings, marks.literals)
    else:
        raise _invalid("Missing 'inputs' or 'instances' key")
    return PredictRequest(parsed, b'"b64"' in body)


def _invalid(message: str) -> InvalidRequest:
    return InvalidRequest("invalid_argument", message)


def _alone(name: str, cells: Any, limits: Limits) -> Any:
    if is_plain(cells):
        return jsonable(ArrayOutput(cells), limits)  # which is written straight from its memory where it can be
    return listed_one(name, cells, limits)


def _by_row(named: Named, limits: Limits) -> list[dict[str, Any]]:
    lists = listed(named, limits)
    length: int | None = None
    for name, cells in lists.items():
        if type(cells) is not list:
            raise _invalid(f"Tensor name: {quote(name)} has no shape information; ask with 'inputs' instead")
        if length is not None and len(cells) != length:
            raise _invalid(
                f"Tensor name: {quote(name)} has inconsistent batch size: {len(cells)} expecting: {length}; "
                "ask with 'inputs' instead"
            )
        length = len(cells)
    return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]
