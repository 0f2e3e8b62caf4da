"""Calls every method of ``tritonclient.http.aio.InferenceServerClient``, and prints what each gave as one JSON object.

Runs in an environment of its own. Arguments: the server's host and port, the model's name.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from tritonclient.http import aio

from tests.e2e.clients.triton_http import inputs, outputs, shown
from tests.e2e.clients.triton_refusals import refused_later


async def main() -> None:
    """Call everything."""
    where, model = sys.argv[1:]
    async with aio.InferenceServerClient(where) as client:
        await client.load_model(model)
        found: dict[str, Any] = {
            "live": await client.is_server_live(),
            "ready": await client.is_server_ready(),
            "model_ready": [await client.is_model_ready(model), await client.is_model_ready(model, "9")],
            "server": (await client.get_server_metadata())["name"],
            "model": (await client.get_model_metadata(model, "1"))["name"],
            "config": (await client.get_model_config(model))["name"],
            "index": [row["state"] for row in await client.get_model_repository_index() if row["name"] == model],
        }
        asked = (client.infer(model, inputs(), request_id=str(n)) for n in range(8))
        found["binary"] = [shown(result) for result in await asyncio.gather(*asked)]
        found["json"] = shown(await client.infer(model, inputs(binary=False), outputs=outputs(binary=False)))
        for way in ("gzip", "deflate"):
            found[way] = shown(
                await client.infer(
                    model, inputs(), request_compression_algorithm=way, response_compression_algorithm=way
                )
            )
        statistics = await client.get_inference_statistics(model, "1")
        found["counted"] = statistics["model_stats"][0]["inference_stats"]["success"]["count"]
        await client.unload_model(model)
        found["unloaded"] = await client.is_model_ready(model)
        found["refusals"] = {
            "unknown": await refused_later(client.infer("nobody", inputs())),
            "missing": await refused_later(client.infer(model, inputs()[:1])),
            "trace": await refused_later(client.get_trace_settings()),
            "trace_set": await refused_later(client.update_trace_settings(settings={"trace_rate": "1"})),
            "log": await refused_later(client.get_log_settings()),
            "log_set": await refused_later(client.update_log_settings({"log_info": True})),
            "shared": await refused_later(client.get_system_shared_memory_status()),
            "share": await refused_later(client.register_system_shared_memory("mine", "/mine", 64)),
            "unshare": await refused_later(client.unregister_system_shared_memory()),
            "cuda": await refused_later(client.get_cuda_shared_memory_status()),
            "cuda_share": await refused_later(client.register_cuda_shared_memory("mine", b"handle", 0, 64)),
            "cuda_unshare": await refused_later(client.unregister_cuda_shared_memory()),
        }
    print(json.dumps(found))


if __name__ == "__main__":
    asyncio.run(main())
