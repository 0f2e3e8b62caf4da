"""What this node knows of graphs: each artifact is probed once, and a good verdict is kept on disk by its digest.

A verdict is worth as much as the bytes it is about, which a digest names for ever, and the onnxruntime that gave it,
whose version it bears. Bad ones are forgotten with the process: what was tried on a busy day may be tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections import OrderedDict
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from registry.records import Digest
from serving.runtimes.host.parent import scrubbed
from serving.runtimes.inline.probe import Verdict

PROBE_SECONDS = 25.0
PARALLEL_PROBES = 2
KEPT_VERDICTS = 10_000
_MAX_ANSWER = 1 << 16
_FORM = 1
"""Raise it when the list, the rules or the probe change what a verdict says."""


class Verdicts:
    """Probes and remembers. For one event loop.

    Args:
        directory: Where verdicts are kept; this node's own.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._known: OrderedDict[Digest, Verdict] = OrderedDict()
        self._turns = asyncio.Semaphore(PARALLEL_PROBES)

    async def of(self, digest: Digest, model: Path) -> Verdict:
        """Return the verdict on the graph in ``model``, whose artifact has ``digest``; never raises for a graph."""
        known = self._known.get(digest)
        if known is not None:
            self._known.move_to_end(digest)
            return known
        verdict = await asyncio.to_thread(self._read, digest)
        if verdict is None:
            async with self._turns:
                verdict = await _probe(model)
            if not verdict.reason:
                await asyncio.to_thread(self._write, digest, verdict)
        self._known[digest] = verdict
        while len(self._known) > KEPT_VERDICTS:
            self._known.popitem(last=False)
        return verdict

    def _file(self, digest: Digest) -> Path:
        return self._directory / f"{digest.removeprefix('sha256:')}.json"

    def _read(self, digest: Digest) -> Verdict | None:
        try:
            raw = json.loads(self._file(digest).read_bytes())
            if raw["by"] == _author():
                return Verdict.from_json(raw["verdict"])
        except (OSError, KeyError, TypeError, ValueError):  # none, or one that a crash left half written
            pass
        return None

    def _write(self, digest: Digest, verdict: Verdict) -> None:
        file = self._file(digest)
        with contextlib.suppress(OSError):  # then it is probed again after a restart
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            if len(list(self._directory.iterdir())) >= KEPT_VERDICTS:
                for old in self._directory.glob("*.json"):
                    old.unlink(missing_ok=True)
            beside = file.with_suffix(".new")
            beside.write_text(json.dumps({"by": _author(), "verdict": asdict(verdict)}))
            beside.rename(file)


def _author() -> str:
    try:
        return f"{_FORM} onnxruntime {version('onnxruntime')}"
    except PackageNotFoundError:
        return f"{_FORM}"


async def _probe(model: Path) -> Verdict:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-B", "-m", "serving.runtimes.launch", str(os.getpid())),
        *(sys.executable, "-I", "-B", "-m", "serving.runtimes.inline.probe", str(model)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=scrubbed(os.environ, Path("/")),
        cwd="/",
        start_new_session=True,
        limit=_MAX_ANSWER,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            answer = await process.stdout.read(_MAX_ANSWER)
            status = await process.wait()
    except TimeoutError:
        return Verdict(f"its probe took longer than {PROBE_SECONDS:.3g} s")
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    try:
        return Verdict.from_json(json.loads(answer))
    except (ValueError, TypeError, KeyError):
        how = f"signal {-status}" if status < 0 else f"exit status {status}"
        return Verdict(f"its probe ended with {how}")
