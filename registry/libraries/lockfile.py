"""What a lock is: the packages of one environment, each with its version and the hashes of its files. Pure.

A lock is a requirements file as ``uv pip compile --generate-hashes`` writes it, below one line that says for what it
was made. It names no index: whoever installs it takes the files from the index that its operator set, and they must
have these hashes. The first line is there because a lock fits the Python and the kind of machine that it was resolved
for: another needs other packages (markers), or other wheels.
"""

from __future__ import annotations

import platform
import re
import sys
from dataclasses import dataclass

LOCK_LIMIT = 4 * 2**20
_HEADER = re.compile(r"# headgate lock 1: python ([0-9]+\.[0-9]+), (\S+) (\S+), (\S+) ([0-9.]+)")
_PACKAGE = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([A-Za-z0-9.!+_-]+)(?: *; *([^\\#@]+?))? *\\?")
_HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}(?: \\)?")


@dataclass(frozen=True, slots=True)
class Machine:
    """The kind of machine that wheels are made for: ``linux``, ``x86_64``, ``glibc``, ``(2, 36)``."""

    system: str
    processor: str
    libc: str
    libc_version: tuple[int, ...]


def this_machine() -> Machine:
    """Return what this process runs on."""
    name, version = platform.libc_ver()
    if not name:
        mac = platform.mac_ver()[0]
        name, version = ("macos", mac) if mac else ("unknown", "0")
    numbers = tuple(int(part) for part in re.findall(r"[0-9]+", version)[:2])
    return Machine(sys.platform, platform.machine() or "unknown", name, numbers or (0,))


def with_header(packages: str, python: str, machine: Machine) -> str:
    """Return a lock of resolved ``packages``."""
    libc = ".".join(map(str, machine.libc_version))
    return (
        f"# headgate lock 1: python {python}, {machine.system} {machine.processor}, {machine.libc} {libc}\n{packages}"
    )


def fits(lock: str, python: str, machine: Machine) -> bool:
    """Tell whether a lock was made for that Python, and for a machine whose wheels run on this one."""
    header = _HEADER.fullmatch(lock.partition("\n")[0])
    if header is None:
        return False
    made_for, system, processor, libc, version = header.groups()
    same = (made_for, system, processor, libc) == (python, machine.system, machine.processor, machine.libc)
    # What was built for an older C library runs with a newer one, and not the other way round.
    return same and tuple(int(part) for part in version.split(".") if part) <= machine.libc_version


def locked_packages(lock: str) -> dict[str, str]:
    """Return package → version; raise ValueError where a line is neither a pinned package, a hash nor a comment.

    So an address, a path or an option in a lock is refused by whoever reads it, wherever it came from; and a package
    that has no hash, because nothing would hold the installer to anything.
    """
    found: dict[str, str] = {}
    bare = ""
    for line in lock.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if package := _PACKAGE.fullmatch(line):
            if bare:
                break
            bare = package[1]
            found[package[1].lower()] = package[2]
        elif _HASH.fullmatch(line) and found:
            bare = ""
        else:
            raise ValueError("a lock holds pinned packages and their hashes, and nothing else")
    if bare or not found:
        raise ValueError(f"the lock has no hash of {bare}" if bare else "the lock names no package")
    return found
