"""The host: loads one model, tries it, says so, and answers predicts one after another until the node closes the
socket.

Whatever a model's code raises is an answer; what ends the process (``os._exit``, a crash of native code) the node sees
by the socket's end. Not here: how values travel (``values.py``), what is tried (``rehearsal.py``), and what is given up
beforehand (``sandbox.py``).
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import time
from functools import partial

from .answer import answer, failure
from .courtesy import answer_first
from .sandbox import Confinement
from .shared import receive
from .streams import answer_stream
from .system import private_bytes
from .wire import Stream, pack, send


def run(connection: socket.socket, model_path: str, home: str, done: Confinement) -> None:
    """Be the host of the model in ``model_path``, with ``home`` as its own directory; ``done`` is what it gave up."""
    for name in ("HOME", "TMPDIR", "MPLCONFIGDIR", "XDG_CACHE_HOME"):
        os.environ[name] = home
    os.chdir(home)
    tempfile.tempdir, sys.argv = None, ["model"]
    shared = receive(connection)
    started = time.perf_counter()
    doing = "load"
    try:
        # No sooner: the parent must not import what a model may replace.
        from .loading import graph_inputs, graph_outputs, load

        loaded = load(model_path)
        doing = "example"
        from .rehearsal import rehearse

        model, found = rehearse(loaded, model_path)
        graph = {"graph_inputs": graph_inputs(loaded), "graph_outputs": graph_outputs(loaded)}
    except BaseException as error:  # noqa: BLE001 -- process edge: what a model raises in loading, exits included
        send(connection, pack(dict(failure(error), op="failed", doing=doing)))
        return
    ready = {"op": "ready", **graph, "confined": done.applied, "unconfined": done.missing}
    ready.update(found, shared=shared is not None, seconds=time.perf_counter() - started, memory=private_bytes())
    answer_first()
    send(connection, pack(ready))
    frames = Stream(connection, shared)
    while True:
        frame = frames.read()
        if frame is None:
            return
        if "stream" in frame[1]:
            answer_stream(model, frame, frames, partial(send, connection))
        elif "input" in frame[1]:  # anything else is about a stream that had ended before the node heard so
            send(connection, answer(model, *frame, shared=shared if frames.may_share else None))
        frame = None  # not kept until the next request comes
