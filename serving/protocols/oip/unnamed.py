"""The tensor of a raw binary request: its name, datatype and shape, as the model has them. Pure.

The model must take one tensor whose shape leaves at most one length open beside the number of rows. A table whose
columns are numbers of one type counts as such a tensor: its rows.

Source: triton-inference-server, ``extension_binary_data.md``, Raw Binary Request.
"""

from __future__ import annotations

import math

from registry.errors import InvalidRequest
from registry.signature import Schema
from serving.protocols.native import plan_of
from serving.protocols.oip.datatypes import BYTES, DATATYPES, name_of
from serving.protocols.oip.metadata import describe_schema
from serving.protocols.oip.values import InferTensor, TensorMetadata


def named(tensor: InferTensor, schema: Schema | None) -> InferTensor:
    """Return the tensor with what it lacks; raise InvalidRequest ``invalid_input`` where the model does not say."""
    asked = _asked(schema)
    data = tensor.data
    assert isinstance(data, memoryview)
    if asked.datatype == BYTES:
        shape = (1,) * max(1, len(asked.shape))
        # All of it is the one element, without its length before it.
        return InferTensor(asked.name, BYTES, shape, [bytes(data)], parameters={"content_type": "str"})
    size = DATATYPES[asked.datatype].size
    shape = _shape(asked, len(data) // size)
    if math.prod(shape) * size != len(data):
        message = f"a raw request of {len(data)} bytes is no {asked.datatype} of shape {list(asked.shape)}"
        raise _cannot(message)
    return InferTensor(asked.name, asked.datatype, shape, data, raw=True)


def _asked(schema: Schema | None) -> TensorMetadata:
    if schema is None or not (schema.columns or schema.tensors):
        raise _cannot("a raw request needs a model that says what it takes; this one has no signature")
    if schema.columns:
        plan = plan_of(schema)
        if plan.uniform is not None:
            return TensorMetadata(plan.names[0], str(name_of(plan.uniform.dtype)), (-1, len(plan.names)))
    found = describe_schema(schema)
    if len(found) != 1:
        raise _cannot(f"a raw request is for models that take one tensor; this one takes {len(found)}")
    return found[0]


def _shape(asked: TensorMetadata, count: int) -> tuple[int, ...]:
    shape = list(asked.shape)
    if shape.count(-1) > 1 and shape[0] == -1:
        shape[0] = 1
    if shape.count(-1) > 1:
        raise _cannot(f"a raw request cannot fill the open lengths of shape {list(asked.shape)}; send a shape")
    if -1 in shape:
        rest = math.prod(d for d in shape if d != -1)
        shape[shape.index(-1)] = count // rest if rest else 0
    return tuple(shape)


def _cannot(message: str) -> InvalidRequest:
    return InvalidRequest("invalid_input", message, {"reason": "wrong_shape"})
