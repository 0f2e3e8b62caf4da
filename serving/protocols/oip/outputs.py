"""What a model answered, as tensors. Pure.

An array or a table's column is a tensor; named arrays are one each. JSON is a tensor where it is even lists of numbers
or text, an object of lists is one tensor a key, and anything else is JSON text in BYTES. Dates are ISO 8601 text.

Names are those of the signature's outputs where their number fits, else the model's own, else ``output-1``. The model's
own may be asked for as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from registry.errors import InvalidRequest, ModelFault, quote
from registry.signature import Signature
from serving.exchange import Array, ArrayOutput, Output, TableOutput, TensorsOutput
from serving.protocols.answer_json import check_columns, check_size, iso_times
from serving.protocols.cells import objects
from serving.protocols.limits import Limits
from serving.protocols.oip.byte_strings import objects_of, write_byte_strings
from serving.protocols.oip.classes import largest
from serving.protocols.oip.datatypes import BYTES, DATATYPES, name_of
from serving.protocols.oip.loose import array_of, column, columns_of
from serving.protocols.oip.metadata import OUTPUT, output_names
from serving.protocols.oip.values import Inference, OutputTensor, WantedOutput
from serving.protocols.refusals import name_some

_NUMBERS = frozenset(each.dtype for name, each in DATATYPES.items() if name != BYTES)


def outputs_of(output: Output, inference: Inference, signature: Signature, limits: Limits) -> list[OutputTensor]:
    """Return all tensors, or those that were asked for, in the order in which they were.

    Raises ModelFault ``model_output_invalid`` for what no tensor can hold, and InvalidRequest ``invalid_argument`` for
    an output that is not there, or asked for twice.
    """
    own = _arrays(output)
    named = _renamed(own, output, signature)
    wanted = inference.outputs
    if not wanted:
        check_size(sum([array.size for array in own.values()]), limits)
        return [_tensor(name, array) for name, array in named.items()]
    if len({each.name for each in wanted}) != len(wanted):
        raise _asked_twice(wanted)
    chosen = [_named(each.name, named, own) for each in wanted]
    check_size(sum([array.size for array in chosen]), limits)
    return [_answered(each, array) for each, array in zip(wanted, chosen, strict=True)]


def raw_of(tensor: OutputTensor) -> bytes | memoryview:
    """Return a tensor's bytes as the binary extension lays them out; numbers are not copied."""
    array = tensor.array
    if array.dtype == object:
        return write_byte_strings(array.reshape(-1).tolist())
    if not array.size:
        return b""
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return little.data.cast("B")


def _arrays(output: Output) -> dict[str, Array]:
    """Return the answer's arrays by the model's own names; an empty name where there is none."""
    if isinstance(output, ArrayOutput):
        return {"": output.array}
    if isinstance(output, TensorsOutput):
        return {str(name): array for name, array in output.arrays.items()}
    if isinstance(output, TableOutput):
        table = output.table
        check_columns(table)
        return dict(zip(table.names, table.arrays, strict=True))
    if output.raw:  # as they are: base64 would be other bytes, and nothing would tell that it is such
        return {"": objects(output.raw)}
    return columns_of(output.value) or {"": array_of(output.value)}


def _renamed(own: dict[str, Array], output: Output, signature: Signature) -> dict[str, Array]:
    names = output_names(signature)
    if len(own) == 1:
        name, array = next(iter(own.items()))
        if len(names) == 1:
            return {names[0]: array}
        # Columns that the model answered as one array.
        if not name and len(names) > 1 and array.ndim == 2 and array.shape[1] == len(names) == len(set(names)):
            return {each: array[:, at] for at, each in enumerate(names)}
        alone = not name or (isinstance(output, TableOutput) and not output.table.named)
        return {OUTPUT if alone else name: array}
    if isinstance(output, TableOutput) and not output.table.named and len(names) == len(own) == len(set(names)):
        return dict(zip(names, own.values(), strict=True))
    return own


def _asked_twice(wanted: Sequence[WantedOutput]) -> InvalidRequest:
    counts = Counter(each.name for each in wanted)
    name = quote(next(name for name, count in counts.items() if count > 1))
    return InvalidRequest("invalid_argument", f"output '{name}' is asked for more than once", {"output": name})


def _named(name: str, named: Mapping[str, Array], own: Mapping[str, Array]) -> Array:
    array = named.get(name)
    if array is None:
        array = own.get(name)
    if array is None or not name:
        message = f"the model has no output '{quote(name)}'; it has {name_some(list(named))}"
        raise InvalidRequest("invalid_argument", message, {"output": quote(name)})
    return array


def _answered(wanted: WantedOutput, array: Array) -> OutputTensor:
    if wanted.classes:
        return OutputTensor(wanted.name, BYTES, largest(array, wanted.classes, wanted.name))
    return _tensor(wanted.name, array)


def _tensor(name: str, array: Array) -> OutputTensor:
    dtype = array.dtype
    if dtype not in _NUMBERS:
        array = _sent(array)
        dtype = array.dtype
    datatype = name_of(dtype)
    assert datatype is not None
    return OutputTensor(name, datatype, array if array.ndim else array.reshape(1))


def _sent(array: Array) -> Array:
    """Return an array of a dtype that a datatype has."""
    kind = array.dtype.kind
    if kind == "O":
        return column(array.reshape(-1).tolist()).reshape(array.shape)
    if kind == "M":
        return objects_of(iso_times(array.reshape(-1)), array.shape)
    if kind in "US":
        return array.astype(object)
    if kind == "f" and array.dtype.itemsize > 8:
        return array.astype(np.float64)
    if kind in "fiub" and name_of(array.dtype) is not None:
        return array.astype(array.dtype.newbyteorder("="))
    raise _invalid(f"an array of {quote(array.dtype)} is no tensor")


def _invalid(reason: str) -> ModelFault:
    return ModelFault("model_output_invalid", f"the model's answer cannot be sent as tensors: {reason}")
