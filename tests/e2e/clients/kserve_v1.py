"""Calls every method of ``kserve.InferenceRESTClient`` in protocol v1, and prints what each gave as one JSON object.

Runs in an environment of its own. Arguments: the server's base URL, the model's name.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from kserve import InferenceRESTClient, RESTConfig

from tests.e2e.clients.kserve_refusals import refused


async def main() -> None:
    """Call everything."""
    where, model = sys.argv[1:]
    async with InferenceRESTClient(RESTConfig(protocol="v1", timeout=60)) as client:
        headers: dict[str, str] = {}
        found: dict[str, Any] = {
            "live": await client.is_server_live(where),
            "model_ready": await client.is_model_ready(where, model),
            "rows": await client.infer(where, {"instances": [1.0, 2.0]}, model_name=model, response_headers=headers),
            "columns": await client.infer(where, {"inputs": [1.0, 2.0]}, model_name=model),
        }
        found["arm"] = headers["x-headgate-arm"]
        found["refusals"] = {
            "unknown": await refused(client.infer(where, {"instances": [1.0]}, model_name="nobody")),
            "unknown_ready": await refused(client.is_model_ready(where, "nobody")),
            "malformed": await refused(client.infer(where, {}, model_name=model)),
            "explain": await refused(client.explain(where, model, {"instances": [1.0]})),
            "server_ready": await refused(client.is_server_ready(where)),
        }
    print(json.dumps(found))


if __name__ == "__main__":
    asyncio.run(main())
