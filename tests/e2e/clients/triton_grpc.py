"""Calls every method of ``tritonclient.grpc.InferenceServerClient``, and prints what each gave as one JSON object.

Runs in an environment of its own. Arguments: the server's host and port, the model's name.
"""

from __future__ import annotations

import json
import queue
import sys
from functools import partial
from typing import Any

import tritonclient.grpc as rpc

from tests.e2e.clients.cases import arrays, as_told
from tests.e2e.clients.triton_refusals import refused


def inputs(first: float = 1.0) -> list[Any]:
    """Return the model's tensors: numbers, half numbers, words."""
    made = []
    for name, datatype, array in arrays(first):
        tensor = rpc.InferInput(name, list(array.shape), datatype)
        tensor.set_data_from_numpy(array)
        made.append(tensor)
    return made


def outputs(classes: int = 0) -> list[Any]:
    """Return a wish for two of the outputs."""
    return [rpc.InferRequestedOutput("scores", class_count=classes), rpc.InferRequestedOutput("shouted")]


def shown(result: Any) -> dict[str, Any]:
    """Return what an answer holds, as JSON has it."""
    response = result.get_response(as_json=True)
    found: dict[str, Any] = {key: response.get(key, "") for key in ("model_name", "model_version", "id")}
    for output in response["outputs"]:
        found[output["name"]] = as_told(output["datatype"], result.as_numpy(output["name"]))
    return found


def about(client: Any, model: str) -> dict[str, Any]:
    """Ask what there is."""
    return {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(headers={"x-mine": "1"}),
        "model_ready": [client.is_model_ready(model), client.is_model_ready(model, "1")],
        "unknown_ready": [client.is_model_ready("nobody"), client.is_model_ready(model, "9")],
        "server": client.get_server_metadata(as_json=True),
        "model": client.get_model_metadata(model, as_json=True),
        "config": client.get_model_config(model, as_json=True)["config"],
        "statistics": client.get_inference_statistics(model, "1", as_json=True)["model_stats"],
    }


def infer(client: Any, model: str) -> dict[str, Any]:
    """Predict in every form that the client has."""
    answers: queue.Queue[Any] = queue.Queue()
    client.async_infer(model, inputs(), callback=lambda result, error: answers.put(error or result), request_id="late")
    found: dict[str, Any] = {
        "plain": client.infer(model, inputs(), request_id="mine"),
        "wanted": client.infer(model, inputs(), model_version="1", outputs=outputs()),
        "classes": client.infer(model, inputs(), outputs=outputs(classes=1)),
        "priority": client.infer(model, inputs(), priority=1, timeout=60_000_000, client_timeout=60),
        "sequence": client.infer(model, inputs(), sequence_id=7, sequence_start=True, sequence_end=True),
        "factor": client.infer(model, inputs(), parameters={"factor": 3.0}),
        "gzip": client.infer(model, inputs(), compression_algorithm="gzip"),
        "deflate": client.infer(model, inputs(), compression_algorithm="deflate"),
        "async": answers.get(timeout=60),
    }
    return {name: shown(result) for name, result in found.items()}


def stream(client: Any, model: str) -> list[Any]:
    """Send requests through a stream, one of them wrong; return what came back, in its order."""
    answers: queue.Queue[Any] = queue.Queue()
    client.start_stream(callback=lambda result, error: answers.put((result, error)))
    for n in range(6):
        client.async_stream_infer("nobody" if n == 2 else model, inputs(), request_id=str(n))
    client.async_stream_infer(model, inputs(), request_id="final", enable_empty_final_response=True)
    found = []
    for _ in range(7):
        result, error = answers.get(timeout=60)
        found.append(["", error.message()] if error is not None else [shown(result)["id"], shown(result)["scores"]])
    client.stop_stream()
    return found


def repository(client: Any, model: str) -> dict[str, Any]:
    """Load, unload, and look at the index each time."""

    def standing() -> list[Any]:
        rows = [row for row in client.get_model_repository_index().models if row.name == model]
        return [client.is_model_ready(model), [row.state for row in rows]]

    found: dict[str, Any] = {}
    client.load_model(model)
    found["loaded"] = standing()
    client.unload_model(model)
    found["unloaded"] = standing()
    client.load_model(model)
    found["again"] = standing()
    found["config"] = refused(lambda: client.load_model(model, config="{}"))
    found["files"] = refused(lambda: client.load_model(model, config="{}", files={"file:1/model.onnx": b"x"}))
    found["unknown"] = refused(lambda: client.unload_model("nobody"))
    return found


def refusals(client: Any, model: str) -> dict[str, Any]:
    """Ask for what cannot be had: each must be a proper error of the client's."""
    good = inputs()
    infer = partial(client.infer, model)
    return {
        "unknown_model": refused(lambda: client.infer("nobody", good)),
        "unknown_version": refused(lambda: infer(good, model_version="9")),
        "unknown_metadata": refused(lambda: client.get_model_metadata("nobody")),
        "unknown_config": refused(lambda: client.get_model_config(model, "9")),
        "unknown_statistics": refused(lambda: client.get_inference_statistics("nobody")),
        "missing_input": refused(lambda: infer(good[:1])),
        "unknown_output": refused(lambda: infer(good, outputs=[rpc.InferRequestedOutput("y")])),
        "timeout": refused(lambda: infer(inputs(first=-9.0), timeout=200_000)),
        "deadline": refused(lambda: infer(inputs(first=-9.0), client_timeout=0.2)),
        "trace_get": refused(client.get_trace_settings),
        "trace_set": refused(lambda: client.update_trace_settings(settings={"trace_rate": "1"})),
        "log_get": refused(client.get_log_settings),
        "log_set": refused(lambda: client.update_log_settings({"log_info": True})),
        "shared": refused(client.get_system_shared_memory_status),
        "share": refused(lambda: client.register_system_shared_memory("mine", "/mine", 64)),
        "unshare": refused(client.unregister_system_shared_memory),
        "cuda": refused(client.get_cuda_shared_memory_status),
        "cuda_share": refused(lambda: client.register_cuda_shared_memory("mine", b"aGFuZGxl", 0, 64)),
        "cuda_unshare": refused(client.unregister_cuda_shared_memory),
    }


def main() -> None:
    """Call everything."""
    where, model = sys.argv[1:]
    with rpc.InferenceServerClient(where) as client:
        found = {"infer": infer(client, model), "stream": stream(client, model), "about": about(client, model)}
        found["repository"] = repository(client, model)
        found["refusals"] = refusals(client, model)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
