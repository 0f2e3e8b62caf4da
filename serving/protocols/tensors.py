"""Input fitted to a signature of tensors: dtype and shape, by name where they have names. Pure.

As MLflow's ``_enforce_tensor_schema``: nested lists become one array; -1 in a shape is any length; tables become
tensors column by column, or as a whole where there is but one. Also enforced this way: what an ONNX graph says about
its own inputs, for versions without a signature. Values convert as ``cells`` says, never silently.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from registry.errors import InvalidRequest, quote
from registry.signature import Schema, Tensor
from serving.exchange import Array, TensorInput, TensorsInput
from serving.protocols.blocks import numeric_block, plain_rows
from serving.protocols.cells import convert, flatten
from serving.protocols.frames import Frame
from serving.protocols.kinds import Kind, tensor_kind
from serving.protocols.refusals import Where, describe, name_some, wrong_columns, wrong_input
from serving.protocols.typed import convert_typed


def float_rows(value: list[Any], schema: Schema) -> TensorInput | TensorsInput | None:
    """Fit a list of plain numbers to a schema of one tensor of floats with any number of rows, as ``tensors_from_json``
    does; None where the schema is another, or where a closer look is needed."""
    entry = _rows.get(id(schema))
    if entry is None:
        if len(_rows) >= _ROWS_KEPT:
            _rows.clear()
        entry = _rows[id(schema)] = (schema, _row_of(schema))
    row = entry[1]
    if row is None:
        return None
    name, shape, dtype = row
    block = plain_rows(value, shape, dtype)
    if block is None:
        return None
    return TensorInput(block) if name is None else TensorsInput({name: block})


def _row_of(schema: Schema) -> tuple[str | None, tuple[int, ...], np.dtype[np.generic]] | None:
    only = schema.tensors[0]
    kind = tensor_kind(only.dtype)
    row = only.shape[1:]
    if len(schema.tensors) > 1 or only.shape[:1] != (-1,) or -1 in row or kind is None or kind.family != "float":
        return None
    return (only.name, row, kind.dtype) if kind.dtype.itemsize in (4, 8) else None


# By the identity of their schema, which the entry keeps alive so that the identity stays its own.
_rows: dict[int, tuple[Schema, tuple[str | None, tuple[int, ...], np.dtype[np.generic]] | None]] = {}
_ROWS_KEPT = 1024


def tensors_from_json(value: Any, schema: Schema, path: str, plain: bool) -> TensorInput | TensorsInput:
    """Fit an ``inputs`` or ``instances`` value that is no list of objects; raise InvalidRequest ``invalid_input``."""
    tensors = schema.tensors
    if tensors[0].name is None:
        if type(value) is dict:
            message = f"{path}: the model takes one unnamed array, not an object; send a nested list"
            raise wrong_input(message, path=path, expected="a nested list", got="an object")
        return TensorInput(tensor_from_json(value, tensors[0], path, plain))
    if type(value) is dict:
        check_names(value, tensors)
        return TensorsInput(
            {t.name: tensor_from_json(value[t.name], t, f"{path}.{quote(t.name)}", plain) for t in tensors if t.name}
        )
    if len(tensors) > 1:
        names = name_some([str(tensor.name) for tensor in tensors])
        got = describe(value)
        message = f"{path}: expected an object with an array for each of {names}, got {got}"
        raise wrong_input(message, path=path, expected=names, got=got)
    return TensorsInput({str(tensors[0].name): tensor_from_json(value, tensors[0], path, plain)})


def tensors_from_frame(frame: Frame, schema: Schema) -> TensorInput | TensorsInput:
    """Fit a table; raise InvalidRequest ``invalid_input``."""
    tensors = schema.tensors
    if tensors[0].name is None:
        return TensorInput(_whole(frame, tensors[0]))
    names = frame.names or ()
    if len(tensors) == 1 and tensors[0].name not in names:
        return TensorsInput({tensors[0].name: _whole(frame, tensors[0])})
    check_names(dict.fromkeys(names), tensors)
    columns = frame.by_columns()
    arrays: dict[str, Array] = {}
    for tensor in tensors:
        position = names.index(str(tensor.name))
        arrays[str(tensor.name)] = _cells(frame, columns[position], tensor, position)
    return TensorsInput(arrays)


def column_kinds(names: Sequence[str], schema: Schema) -> list[Kind | None]:
    """Return what each column of a table becomes, as ``tensors_from_frame`` would have it; None where nothing asks."""
    tensors = schema.tensors
    if tensors[0].name is None or (len(tensors) == 1 and tensors[0].name not in names):
        return [_kind(tensors[0])] * len(names)
    known = {str(tensor.name): _kind(tensor) for tensor in tensors}
    return [known.get(name) for name in names]


def tensor_from_json(value: Any, tensor: Tensor, path: str, plain: bool, *, per_row: bool = False) -> Array:
    """Return one array of the tensor's dtype and shape.

    Args:
        value: A nested list, or a single value where the tensor has no dimensions.
        tensor: What is asked for.
        path: How messages name the value.
        plain: Whether no string, boolean or null is in it.
        per_row: Whether each item of the list is one row that may also be written flat, as in a table's cell.
    """
    kind = _kind(tensor)
    array: Array | None = None
    if plain and type(value) is list:
        array = numeric_block(value, kind)
    if array is None:
        leaves, shape = flatten(value, path) if type(value) is list else ([value], ())
        array = convert(leaves, kind, Where("tensor", path, shape=shape)).reshape(shape)
    if fits(array.shape, tensor.shape):
        return array
    if per_row:
        target = (len(array), *tensor.shape[1:])
        if -1 not in target and int(np.prod(target)) == array.size:
            return array.reshape(target)
    raise _wrong_shape(array.shape, tensor.shape, path)


def fits(shape: Sequence[int], asked: Sequence[int]) -> bool:
    """Whether an array of this shape, with at least one row, is what is asked for."""
    if len(shape) != len(asked) or (shape and shape[0] == 0 != asked[0]):
        return False
    for have, want in zip(shape, asked, strict=True):  # noqa: SIM110 -- a generator costs more than it compares
        if want not in (have, -1):
            return False
    return True


def _kind(tensor: Tensor) -> Kind:
    kind = tensor_kind(tensor.dtype)
    if kind is None:
        raise InvalidRequest(
            "not_servable", f"the model takes {quote(tensor.dtype)} arrays, which no request can hold", {}
        )
    return kind


def _wrong_shape(shape: tuple[int, ...], asked: tuple[int, ...], path: str) -> InvalidRequest:
    if shape and shape[0] == 0:
        return wrong_input(
            f"{path} has no rows; send at least one", path=path, expected="at least one row", got="none", reason="empty"
        )
    message = f"{path}: expected an array of shape {list(asked)} (-1 is any length), got {list(shape)}"
    if len(shape) + 1 == len(asked) and fits((1, *shape), asked):
        message += "; a single row is a list in a list: [[…]]"
    return wrong_input(message, path=path, expected=f"shape {list(asked)}", got=f"shape {list(shape)}")


def check_names(given: Mapping[str, Any], tensors: Sequence[Tensor]) -> None:
    """Raise InvalidRequest ``invalid_input`` where a named tensor is missing, or one is there that nobody asked for."""
    names = [str(tensor.name) for tensor in tensors]
    missing = [name for name in names if name not in given]
    if missing:
        raise wrong_columns(
            f"missing {name_some(missing)}; the model takes {name_some(names)}", columns=missing, reason="missing"
        )
    unknown = [name for name in given if name not in names]
    if unknown:
        raise wrong_columns(
            f"unknown {name_some(unknown)}; the model takes {name_some(names)}", columns=unknown, reason="unknown"
        )


def _whole(frame: Frame, tensor: Tensor) -> Array:
    """Make one tensor of all columns: of the only one's cells, or of several side by side."""
    if frame.width == 1:
        return _cells(frame, frame.by_columns()[0], tensor, 0)
    if frame.columns is None and frame.rows is not None:
        rows = frame.rows if type(frame.rows[0]) is list else [list(row) for row in frame.rows]
        return tensor_from_json(rows, tensor, frame.base, frame.plain, per_row=True)
    if not frame.width:
        raise wrong_input(
            "the table has no columns", path=frame.base or "the table", expected="columns of numbers", got="none"
        )
    columns = [_cells(frame, cells, _scalars(tensor), at) for at, cells in enumerate(frame.by_columns())]
    array = np.stack(columns, axis=1)
    if not fits(array.shape, tensor.shape):
        raise _wrong_shape(array.shape, tensor.shape, frame.base or "the table")
    return array


def _scalars(tensor: Tensor) -> Tensor:
    return Tensor(tensor.name, tensor.dtype, (-1,))


def _cells(frame: Frame, cells: Sequence[Any] | Array, tensor: Tensor, position: int) -> Array:
    """Make a tensor of one column, whose cells are single values or lists."""
    where = frame.where(position)
    if position in frame.absent:
        raise wrong_columns(
            f"{where.label} is missing in row {frame.absent[position]}",
            columns=[where.name or str(position)],
            reason="missing",
        )
    if isinstance(cells, np.ndarray) and cells.dtype != object:
        return _shaped(convert_typed(cells, _kind(tensor), where), tensor, where.label)
    values: list[Any] = cells.tolist() if isinstance(cells, np.ndarray) else list(cells)
    if type(values[0]) is not list:
        return _shaped(convert(values, _kind(tensor), where), tensor, where.label)
    return tensor_from_json(values, tensor, where.label, frame.plain, per_row=True)


def _shaped(array: Array, tensor: Tensor, path: str) -> Array:
    if fits(array.shape, tensor.shape):
        return array
    if fits((len(array), 1), tensor.shape):
        return array.reshape(-1, 1)
    raise _wrong_shape(array.shape, tensor.shape, path)
