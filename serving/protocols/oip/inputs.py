"""Tensors fitted to what a model takes. Pure.

* A signature of columns: one tensor a column, by name, of shape [n] or [n, 1]; or one tensor [n, columns], whatever its
  name. An optional column may be missing. Objects and maps are JSON texts (BYTES); lists are rows of [n, length].
* A signature of tensors, else the graph's own inputs: by name; one without a name takes any single tensor.
* Neither: one tensor is an array, several are a dict of arrays, or a DataFrame where the request's ``content_type`` is
  ``pd``.

Datatypes convert only where nothing is lost, as ``typed`` says. Not here: syntax (``body.py``), elements
(``elements.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from registry.errors import InvalidRequest, quote
from registry.signature import Column, Schema, Signature, Tensor
from serving.exchange import Array, Call, Input, Table, TensorInput, TensorsInput
from serving.protocols.cells import convert, objects
from serving.protocols.columns import ColumnPlan, enforce_columns
from serving.protocols.frames import Frame
from serving.protocols.json_body import load_json
from serving.protocols.kinds import Kind, tensor_kind
from serving.protocols.limits import MAX_COLUMNS, Limits
from serving.protocols.native import plan_of, schema_for
from serving.protocols.oip.datatypes import name_of
from serving.protocols.oip.elements import elements, label, misfit
from serving.protocols.oip.parameters import check_memory, model_params
from serving.protocols.oip.unnamed import named
from serving.protocols.oip.values import Inference, InferTensor
from serving.protocols.params import enforce_params
from serving.protocols.refusals import Where, too_many_values, wrong_columns, wrong_value
from serving.protocols.tensors import check_names, fits
from serving.protocols.typed import convert_typed
from serving.protocols.unsigned import infer_column

_WIDENS = {"float": "fiu", "int": "iu", "bool": "b"}


def fit_inference(inference: Inference, signature: Signature, graph_inputs: Schema | None, limits: Limits) -> Call:
    """Fit a request to what the model takes.

    Args:
        inference: The request.
        signature: The version's; its parts may be None.
        graph_inputs: What an ONNX graph says that it takes; used where the signature declares no inputs.
        limits: How many values all tensors together may have.

    Raises InvalidRequest ``invalid_input`` naming the tensor, or ``too_many_values``.
    """
    schema = schema_for(signature, graph_inputs)
    tensors = (named(inference.inputs[0], schema),) if inference.unnamed else inference.inputs
    params = enforce_params(model_params(inference.parameters, signature.params), signature.params)
    if schema is not None and schema.tensors and len(tensors) == 1 == len(schema.tensors):
        return Call(_single(tensors[0], schema.tensors[0], limits), params)
    sent = _arrays(tensors, limits)
    if schema is not None and schema.tensors:
        return Call(_named(sent, schema.tensors), params)
    if schema is not None and schema.columns:
        return Call(_columns(sent, plan_of(schema), limits), params)
    return Call(_as_is(sent, tabular=inference.parameters.get("content_type") == "pd"), params)


_Sent = dict[str, tuple[InferTensor, Array]]


def _arrays(tensors: Sequence[InferTensor], limits: Limits) -> _Sent:
    if len(tensors) > MAX_COLUMNS:
        raise InvalidRequest("too_many_values", f"a request has at most {MAX_COLUMNS:,} tensors")
    found: _Sent = {}
    count = 0
    for tensor in tensors:
        check_memory(tensor.parameters, tensor.name)
        if tensor.name in found:
            name = quote(tensor.name)
            raise wrong_columns(f"tensor '{name}' is there more than once", columns=[name], reason="duplicate")
        array = elements(tensor, limits)
        count += array.size
        if count > limits.values:
            raise too_many_values(count, limits.values)
        found[tensor.name] = tensor, array
    return found


# ---- tensors ----------------------------------------------------------------------------------------------------


def _single(tensor: InferTensor, asked: Tensor, limits: Limits) -> Input:
    check_memory(tensor.parameters, tensor.name)
    if asked.name is None:
        return TensorInput(_tensor(tensor, elements(tensor, limits), asked))
    check_names({tensor.name: tensor}, (asked,))
    return TensorsInput({asked.name: _tensor(tensor, elements(tensor, limits), asked)})


def _named(sent: _Sent, asked: Sequence[Tensor]) -> Input:
    if asked[0].name is None:
        names = ", ".join(f"'{quote(name)}'" for name in list(sent)[:5])
        raise wrong_columns(f"the model takes one tensor, got {names}", columns=list(sent), reason="unknown")
    check_names(sent, asked)
    return TensorsInput({str(each.name): _tensor(*sent[str(each.name)], each) for each in asked})


def _tensor(tensor: InferTensor, array: Array, asked: Tensor) -> Array:
    kind = tensor_kind(asked.dtype)
    if kind is None:
        raise InvalidRequest("not_servable", f"the model takes {quote(asked.dtype)} arrays, which no request can hold")
    if array.dtype == object and np.dtype(asked.dtype) == object:  # text or bytes: which of both, no signature says
        array = _readable(array)
    elif array.dtype != kind.dtype or array.dtype == object:
        array = _converted(tensor, array, kind).reshape(array.shape)
    shape = array.shape
    if fits(shape, asked.shape):
        return array
    if len(shape) == 2 and shape[1] == 1 and fits(shape[:1], asked.shape):
        return array.reshape(-1)
    if len(shape) == 1 and fits((*shape, 1), asked.shape):
        return array.reshape(-1, 1)
    if not array.size and 0 in shape[:1]:
        raise _no_rows(tensor)
    expected, got = f"shape {list(asked.shape)}", f"shape {list(shape)}"
    raise misfit(
        tensor, f"expected {expected} (-1 is any length), got {got}", expected=expected, got=got, reason="shape"
    )


def _no_rows(tensor: InferTensor) -> InvalidRequest:
    return misfit(tensor, "has no rows; send at least one", expected="at least one row", got="none", reason="empty")


def _converted(tensor: InferTensor, array: Array, kind: Kind, *, required: bool = True) -> Array:
    """Return the elements, flat, as the kind has them."""
    flat = array.reshape(-1)
    where = Where("tensor", label(tensor), shape=array.shape)
    if kind.family in _WIDENS and flat.dtype.kind in _WIDENS[kind.family]:
        return convert_typed(flat, kind, where)
    if flat.dtype == object:
        if kind.family == "string":
            return objects([_text(value, where, at) for at, value in enumerate(flat)])
        if kind.family == "binary":
            return objects([value.encode() if type(value) is str else value for value in flat])
        if kind.family == "datetime":
            return convert([_text(value, where, at) for at, value in enumerate(flat)], kind, where, required=required)
    expected = "BYTES with ISO 8601 dates" if kind.family == "datetime" else str(name_of(kind.dtype))
    got = tensor.datatype
    raise misfit(tensor, f"the model takes {expected} here, got {got}", expected=expected, got=got, reason="wrong_type")


def _text(value: Any, where: Where, at: int) -> Any:
    if type(value) is not bytes:
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise wrong_value(where, at, expected="UTF-8 text", value=value) from None


# ---- columns ----------------------------------------------------------------------------------------------------


def _columns(sent: _Sent, plan: ColumnPlan, limits: Limits) -> Table:
    if len(sent) == 1:
        tensor, array = next(iter(sent.values()))
        if array.ndim == 2 and array.shape[1] == len(plan.names) and None not in plan.kinds:
            return _whole(tensor, array, plan)
    asked = dict(zip(plan.names, plan.columns, strict=True))
    if not plan.named:
        asked = _by_place(sent, plan)
    kinds = dict(zip(asked, plan.kinds, strict=True))
    cells: dict[str, Sequence[Any] | Array] = {}
    length = -1
    for name, (tensor, array) in sent.items():
        column = asked.get(name)
        cells[name] = _cells(tensor, array, column, kinds.get(name), limits) if column is not None else array
        rows = len(array) if array.ndim else 1
        if length not in (-1, rows):
            expected, got = f"{length} rows, as the other tensors have", str(rows)
            raise misfit(tensor, f"expected {expected}, got {got}", expected=expected, got=got, reason="shape")
        length = rows
        if not rows:
            raise _no_rows(tensor)
    names = tuple(cells) if plan.named else None
    if not plan.named:
        cells = {name: cells[name] for name in asked}
    return enforce_columns(Frame("columns", "inputs", names, True, None, tuple(cells.values()), length, False), plan)


def _by_place(sent: _Sent, plan: ColumnPlan) -> dict[str, Column]:
    """Match columns without names: by number where the tensors are called so, else by their order."""
    if len(sent) != len(plan.names):
        expected, got = f"{len(plan.names)} tensors, or one of shape [n, {len(plan.names)}]", str(len(sent))
        raise wrong_columns(f"expected {expected}, got {got}", columns=list(sent), reason="unknown")
    names = plan.names if set(plan.names) == set(sent) else tuple(sent)
    return dict(zip(names, plan.columns, strict=True))


def _whole(tensor: InferTensor, array: Array, plan: ColumnPlan) -> Table:
    if not len(array):
        raise _no_rows(tensor)
    if plan.uniform is not None:
        block = _converted(tensor, array, plan.uniform).reshape(array.shape)
        turned = block.T if len(block) == 1 else np.ascontiguousarray(block.T)
        return Table(plan.names, tuple(turned), plan.named and not plan.numbered, turned)
    columns = [
        _converted(tensor, array[:, at], kind, required=column.required)
        for at, (kind, column) in enumerate(zip(plan.kinds, plan.columns, strict=True))
        if kind is not None
    ]
    return enforce_columns(Frame("columns", label(tensor), None, False, None, tuple(columns), len(array), False), plan)


def _cells(
    tensor: InferTensor, array: Array, column: Column, kind: Kind | None, limits: Limits
) -> Sequence[Any] | Array:
    """Return a column's cells: one value a row, or one list a row where the column is of lists."""
    flat = array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1)
    if kind is not None:
        if not flat:
            raise _no_column(tensor, array, "[n] or [n, 1]")
        return _converted(tensor, array, kind, required=column.required)
    if not array.ndim:
        raise _no_column(tensor, array, "[n, …]")
    where = Where("tensor", label(tensor), shape=array.shape)
    if array.dtype == object:
        texts = [_text(value, where, at) for at, value in enumerate(array.reshape(-1))]
        if column.type != "any" and array.ndim == 1:
            return [None if text is None else load_json(text.encode(), limits)[0] for text in texts]
        cells: list[Any] = objects(texts).reshape(array.shape).tolist()
        return cells
    if column.type == "any" and array.ndim == 1:
        return infer_column(array.tolist())
    rows: list[Any] = array.tolist()
    return rows


def _no_column(tensor: InferTensor, array: Array, expected: str) -> InvalidRequest:
    got = f"shape {list(array.shape)}"
    return misfit(tensor, f"a column takes shape {expected}, got {got}", expected=expected, got=got, reason="shape")


# ---- no signature -----------------------------------------------------------------------------------------------


def _as_is(sent: _Sent, *, tabular: bool) -> Input:
    arrays: dict[str, Array] = {}
    for name, (tensor, array) in sent.items():
        if not array.size:
            raise _no_rows(tensor)
        arrays[name] = _readable(array) if array.dtype == object else array
    if tabular:
        return _table(sent, arrays)
    return TensorsInput(arrays) if len(arrays) > 1 else TensorInput(next(iter(arrays.values())))


def _readable(array: Array) -> Array:
    """Return text where all of it is text, else bytes."""
    values = array.reshape(-1).tolist()
    try:
        texts = [value.decode() if type(value) is bytes else value for value in values]
    except UnicodeDecodeError:
        texts = [value.encode() if type(value) is str else value for value in values]
    return objects(texts).reshape(array.shape)


def _table(sent: _Sent, arrays: dict[str, Array]) -> Table:
    length = len(next(iter(arrays.values())).reshape(-1))
    for name, array in arrays.items():
        if array.shape not in ((length,), (length, 1)):
            raise _no_column(sent[name][0], array, f"[{length}] or [{length}, 1]")
        if not name:
            raise misfit(sent[name][0], "a column needs a name", expected="a name", got="none", reason="unnamed")
    return Table(tuple(arrays), tuple(array.reshape(-1) for array in arrays.values()))
