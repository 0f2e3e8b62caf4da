"""Start a command that cannot outlive its parent: ``python child.py --parent PID -- argv…``.

The standard library alone: it runs isolated, so that it costs milliseconds.

On Linux the kernel does it: this process asks to be killed when its parent dies (PR_SET_PDEATHSIG, which survives an
exec), checks that the parent had not died before it asked, and becomes the command. The kernel ties the wish to the
*thread* that forked, so the parent must start children from a thread that lives as long as it does: its main one.

Elsewhere nobody does it for us: this process stays, runs the command as its child and looks for its parent four times
a second. Not here: what the command itself starts; whoever forks further has to take the same care.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from types import FrameType

PR_SET_PDEATHSIG = 1
USAGE = "usage: child.py --parent PID [--watch] -- command ..."


def main(arguments: Sequence[str]) -> int:
    """Become, or keep, the command; return the exit code where there is one."""
    try:
        split = list(arguments).index("--")
        parent = int(arguments[list(arguments).index("--parent") + 1])
    except (ValueError, IndexError):
        print(USAGE, file=sys.stderr)
        return 64
    options, command = arguments[:split], list(arguments[split + 1 :])
    if not command:
        print(USAGE, file=sys.stderr)
        return 64
    _reset_signals()
    if sys.platform != "linux" or "--watch" in options:
        return _watch(command, parent)
    _die_with_parent()
    if os.getppid() != parent:
        return 0
    try:
        os.execvp(command[0], command)  # noqa: S606 - becoming the command is this program's purpose
    except OSError as error:
        print(f"cannot run {command[0]}: {error.strerror}", file=sys.stderr)
        return 127


def _reset_signals() -> None:
    """Give the command the signals of a fresh process: what the parent ignores or blocks, it would inherit."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)


def _die_with_parent() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")


def _watch(command: list[str], parent: int) -> int:
    """Run the command below this process; kill it when the parent is gone, pass signals on, end as it ends."""
    if os.getppid() != parent:
        return 0
    try:
        process = subprocess.Popen(command)
    except OSError as error:
        print(f"cannot run {command[0]}: {error.strerror}", file=sys.stderr)
        return 127

    def pass_on(number: int, _frame: FrameType | None) -> None:
        process.send_signal(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, pass_on)
    while process.poll() is None:
        if os.getppid() != parent:
            process.kill()
        time.sleep(0.25)
    if process.returncode < 0:
        # End by the same signal, so that the parent sees the true reason.
        _reset_signals()
        os.kill(os.getpid(), -process.returncode)
    return process.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
