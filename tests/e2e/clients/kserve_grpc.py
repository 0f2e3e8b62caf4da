"""Calls every method of ``kserve.InferenceGRPCClient`` and of the stub below it, and prints what each gave.

Runs in an environment of its own; one JSON object. Arguments: the server's host and port, the model's name.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable
from typing import Any

import grpc
import numpy as np
from kserve import InferenceGRPCClient, InferInput, InferOutput, InferRequest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as messages
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub
from kserve.protocol.infer_type import RequestedOutput

from tests.e2e.clients.cases import arrays, as_told


def request(model: str, *, raw: bool, wanted: bool = False) -> InferRequest:
    """Return a request for all outputs, or for one; FP16 travels raw only."""
    tensors = []
    for name, told, array in arrays():
        datatype = told if raw or told != "FP16" else "FP32"
        values = array if datatype == told else array.astype(np.float32)
        tensor = InferInput(name, list(array.shape), datatype)
        tensor.set_data_from_numpy(values, binary_data=raw)
        tensors.append(tensor)
    outputs = [RequestedOutput("scores")] if wanted else None
    return InferRequest(model, tensors, request_id="mine", request_outputs=outputs)


def shown(output: InferOutput) -> list[Any]:
    """Return what an output holds, as JSON has it."""
    return as_told(output.datatype, output.as_numpy())


async def refused(call: Awaitable[Any]) -> list[str]:
    """Return status and message of the refusal that a call must end with."""
    try:
        return ["no refusal", str(await call)]
    except grpc.RpcError as error:
        return [error.code().name, error.details() or ""]


async def main() -> None:
    """Call everything."""
    where, model = sys.argv[1:]
    async with InferenceGRPCClient(where) as client:
        found: dict[str, Any] = {
            "live": await client.is_server_live(),
            "ready": await client.is_server_ready(),
            "model_ready": await client.is_model_ready(model),
            "unknown_ready": await client.is_model_ready("nobody"),
        }
        for name, asked in (
            ("raw", request(model, raw=True)),
            ("wanted", request(model, raw=True, wanted=True)),
            ("typed", request(model, raw=False, wanted=True)),
        ):
            answer = await client.infer(asked)
            found[name] = {output.name: shown(output) for output in answer.outputs}
            found[name] |= {"id": answer.id, "model_name": answer.model_name}
        found["refusals"] = {
            "unknown": await refused(client.infer(request("nobody", raw=True))),
        }
    async with grpc.aio.insecure_channel(where) as channel:
        stub = GRPCInferenceServiceStub(channel)
        unloaded = await stub.RepositoryModelUnload(messages.RepositoryModelUnloadRequest(model_name=model))
        loaded = await stub.RepositoryModelLoad(messages.RepositoryModelLoadRequest(model_name=model))
        found["repository"] = [unloaded.model_name, unloaded.isUnloaded, loaded.model_name, loaded.isLoaded]
        found["server"] = (await stub.ServerMetadata(messages.ServerMetadataRequest())).name
        found["model"] = (await stub.ModelMetadata(messages.ModelMetadataRequest(name=model))).name
    print(json.dumps(found))


if __name__ == "__main__":
    asyncio.run(main())
