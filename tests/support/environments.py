"""Environments of pinned libraries that cannot be had beside ours: peers that are measured, clients that are tried.

Made once below ``var/`` with uv, made again when the pins change; safe where several processes want the same one.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CLIENTS = ROOT / "var" / "clients"


class CannotInstallError(Exception):
    """An environment cannot be made here; the message is the reason."""


def install(pins: Path, home: Path, interpreter: str = sys.executable) -> Path:
    """Make the environment of a file of pinned requirements at ``home``, unless it is there; return its ``bin``.

    Raises CannotInstallError.
    """
    home.parent.mkdir(parents=True, exist_ok=True)
    with home.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp, wanted = home / "installed", hashlib.sha256(pins.read_bytes() + interpreter.encode()).hexdigest()
        if not (stamp.exists() and stamp.read_text() == wanted):
            _make(pins, home, interpreter)
            stamp.write_text(wanted)
    return home / "bin"


def client_python(name: str) -> str:
    """Return the interpreter of the environment of ``tests/e2e/clients/<name>.txt``."""
    pins = ROOT / "tests" / "e2e" / "clients" / f"{name}.txt"
    return str(install(pins, CLIENTS / name) / "python")


def _make(pins: Path, home: Path, interpreter: str) -> None:
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if uv is None:
        raise CannotInstallError("uv is not installed")
    print(f"  installing {pins.stem} ...", file=sys.stderr)
    python = str(home / "bin" / "python")
    for command in (
        [uv, "venv", "--quiet", "--clear", "--python", interpreter, str(home)],
        [uv, "pip", "install", "--quiet", "--python", python, "--no-deps", "--requirement", str(pins)],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise CannotInstallError(
                f"it cannot be installed: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}"
            )
