"""Calls every method of ``kserve.InferenceRESTClient`` in protocol v2, and prints what each gave as one JSON object.

Runs in an environment of its own. Arguments: the server's base URL, the model's name.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from kserve import InferenceRESTClient, InferInput, InferOutput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput

from tests.e2e.clients.cases import arrays, as_told
from tests.e2e.clients.kserve_refusals import refused


def request(model: str, *, binary: bool, wanted: bool = False) -> InferRequest:
    """Return a request for all outputs, or for one; FP16 has no form in JSON."""
    tensors = []
    for name, datatype, array in arrays():
        tensor = InferInput(name, list(array.shape), datatype)
        tensor.set_data_from_numpy(array, binary_data=binary or datatype == "FP16")
        tensors.append(tensor)
    outputs = [RequestedOutput("scores", {"binary_data": binary})] if wanted else None
    parameters = {} if wanted else {"binary_data_output": True}
    return InferRequest(model, tensors, request_id="mine", parameters=parameters, request_outputs=outputs)


def shown(output: InferOutput) -> list[Any]:
    """Return what an output holds, as JSON has it."""
    return as_told(output.datatype, output.as_numpy())


async def main() -> None:
    """Call everything."""
    where, model = sys.argv[1:]
    async with InferenceRESTClient(RESTConfig(protocol="v2", timeout=60)) as client:
        headers: dict[str, str] = {}
        found: dict[str, Any] = {
            "live": await client.is_server_live(where),
            "ready": await client.is_server_ready(where),
            "model_ready": [await client.is_model_ready(where, model), await client.is_model_ready(where, "nobody")],
        }
        for name, asked in (
            ("binary", request(model, binary=True)),
            ("wanted", request(model, binary=True, wanted=True)),
            ("mixed", request(model, binary=False, wanted=True)),
        ):
            answer = await client.infer(where, asked, model_name=model, response_headers=headers)
            found[name] = {output.name: shown(output) for output in answer.outputs}
            found[name] |= {"id": answer.id, "model_name": answer.model_name}
        found["arm"] = headers["x-headgate-arm"]
        plain = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}]}
        found["refusals"] = {
            "unknown": await refused(client.infer(where, request("nobody", binary=True), model_name="nobody")),
            "missing": await refused(client.infer(where, plain, model_name=model)),
            "explain": await refused(client.explain(where, model, plain)),
        }
    print(json.dumps(found))


if __name__ == "__main__":
    asyncio.run(main())
