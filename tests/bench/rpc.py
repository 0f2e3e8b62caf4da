"""How many single rows a second over gRPC: the bare echo, MLServer, ours inline and ours hosted, in one run.

Each row is one tensor of the Open Inference Protocol, raw for ours. Rounds go over everybody in turn. MLServer takes
part where its environment is there (``make bench-peers`` installs it). Not here: HTTP (``speed.py``, ``peers/``).
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np

from serving.grpc.messages import message
from tests.bench import product
from tests.bench.load import Load
from tests.bench.machine import python, server
from tests.bench.models import DISTINCT, Work, Workshop
from tests.bench.peers import mlserver_grpc
from tests.bench.peers.anatomy import ENVIRONMENTS
from tests.bench.peers.mlserver_grpc import START_SECONDS
from tests.bench.rpc_load import call_once, drive
from tests.bench.speed import Pace, grid
from tests.support.platform import free_ports

CONNECTIONS = (1, 32)
MLSERVER = "mlserver_grpc"


class Spoken(NamedTuple):
    """Somebody who is measured: a port, and the messages that go there."""

    name: str
    port: int
    messages: Sequence[bytes]


def measure(scratch: Path, pace: Pace) -> dict[str, float]:
    """Return rates, latencies, and ours over the bare echo."""
    workshop, echo = Workshop(scratch / "models"), free_ports(1)[0]
    works = [workshop.graph(), workshop.by_name()["logistic"]()]
    with ExitStack() as stack:
        stack.enter_context(server(python("-m", "tests.bench.plain.grpc_echo", str(echo)), echo))
        contenders = [Spoken("grpc_echo", echo, messages_for(works[0], "echo"))]
        ours = stack.enter_context(product.running(scratch / "home"))
        for work in works:
            ours.register(work)
            messages = messages_for(work, work.name)
            check(ours.grpc_port, messages[:3], work)
            contenders.append(Spoken(f"grpc_{work.name}", ours.grpc_port, messages))
        contenders += _mlserver(stack, works[1], scratch / "mlserver")
        found = rounds(contenders, pace)
    print("\n".join(grid(found)))
    return summarize(found)


def _mlserver(stack: ExitStack, work: Work, scratch: Path) -> Iterator[Spoken]:
    if not (ENVIRONMENTS / "mlserver").exists():
        print("  mlserver: left out; make bench-peers installs it", file=sys.stderr)
        return
    port, messages = stack.enter_context(mlserver_grpc.running(work, scratch)), mlserver_grpc.messages(work)
    deadline = time.monotonic() + START_SECONDS
    while not call_once(port, "ModelInfer", messages[0]):
        if time.monotonic() > deadline:
            raise RuntimeError("MLServer does not answer by gRPC")
        time.sleep(0.2)
    check(port, messages[:3], work)
    yield Spoken(MLSERVER, port, messages)


def messages_for(work: Work, name: str, tensor: str = "input-1", datatype: str = "FP64") -> list[bytes]:
    """Return single-row requests for a model, all different."""
    dtype = np.dtype({"FP64": "<f8", "FP32": "<f4"}[datatype])
    asked = message("ModelInferRequest")
    found = []
    for row in work.data[:DISTINCT]:
        described = {"name": tensor, "datatype": datatype, "shape": (1, len(row))}
        raw = row.astype(dtype).tobytes()
        found.append(asked(model_name=name, inputs=[described], raw_input_contents=[raw]).SerializeToString())
    return found


def predicted(answer: bytes) -> list[float]:
    """Return the numbers of an answer's first output, raw or typed."""
    read = message("ModelInferResponse").FromString(answer)
    tensor = read.outputs[0]
    if read.raw_output_contents:
        dtype = {"FP64": "<f8", "FP32": "<f4", "INT64": "<i8", "INT32": "<i4"}[tensor.datatype]
        return [float(x) for x in np.frombuffer(read.raw_output_contents[0], dtype)]
    return [float(x) for _, values in tensor.contents.ListFields() for x in values]


def check(port: int, messages: Sequence[bytes], work: Work) -> None:
    """Raise RuntimeError where somebody does not answer right."""
    got = [x for each in messages for x in predicted(call_once(port, "ModelInfer", each))]
    right = [float(x) for x in np.asarray(work.answers[: len(messages)]).reshape(-1)]
    if len(got) != len(right) or any(abs(a - b) > 1e-4 for a, b in zip(got, right, strict=True)):
        raise RuntimeError(f"gRPC {work.name} answers {got}, not {right}")


def rounds(contenders: Sequence[Spoken], pace: Pace) -> dict[tuple[str, int], list[Load]]:
    """Ask everybody in turn, again and again."""
    found: dict[tuple[str, int], list[Load]] = {}
    for turn in range(pace.rounds):
        for connections in CONNECTIONS:
            for one in contenders:
                load = drive(one.port, one.messages, connections, pace.seconds)
                found.setdefault((one.name, connections), []).append(load)
        print(f"  round {turn + 1} of {pace.rounds} done", file=sys.stderr)
    return found


def summarize(found: dict[tuple[str, int], list[Load]]) -> dict[str, float]:
    """Return the figures."""
    figures: dict[str, float] = {}
    for (name, connections), loads in found.items():
        figures[f"{name}_{connections}_per_s"] = statistics.median(load.rate for load in loads)
        figures[f"{name}_{connections}_p50_ms"] = statistics.median(load.quantile_ms(0.5) for load in loads)
        figures[f"{name}_{connections}_p99_ms"] = statistics.median(load.quantile_ms(0.99) for load in loads)
        if bad := sum(load.others.total() for load in loads):
            figures[f"{name}_{connections}_refused"] = bad
        for rival in ("grpc_echo", MLSERVER):
            if name not in ("grpc_echo", MLSERVER) and (rival, connections) in found:
                pairs = zip(loads, found[rival, connections], strict=True)
                ratio = statistics.median(a.rate / b.rate for a, b in pairs)
                figures[f"{name}_over_{rival.removeprefix('grpc_')}_{connections}"] = ratio
    figures["grpc_generator_busy_at_most"] = max(load.busy for loads in found.values() for load in loads)
    return figures
