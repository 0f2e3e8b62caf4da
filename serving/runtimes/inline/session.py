"""An ONNX session as the serving process wants it: one thread, no spinning, and memory that comes back.

onnxruntime is imported here, on first use: a node without inline versions never pays for it. What is fed and what comes
out are as MLflow's own wrapper has them (``mlflow.onnx._OnnxModelWrapper``, 3.17), so that a version answers alike
wherever it runs. Not here: when to run (``engine.py``), and whether a graph may run here at all (``probe.py``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from registry.graphs.fit import GRAPH_FILE
from serving.exchange import (
    Array,
    Call,
    JsonOutput,
    Output,
    Table,
    TableOutput,
    TensorInput,
    TensorsInput,
    TensorsOutput,
)

Feeds = dict[str, Array]
_DTYPES = {"float": "float32", "double": "float64", "string": "str"}
_FLOAT64 = np.dtype(np.float64)  # comparing with the class would make this anew each time
_CELL_BYTES = 16


class Session:
    """One loaded graph. ``run`` may be called from several threads."""

    def __init__(self, directory: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.load_model_format", "ONNX")  # the one format that was judged
        options.enable_cpu_mem_arena = False  # it would keep what the largest request took; runs are no slower without
        options.log_severity_level = 4  # it would write names from the graph to our log
        session = onnxruntime.InferenceSession(
            str(directory / GRAPH_FILE), sess_options=options, providers=["CPUExecutionProvider"]
        )
        self.inputs: tuple[Any, ...] = tuple(session.get_inputs())
        self._outputs: tuple[Any, ...] = tuple(session.get_outputs())
        self.outputs: tuple[str, ...] = tuple(output.name for output in self._outputs)
        self._run: Callable[[Sequence[str], Feeds], list[Any]] = session.run
        self._floats = frozenset(i.name for i in self.inputs if i.type == "tensor(float)")
        self._only: str | None = self.inputs[0].name if len(self.inputs) == 1 else None

    def describe_inputs(self) -> list[dict[str, Any]]:
        """Return the graph's inputs as a host describes them."""
        return [_described(each, each.shape) for each in self.inputs]

    def describe_outputs(self) -> list[dict[str, Any]]:
        """Return the graph's outputs as a host describes them: what is no tensor as objects, one a row."""
        return [
            _described(each, each.shape or [None])
            if each.type.startswith("tensor(")
            else {"name": each.name, "dtype": "object", "shape": [-1]}
            for each in self._outputs
        ]

    def feeds(self, call: Call) -> Feeds:
        """Return what the graph is fed for a call; raise as MLflow's wrapper would."""
        data = call.data
        if type(data) is TensorInput:
            feeds = {self._single(): data.array}
        elif type(data) is Table:
            feeds = self._columns(data)
        elif isinstance(data, TensorsInput):
            feeds = dict(data.arrays)
        else:
            raise TypeError("Input should be a dictionary or a numpy array or a pandas.DataFrame")
        for name, fed in feeds.items():
            if not fed.flags.aligned:  # a view of a body; the graph's kernels count on the alignment of their type
                feeds[name] = fed.copy()
        for name in self._floats:
            array = feeds.get(name)
            if array is not None and array.dtype == _FLOAT64:
                feeds[name] = array.astype(np.float32)
        return feeds

    def run(self, feeds: Feeds) -> list[Any]:
        """Run the graph once; raise onnxruntime's own errors."""
        return self._run(self.outputs, feeds)

    def output(self, call: Call, results: Sequence[Any]) -> Output:
        """Return results in the shape that MLflow gives them: a table for a table, else a dict.

        Of outputs that make no table, as labels (n,) beside probabilities (n, k), MLflow raises; those are a dict too.
        """
        if type(call.data) is Table and len(set(map(_count, results))) == 1:
            return self._table(results)
        size = 0
        for result in results:
            if type(result) is not np.ndarray:
                values = {n: _listed(r) for n, r in zip(self.outputs, results, strict=True)}
                return JsonOutput(values, sum(map(_weight, results)))
            size += _weight(result)
        return TensorsOutput(dict(zip(self.outputs, results, strict=True)), size)

    def _single(self) -> str:
        if self._only is None:
            raise ValueError(f"this model takes {len(self.inputs)} named inputs, and was given one array")
        return self._only

    def _columns(self, table: Table) -> Feeds:
        arrays: Any = table.arrays
        if self._only is None:
            columns = dict(zip(table.names, arrays, strict=True))
            return {each.name: columns[each.name] for each in self.inputs}
        if type(arrays) is np.ndarray:  # requests that were joined lie in one piece already
            return {self._only: arrays.T}
        first = arrays[0].dtype
        dtype = first if all(a.dtype == first for a in arrays) else np.result_type(*arrays)
        return {self._only: np.concatenate(arrays, dtype=dtype).reshape(len(arrays), -1).T}

    def _table(self, results: Sequence[Any]) -> Output:
        columns = tuple(_flat(result) for result in results)
        return TableOutput(Table(self.outputs, columns), sum(map(_weight, columns)))


def synthetic(session: Session, rows: int, fill: str) -> Feeds:
    """Return ``rows`` made-up rows: ``zeros``, ``normal``, ``large`` or ``missing`` numbers."""
    feeds = {}
    random = np.random.default_rng(0)
    for each in session.describe_inputs():
        shape = [rows if d < 0 else d for d in each["shape"]]
        dtype = np.dtype(each["dtype"])
        if dtype.kind == "f":
            large = float(np.finfo(dtype).max)
            value = {"zeros": 0.0, "large": large, "missing": math.nan}.get(fill)
            array = random.normal(size=shape) if value is None else np.full(shape, value)
        else:
            high = 1 if dtype.kind == "b" else int(np.iinfo(dtype).max)
            array = {"zeros": np.zeros(shape), "normal": random.integers(0, 2, shape)}.get(fill, np.full(shape, high))
        feeds[each["name"]] = array.astype(dtype)
    return feeds


def _described(each: Any, shape: Sequence[Any]) -> dict[str, Any]:
    element = each.type[len("tensor(") : -1]
    lengths = [d if isinstance(d, int) and d >= 0 else -1 for d in shape]
    return {"name": each.name, "dtype": _DTYPES.get(element, element), "shape": lengths}


def _count(result: Any) -> int:
    return int(result.size) if type(result) is np.ndarray else len(result)


def _flat(result: Any) -> Array:
    if type(result) is np.ndarray:
        return result.reshape(-1)
    cells = np.empty(len(result), dtype=object)
    cells[:] = _texts(result)
    return cells


def _listed(result: Any) -> Any:
    return result.tolist() if type(result) is np.ndarray else _texts(result)


def _texts(maps: Sequence[Mapping[Any, float]]) -> list[dict[str, float]]:
    """Return ZipMap's dicts with keys as JSON has them."""
    return [{str(key): value for key, value in each.items()} for each in maps]


def _weight(result: Any) -> int:
    if type(result) is np.ndarray:
        return _CELL_BYTES * result.size if result.dtype.hasobject else int(result.nbytes)
    return len(result) * _CELL_BYTES * (len(result[0]) if len(result) and isinstance(result[0], dict) else 1)
