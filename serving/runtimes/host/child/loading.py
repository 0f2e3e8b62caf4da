"""Loads a model as MLflow loads it, and knows where MLflow keeps what it wraps. For MLflow 2.0 and newer.

Not here: trying the model out (``rehearsal.py``).
"""

from __future__ import annotations

import contextlib
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
    return mlflow.pyfunc.load_model(path, suppress_warnings=True)


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
