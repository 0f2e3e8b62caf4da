"""``make bench-peers``: the same models and rows through each peer's natural way, beside ours, in one run.

Each peer's server has the server's core while it is measured, with ours waiting on the same core, and the other way
round; rounds take turns. Prints one table, writes ``var/bench/peers.json``. A peer that cannot run here is skipped,
with the reason. Not here: ours against a hand-written handler (``python -m tests.bench speed``).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import psutil

from tests.bench import product, speed
from tests.bench.__main__ import write
from tests.bench.load import ask_once
from tests.bench.machine import LOAD_CORE, ROOT, SERVER_CORE, describe, end, family, on_core, private_mb
from tests.bench.models import Workshop
from tests.bench.peers.anatomy import Peer, Skipped, Start, install
from tests.bench.promises import table
from tests.bench.speed import Contender, Pace, requests_for, rounds
from tests.support.platform import free_ports

PEERS = ("mlserver", "mlserver_batching", "mlflow", "pytriton", "litserve", "bentoml", "ray")
START_SECONDS = 120


def main() -> int:
    """Install, measure, print, write."""
    arguments = _parser().parse_args()
    machine = describe()
    ready, figures = {}, dict[str, float]()
    for name in arguments.peers or PEERS:
        peer: Peer = import_module(f"tests.bench.peers.{name}").PEER
        try:
            ready[name] = (peer, install(peer))
        except Skipped as reason:
            print(f"{name}: skipped; {reason}", file=sys.stderr)
    if arguments.install_only:
        return 0
    os.sched_setaffinity(0, {LOAD_CORE})
    pace = Pace(arguments.seconds, arguments.rounds, tuple(arguments.connections))
    with tempfile.TemporaryDirectory(prefix="headgate-bench-") as directory:
        scratch = Path(directory)
        works = {name: make() for name, make in Workshop(scratch / "models").by_name().items()}
        with product.running(scratch / "home") as ours:
            paths = {name: ours.register(work) for name, work in works.items()}
            for peer, bin_directory in ready.values():
                for work in (works[name] for name in peer.works):
                    rival = Contender("headgate", ours.port, requests_for(work, paths[work.name]))
                    start = Start(bin_directory, work, free_ports(1)[0], scratch / f"{peer.name}-{work.name}")
                    try:
                        figures |= compare(peer, start, rival, pace)
                    except Skipped as reason:
                        print(f"{peer.name} {work.name}: skipped; {reason}", file=sys.stderr)
    print("\n".join(("", *ratios(figures, pace), "", *table(figures, everything=False))))
    write(arguments.output, figures, machine)
    return 0


def compare(peer: Peer, start: Start, rival: Contender, pace: Pace) -> dict[str, float]:
    """Measure a peer and ours in turn, on one model; return rates, ratios and the peer's memory."""
    name = f"{start.work.name}_{peer.name}"
    with running(peer, start) as process:
        found = rounds([Contender(peer.name, start.port, peer.requests(start.work)), rival], pace, quiet=True)
        figures = {f"{name}_private_mb": private_mb(family(process))}
    for connections in pace.connections:
        theirs, ours = found[peer.name, connections], found["headgate", connections]
        figures[f"{name}_{connections}_per_s"] = statistics.median(load.rate for load in theirs)
        figures[f"{name}_{connections}_headgate_per_s"] = statistics.median(load.rate for load in ours)
        bad = sum(load.others.total() for load in (*theirs, *ours))
        if bad:
            figures[f"{name}_{connections}_not_200"] = bad
        ratio = statistics.median(a.rate / max(b.rate, 1e-9) for a, b in zip(ours, theirs, strict=True))
        figures[f"{start.work.name}_over_{peer.name}_{connections}"] = ratio
    print("\n".join((f"\n{start.work.name}: {peer.name}, headgate", *speed.grid(found))), flush=True)
    return figures


def ratios(figures: Mapping[str, float], pace: Pace) -> Iterator[str]:
    """Yield the lines of the one table: for each model and peer its rate, ours, and ours over theirs."""
    head = "".join(f"{f'{c}: theirs':>14}{'ours':>10}{'ratio':>8}" for c in pace.connections)
    yield f"{'requests/s':<30}{'MB':>8}{head}"
    for name in (figure.removesuffix("_private_mb") for figure in figures if figure.endswith("_private_mb")):
        work, _, peer = name.partition("_")
        line = f"{work + ' ' + peer:<30}{figures[f'{name}_private_mb']:>8.0f}"
        for c in pace.connections:
            theirs, ours = figures[f"{name}_{c}_per_s"], figures[f"{name}_{c}_headgate_per_s"]
            line += f"{theirs:>14,.0f}{ours:>10,.0f}{figures[f'{work}_over_{peer}_{c}']:>8.2f}"
        yield line


@contextmanager
def running(peer: Peer, start: Start) -> Iterator[psutil.Process]:
    """Start a peer on the server's core, wait until it answers right, and end it with all that it started."""
    start.scratch.mkdir()
    variables = {"PATH": f"{start.bin}:{os.environ['PATH']}", "HOME": str(start.scratch), **peer.variables}
    log = start.scratch / "output"
    with log.open("wb") as output, on_core(SERVER_CORE):
        process = subprocess.Popen(
            peer.command(start), cwd=start.scratch, env=os.environ | variables, stdout=output, stderr=output
        )
    try:
        _await_right_answer(peer, start, process)
        yield psutil.Process(process.pid)
    except RuntimeError as error:
        tail = log.read_bytes()[-1500:].decode(errors="replace")
        raise Skipped(f"{error}\n{tail}") from None
    finally:
        end(process)


def _await_right_answer(peer: Peer, start: Start, process: subprocess.Popen[bytes]) -> None:
    requests, deadline = peer.requests(start.work)[:3], time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            answers = [ask_once(start.port, request) for request in requests]
        except (OSError, ValueError):
            answers = []
        if not answers or any(status != 200 for status, _ in answers):
            time.sleep(0.2)
            continue
        got = [x for _, body in answers for x in peer.read(json.loads(body))]
        if got == [float(x) for x in start.work.answers[:3]]:
            return
        raise RuntimeError(f"it answers {got}, not {start.work.answers[:3].tolist()}")
    raise RuntimeError(f"it does not answer ({process.poll()})")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.peers", description=__doc__)
    parser.add_argument("peers", nargs="*", choices=[[], *PEERS], help="which; all without any")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, nargs="+", default=(1, 32))
    parser.add_argument("--install-only", action="store_true", help="install, and measure nothing")
    parser.add_argument("--output", type=Path, default=ROOT / "var" / "bench" / "peers.json")
    return parser


if __name__ == "__main__":
    sys.exit(main())
