"""The host: loads one model, says so, and answers predicts one after another until the node closes the socket.

Whatever a model's code raises is an answer; what ends the process (``os._exit``, a crash of native code) the node sees
by the socket's end. Not here: how values travel (``values.py``), and what is given up beforehand (``system.confine``).
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import random
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .system import confine, private_bytes
from .wire import BODY_LIMIT, Stream, pack

MESSAGE_LIMIT = 1024


def run(connection: socket.socket, model_path: str, home: str) -> None:
    """Be the host of the model in ``model_path``, with ``home`` as its own directory."""
    for name in ("HOME", "TMPDIR", "MPLCONFIGDIR", "XDG_CACHE_HOME"):
        os.environ[name] = home
    os.chdir(home)
    tempfile.tempdir, sys.argv = None, ["model"]
    confined = confine()
    started = time.perf_counter()
    try:
        model = _load(model_path)
        graph_inputs = _graph_inputs(model)
    except BaseException as error:  # noqa: BLE001 -- process edge: what a model raises in loading, exits included
        connection.sendall(pack(dict(failure(error), op="failed")))
        return
    seconds = time.perf_counter() - started
    ready = {"op": "ready", "seconds": seconds, "memory": private_bytes(), "graph_inputs": graph_inputs}
    connection.sendall(pack(dict(ready, confined=confined)))
    stream = Stream(connection)
    while True:
        frame = stream.read()
        if frame is None:
            return
        connection.sendall(answer(model, *frame))
        frame = None  # not kept until the next request comes


def _load(path: str) -> Any:
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


def _graph_inputs(model: Any) -> Any:
    dtypes = {"float": "float32", "double": "float64", "string": "object"}
    found = []
    with contextlib.suppress(Exception):  # not an ONNX model, or one with inputs that are no tensors
        for each in model._model_impl.rt.get_inputs():
            element = each.type[len("tensor(") : -1]
            shape = [d if isinstance(d, int) and d >= 0 else -1 for d in each.shape]
            found.append({"name": each.name, "dtype": dtypes.get(element, element), "shape": shape})
        return found
    return None


def answer(model: Any, header: dict[str, Any], buffers: Sequence[memoryview]) -> bytes:
    """Return the frame that answers one request."""
    from .values import OutputInvalid, lay_output, take_input, take_json

    try:
        data = take_input(header["input"], buffers)
        if "params" in header:  # else not named at all: MLflow before 2.6 does not know them
            result = model.predict(data, params=take_json(buffers[header["params"]]))
        else:
            result = model.predict(data)
        parts: list[bytes] = []
        output = lay_output(result, parts)
        if sum(map(len, parts)) > BODY_LIMIT:
            raise OutputInvalid(f"the model's answer is larger than {BODY_LIMIT >> 20} MiB")
        return pack({"id": header["id"], "output": output}, parts)
    except BaseException as error:  # noqa: BLE001 -- process edge: what a model raises, exits included, is the answer
        return pack(dict(failure(error), id=header["id"]))


def failure(error: BaseException) -> dict[str, Any]:
    """Return an exception as its type and message; never its trace."""
    try:
        message = str(error)[:MESSAGE_LIMIT]
    except Exception:  # noqa: BLE001 -- an exception whose own text fails
        message = ""
    name = type(error).__name__[:100]
    code = "model_output_invalid" if name == "OutputInvalid" else "model_error"
    return {"error": {"code": code, "type": name, "message": message}}
