"""The gRPC server: which services on which port, within which limits. Importing it imports gRPC.

Not here: when it is opened and closed (``door.py``), what its methods do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from registry.edge.gate import Access
from registry.errors import InvalidRequest
from serving.grpc.calls import Edge, GrpcCall
from serving.grpc.health import Health
from serving.grpc.infer import Inferring
from serving.grpc.messages import POOL, REPOSITORY_SERVICE, SERVICE
from serving.grpc.methods import METHODS, Method
from serving.grpc.queries import queries
from serving.grpc.reflection import Reflection
from serving.grpc.streaming import Streaming
from serving.http.view import NodeView, why_not_ready

METADATA_BYTES = 64 * 1024
MAX_CALLS = 1024
"""How many calls may be under way at once; more are refused. Each may hold a message of the largest size."""
MAX_CALLS_OF_ONE = 256
"""How many of one connection; its client holds more back by itself."""
PING_MS = 10_000
KEEPALIVE_MS, KEEPALIVE_WAIT_MS = 60_000, 20_000
"""After how long without a byte a connection is asked whether it is still there, and how long it has to say so."""
IDLE_MS = 15 * 60_000
"""After how long without a call a connection is closed; its client opens another when it needs one."""
_OTHERS = (health_pb2, reflection_pb2)
"""What reflection tells of beside our own file."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where to listen, and how long a message may be."""

    host: str
    port: int
    message_bytes: int


def build_server(node: NodeView, inferring: Inferring, place: Place) -> tuple[grpc.aio.Server, int]:
    """Return a server that is not started, and its port. Call it on the event loop that shall run it.

    Raises RuntimeError where the port cannot be had.
    """
    server = grpc.aio.server(options=options(place), maximum_concurrent_rpcs=MAX_CALLS)
    server.add_generic_rpc_handlers((_Service(node, inferring),))
    health_pb2_grpc.add_HealthServicer_to_server(Health(lambda: not why_not_ready(node), inferring.leaving), server)
    for other in _OTHERS:
        POOL.AddSerializedFile(other.DESCRIPTOR.serialized_pb)
    names = (
        SERVICE,
        REPOSITORY_SERVICE,
        *(s.full_name for other in _OTHERS for s in other.DESCRIPTOR.services_by_name.values()),
    )
    reflecting: Any = reflection_pb2_grpc
    reflecting.add_ServerReflectionServicer_to_server(Reflection(names, POOL, inferring.times.idle), server)
    host = f"[{place.host}]" if ":" in place.host and not place.host.startswith("[") else place.host
    return server, server.add_insecure_port(f"{host}:{place.port}")


class _Service(grpc.GenericRpcHandler):
    """The services' methods, and for names that are none a status that says so."""

    def __init__(self, node: NodeView, inferring: Inferring) -> None:
        edge, work = Edge(), {**queries(node), "ModelInfer": inferring.infer}
        streaming = Streaming(inferring)
        self._edge = edge
        self._handlers = {}
        for method in METHODS:
            handler = (
                edge.streaming(method, streaming.stream) if method.streams else edge.unary(method, work[method.name])
            )
            self._handlers[f"/{SERVICE}/{method.name}"] = handler
            if method.name.startswith("Repository"):
                self._handlers[f"/{REPOSITORY_SERVICE}/{method.name}"] = handler

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Return who answers a method; None for those of other services."""
        path = handler_call_details.method
        handler = self._handlers.get(path)
        if handler is None and path.startswith((f"/{SERVICE}/", f"/{REPOSITORY_SERVICE}/")):
            return self._edge.unary(Method(path.rpartition("/")[2], Access.OPEN), _not_offered)
        return handler


async def _not_offered(_body: bytes, call: GrpcCall) -> bytes:
    raise InvalidRequest(
        "method_not_allowed", f"{call.method.name[:64]} is not offered here; open_inference.proto has what is"
    )


def options(place: Place) -> list[tuple[str, int]]:
    """Return what the library is told: limits of messages, metadata, calls and connections."""
    return [
        ("grpc.so_reuseport", 1),
        ("grpc.max_receive_message_length", place.message_bytes),
        # Answers have a limit of their own, HEADGATE_RESPONSE_BYTES, which is kept where they are written.
        ("grpc.max_send_message_length", -1),
        ("grpc.max_metadata_size", METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", METADATA_BYTES),
        # Clients that keep connections alive ask every ten seconds or so; by default the server would hang up on them.
        ("grpc.http2.min_recv_ping_interval_without_data_ms", PING_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_WAIT_MS),
        ("grpc.max_connection_idle_ms", IDLE_MS),
        ("grpc.max_concurrent_streams", MAX_CALLS_OF_ONE),
    ]
