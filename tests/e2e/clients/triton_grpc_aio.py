"""Calls the methods of ``tritonclient.grpc.aio.InferenceServerClient``, and prints what each gave as one JSON object.

Runs in an environment of its own. Arguments: the server's host and port, the model's name.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

from tritonclient.grpc import aio

from tests.e2e.clients.triton_grpc import inputs, outputs, shown
from tests.e2e.clients.triton_refusals import refused_later


async def stream(client: Any, model: str) -> list[Any]:
    """Send requests through a stream, one of them wrong; return what came back, in its order."""

    async def asked() -> AsyncIterator[dict[str, Any]]:
        for n in range(6):
            yield {"model_name": "nobody" if n == 2 else model, "inputs": inputs(), "request_id": str(n)}

    found = []
    async for result, error in client.stream_infer(asked()):
        found.append(["", error.message()] if error is not None else [shown(result)["id"], shown(result)["scores"]])
    return found


async def main() -> None:
    """Call everything."""
    where, model = sys.argv[1:]
    async with aio.InferenceServerClient(where) as client:
        await client.load_model(model)
        index = await client.get_model_repository_index()
        found: dict[str, Any] = {
            "live": await client.is_server_live(),
            "ready": await client.is_server_ready(),
            "model_ready": await client.is_model_ready(model, "1"),
            "server": (await client.get_server_metadata()).name,
            "model": (await client.get_model_metadata(model, "1")).name,
            "config": (await client.get_model_config(model)).config.name,
            "index": [row.state for row in index.models if row.name == model],
        }
        asked = (client.infer(model, inputs(), request_id=str(n)) for n in range(8))
        found["plain"] = [shown(result) for result in await asyncio.gather(*asked)]
        found["wanted"] = shown(await client.infer(model, inputs(), outputs=outputs()))
        found["gzip"] = shown(await client.infer(model, inputs(), compression_algorithm="gzip"))
        found["stream"] = await stream(client, model)
        statistics = await client.get_inference_statistics(model, "1")
        found["counted"] = statistics.model_stats[0].inference_stats.success.count
        await client.unload_model(model)
        found["unloaded"] = await client.is_model_ready(model)
        await client.load_model(model)
        found["refusals"] = {
            "unknown": await refused_later(client.infer("nobody", inputs())),
            "missing": await refused_later(client.infer(model, inputs()[:1])),
            "deadline": await refused_later(client.infer(model, inputs(first=-9.0), client_timeout=0.2)),
            "trace": await refused_later(client.get_trace_settings()),
            "log": await refused_later(client.get_log_settings()),
            "shared": await refused_later(client.get_system_shared_memory_status()),
            "cuda": await refused_later(client.get_cuda_shared_memory_status()),
        }
    print(json.dumps(found))


if __name__ == "__main__":
    asyncio.run(main())
