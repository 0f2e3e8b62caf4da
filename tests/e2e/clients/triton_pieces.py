"""Asks a model that answers piece by piece through ``tritonclient.grpc``, and prints what came as one JSON object.

Runs in an environment of its own. Arguments: the server's host and port, the model's name.
"""

from __future__ import annotations

import json
import queue
import sys
from typing import Any

import numpy as np
import tritonclient.grpc as rpc


def pieces(client: Any, model: str) -> list[Any]:
    """Ask for three pieces; return what came until the last answer, as Triton's clients know it."""
    tensors = []
    for name, number in (("most", 3), ("bytes", 2)):
        tensors.append(rpc.InferInput(name, [1], "INT64"))
        tensors[-1].set_data_from_numpy(np.array([number]))
    answers: queue.Queue[Any] = queue.Queue()
    client.start_stream(callback=lambda result, error: answers.put((result, error)))
    client.async_stream_infer(model, tensors, request_id="p", enable_empty_final_response=True)
    found: list[Any] = []
    final = False
    while not final:
        result, error = answers.get(timeout=60)
        if error is not None:
            raise error
        response = result.get_response()
        final = response.parameters["triton_final_response"].bool_param
        texts = [result.as_numpy(output.name).reshape(-1)[0].decode() for output in response.outputs]
        found.append([response.id, texts, final])
    client.stop_stream()
    return found


def main() -> None:
    """Ask."""
    where, model = sys.argv[1:]
    with rpc.InferenceServerClient(where) as client:
        print(json.dumps({"pieces": pieces(client, model)}))


if __name__ == "__main__":
    main()
