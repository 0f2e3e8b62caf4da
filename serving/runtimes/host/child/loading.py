"""Loads a model as MLflow loads it, and knows where MLflow keeps what it wraps. For MLflow 2.0 and newer.

Not here: trying the model out (``rehearsal.py``).
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import random
from pathlib import Path
from typing import Any


def load(path: str) -> Any:
    """Return the model in a directory."""
    import mlflow.pyfunc
    import numpy as np

    importlib.import_module(f"{__package__}.values")  # now, so that the first request need not wait for it
    random.seed()  # a fork begins with its parent's generators
    np.random.seed()
    gc.enable()
    with (Path(path) / "MLmodel").open("rb") as text:
        if b"onnx" in text.read(1 << 20):
            _single_thread_onnx()
    # The check of requirements that this skips takes longer than loading; the environment was chosen by them.
    model = mlflow.pyfunc.load_model(path, suppress_warnings=True)
    if loader_of(model) == "mlflow.onnx":
        with contextlib.suppress(AttributeError):  # another MLflow than this was written for: its own way is there
            _answer_uneven_outputs(model)
    return model


def _answer_uneven_outputs(model: Any) -> None:
    """Have a graph answer by name, as it answers arrays, what MLflow raises of because no DataFrame can hold it: labels
    (n,) beside probabilities (n, k). The node's own sessions do so too."""
    import numpy as np
    import pandas as pd

    wrapper = model._model_impl
    predict, names = wrapper.predict, [name for name, _ in wrapper.inputs]
    known = False  # once it was so, MLflow's table is not tried first: that would run each request twice

    def by_name(frame: Any, *args: Any, **kwargs: Any) -> Any:
        fed = {name: frame[name].values for name in names} if len(names) > 1 else frame.values
        outputs = predict(fed, *args, **kwargs)
        return outputs if len({np.size(output) for output in outputs.values()}) > 1 else None

    @functools.wraps(predict)
    def answer(data: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal known
        if known and isinstance(data, pd.DataFrame):
            outputs = by_name(data, *args, **kwargs)
            if outputs is not None:
                return outputs
        try:
            return predict(data, *args, **kwargs)
        except ValueError:
            outputs = by_name(data, *args, **kwargs) if isinstance(data, pd.DataFrame) else None
            if outputs is None:
                raise
            known = True
            return outputs

    wrapper.predict = answer
    if hasattr(model, "_predict_fn"):  # where MLflow does not ask the wrapper each time
        model._predict_fn = answer


def _single_thread_onnx() -> None:
    # MLflow makes a session with a spinning thread for each core, unless the model says otherwise.
    try:
        import onnxruntime
    except ImportError:
        return

    class SingleThreaded(onnxruntime.SessionOptions):  # type: ignore[misc]
        """Options with one thread."""

        def __init__(self) -> None:
            super().__init__()
            self.intra_op_num_threads = self.inter_op_num_threads = 1
            self.add_session_config_entry("session.intra_op.allow_spinning", "0")

    onnxruntime.SessionOptions = SingleThreaded


def loader_of(model: Any) -> str:
    """Return the name of the module that loaded a model: ``mlflow.sklearn``, say; empty where MLflow does not tell."""
    with contextlib.suppress(Exception):
        return str(model.metadata.flavors["python_function"]["loader_module"])
    return ""


def session_of(model: Any) -> Any:
    """Return the session of an ONNX model; None for others."""
    with contextlib.suppress(Exception):
        return model._model_impl.rt
    return None


def graph_inputs(model: Any) -> Any:
    """Return what an ONNX graph takes; None for other models, and for inputs that are no tensors."""
    with contextlib.suppress(Exception):
        return [_tensor(each, each.shape) for each in session_of(model).get_inputs()]
    return None


def graph_outputs(model: Any) -> Any:
    """Return what an ONNX graph answers; None for other models. What is no tensor there is told as one of objects, one
    a row; and a shape that nobody knows, or that has no axes, as one axis of any length."""
    with contextlib.suppress(Exception):
        return [
            _tensor(each, each.shape or [None])
            if each.type.startswith("tensor(")
            else {"name": each.name, "dtype": "object", "shape": [-1]}
            for each in session_of(model).get_outputs()
        ]
    return None


def _tensor(each: Any, shape: Any) -> dict[str, Any]:
    dtypes = {"float": "float32", "double": "float64", "string": "str"}
    element = each.type[len("tensor(") : -1]
    lengths = [d if isinstance(d, int) and d >= 0 else -1 for d in shape]
    return {"name": each.name, "dtype": dtypes.get(element, element), "shape": lengths}
