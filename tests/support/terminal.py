"""The command line on a pseudo-terminal, as a person sees it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import struct
import subprocess
import sys
import termios

from tests.support.fake_platform import FakePlatform

Seen = tuple[int, str]


def on_terminal(fake: FakePlatform, *words: str, typed: str = "", columns: int = 80) -> Seen:
    """Run a command line on a pseudo-terminal; return its exit code and the text that it showed."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    env = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES", "NO_COLOR")} | {
        "HEADGATE_REGISTRY_URL": fake.registry_url, "HEADGATE_SERVING_URL": fake.serving_url,
        "TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8",
    }  # fmt: skip
    command = [sys.executable, "-m", "headgate.cli", *words]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=env) as process:
        os.close(theirs)
        os.write(ours, typed.encode())
        shown = b""
        with contextlib.suppress(OSError):  # a terminal whose last process has ended answers with an error
            while piece := os.read(ours, 65536):
                shown += piece
    os.close(ours)
    return process.returncode, re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
