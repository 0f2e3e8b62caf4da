"""The warm parent: imports an environment's libraries once, then forks a host for each order of the node.

It holds no model and runs none, so it stays small and sound. A *bare* parent imports nothing: its forks are as good as
fresh processes, for environments whose libraries start threads. When the node goes away, or says so, every host ends,
with all that it started. Not here: what a host does (``host.py``), what it is kept from (``sandbox.py``).

Messages, each a packet: ``{"op": "fork", "id", "model", "home", …}`` (``host/confinement.py`` has the rest) with two
descriptors (the host's socket, its output) is answered ``forked`` (with a pidfd) or ``refused``; ``exited`` tells of a
host's end. Where the parent has a process namespace of its own, its numbers of processes are good in there only.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Sequence
from typing import Any

from . import host, namespaces
from .courtesy import step_aside, step_behind
from .sandbox import Confinement, Sandbox
from .system import (
    adopt_orphans,
    children,
    close_descriptors,
    die_with_parent,
    has_ended,
    kill_group,
    kill_trees,
    look_at,
    unsafe_threads,
)
from .wire import pack, send

# onnxruntime is missing on purpose: importing it starts a thread, and a process with threads must not fork.
PRELOAD = (
    *("mlflow.pyfunc", "mlflow.pyfunc.model", "numpy", "pandas", "cloudpickle", "scipy.sparse", "sklearn.linear_model"),
    *("sklearn.ensemble", "sklearn.tree", "sklearn.pipeline", "sklearn.preprocessing", "sklearn.compose", "skops.io"),
    *("mlflow.sklearn", "xgboost", "mlflow.xgboost", "lightgbm", "mlflow.lightgbm", "onnx", "mlflow.onnx"),
)
END_SECONDS = 1.0


class Parent:
    """Forks hosts on request; ends all of them, and all that they started, when the node goes away."""

    def __init__(self, control: socket.socket, warm: bool, sandbox: Sandbox) -> None:
        self._control, self._sandbox = control, sandbox
        step_aside()
        self._hosts: set[int] = set()
        started = time.perf_counter()
        missing = [name for name in PRELOAD if not _import(name)] if warm else []
        if warm:
            for name in ("values", "rehearsal"):  # and what they import: each host would compile it anew
                _import(f"{__package__}.{name}")
            _rehearse()
        gc.collect()
        gc.freeze()  # so that a host's collector writes to no page that it shares with this process
        gc.disable()
        adopt_orphans()
        self._wake, wake = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: self._end())
        self._spaces = sandbox.spaces
        if self._spaces is None:
            die_with_parent(signal.SIGTERM)  # from here on it can end its hosts in good order; else the kernel does
        self._myself = look_at(os.getpid())
        self._say({"op": "ready", "seconds": time.perf_counter() - started, "missing": missing})

    def run(self) -> None:
        """Serve until the node closes the control socket."""
        control = self._control.fileno()
        while True:
            readable, _, _ = select.select([control, self._wake], [], [])
            if self._wake in readable:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake, 4096)
                self._reap()
            if control in readable:
                text, descriptors, _, _ = socket.recv_fds(self._control, 1 << 16, 8)
                if not text:
                    self._end()
                self._fork(json.loads(text), descriptors)

    def _fork(self, order: dict[str, Any], descriptors: list[int]) -> None:
        threads = unsafe_threads()
        pidfds: list[int] = []
        if threads:
            self._say({"op": "refused", "id": order["id"], "reason": "cannot fork safely", "threads": threads})
        else:
            me = os.getpid()
            pid = os.fork() if self._spaces is None else self._spaces.fork()
            if pid == 0:
                self._become_host(me, order, descriptors)
            self._hosts.add(pid)
            with contextlib.suppress(AttributeError, OSError):  # Linux before 5.3
                pidfds.append(os.pidfd_open(pid))
            self._say({"op": "forked", "id": order["id"], "pid": pid}, pidfds)
        for descriptor in [*descriptors, *pidfds]:
            os.close(descriptor)

    def _reap(self) -> None:
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            kill_group(ended.si_pid)  # before it is reaped, so that its number cannot be another's yet
            _, status = os.waitpid(ended.si_pid, 0)
            if ended.si_pid in self._hosts:
                self._hosts.discard(ended.si_pid)
                code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
                self._say({"op": "exited", "pid": ended.si_pid, "status": code})
            self._sweep()

    def _sweep(self) -> None:
        # What a host started and left behind has become our child, and ends with the host. In a namespace of its own it
        # has ended already.
        if self._spaces is None:
            kill_trees(children() - self._hosts)

    def _say(self, message: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
        try:
            socket.send_fds(self._control, [json.dumps(message).encode()], list(descriptors))
        except OSError:
            self._end()

    def _end(self) -> None:
        if self._spaces is not None:
            os._exit(0)
        for pid in self._hosts:
            kill_group(pid)
        self._hosts.clear()
        until = time.monotonic() + END_SECONDS
        with contextlib.suppress(ChildProcessError):
            while time.monotonic() < until:
                self._sweep()
                if os.waitpid(-1, os.WNOHANG) == (0, 0):
                    time.sleep(0.005)
        os._exit(0)

    def _become_host(self, parent: int, order: dict[str, Any], descriptors: list[int]) -> None:
        """Turn a fork into a host; never return."""
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            os.setsid()
            if order.get("background"):
                step_behind()
            connection, output = descriptors
            os.dup2(output, 1)
            os.dup2(output, 2)
            done = self._sandbox.confine(order)
            die_with_parent()
            if os.getppid() != parent if self._myself is None else has_ended(self._myself):
                return
            close_descriptors(keep=connection)
            stream = socket.socket(fileno=connection)
            if self._sandbox.mode == "required" and done.lacking:
                _refuse(stream, done)
            else:
                host.run(stream, order["model"], order["home"], done)
        finally:
            os._exit(0)


def _refuse(connection: socket.socket, done: Confinement) -> None:
    send(connection, pack({"op": "refused", "lacking": "; ".join(done.lacking)}))


def _import(name: str) -> bool:
    try:
        importlib.import_module(name)
    except Exception:  # noqa: BLE001 -- absent or broken here: a model that needs it will say so itself
        return False
    return True


def _rehearse() -> None:
    # What libraries load and look up at their first prediction they have then done for every host.
    with contextlib.suppress(Exception):  # no scikit-learn here, or another one than this was written for
        import pandas as pd
        from sklearn.linear_model import LinearRegression

        frame = pd.DataFrame({"a": [0.0, 1.0, 3.0], "b": [1.0, 0.0, 5.0]})
        LinearRegression().fit(frame, [1.0, 2.0, 3.0]).predict(frame)


def serve(descriptor: int, node: int, *, warm: bool, mode: str, hidden: str) -> None:
    """Be the parent whose control socket is ``descriptor``, for as long as the process ``node`` lives.

    Args:
        descriptor: The control socket.
        node: The process that started this one.
        warm: Whether to import libraries ahead.
        mode: How hosts are confined: ``auto``, ``required`` or ``off``.
        hidden: The directory of the platform's own data, which no host may read.
    """
    die_with_parent()
    if os.getppid() != node:
        sys.exit(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches whole groups; the node decides
    spaces = namespaces.enter() if mode != "off" else None
    Parent(socket.socket(fileno=descriptor), warm, Sandbox(mode, hidden, spaces)).run()
