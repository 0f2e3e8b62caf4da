"""What every peer is to us: how it is installed, started, asked and understood. Each is a module with a ``PEER``.

Not here: any one of them, and measuring (``__main__.py``).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.load import http_request
from tests.bench.machine import ROOT
from tests.bench.models import DISTINCT, Work, flat
from tests.support.environments import CannotInstallError
from tests.support.environments import install as made

ENVIRONMENTS = ROOT / "var" / "bench" / "envs"
SERVERS = Path(__file__).parent / "servers"


class Skipped(Exception):
    """This peer cannot run here; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Start:
    """What a peer needs to know to start: its environment's ``bin``, a model, a free port, a directory of its own."""

    bin: Path
    work: Work
    port: int
    scratch: Path

    @property
    def pickle(self) -> str:
        """The model as a pickle file, which each peer that has no MLflow loads by itself."""
        return str(self.work.directory / "model.pkl")

    def python(self, script: str) -> list[str]:
        """Return the command that runs one of ``servers/`` in the peer's environment: port, model, its name."""
        return [str(self.bin / "python"), str(SERVERS / script), str(self.port), self.pickle, self.work.name]


@dataclass(frozen=True, slots=True)
class Peer:
    """One peer.

    Attributes:
        name: What tables call it.
        environment: The name of its requirements file and of its environment.
        command: Returns what starts it, and may write files below ``scratch`` before.
        path: Returns where a model is asked.
        body: Returns the request for the row at an index, in the form that is natural to it.
        read: Returns the predictions in an answer's JSON.
        works: The names of the models that it is asked.
        interpreter: Returns the Python that its environment is made with; raises Skipped.
        variables: Environment variables that it is started with.
    """

    name: str
    environment: str
    command: Callable[[Start], list[str]]
    path: Callable[[Work], str]
    body: Callable[[Work, int], bytes]
    read: Callable[[Any], list[float]] = flat
    works: tuple[str, ...] = ("logistic", "forest")
    interpreter: Callable[[], str] = lambda: sys.executable
    variables: Mapping[str, str] = field(default_factory=dict)

    def requests(self, work: Work) -> list[bytes]:
        """Return single-row requests, all different."""
        return [http_request(self.path(work), self.body(work, i)) for i in range(DISTINCT)]


def install(peer: Peer) -> Path:
    """Make the peer's environment, unless it is there as its pins want it; return its ``bin``. Raises Skipped."""
    return environment(peer.environment, peer.interpreter())


def environment(name: str, interpreter: str = sys.executable) -> Path:
    """Make the environment of a requirements file, as ``install`` does a peer's."""
    try:
        return made(Path(__file__).parent / f"{name}.txt", ENVIRONMENTS / name, interpreter)
    except CannotInstallError as reason:
        raise Skipped(str(reason)) from None


def tensor_body(work: Work, index: int, name: str = "inputs") -> bytes:
    """Return one row as the Open Inference Protocol has it."""
    row = work.data[index].tolist()
    tensor = {"name": name, "shape": [1, len(row)], "datatype": "FP64", "data": row}
    return json.dumps({"inputs": [tensor]}).encode()


def tensor_answer(answer: Any) -> list[float]:
    """Return the predictions of an Open Inference Protocol answer."""
    return flat(answer["outputs"][0]["data"])
