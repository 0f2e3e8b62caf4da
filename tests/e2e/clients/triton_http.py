"""Calls every method of ``tritonclient.http.InferenceServerClient``, and prints what each gave as one JSON object.

Runs in an environment of its own. Arguments: the server's host and port, the model's name.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from tritonclient import http
from tritonclient.utils import InferenceServerException

ROWS = 3


def inputs(*, binary: bool = True, first: float = 1.0) -> list[Any]:
    """Return the model's tensors: numbers, half numbers, words. Only words and numbers have a form in JSON."""
    x = np.arange(first, first + 2 * ROWS, dtype=np.float32).reshape(ROWS, 2)
    h = np.linspace(0.5, 1.5, ROWS, dtype=np.float16).reshape(ROWS, 1)
    words = np.array([["a"], [""], ["köln"]], dtype=object)
    made = []
    for name, datatype, array in (("x", "FP32", x), ("h", "FP16", h), ("words", "BYTES", words)):
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
        array = result.as_numpy(output["name"])
        values = [v.decode() if isinstance(v, bytes) else v for v in array.reshape(-1).tolist()]
        found[output["name"]] = [output["datatype"], list(array.shape), values]
    return found


def refused(call: Callable[[], Any]) -> list[str]:
    """Return status and message of the refusal that a call must end with."""
    try:
        return ["no refusal", str(call())]
    except InferenceServerException as error:
        return [str(error.status()), error.message()]


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
    where, model = sys.argv[1:]
    with http.InferenceServerClient(where, concurrency=4) as client:
        found = {"about": about(client, model), "infer": infer(client, model)}
        found["statistics"] = {
            "all": client.get_inference_statistics(),
            "model": client.get_inference_statistics(model),
            "version": client.get_inference_statistics(model, "1"),
        }
        found["repository"] = repository(client, model)
        found["refusals"] = refusals(client, model)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
