"""The ways to call a model, of which the fastest that has been seen to answer the same is taken.

MLflow's own predict enforces the signature, which takes longer than many a model, and which the node has done already.
So there is a *full* way (MLflow's predict), a *flavour* way (what it would call after that), and, where all columns are
numbers of one type, an *array* way that spares the DataFrame. Another form of input than the one that was tried, or
params, goes the full way. Not here: what is tried (``rehearsal.py``).
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .example import Laid
from .loading import session_of
from .values import Spec, take_array, take_input, take_json

ARRAY_LOADERS = ("mlflow.sklearn", "mlflow.xgboost", "mlflow.lightgbm", "mlflow.catboost")
_NAMELESS = "X does not have valid feature names"
Way = Callable[[Spec, Sequence[memoryview]], Any]


class Model:
    """A loaded model, with the way that it is called.

    Attributes:
        way: ``full``, ``flavour`` or ``array``.
    """

    def __init__(self, model: Any, loader: str) -> None:
        self._model, self._loader = model, loader
        self._texts = _texts_of(model)
        self._is_graph = session_of(model) is not None
        self._form: Any = None
        self._quick: Way | None = None
        self.way = "full"

    def predict(self, spec: Spec, buffers: Sequence[memoryview], params: int | None = None) -> Any:
        """Return the model's answer to an input as it came; ``params`` is the number of their buffer."""
        if params is not None:  # else not named at all: MLflow before 2.6 does not know them
            return self._model.predict(self._input(spec, buffers), params=take_json(buffers[params]))
        if self._quick is not None:
            quick = spec.get("quick")  # headers of equal requests are one object
            if quick is None:
                quick = spec["quick"] = form_of(spec) == self._form
            if quick:
                return self._quick(spec, buffers)
        return self._full(spec, buffers)

    @property
    def streams(self) -> bool:
        """Whether the model answers piece by piece as well; MLflow before 2.12 knows of none that does."""
        try:
            said = self._model.metadata.flavors["python_function"].get("streamable")
        except Exception:  # noqa: BLE001 -- another MLflow than this was written for
            return False
        return said is True and hasattr(self._model, "predict_stream")

    def stream(self, spec: Spec, buffers: Sequence[memoryview], params: int | None = None) -> Any:
        """Return the pieces of the model's answer to come; ``params`` as for ``predict``. MLflow's own way, always."""
        given = {} if params is None else {"params": take_json(buffers[params])}
        return self._model.predict_stream(self._input(spec, buffers), **given)

    def choose(self, laid: Laid) -> None:
        """Take the fastest way whose answer to ``laid`` is that of the full one; raise what that one raises."""
        expected, complaints = _watched(self._full, laid)
        for name, way in (("array", self._array_way(laid.spec)), ("flavour", self._flavour_way())):
            if way is not None and _agrees(way, laid, expected, complaints):
                self._form, self._quick, self.way = form_of(laid.spec), way, name
                break
        if self.way == "array":  # the names are right: they are those of the form
            warnings.filterwarnings("ignore", message=_NAMELESS)

    def _full(self, spec: Spec, buffers: Sequence[memoryview]) -> Any:
        return self._model.predict(self._input(spec, buffers))

    def _input(self, spec: Spec, buffers: Sequence[memoryview]) -> Any:
        """Return an input; tensors of text as numpy's own, which is what MLflow asks for where it found such ones."""
        data = take_input(spec, buffers)
        if self._is_graph:
            return {name: _decoded(array) for name, array in data.items()} if isinstance(data, dict) else _decoded(data)
        if not self._texts:
            return data
        if isinstance(data, dict):
            return {name: _as_text(array, self._texts.get(name)) for name, array in data.items()}
        return _as_text(data, self._texts.get(None))

    def _flavour_way(self) -> Way | None:
        function = self._flavour_function()
        if function is None:
            return None
        return lambda spec, buffers: function(self._input(spec, buffers))

    def _array_way(self, spec: Spec) -> Way | None:
        function = self._flavour_function()
        blocks = spec.get("blocks", ())
        if (
            function is None
            or self._loader not in ARRAY_LOADERS
            or len(blocks) != 1
            or blocks[0]["dtype"] in ("O", "S")
        ):
            return None
        return lambda spec, buffers: function(take_array(spec["blocks"][0], buffers).T)

    def _flavour_function(self) -> Callable[[Any], Any] | None:
        try:
            if getattr(self._model.metadata.signature, "params", None):
                return None  # MLflow fills in what is not given
            function = getattr(self._model, "_predict_fn", None) or self._model._model_impl.predict
            params = inspect.signature(function).parameters.get("params")
        except Exception:  # noqa: BLE001 -- another MLflow than this was written for: the full way is there
            return None
        if params is None or params.kind is inspect.Parameter.VAR_KEYWORD:
            return function  # type: ignore[no-any-return]
        return lambda data: function(data, params=None)


def _texts_of(model: Any) -> dict[Any, str]:
    """Return which of a signature's tensors are numpy's texts (``U``) or bytes (``S``), by name; None names the only
    one."""
    try:
        kinds = {spec.name: spec.type.kind for spec in model.metadata.signature.inputs.inputs if hasattr(spec, "shape")}
    except Exception:  # noqa: BLE001 -- no signature, or another MLflow than this was written for
        return {}
    return {name: kind for name, kind in kinds.items() if kind in "US"}


def _as_text(data: Any, kind: Any) -> Any:
    return data.astype(kind) if kind and isinstance(data, np.ndarray) and data.dtype == object else data


def _decoded(data: Any) -> Any:
    """Return bytes among objects as the text that they are: onnxruntime would take how Python writes them."""
    if not isinstance(data, np.ndarray) or data.dtype != object:
        return data
    cells = [cell.decode() if type(cell) is bytes else cell for cell in data.ravel()]
    decoded = np.empty(len(cells), dtype=object)
    decoded[:] = cells
    return decoded.reshape(data.shape)


def form_of(spec: Spec) -> Any:
    """Return what two inputs have in common that differ in their rows alone."""
    kind = spec["kind"]
    if kind == "table":
        return kind, spec["named"], list(spec["names"]), [(b["dtype"], b["shape"][0]) for b in spec["blocks"]]
    if kind == "tensor":
        return kind, spec["array"]["dtype"], list(spec["array"]["shape"][1:])
    if kind == "tensors":
        return kind, list(spec["names"]), [(a["dtype"], list(a["shape"][1:])) for a in spec["arrays"]]
    return None


def _watched(way: Way, laid: Laid) -> tuple[Any, set[str]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        answer = way(laid.spec, laid.buffers)
    return answer, {str(w.message) for w in caught}


def _agrees(way: Way, laid: Laid, expected: Any, complaints: set[str]) -> bool:
    try:
        answer, others = _watched(way, laid)
        return same(answer, expected) and all(o in complaints or o.startswith(_NAMELESS) for o in others)
    except Exception:  # noqa: BLE001 -- whatever this way raises, it is not taken
        return False


def same(one: Any, other: Any) -> bool:
    """Tell whether two answers are the same to the last bit: type, dtype, shape, names and values."""
    import pandas as pd

    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        if one.dtype != other.dtype or one.shape != other.shape:
            return False
        return bool(np.array_equal(one, other, equal_nan=one.dtype.kind in "fc"))
    if isinstance(one, pd.DataFrame):
        return list(one.columns) == list(other.columns) and one.equals(other)
    if isinstance(one, pd.Series):
        return bool(one.name == other.name) and one.equals(other)
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[k], other[k]) for k in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return isinstance(one, (str, bytes, bool, int, float, type(None), np.generic)) and bool(one == other)
