"""TensorFlow Serving's REST and KServe V1 as their callers speak them: documented requests, curl, KServe's client.

KServe's client runs in an environment of its own; everything asks the running platform.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import warnings
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.e2e.control import Control
from tests.support.environments import ROOT, client_python
from tests.support.models import SavedModels

pytestmark = pytest.mark.e2e
CLIENTS = Path(__file__).with_name("clients")
DOCUMENTED = json.loads((ROOT / "tests" / "wire" / "tfs" / "documented.json").read_text())["cases"]
HALF = 'return {"y": model_input["x"] * np.float32(0.5) + np.float32(3)}'
SHAPES = """
signal = model_input["signal"]
return {
    "classes": np.array([str(tag).upper() for tag in model_input["tag"]], dtype=object),
    "scores": np.stack([signal[:, 0], signal.sum(axis=1)], axis=1),
    "thumbnail_bytes": np.array([bytes(image)[:3] for image in model_input["image"]], dtype=object),
}
"""


@pytest.fixture(scope="module")
def where(control: Control, saved_models: SavedModels, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Serve a model of one number, and one of text, numbers and bytes; return the server's URL."""
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    x = Schema([TensorSpec(np.dtype("float32"), (-1,), "x")])
    several = Schema(
        [
            TensorSpec(np.dtype("object"), (-1,), "tag"),
            TensorSpec(np.dtype("float32"), (-1, 3), "signal"),
            TensorSpec(np.dtype("object"), (-1,), "image"),
        ]
    )
    for name, body, inputs in (("half", HALF, x), ("shapes", SHAPES, several)):
        directory = tmp_path_factory.mktemp("tfs") / name
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MLflow warns of itself when it is imported
            saved_models.save_custom(directory, body, signature=ModelSignature(inputs=inputs))
        version = control.add(name, directory)
        control.promote(name, version)
    control.ask("PUT", "/models/half/aliases/stable", json={"version": "1"}, headers={"if-match": '"0"'})
    return control.platform.serving_url


def test_documented_requests_get_the_documented_answers(where: str) -> None:
    """Each request of their documentation, byte for byte, has the answer that the file says."""
    with httpx.Client(base_url=where, timeout=60) as client:
        for case in DOCUMENTED:
            answer = client.post(case["path"], content=case["body"])
            assert (answer.status_code, answer.json()) == (case["status"], case["answer"]), case["path"]


def curl(*arguments: str) -> tuple[int, Any]:
    """Run curl; return the status and the answer's JSON."""
    command = ["curl", "--silent", "--show-error", "--max-time", "60", "--write-out", "\n%{http_code}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    body, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(body)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_asks_as_in_their_documentation(where: str) -> None:
    """The documented commands work as they stand; curl calls the body a form."""
    body = '{"instances": [1.0,2.0,5.0]}'
    assert curl("-d", body, "-X", "POST", f"{where}/v1/models/half:predict") == (200, {"predictions": [3.5, 4.0, 5.5]})
    status, found = curl(f"{where}/v1/models/half")
    assert (status, found["model_version_status"]) == (
        200,
        [{"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}],
    )
    status, found = curl(f"{where}/v1/models/half/metadata")
    signature = found["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["inputs"]["x"]["dtype"] == "DT_FLOAT"
    assert found["model_spec"] == {"name": "half", "signature_name": "", "version": "1"}
    missing = curl("-d", body, "-X", "POST", f"{where}/v1/models/nobody:predict")
    assert missing == (404, {"error": "Servable not found for request: Latest(nobody)"})


@pytest.fixture(scope="module")
def kserve(where: str) -> dict[str, Any]:
    """What ``kserve.InferenceRESTClient`` got in protocol v1."""
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "PYTHONPATH": str(ROOT)}
    command = [client_python("kserve"), str(CLIENTS / "kserve_v1.py"), where, "half"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_kserves_client_predicts(kserve: dict[str, Any]) -> None:
    """Liveness, readiness and predictions of rows need no change; columns are answered as TensorFlow Serving does."""
    assert (kserve["live"], kserve["model_ready"]) == (True, True)
    assert kserve["rows"] == {"predictions": [3.5, 4.0]}
    assert kserve["columns"] == {"outputs": [3.5, 4.0]}
    assert kserve["arm"] == "stable"


def test_kserves_client_reads_every_refusal(kserve: dict[str, Any]) -> None:
    """Each is its HTTP error with our words; what v1 has not, the client refuses itself."""
    refusals = kserve["refusals"]
    statuses = {"unknown": 404, "unknown_ready": 404, "malformed": 400, "explain": 501}
    for name, status in statuses.items():
        assert refusals[name][0] == status, refusals[name]
    assert "Servable not found for request: Latest(nobody)" in refusals["unknown"][1]
    assert "Missing 'inputs' or 'instances' key" in refusals["malformed"][1]
    assert "explanations are not implemented" in refusals["explain"][1]
    assert refusals["server_ready"][0] == "UnsupportedProtocol"
