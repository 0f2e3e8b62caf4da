"""The process of a serving node: settings, one lock, one socket, uvicorn.

What cannot be done is one clear line on stderr and exit code 2. SIGTERM: not ready any more, no new connections, what
is in flight ends within 30 seconds, versions are unloaded, exit code 0. Not here: what is made of what
(``bootstrap.py``).
"""

from __future__ import annotations

import argparse
import fcntl
import gc
import logging
import os
import resource
import socket
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import IO

from registry import log
from registry.edge.server import CannotListen, listen, reserve, serve
from registry.environment import SettingsProblem, is_loopback, platform_version
from registry.variables import PREFIX
from serving.bootstrap import build, state_of
from serving.settings import ServingSettings, load_settings
from serving.workers.siblings import Worker
from serving.workers.supervisor import Supervisor

MAX_FILES = 65_536
YOUNG_OBJECTS = 20_000
_CANNOT = 2


class CannotStartError(Exception):
    """The machine does not allow what the settings ask for; the message is one line."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a serving node until SIGTERM or Ctrl-C; return the exit code."""
    given = _parser().parse_args(argv)
    environ = os.environ if given.workers is None else {**os.environ, f"{PREFIX}WORKERS": given.workers}
    try:
        settings = load_settings(environ)
        if given.worker is not None:  # started by a supervisor, which holds the lock and the port
            worker, listener = _place(given.worker)
            return _serve(settings, listener, worker)
        lock = _lock_home(settings)
        listener = listen(settings.serving_host, settings.serving_port, f"{PREFIX}SERVING_PORT")
        kept = _keep_grpc_port(settings)
    except SettingsProblem as error:
        sys.stderr.write("".join(f"headgate-serving: {line}\n" for line in error.lines))
        return _CANNOT
    except (CannotStartError, CannotListen) as error:
        sys.stderr.write(f"headgate-serving: {error}\n")
        return _CANNOT
    with lock, listener, kept:
        if not is_loopback(settings.serving_host):
            log.configure(settings.log_level)
            log.event("no_access_control", logging.WARNING, host=settings.serving_host, setting=f"{PREFIX}AUTH=off")
        if settings.workers > 1:
            log.configure(settings.log_level)
            return Supervisor(listener, settings.workers).run()
        return _serve(settings, listener)


def _keep_grpc_port(settings: ServingSettings) -> AbstractContextManager[object]:
    """Keep the port of the gRPC server, which binds it once it is imported; for all workers, which share it."""
    if not settings.grpc_port:
        return nullcontext()
    return reserve(settings.serving_host, settings.grpc_port, f"{PREFIX}GRPC_PORT")


def _place(words: str) -> tuple[Worker, socket.socket]:
    number, count, descriptor, meeting = words.split(":", 3)
    return Worker(int(number), int(count), Path(meeting)), socket.socket(fileno=int(descriptor))


def _serve(settings: ServingSettings, listener: socket.socket, worker: Worker | None = None) -> int:
    log.configure(settings.log_level)
    _allow_many_files()
    node = build(settings, worker)
    # What lives now lives for ever: the collector need not look at it again. What requests make is freed without it,
    # so it looks for cycles seldom: at its usual rate it takes a fifteenth of the processor under load.
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 20)
    serve(node.app, listener, leave=node.leave)
    return 0


def _lock_home(settings: ServingSettings) -> IO[bytes]:
    """Return an open file whose lock shows that a node runs on this home; it goes with the process."""
    state = state_of(settings)
    try:
        state.mkdir(parents=True, exist_ok=True)
        lock = (state / "lock").open("wb")
    except OSError as error:
        raise CannotStartError(f"cannot write below {PREFIX}HOME ({settings.home}): {error.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise CannotStartError(
            f"another serving node runs on {PREFIX}HOME ({settings.home}); give this one its own"
        ) from None
    return lock


def _allow_many_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _parser() -> argparse.ArgumentParser:
    lines = [
        f"  {PREFIX}{name.upper():<16} {field.description} Default: {_shown(field.default)}"
        for name, field in ServingSettings.model_fields.items()
    ]
    parser = argparse.ArgumentParser(
        prog="headgate-serving",
        description="Answer predictions with the right version of each model. Settings are environment variables:",
        epilog="\n".join(lines),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=platform_version())
    workers = ServingSettings.model_fields["workers"].description
    parser.add_argument("--workers", metavar="N", help=f"{workers} As {PREFIX}WORKERS, which it overrides.")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    return parser


def _shown(default: object) -> str:
    return "none" if default is None or default == () else str(default)
