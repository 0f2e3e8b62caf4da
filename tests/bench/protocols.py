"""The Open Inference Protocol over HTTP: its price beside our own JSON, what binary tensors save, what large ones copy.

Everybody is asked in turn, on the same models, so that what the machine does meanwhile hits all alike; ratios are
medians of rounds. Not here: gRPC, and other servers (``peers``).
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psutil

from tests.bench import product
from tests.bench.load import Load, ask_once, drive, http_request
from tests.bench.models import DISTINCT, ROWS, Work, Workshop

ROUNDS = 5
SECONDS = 1.0
CALLERS = 32
TENSOR_BYTES = 16_000_000
_NAMES = {"float32": "FP32", "float64": "FP64"}


def measure(scratch: Path) -> dict[str, float]:
    """Return rates, times in ms, and the promised ratios."""
    workshop = Workshop(scratch / "models")
    graph, logistic = workshop.graph(), workshop.logistic()
    with product.running(scratch / "home") as ours:
        for work in (graph, logistic):
            ours.register(work)
        figures = copies(ours, logistic)
        figures |= single_rows(ours.port, graph, "oip_json_over_native_32")
        figures |= single_rows(ours.port, logistic, "oip_json_over_native_32_hosted")
        return figures | thousand_rows(ours.port, logistic)


def infer(work: Work, start: int, rows: int, *, binary: bool = False) -> bytes:
    """Return a whole infer request for some rows of a model, as JSON or with a binary tensor."""
    data = np.ascontiguousarray(work.data[start : start + rows])
    return infer_array(work.name, data, binary=binary)


def infer_array(model: str, data: np.ndarray[tuple[int, ...], np.dtype[np.float64]], *, binary: bool) -> bytes:
    """Return a whole infer request for an array."""
    path = f"/v2/models/{model}/infer"
    tensor: dict[str, object] = {"name": "x", "shape": data.shape, "datatype": _NAMES[data.dtype.name]}
    if not binary:
        return http_request(path, json.dumps({"inputs": [tensor | {"data": data.ravel().tolist()}]}).encode())
    blob = data.tobytes()
    tensor["parameters"] = {"binary_data_size": len(blob)}
    header = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    told = f"application/octet-stream\r\ninference-header-content-length: {len(header)}"
    return http_request(path, header + blob, told)


def single_rows(port: int, work: Work, figure: str) -> dict[str, float]:
    """Return how many single rows a second the protocol answers for each that our own route does."""
    asked = {
        "native": [http_request(f"/models/{work.name}/predict", body) for body in work.bodies()],
        "oip": [infer(work, i, 1) for i in range(DISTINCT)],
    }
    found = _in_turn(port, asked, CALLERS)
    figures = {f"{who}_{work.name}_32_per_s": statistics.median(x.rate for x in loads) for who, loads in found.items()}
    figures[figure] = statistics.median(a.rate / b.rate for a, b in zip(found["oip"], found["native"], strict=True))
    return figures | _bad(found, work.name)


def thousand_rows(port: int, work: Work) -> dict[str, float]:
    """Return how much sooner 1,000 rows are answered in binary than in JSON."""
    asked = {
        "json": [infer(work, 0, ROWS)],
        "binary": [infer(work, 0, ROWS, binary=True)],
        "native": [http_request(f"/models/{work.name}/predict", work.body(0, ROWS))],
    }
    found = _in_turn(port, asked, 1)
    times = {form: [load.quantile_ms(0.5) for load in loads] for form, loads in found.items()}
    figures = {f"oip_{form}_1000_rows_ms": statistics.median(each) for form, each in times.items()}
    figures["oip_binary_over_json_1000_rows"] = statistics.median(
        a / b for a, b in zip(times["json"], times["binary"], strict=True)
    )
    return figures | _bad(found, work.name)


def copies(ours: product.Product, work: Work) -> dict[str, float]:
    """Return how often a tensor of 16 MB is copied on its way to a model in a host, by the memory that it takes.

    The peaks of both processes, in tensors, less the body itself and less the memory that they share, which each of
    them shows.
    """
    row = work.data[:1]
    rows = TENSOR_BYTES // row.nbytes
    small = infer_array(work.name, np.ascontiguousarray(work.data[:100]), binary=True)
    for _ in range(20):
        ask_once(ours.port, small)
    large = infer_array(work.name, np.ascontiguousarray(np.resize(work.data, (rows, row.size))), binary=True)
    host = _host_of(ours.node)
    before = [_reset_peak(process) for process in (ours.node, host)]
    status, body = ask_once(ours.port, large)
    if status != 200:
        raise RuntimeError(f"16 MB: {status} {body[:300].decode(errors='replace')}")
    grown = [_peak(process) - was for process, was in zip((ours.node, host), before, strict=True)]
    node, there = (each / TENSOR_BYTES for each in grown)
    print(f"  16 MB: the node's peak grew by {node:.2f} tensors, the host's by {there:.2f}", file=sys.stderr)
    return {"oip_binary_16mb_node": node, "oip_binary_16mb_host": there, "oip_binary_16mb_copies": node + there - 2}


def _in_turn(port: int, asked: dict[str, list[bytes]], callers: int) -> dict[str, list[Load]]:
    for who, requests in asked.items():
        status, body = ask_once(port, requests[0])
        if status != 200:
            raise RuntimeError(f"{who}: {status} {body[:300].decode(errors='replace')}")
    found: dict[str, list[Load]] = {who: [] for who in asked}
    for _ in range(ROUNDS):
        for who, requests in asked.items():
            found[who].append(drive(port, requests, callers, SECONDS))
    return found


def _bad(found: dict[str, list[Load]], name: str) -> dict[str, float]:
    bad = sum(load.others.total() for loads in found.values() for load in loads)
    return {f"protocols_{name}_not_200": bad} if bad else {}


def _host_of(node: psutil.Process) -> psutil.Process:
    """Return the process of the one model that is hosted: the youngest below the node."""
    below: Sequence[psutil.Process] = node.children(recursive=True)
    return max(below, key=lambda process: process.create_time())


def _reset_peak(process: psutil.Process) -> int:
    """Forget a process's peak; return what it has now."""
    time.sleep(3)  # shared memory is given back after two seconds
    Path(f"/proc/{process.pid}/clear_refs").write_text("5")
    return int(process.memory_info().rss)


def _peak(process: psutil.Process) -> int:
    status = Path(f"/proc/{process.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024
