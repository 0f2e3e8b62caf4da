"""``:classify`` and ``:regress``: examples in, one result an example back. Pure.

An example is an object of features, each a value or a list of them; a list of one is its value wherever the model
takes single values, because TensorFlow's examples know only lists. What ``context`` says belongs to every example.

Source: ``FillClassifyRegressRequestFromJson`` in ``json_tensor.cc`` of TensorFlow Serving, and ``input.proto``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal

from registry.errors import InvalidRequest
from registry.signature import Schema, Signature
from serving.exchange import Call, Output, Priority
from serving.protocols.answer_json import check_length, write_json
from serving.protocols.kinds import column_kind
from serving.protocols.limits import Limits
from serving.protocols.native import JSON, Parsed, schema_for
from serving.protocols.refusals import describe, name_some
from serving.protocols.request import Encoded, Head, Told
from serving.protocols.tfs.body import DEFAULT_SIGNATURE, load_object
from serving.protocols.tfs.inputs import fit_call
from serving.protocols.tfs.outputs import listed, named_outputs
from serving.protocols.tfs.results import classifications, regressions
from serving.values import value

Verb = Literal["classify", "regress"]
_RESULTS: Mapping[Verb, Callable[[Mapping[str, Any], int], list[Any]]] = {
    "classify": classifications,
    "regress": regressions,
}


@value
class ExamplesRequest:
    """Examples whose syntax is right; binds ``Request``.

    Attributes:
        verb: What is asked of them.
        parsed: The examples, as rows of our own protocol.
        context: What belongs to each of them; joined to them only while they are fitted, as it may multiply them.
        has_base64: Whether ``{"b64": …}`` may be among them.
    """

    verb: Verb
    parsed: Parsed
    context: Mapping[str, Any]
    has_base64: bool = False
    table: Parsed | None = None
    seconds: float | None = None
    priority: Priority | None = None
    encodes_aside: bool = False

    def shape(self, signature: Signature, graph_inputs: Schema | None, limits: Limits) -> Call:
        """Fit them to what the model takes; raise as ``native.shape`` does."""
        context, rows = self.context, self.parsed.value
        if context:
            rows = [{**context, **example} for example in rows]
        rows = _as_cells(rows, schema_for(signature, graph_inputs))
        return fit_call(replace(self.parsed, value=rows), self.has_base64, signature, graph_inputs, limits)

    def encode(self, output: Output, told: Told, limits: Limits) -> Encoded:
        """Write the results; raise ModelFault ``model_output_invalid``, or InvalidRequest ``invalid_argument`` where
        the model's answer has no such thing as classes or values."""
        rows = len(self.parsed.value)
        named = named_outputs(output, told.signature, rows)
        results = _RESULTS[self.verb]({} if named is None else listed(named, limits), rows)
        body = write_json({"results": results}, limits, output.size)
        check_length(len(body), limits)
        return Encoded(JSON, body)


def read_examples(verb: Verb, body: bytes, head: Head, limits: Limits) -> ExamplesRequest:
    """Read a body; raise InvalidRequest as ``load_object`` does."""
    given, marks, strings = load_object(body, limits, (DEFAULT_SIGNATURE, f"tensorflow/serving/{verb}"))
    if "examples" not in given:
        raise _invalid(f"when method is {verb}, key 'examples' is expected and was not found")
    examples, context = given["examples"], given.get("context", {})
    if type(examples) is not list:
        raise _invalid(f"expecting 'examples' value to be a list, got {describe(examples)}")
    if not examples:
        raise _invalid("'examples' value is an empty array; send at least one")
    if type(context) is not dict:
        raise _invalid(f"'context' must be a JSON object, got {describe(context)}")
    if _count_values(context) * len(examples) > limits.values:
        raise InvalidRequest("too_many_values", "the context makes of these examples more values than are accepted")
    for at, example in enumerate(examples):
        if type(example) is not dict:
            raise _invalid(f"examples[{at}] must be a JSON object, got {describe(example)}")
        twice = [name for name in example if name in context]
        if twice:
            raise _invalid(f"examples[{at}] has {name_some(twice)}, which the context has too; leave it out of one")
    parsed = Parsed("instances", examples, None, strings, marks.literals)
    return ExamplesRequest(verb, parsed, context, b'"b64"' in body)


def weigh_examples(body: bytes, head: Head) -> int:
    """Return how many bytes of JSON take as long to read and fit: with a context, as many as it may make of them."""
    # The word may be spelt with escapes. There are at most as many examples as there are braces, but for the outermost
    # and the context's own.
    if b'"context"' not in body and b"\\u" not in body:
        return len(body)
    return len(body) * max(1, body.count(b"{") - 2)


def _count_values(value: Any) -> int:
    """Return how many values, lists and objects a value holds, at every level."""
    count, waiting = 0, [value]
    while waiting:
        current = waiting.pop()
        if type(current) is dict:
            current = current.values()
        elif type(current) is not list:
            continue
        count += len(current)
        waiting.extend([part for part in current if type(part) is dict or type(part) is list])
    return count


def _invalid(message: str) -> InvalidRequest:
    return InvalidRequest("invalid_argument", message)


def _as_cells(rows: list[dict[str, Any]], schema: Schema | None) -> list[dict[str, Any]]:
    """Return the rows with a value for each list of one, where the model takes single values, and a list of one for
    each value, where it takes lists."""
    if schema is None:
        return rows
    single = {column.name for column in schema.columns if column_kind(column.type) is not None}
    single |= {tensor.name for tensor in schema.tensors if len(tensor.shape) == 1}
    lists = {column.name for column in schema.columns if column.type == "array"}
    lists |= {tensor.name for tensor in schema.tensors if len(tensor.shape) == 2}
    return [{name: _cell(cell, name in single, name in lists) for name, cell in row.items()} for row in rows]


def _cell(cell: Any, single: bool, listed: bool) -> Any:
    if type(cell) is list:
        return cell[0] if single and len(cell) == 1 else cell
    return [cell] if listed and cell is not None else cell
