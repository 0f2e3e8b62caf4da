"""Rows to try a model with before anybody asks it: its saved example, or rows that fit a numeric signature.

Not here: what is tried (``rehearsal.py``).
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .values import Spec, lay_array, take_array
from .wire import Buffer

_NUMPY_TYPES = {"boolean": "?", "integer": "<i4", "long": "<i8", "float": "<f4", "double": "<f8"}
_OTHER_TYPES = {"string": "O", "binary": "O", "datetime": "<M8[ns]"}
MADE_UP_ROWS = 3
FREE_LENGTH = 4
TRIED_ROWS = 64


@dataclass
class Laid:
    """An input as a node would send it."""

    spec: Spec
    buffers: list[memoryview]

    @property
    def rows(self) -> int:
        """How many rows it has; 0 where its arrays do not agree."""
        if self.spec["kind"] == "table":
            return int(self.spec["rows"])
        lengths = {a["shape"][0] if a["shape"] else 0 for a in self.spec.get("arrays") or [self.spec["array"]]}
        return int(lengths.pop()) if len(lengths) == 1 else 0

    def part(self, start: int, stop: int) -> Laid:
        """Return some of its rows as an input of their own."""
        return self.pick(range(start, stop))

    def pick(self, rows: Sequence[int]) -> Laid:
        """Return the rows of these numbers, in this order and as often as they are named, as an input of their own."""
        chosen = list(rows)
        buffers: list[Buffer] = []

        def cut(spec: Spec, along: int) -> Spec:
            array = take_array(spec, self.buffers)
            return lay_array(np.ascontiguousarray(array[:, chosen] if along else array[chosen]), buffers)

        spec = dict(self.spec)
        if spec["kind"] == "table":
            spec.update(rows=len(chosen), blocks=[cut(b, 1) for b in spec["blocks"]])
        elif spec["kind"] == "tensors":
            spec["arrays"] = [cut(a, 0) for a in spec["arrays"]]
        else:
            spec["array"] = cut(spec["array"], 0)
        for kept in ("quick", "index"):
            spec.pop(kept, None)
        return _laid(spec, buffers)


def saved_example(model: Any, path: str) -> tuple[Any, Any]:
    """Return the example that was saved with a model, and its params; (None, None) where there is none."""
    described = model.metadata
    if not getattr(described, "saved_input_example_info", None):
        return None, None
    params = None
    with contextlib.suppress(AttributeError):  # MLflow before 2.6 has no params
        params = described.load_input_example_params(path)
    return described.load_input_example(path), params


def lay_example(model: Any, example: Any) -> Laid | None:
    """Return an example as a node sends what the signature asks for; None where that is not plain."""
    with contextlib.suppress(Exception):  # an example of another kind than the signature, or with columns missing
        schema = model.metadata.get_input_schema()
        if schema is None:
            return None
        if schema.is_tensor_spec():
            return _lay_tensors(schema, example)
        return _lay_columns(schema, example[:TRIED_ROWS])
    return None


def made_up(model: Any) -> Laid | None:
    """Return a few rows that fit a signature of numbers; None for other signatures."""
    with contextlib.suppress(Exception):  # a signature that this was not written for
        schema = model.metadata.get_input_schema()
        if schema is None:
            return None
        if schema.is_tensor_spec():
            arrays = {s.name: _numbers(s.type, [MADE_UP_ROWS, *s.shape[1:]]) for s in schema.inputs}
            return _lay_tensors(schema, arrays.get(None, arrays))
        kinds = [_NUMPY_TYPES[t.name] for t in schema.input_types()]
        import pandas as pd

        columns = {i: _numbers(np.dtype(kind), [MADE_UP_ROWS]) + 0 * i for i, kind in enumerate(kinds)}
        frame = pd.DataFrame(columns)
        frame.columns = schema.input_names() if schema.has_input_names() else range(len(kinds))
        return _lay_columns(schema, frame)
    return None


def made_up_for_graph(inputs: Sequence[Spec] | None) -> Laid | None:
    """Return a few rows that fit what an ONNX graph says it takes; None where those are no numbers, or not rows."""
    with contextlib.suppress(Exception):  # a type that numpy has not, or a scalar
        buffers: list[Buffer] = []
        arrays = []
        for each in inputs or ():
            first, *others = each["shape"]
            if first >= 0:
                return None
            shape = [MADE_UP_ROWS, *(FREE_LENGTH if length < 0 else length for length in others)]
            arrays.append(lay_array(_numbers(np.dtype(each["dtype"]), shape), buffers))
        if arrays:
            return _laid(
                {"kind": "tensors", "names": [each["name"] for each in inputs or ()], "arrays": arrays}, buffers
            )
    return None


def _numbers(dtype: Any, shape: list[int]) -> Any:
    if any(d < 0 for d in shape) or dtype.kind not in "biuf":
        raise ValueError("a shape or a type that cannot be made up")
    return (np.arange(int(np.prod(shape))).reshape(shape) % 7 * 0.25).astype(dtype)


def _lay_tensors(schema: Any, example: Any) -> Laid:
    buffers: list[Buffer] = []
    if isinstance(example, dict):
        names = [s.name for s in schema.inputs]
        arrays = [_tensor(s, example[s.name]) for s in schema.inputs]
        return _laid({"kind": "tensors", "names": names, "arrays": [lay_array(a, buffers) for a in arrays]}, buffers)
    (spec,) = schema.inputs
    return _laid({"kind": "tensor", "array": lay_array(_tensor(spec, example), buffers)}, buffers)


def _tensor(spec: Any, example: Any) -> Any:
    array = np.asarray(example, dtype=spec.type)[:TRIED_ROWS]
    if array.ndim != len(spec.shape):
        raise ValueError("an example of another shape than the signature")
    return array


def _lay_columns(schema: Any, frame: Any) -> Laid:
    kinds = [{**_NUMPY_TYPES, **_OTHER_TYPES}[t.name] for t in schema.input_types()]
    named = bool(schema.has_input_names())
    names = [str(n) for n in (schema.input_names() if named else range(len(kinds)))]
    columns = [frame[n].to_numpy() if named else frame.iloc[:, i].to_numpy() for i, n in enumerate(names)]
    arrays = [column.astype(kinds[i]) for i, column in enumerate(columns)]
    buffers: list[Buffer] = []
    blocks = []
    start = 0
    for end in range(1, len(kinds) + 1):
        if end == len(kinds) or kinds[end] != kinds[start]:
            block = np.concatenate(arrays[start:end]).reshape(end - start, -1)
            blocks.append(lay_array(block, buffers))
            start = end
    return _laid({"kind": "table", "names": names, "named": named, "rows": len(frame), "blocks": blocks}, buffers)


def _laid(spec: Spec, buffers: list[Buffer]) -> Laid:
    return Laid(spec, [memoryview(bytearray(b)) for b in buffers])
