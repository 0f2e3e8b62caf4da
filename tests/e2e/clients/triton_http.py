"""Calls every method of ``tritonclient.http.InferenceServerClient``, and prints what each gave as one JSON object.

Runs in an environment of its own. Arguments: the server's host and port, the names of the model, of that
of other datatypes, and of that of one tensor.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
from ml_dtypes import bfloat16
from tritonclient import http

from tests.e2e.clients.cases import arrays, as_told
from tests.e2e.clients.triton_refusals import refused


def inputs(*, binary: bool = True, first: float = 1.0) -> list[Any]:
    """Return the model's tensors: numbers, half numbers, words. Only words and numbers have a form in JSON."""
    made = []
    for name, datatype, array in arrays(first):
        tensor = http.InferInput(name, list(array.shape), datatype)
        tensor.set_data_from_numpy(array, binary_data=binary or datatype == "FP16")
        made.append(tensor)
    return made


def outputs(*, binary: bool, classes: int = 0) -> list[Any]:
    """Return a wish for two of the outputs."""
    return [
        http.InferRequestedOutput("scores", binary_data=binary, class_count=classes),
        http.InferRequestedOutput("shouted", binary_data=binary),
    ]


def shown(result: Any) -> dict[str, Any]:
    """Return what an answer holds, as JSON has it."""
    response = result.get_response()
    found: dict[str, Any] = {key: response.get(key) for key in ("model_name", "model_version", "id")}
    for output in response["outputs"]:
        found[output["name"]] = as_told(output["datatype"], result.as_numpy(output["name"]))
    return found


def about(client: Any, model: str) -> dict[str, Any]:
    """Ask what there is."""
    return {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(query_params={"who": "me"}),
        "model_ready": [
            client.is_model_ready(model),
            client.is_model_ready(model, "1"),
            client.is_model_ready("nobody"),
        ],
        "server": client.get_server_metadata(headers={"x-mine": "1"}),
        "model": client.get_model_metadata(model),
        "version": client.get_model_metadata(model, "1"),
        "config": client.get_model_config(model),
    }


def infer(client: Any, model: str) -> dict[str, Any]:
    """Predict in every form that the client has."""
    waiting = [client.async_infer(model, inputs(), request_id=str(n)) for n in range(4)]
    found: dict[str, Any] = {
        "binary": client.infer(model, inputs(), request_id="mine"),
        "json": client.infer(model, inputs(binary=False), outputs=outputs(binary=False)),
        "mixed": client.infer(model, inputs(binary=False), model_version="1", outputs=outputs(binary=True)),
        "classes": client.infer(model, inputs(), outputs=outputs(binary=True, classes=1)),
        "priority": client.infer(model, inputs(), priority=1, timeout=60_000_000),
        "sequence": client.infer(model, inputs(), sequence_id=7, sequence_start=True, sequence_end=True),
        "factor": client.infer(model, inputs(), parameters={"factor": 3.0, "mine": 1}),
    }
    for way in ("gzip", "deflate"):
        found[way] = client.infer(
            model, inputs(), request_compression_algorithm=way, response_compression_algorithm=way
        )
    for n, request in enumerate(waiting):
        found[f"async{n}"] = request.get_result(timeout=60)
    body, size = http.InferenceServerClient.generate_request_body(inputs())
    answer = client._post(f"v2/models/{model}/infer", body, {"Inference-Header-Content-Length": size}, None)
    parsed = http.InferenceServerClient.parse_response_body(
        answer.read(), header_length=int(answer.get("Inference-Header-Content-Length"))
    )
    return {name: shown(result) for name, result in {**found, "by_hand": parsed}.items()}


def kinds(client: Any, model: str) -> dict[str, Any]:
    """Predict with the datatypes that the first model has not, in binary and, but for BF16, in JSON."""
    found = {}
    for form in ("binary", "json"):
        made = []
        for name, datatype, array in (
            ("w", "BF16", np.array([[1.0], [-2.5]], bfloat16)),
            ("flag", "BOOL", np.array([[True], [False]])),
            ("n", "INT64", np.array([[2**62], [-3]], np.int64)),
        ):
            tensor = http.InferInput(name, list(array.shape), datatype)
            tensor.set_data_from_numpy(array, binary_data=form == "binary" or datatype == "BF16")
            made.append(tensor)
        wanted = [http.InferRequestedOutput(name, binary_data=form == "binary") for name in ("w", "flag", "n", "none")]
        found[form] = shown(client.infer(model, made, outputs=wanted))
    return found


def raw(client: Any, model: str) -> dict[str, Any]:
    """Send a tensor's bytes and nothing else; read what comes back as an answer."""
    values = np.array([[1.0, 2.5]], np.float32).tobytes()
    answer = client._post(f"v2/models/{model}/infer", values, {"Inference-Header-Content-Length": 0}, None)
    size = int(answer.get("Inference-Header-Content-Length"))
    return shown(http.InferenceServerClient.parse_response_body(answer.read(), header_length=size))


def repository(client: Any, model: str) -> dict[str, Any]:
    """Load, unload, and look at the index each time."""

    def standing() -> list[Any]:
        rows = [row for row in client.get_model_repository_index() if row["name"] == model]
        return [client.is_model_ready(model), [row["state"] for row in rows]]

    client.load_model(model)
    found: dict[str, Any] = {"loaded": standing()}
    client.unload_model(model)
    found["unloaded"] = standing()
    client.load_model(model)
    found["again"] = standing()
    client.unload_model(model, unload_dependents=True)
    client.infer(model, inputs())
    found["asked"] = standing()
    found["config"] = refused(lambda: client.load_model(model, config="{}"))
    found["files"] = refused(lambda: client.load_model(model, config="{}", files={"file:1/model.onnx": b"x"}))
    found["unknown"] = refused(lambda: client.load_model("nobody"))
    return found


def refusals(client: Any, model: str) -> dict[str, Any]:
    """Ask for what cannot be had: each must be a proper error of the client's."""
    good = inputs()
    return {
        "unknown_model": refused(lambda: client.infer("nobody", good)),
        "unknown_version": refused(lambda: client.infer(model, good, model_version="9")),
        "unknown_metadata": refused(lambda: client.get_model_metadata("nobody")),
        "unknown_config": refused(lambda: client.get_model_config(model, "9")),
        "unknown_statistics": refused(lambda: client.get_inference_statistics("nobody")),
        "missing_input": refused(lambda: client.infer(model, good[:1])),
        "unknown_output": refused(lambda: client.infer(model, good, outputs=[http.InferRequestedOutput("y")])),
        "timeout": refused(lambda: client.infer(model, inputs(first=-9.0), timeout=200_000)),
        "trace_get": refused(client.get_trace_settings),
        "trace_model": refused(lambda: client.get_trace_settings(model)),
        "trace_set": refused(lambda: client.update_trace_settings(settings={"trace_rate": "1"})),
        "log_get": refused(client.get_log_settings),
        "log_set": refused(lambda: client.update_log_settings({"log_info": True})),
        "shared": refused(client.get_system_shared_memory_status),
        "share": refused(lambda: client.register_system_shared_memory("mine", "/mine", 64)),
        "unshare": refused(client.unregister_system_shared_memory),
        "cuda": refused(client.get_cuda_shared_memory_status),
        "cuda_share": refused(lambda: client.register_cuda_shared_memory("mine", b"handle", 0, 64)),
        "cuda_unshare": refused(client.unregister_cuda_shared_memory),
    }


def main() -> None:
    """Call everything."""
    where, model, other, single = sys.argv[1:]
    with http.InferenceServerClient(where, concurrency=4) as client:
        found = {"about": about(client, model), "infer": infer(client, model)}
        found["statistics"] = {
            "all": client.get_inference_statistics(),
            "model": client.get_inference_statistics(model),
            "version": client.get_inference_statistics(model, "1"),
        }
        found |= {"kinds": kinds(client, other), "raw": raw(client, single)}
        found["repository"] = repository(client, model)
        found["refusals"] = refusals(client, model)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
