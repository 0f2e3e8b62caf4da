"""The native predict body: bytes to a model's input, in two steps. Pure; no framework, no I/O.

``parse_body`` reads the syntax and needs to know nothing of the model; ``shape`` fits what it found to the version's
signature, or to the ONNX graph's own inputs, or, where nothing is known, shapes it as MLflow would.

Not here: compression and body size (the HTTP lane's), what is done with images and raw bytes (``media_input``), and
the other protocols.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

import orjson

from registry.errors import InvalidRequest, quote
from registry.signature import Schema, Signature
from serving.exchange import Call, Input
from serving.protocols.columns import ColumnPlan, enforce_columns, make_plan
from serving.protocols.frames import (
    Frame,
    cell_frame,
    columns_frame,
    items_frame,
    record_frame,
    records_frame,
    rows_frame,
    split_frame,
)
from serving.protocols.json_body import load_json
from serving.protocols.limits import Limits
from serving.protocols.media import MEDIA, UTF_8, is_media, read_media, split_type
from serving.protocols.media_input import decodes, fit_parts
from serving.protocols.params import enforce_params
from serving.protocols.refusals import describe, name_some
from serving.protocols.tensors import float_rows, tensors_from_frame, tensors_from_json
from serving.protocols.unsigned import table_as_is, tensors_as_is
from serving.values import value

Form = Literal["dataframe_split", "dataframe_records", "instances", "inputs", "csv", "parquet", "arrow", "media"]

JSON = "application/json"
CSV = "text/csv"
PARQUET = "application/vnd.apache.parquet"
ARROW = "application/vnd.apache.arrow.stream"

FORMS: Mapping[str, Form] = {
    "dataframe_split": "dataframe_split",
    "dataframe_records": "dataframe_records",
    "instances": "instances",
    "inputs": "inputs",
}
_TABLES: Mapping[str, Form] = {CSV: "csv", PARQUET: "parquet", ARROW: "arrow"}


# One key, so none can stand twice; no string and no literal, so that none need be looked for.
_ONLY_NUMBERS = re.compile(rb'\s*\{\s*"(inputs|instances)"\s*:[\s0-9eE+\-.,\[\]]+\}\s*')
_QUICK_BYTES = 16_384


@value
class Parsed:
    """A body whose syntax is right.

    Attributes:
        form: Which of the forms it has.
        value: The form's JSON value; for tables the bytes, since CSV needs the signature's types to be read by; for
            ``media``, which is images, bytes and forms of them, the parts.
        params: The ``params`` object, or None.
        spare_strings: How many strings there are beside keys.
        literals: Whether true, false or null may occur.
        drops_unknown: Whether columns that the signature does not name are left out rather than refused.
    """

    form: Form
    value: Any
    params: Mapping[str, Any] | None = None
    spare_strings: int = 0
    literals: bool = False
    drops_unknown: bool = False

    @property
    def plain(self) -> bool:
        """Whether all values are numbers."""
        return not self.literals and self.spare_strings == 0

    @property
    def is_table(self) -> bool:
        """Whether it is CSV, Parquet or Arrow, which a serving node reads in another process (``serving/reader``)."""
        return self.form in _TABLES.values()

    @property
    def is_media(self) -> bool:
        """Whether it is an image, bytes, or a form of such parts."""
        return self.form == "media"

    def reads_apart(self, schema: Schema | None) -> bool:
        """Tell whether fitting it to ``schema`` means that a library in C reads hostile bytes."""
        return self.is_table or (self.is_media and decodes(self.value, schema))


def parse_body(content_type: str | None, body: bytes, limits: Limits) -> Parsed:
    """Read a body's syntax.

    Raises InvalidRequest ``unsupported_media_type``, ``malformed_json``, ``too_deep``, ``duplicate_key``,
    ``non_finite_number``, ``too_many_values``, ``invalid_argument``.
    """
    media = JSON if content_type is None or content_type == JSON else _media_type(content_type)
    if media != JSON:
        if is_media(media):
            parts, given = read_media(media, str(content_type), body, limits)
            return Parsed("media", parts, given)
        if not body:
            raise InvalidRequest("invalid_argument", "the body is empty; send a table")
        return Parsed(_TABLES[media], body)
    quick = only_numbers(body, limits)
    if quick is not None:
        return quick
    value, marks = load_json(body, limits)
    if type(value) is not dict:
        raise InvalidRequest("invalid_argument", f"the body must be a JSON object, got {describe(value)}. {_USAGE}")
    forms = [key for key in value if key in FORMS]
    if len(forms) != 1 or len(value) > 2 or (len(value) == 2 and "params" not in value):
        _refuse_keys(value, forms)
    params = value.get("params")
    if params is not None and type(params) is not dict:
        raise InvalidRequest(
            "invalid_argument", f"params must be an object, got {describe(params)}", {"path": "params"}
        )
    form = forms[0]
    return Parsed(FORMS[form], value[form], params, marks.strings - marks.members, marks.literals)


def only_numbers(body: bytes, limits: Limits) -> Parsed | None:
    """Read what most requests are: short, one form, nothing but numbers in lists. None: look closer, and say why."""
    if len(body) > _QUICK_BYTES:
        return None
    found = _ONLY_NUMBERS.fullmatch(body)
    if found is None or body.count(b"[") >= limits.depth or len(body) // 2 >= limits.values:
        return None
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    form: Form = "inputs" if found[1] == b"inputs" else "instances"
    return Parsed(form, value[form])


_USAGE = "It has exactly one of dataframe_split, dataframe_records, instances and inputs, and optionally params"


def _refuse_keys(value: Mapping[str, Any], forms: list[str]) -> None:
    unknown = [key for key in value if key not in FORMS and key != "params"]
    if unknown:
        message = f"unknown {name_some(unknown)} in the body. {_USAGE}"
    elif forms:
        message = f"the body has {name_some(forms)}. {_USAGE}"
    else:
        message = f"the body has no input. {_USAGE}"
    raise InvalidRequest("invalid_argument", message, {"keys": [quote(key) for key in list(value)[:8]]})


def _media_type(content_type: str) -> str:
    media, parameters = split_type(content_type)
    media = media or JSON
    if is_media(media):
        return media
    if media != JSON and media not in _TABLES:
        supported = ", ".join((JSON, *_TABLES, *MEDIA))
        raise InvalidRequest(
            "unsupported_media_type",
            f"content type '{quote(content_type)}' is not supported; send one of {supported}",
            {"supported": [JSON, *_TABLES, *MEDIA]},
        )
    for name, text in parameters:
        if name == "charset" and text.lower() not in UTF_8:
            raise InvalidRequest(
                "unsupported_media_type",
                f"charset '{quote(text)}' is not supported; send UTF-8",
                {"charset": quote(text)},
            )
    return media


def shape(parsed: Parsed, signature: Signature, graph_inputs: Schema | None, limits: Limits) -> Call:
    """Fit a parsed body to what the model takes.

    Args:
        parsed: What ``parse_body`` returned.
        signature: The version's; its parts may be None.
        graph_inputs: What an ONNX graph says that it takes; used where the signature declares no inputs.
        limits: The same as for parsing.

    Raises InvalidRequest ``invalid_input`` (details: path, column, row, expected, got), ``too_many_values``, and for
    tables ``invalid_argument`` and ``body_too_large``.
    """
    params = enforce_params(parsed.params, signature.params)
    return Call(fit(parsed, schema_for(signature, graph_inputs), limits), params)


def schema_for(signature: Signature, graph_inputs: Schema | None) -> Schema | None:
    """Return what an input is fitted to: what the signature declares, else what the graph says; None for neither."""
    schema = signature.inputs
    return schema if schema is not None and (schema.columns or schema.tensors) else graph_inputs


def fit(parsed: Parsed, schema: Schema | None, limits: Limits) -> Input:
    """Fit a parsed body to a schema; see ``shape``."""
    if parsed.form == "media":
        plan = plan_of(schema) if schema is not None and schema.columns else None
        return fit_parts(parsed.value, schema, plan, limits)
    if schema is not None and schema.tensors:
        if not parsed.literals and not parsed.spare_strings and type(parsed.value) is list:
            rows = float_rows(parsed.value, schema)  # what most requests are
            if rows is not None:
                return rows
        return _fit_tensors(parsed, schema, limits)
    if schema is not None and schema.columns:
        return _fit_columns(parsed, plan_of(schema), limits)
    return _as_is(parsed, limits)


def _fit_columns(parsed: Parsed, plan: ColumnPlan, limits: Limits) -> Input:
    told: InvalidRequest | None = None
    if parsed.form in ("inputs", "instances") and plan.holds(parsed.value):
        try:
            return enforce_columns(items_frame(parsed.value, parsed.form, parsed.plain), plan)
        except InvalidRequest as error:
            told = error  # unless it is right where it is read as it would be without a type hint
    try:
        return enforce_columns(_frame_for(parsed, plan, limits), plan, drops=parsed.drops_unknown)
    except InvalidRequest as error:
        raise told or error from None


# Plans by the identity of their schema, which the entry keeps alive so that the identity stays its own. A race only
# makes a plan twice.
_plans: dict[int, tuple[Schema, ColumnPlan]] = {}
_PLANS_KEPT = 1024


def plan_of(schema: Schema) -> ColumnPlan:
    """Return the plan of a schema of columns, which is worked out once."""
    entry = _plans.get(id(schema))
    if entry is None:
        if len(_plans) >= _PLANS_KEPT:
            _plans.clear()
        entry = _plans[id(schema)] = (schema, make_plan(schema))
    return entry[1]


def _fit_tensors(parsed: Parsed, schema: Schema, limits: Limits) -> Input:
    value = parsed.value
    if parsed.form in ("inputs", "instances"):
        if type(value) is list and value and type(value[0]) is dict:
            frame = records_frame(value, parsed.form, parsed.plain, limits)
            return tensors_from_frame(frame, schema, drops=parsed.drops_unknown)
        return tensors_from_json(value, schema, parsed.form, parsed.plain, drops=parsed.drops_unknown)
    return tensors_from_frame(_dataframe(parsed, schema, limits), schema, drops=parsed.drops_unknown)


def _as_is(parsed: Parsed, limits: Limits) -> Input:
    value = parsed.value
    if parsed.form == "inputs":
        return tensors_as_is(value, parsed.form, parsed.plain)
    if parsed.form == "instances":
        if type(value) is list and value and type(value[0]) is dict:
            frame = records_frame(value, parsed.form, parsed.plain, limits)
            cells = {name: list(column) for name, column in zip(frame.names or (), frame.by_columns(), strict=True)}
            return tensors_as_is(cells, parsed.form, parsed.plain)
        return tensors_as_is(value, parsed.form, parsed.plain)
    return table_as_is(_dataframe(parsed, None, limits))


def _frame_for(parsed: Parsed, plan: ColumnPlan, limits: Limits) -> Frame:
    """Read ``inputs`` and ``instances`` as the table that a signature of columns asks for."""
    value, form, plain = parsed.value, parsed.form, parsed.plain
    if form not in ("inputs", "instances"):
        return _dataframe(parsed, plan, limits)
    if type(value) is dict:
        if plan.nested and plan.named:
            return record_frame(value, form, plain)  # lists are cells then, as MLflow has it
        return columns_frame(value, form, plain, limits)
    if type(value) is list:
        if value and type(value[0]) is dict and (plan.named or not plan.nested):
            return records_frame(value, form, plain, limits)
        if len(plan.names) == 1 and plan.nested:
            return cell_frame(value, form, plain)  # one row whose only cell is the list, as MLflow has it
        if plan.kinds == (None,):
            return items_frame(value, form, plain)  # any: each item is a cell
        return rows_frame(value, form, plain)
    return cell_frame(value, form, plain)


def _dataframe(parsed: Parsed, asked: ColumnPlan | Schema | None, limits: Limits) -> Frame:
    """Read the forms that are tables whatever the signature says; ``asked`` gives text its types."""
    if parsed.form == "dataframe_split":
        return split_frame(parsed.value, parsed.spare_strings, parsed.literals, limits)
    if parsed.form == "dataframe_records":
        return records_frame(parsed.value, parsed.form, parsed.plain, limits)
    # pyarrow is loaded on first use, which is never in a node: its table reader does this.
    if parsed.form == "csv":
        from serving.protocols.csv_table import read_csv

        return read_csv(parsed.value, asked, limits)
    if parsed.form == "parquet":
        from serving.protocols.parquet_table import read_parquet

        return read_parquet(parsed.value, limits)
    from serving.protocols.arrow_stream import read_stream

    return read_stream(parsed.value, limits)
