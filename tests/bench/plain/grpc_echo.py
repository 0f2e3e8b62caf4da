"""gRPC's ceiling: grpc.aio on uvloop whose one method answers the bytes that came. Not here: any work at all.

python -m tests.bench.plain.grpc_echo PORT
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import grpc
import uvloop


async def echo(body: bytes, _: Any) -> bytes:
    """Answer what was sent."""
    return body


async def main(port: str) -> None:
    """Serve until killed."""
    server = grpc.aio.server()
    handlers: dict[str, Any] = {"ModelInfer": grpc.unary_unary_rpc_method_handler(echo)}
    service = grpc.method_handlers_generic_handler("inference.GRPCInferenceService", handlers)
    server.add_generic_rpc_handlers((service,))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
