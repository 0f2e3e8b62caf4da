"""MLflow's scoring protocol: the body of ``…/invocations`` read into a request. Pure.

As MLflow 3.17's scoring server reads it: one of four forms and perhaps ``params``, whatever else the object holds is
left out; a table as CSV or Parquet; or, where the object has ``messages``, ``prompt`` or ``input``, the whole body is
the model's input, and its answer stands bare. Shaping is our own protocol's (``native``), which casts nothing.

Where this is kinder than our own protocol, because MLflow's clients count on it: columns and parameters that the
signature does not name are left out, a bare NaN in the JSON is a missing value, as MLflow's own client writes it, and
2.0 is an integer (``easing.py``).

Source: ``invocations`` and ``_parse_json_data`` of ``mlflow/pyfunc/scoring_server``. Not here: answers (``answer.py``),
errors (``errors.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from registry.errors import InvalidRequest, quote
from registry.signature import Schema, Signature
from serving.exchange import Call, Input, JsonInput, Output, Priority, Table
from serving.protocols.json_body import load_json_or_nan
from serving.protocols.limits import Limits
from serving.protocols.media import UTF_8, split_type
from serving.protocols.mlflow.answer import encode_scores
from serving.protocols.mlflow.easing import fit_easily
from serving.protocols.native import CSV, FORMS, JSON, PARQUET, Parsed, only_numbers, schema_for
from serving.protocols.params import declared_only, enforce_params
from serving.protocols.refusals import describe, name_some
from serving.protocols.request import Encoded, Head, Told
from serving.values import value

MLFLOW = "mlflow"
"""What metrics call this protocol."""

TYPES = (CSV, JSON, PARQUET)
TARGET_MODEL = b"x-amzn-sagemaker-target-model"
_BARE = ("messages", "prompt", "input")
"""What an object has at its top that is itself the model's input: a chat, a completion, texts to embed."""
_USAGE = f"It has exactly one of {', '.join(FORMS)}, and optionally params; or {', '.join(_BARE[:-1])} or {_BARE[-1]}"


@value
class ScoringRequest:
    """A body whose syntax is right; binds ``Request``.

    Attributes:
        parsed: The input; with ``bare``, the whole body.
        params: What stands under ``params``, of whatever type.
        bare: Whether the body is itself the model's input, and its answer is to stand alone.
    """

    parsed: Parsed
    params: Any = None
    bare: bool = False
    seconds: float | None = None
    priority: Priority | None = None

    @property
    def table(self) -> Parsed | None:
        """The table that it is; None where it is JSON."""
        return self.parsed if self.parsed.is_table else None

    @property
    def encodes_aside(self) -> bool:
        """False: answers are JSON."""
        return False

    def shape(self, signature: Signature, graph_inputs: Schema | None, limits: Limits) -> Call:
        """Fit it to what the model takes; raise as ``native.shape`` does."""
        schema = schema_for(signature, graph_inputs)
        if self.bare:
            body: Mapping[str, Any] = self.parsed.value
            given = declared_only(body, signature.params)
            data = _bare_input({key: part for key, part in body.items() if key not in given}, schema, limits)
            return Call(data, _params(given, signature))
        params = _params(self.params, signature)
        try:
            return Call(fit_easily(self.parsed, schema, limits), params)
        except InvalidRequest:
            if schema is None or not _is_hinted(self.parsed, schema):
                raise
        return Call(JsonInput(self.parsed.value), params)

    def encode(self, output: Output, told: Told, limits: Limits) -> Encoded:
        """Write the answer; raise ModelFault ``model_output_invalid``."""
        return Encoded(JSON, encode_scores(output, limits, bare=self.bare))


def read_scoring(body: bytes, head: Head, limits: Limits) -> ScoringRequest:
    """Read a scoring body; raise as ``native.parse_body`` does."""
    named = head.content_type
    media = JSON if named is None or named == JSON else media_type(named)
    if media != JSON:
        if not body:
            raise InvalidRequest("invalid_argument", "the body is empty; send a table")
        return ScoringRequest(Parsed("csv" if media == CSV else "parquet", body, drops_unknown=True))
    quick = only_numbers(body, limits)
    if quick is not None:
        return ScoringRequest(quick)
    document, marks = load_json_or_nan(body, limits, nan=None)
    if type(document) is not dict:
        got = describe(document)
        raise InvalidRequest("invalid_argument", f"the body must be a JSON object, got {got}. {_USAGE}")
    spare = marks.strings - marks.members
    if any(key in document for key in _BARE):
        return ScoringRequest(Parsed("inputs", document, None, spare, marks.literals), bare=True)
    forms = [form for form in FORMS if form in document]
    if len(forms) != 1:
        has = f"has {name_some(forms)}" if forms else "has no input"
        raise InvalidRequest(
            "invalid_argument", f"the body {has}. {_USAGE}", {"keys": [quote(key) for key in list(document)[:8]]}
        )
    form = forms[0]
    parsed = Parsed(FORMS[form], document[form], None, spare, marks.literals, drops_unknown=True)
    return ScoringRequest(parsed, document.get("params"))


def read_scoring_at_root(body: bytes, head: Head, limits: Limits) -> ScoringRequest:
    """Read a body that came to ``/invocations``, where one model answers whoever asks.

    Raises InvalidRequest ``invalid_argument`` also for who names another model in SageMaker's header, which names none
    here: a wrong model's answer looks like a right one.
    """
    if TARGET_MODEL in head.fields:
        raise InvalidRequest(
            "invalid_argument",
            "X-Amzn-SageMaker-Target-Model names no model at /invocations; send to /models/<name>/invoke",
        )
    return read_scoring(body, head, limits)


def media_type(content_type: str) -> str:
    """Return which of the three types a Content-Type header names; raise InvalidRequest ``unsupported_media_type``.

    No parameter but ``charset`` is known: those of MLflow 1 (``format=pandas-split``) meant another body.
    """
    media, parameters = split_type(content_type)
    media = media or JSON
    for name, text in parameters:
        if name != "charset":
            raise _unsupported(f"the content type parameter '{quote(name)}' is not known here; send none but charset")
        if text.lower() not in UTF_8:
            raise _unsupported(f"charset '{quote(text)}' is not supported; send UTF-8")
    if media not in TYPES:
        raise _unsupported(f"content type '{quote(content_type)}' is not supported; send one of {', '.join(TYPES)}")
    return media


def _unsupported(message: str) -> InvalidRequest:
    return InvalidRequest("unsupported_media_type", message, {"supported": list(TYPES)})


def _params(given: Any, signature: Signature) -> dict[str, Any]:
    """Return every declared parameter, those that were given first, as MLflow orders them."""
    if not signature.params:
        return {}
    if given is not None and type(given) is not dict:
        message = f"params must be an object, got {describe(given)}"
        raise InvalidRequest("invalid_argument", message, {"path": "params"})
    known = declared_only(given or {}, signature.params)
    found = enforce_params(known, signature.params)
    return {name: found[name] for name in dict.fromkeys((*known, *found))}


_HINTED = {"object": dict, "map": dict, "array": list}


def _is_hinted(parsed: Parsed, schema: Schema) -> bool:
    """Tell whether a body is what a model takes whose signature MLflow made of a type hint: ``list[Item]`` is written
    as one column without a name, of what an item is, and ``inputs`` is then the list, which the model's own types
    judge."""
    columns, items = schema.columns, parsed.value
    if len(columns) != 1 or columns[0].name is not None or parsed.form != "inputs" or type(items) is not list:
        return False
    kind = _HINTED.get(columns[0].type)
    return kind is not None and bool(items) and all(type(item) is kind for item in items)


def _bare_input(data: dict[str, Any], schema: Schema | None, limits: Limits) -> Input:
    """Return a body that is itself the input: as it is, once it has been held against the signature.

    MLflow makes one row of it, or several, by rules of its own (``_enforce_schema``), in the model's process. Here it
    is only seen that it will: what a caller got wrong is then the caller's error and not the model's.
    """
    if schema is None:
        return JsonInput(data)
    if schema.tensors:
        return fit_easily(_whole(data), schema, limits)
    probe = data
    if any(column.type in ("array", "object") for column in schema.columns) or all(map(_is_cell, data.values())):
        texts = {column.name for column in schema.columns if column.type == "string"}
        probe = {key: part[0] if key in texts and _is_texts(part) else part for key, part in data.items()}
    fitted = fit_easily(_whole(probe), schema, limits)
    numbers = isinstance(fitted, Table) and not any(array.dtype.hasobject for array in fitted.arrays)
    return fitted if numbers else JsonInput(data)


def _whole(data: Any) -> Parsed:
    return Parsed("inputs", data, None, 1, True, drops_unknown=True)


def _is_cell(part: Any) -> bool:
    return (type(part) is not list and type(part) is not dict) or _is_texts(part) or part == []


def _is_texts(part: Any) -> bool:
    return type(part) is list and bool(part) and all(type(text) is str for text in part)
