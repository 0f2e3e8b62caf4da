"""The model that clients of the Open Inference Protocol are tried on, by HTTP and gRPC, and how their scripts are run.

Three tensors in and out: numbers, half numbers, words; beside it a model of other datatypes, and one of a single
tensor. A script runs in its client's own environment and prints one JSON object.
"""

from __future__ import annotations

import json
import os
import subprocess
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from tests.e2e.control import Control
from tests.support.environments import ROOT, client_python
from tests.support.models import SavedModels

CLIENTS = Path(__file__).with_name("clients")
BODY = """
import time
if model_input["x"].min() < 0:
    time.sleep(0.7)
scores = model_input["x"] * np.float32((params or {}).get("factor", 2.0))
shouted = np.array([[word.upper() for word in row] for row in model_input["words"].astype(str)], dtype=object)
return {"scores": scores, "halves": model_input["h"] / np.float16(2), "shouted": shouted}
"""
OTHER_BODY = """
given = {name: model_input[name] for name in ("w", "flag", "n")}
return {"w": given["w"] * 2, "flag": ~given["flag"], "n": given["n"] - 1, "none": np.zeros((0, 4), dtype=np.float32)}
"""
SINGLE_BODY = "return {'sum': model_input['x'].sum(axis=1)}"
SCORES: list[Any] = ["FP32", [3, 2], [2.0, 4.0, 6.0, 8.0, 10.0, 12.0]]
HALVES = ["FP16", [3, 1], [0.25, 0.5, 0.75]]
SHOUTED = ["BYTES", [3, 1], ["A", "", "KÖLN"]]


def serve(control: Control, saved_models: SavedModels, directory: Path, name: str) -> None:
    """Register the model below a name, and give it the traffic."""
    from mlflow.types import ParamSchema, ParamSpec

    taken = _tensors(x=("float32", 2), h=("float16", 1), words=("object", 1))
    given = _tensors(scores=("float32", 2), halves=("float16", 1), shouted=("object", 1))
    params = ParamSchema([ParamSpec("factor", "double", 2.0)])
    _save(saved_models, directory, BODY, inputs=taken, outputs=given, params=params)
    control.promote(name, control.add(name, directory))


def serve_others(control: Control, saved_models: SavedModels, directory: Path, name: str) -> tuple[str, str]:
    """Register a model of other datatypes with an output of no elements, and one of a single tensor; return their
    names."""
    other, single = f"{name}-other", f"{name}-single"
    taken = _tensors(w=("float32", 1), flag=("bool", 1), n=("int64", 1))
    given = _tensors(w=("float32", 1), flag=("bool", 1), n=("int64", 1), none=("float32", 4))
    _save(saved_models, directory / other, OTHER_BODY, inputs=taken, outputs=given)
    _save(saved_models, directory / single, SINGLE_BODY, inputs=_tensors(x=("float32", 2)))
    for each in (other, single):
        control.promote(each, control.add(each, directory / each))
    return other, single


def _tensors(**kinds: tuple[str, int]) -> Any:
    from mlflow.types import Schema, TensorSpec

    return Schema([TensorSpec(np.dtype(kind), (-1, width), name) for name, (kind, width) in kinds.items()])


def _save(saved_models: SavedModels, directory: Path, body: str, **signature: Any) -> None:
    from mlflow.models import ModelSignature

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow warns of itself when it is imported
        saved_models.save_custom(directory, body, signature=ModelSignature(**signature))


def told(client: str, script: str, *arguments: str) -> dict[str, Any]:
    """Run a client's script; return what it printed."""
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "PYTHONPATH": str(ROOT)}
    command = [client_python(client), str(CLIENTS / script), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
