"""Parts that are bytes, fitted to what a model takes: binary columns as they are, image tensors decoded. Pure.

    binary column            the part's bytes
    string column            the part as text; any other column: the part as JSON
    tensor of an image       the part as a picture, of exactly the size that is declared
    any other tensor         the part as JSON
    nothing is declared      the part's bytes; of several parts, an object of them

Not here: decoding (``images``), which only the table reader's process does: see ``decodes``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from registry.errors import InvalidRequest, quote
from registry.signature import Column, Schema, Tensor
from serving.exchange import Array, Input, JsonInput, Table, TensorInput, TensorsInput
from serving.protocols.columns import ColumnPlan, enforce_columns
from serving.protocols.frames import Frame
from serving.protocols.limits import Limits
from serving.protocols.media import JSON_PART, TEXT_PARTS, json_of
from serving.protocols.multipart import Part
from serving.protocols.picture import Picture, picture_of
from serving.protocols.refusals import name_some, wrong_columns, wrong_input
from serving.protocols.tensors import tensor_from_json


def decodes(parts: Sequence[Part], schema: Schema | None) -> bool:
    """Tell whether fitting the parts means decoding a picture; not where it will be refused before."""
    if schema is None or not schema.tensors:
        return False
    try:
        pairs = list(_pairs(parts, [(tensor.name, True) for tensor in schema.tensors]))
    except InvalidRequest:
        return False
    return any(_is_picture(part, schema.tensors[at]) for at, part in pairs)


def fit_parts(parts: Sequence[Part], schema: Schema | None, plan: ColumnPlan | None, limits: Limits) -> Input:
    """Return what the model is given; raise InvalidRequest ``invalid_input``, ``too_many_values``,
    ``unsupported_media_type``, and as ``load_json`` does.

    Args:
        parts: At least one.
        schema: What the model takes; None where nobody knows.
        plan: The schema's columns worked out; None where it has none.
        limits: How much a picture may hold.
    """
    if plan is not None:
        return _table(parts, plan, limits)
    if schema is not None and schema.tensors:
        return _tensors(parts, schema.tensors, limits)
    values = {str(part.name): json_of(part, limits) if part.media == JSON_PART else part.data for part in parts}
    return JsonInput(next(iter(values.values())) if len(values) == 1 else values)


def _pairs(parts: Sequence[Part], inputs: Sequence[tuple[str | None, bool]]) -> Iterator[tuple[int, Part]]:
    """Yield each part with the place of its input; ``inputs`` are names, and whether they are required."""
    names = [str(name) for name, _ in inputs]
    if len(parts) == 1 and parts[0].name not in names:
        required = [at for at, (_, needed) in enumerate(inputs) if needed]
        only = required if len(required) == 1 else list(range(len(inputs)))
        if len(only) == 1:
            yield only[0], parts[0]
            return
        if parts[0].name is None:
            message = f"the model takes {name_some(names)}; send multipart/form-data with a part for each"
            raise wrong_columns(message, columns=names, reason="missing")
    given = [str(part.name) for part in parts]
    missing = [name for name, (_, needed) in zip(names, inputs, strict=True) if needed and name not in given]
    unknown = [name for name in given if name not in names]
    if len(inputs) == 1 and inputs[0][0] is None:
        message = f"the model takes one input, and the form has {len(parts)} parts"
        raise wrong_columns(message, columns=given, reason="unknown")
    if missing:
        message = f"missing part {name_some(missing)}; the model takes {name_some(names)}"
        raise wrong_columns(message, columns=missing, reason="missing")
    if unknown:
        message = f"unknown part {name_some(unknown)}; the model takes {name_some(names)}"
        raise wrong_columns(message, columns=unknown, reason="unknown")
    for part in parts:
        yield names.index(str(part.name)), part


# ---- columns ------------------------------------------------------------------------------------------------------


def _table(parts: Sequence[Part], plan: ColumnPlan, limits: Limits) -> Table:
    pairs = list(_pairs(parts, [(column.name, column.required) for column in plan.columns]))
    cells = tuple(_cell(part, plan.columns[at], plan.names[at], limits) for at, part in pairs)
    names = tuple(plan.names[at] for at, _ in pairs) if plan.named else None
    return enforce_columns(Frame("table", "the form", names, plan.named, None, cells, 1, False), plan)


def _cell(part: Part, column: Column, name: str, limits: Limits) -> Sequence[Any] | Array:
    if column.type == "binary":
        cell = np.empty(1, dtype=object)
        cell[0] = part.data
        return cell
    if part.media not in (*TEXT_PARTS, JSON_PART):
        got = quote(part.media)
        message = f"column '{quote(name)}' is of {column.type}; it cannot be sent as {got}. Send it as text or JSON"
        raise wrong_input(message, path=quote(name), expected=column.type, got=got, reason="wrong_type")
    if column.type in ("string", "datetime") and part.media != JSON_PART:
        try:
            return [part.data.decode()]
        except UnicodeDecodeError:
            message = f"the part '{quote(name)}' is not UTF-8"
            raise wrong_input(
                message, path=quote(name), expected="UTF-8 text", got="bytes", reason="wrong_type"
            ) from None
    return [json_of(part, limits)]


# ---- tensors ------------------------------------------------------------------------------------------------------


def _tensors(parts: Sequence[Part], tensors: Sequence[Tensor], limits: Limits) -> TensorInput | TensorsInput:
    arrays: dict[int, Array] = {}
    for at, part in _pairs(parts, [(tensor.name, True) for tensor in tensors]):
        arrays[at] = _tensor(part, tensors[at], limits)
        limits = replace(limits, values=limits.values - arrays[at].size)  # of all of them together
    if tensors[0].name is None:
        return TensorInput(arrays[0])
    return TensorsInput({str(tensor.name): arrays[at] for at, tensor in enumerate(tensors)})


def _tensor(part: Part, tensor: Tensor, limits: Limits) -> Array:
    label = "the body" if part.name is None else f"the part '{quote(part.name)}'"
    picture = picture_of(tensor)
    if not _is_picture(part, tensor):
        if part.name is not None and part.media in (*TEXT_PARTS, JSON_PART):
            return tensor_from_json(json_of(part, limits), tensor, label, plain=False)
        message = (
            f"{label}: the model takes {quote(tensor.dtype)} arrays of shape {list(tensor.shape)}, which is no image; "
            "send them as JSON"
        )
        expected = f"{quote(tensor.dtype)} of shape {list(tensor.shape)}"
        raise wrong_input(message, path=label, expected=expected, got=quote(part.media), reason="wrong_type")
    assert picture is not None
    return _arranged(part, picture, label, limits).astype(tensor.dtype, copy=False)


def _arranged(part: Part, picture: Picture, label: str, limits: Limits) -> Array:
    from serving.protocols.images import decode  # Pillow: loaded on first use, which is never in a node

    return picture.arrange(decode(part, picture, label, limits))


def _is_picture(part: Part, tensor: Tensor) -> bool:
    return part.media != JSON_PART and picture_of(tensor) is not None
