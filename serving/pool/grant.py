"""How much memory this process may take: what its control group or the machine grants.

Read from the kernel's own files, control groups of version 2 and 1, every level up, because a parent's limit holds for
its children. Not here: what is made of it (``room.py``).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

BUDGET_SHARE = 0.7
"""How much of what is granted all loaded versions may take: the rest is the server's own and everybody else's."""
_UNLIMITED = 1 << 60
_FALLBACK = 4 << 30


def default_budget(root: Path = Path("/")) -> int:
    """Return the memory budget where no setting names one, in bytes. Blocks for a moment.

    Args:
        root: Where ``proc`` and ``sys`` are mounted.
    """
    return int(granted_bytes(root) * BUDGET_SHARE)


def granted_bytes(root: Path = Path("/")) -> int:
    """Return the least of all limits and of the machine's memory; 4 GB where the system tells nothing."""
    limits = [limit for file in _limit_files(root) if (limit := _number(file)) is not None and limit < _UNLIMITED]
    machine = _machine_bytes(root)
    return min([*limits, *([] if machine is None else [machine])], default=_FALLBACK)


def _limit_files(root: Path) -> Iterator[Path]:
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            base, name = root / "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            base, name = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        # In a container the path may be the host's, where it does not exist here; the upper levels then do.
        parts = [part for part in path.split("/") if part and part != ".."]
        for depth in range(len(parts), -1, -1):
            yield base.joinpath(*parts[:depth], name)


def _number(file: Path) -> int | None:
    try:
        text = file.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None  # "max" is no limit


def _machine_bytes(root: Path) -> int | None:
    try:
        for line in (root / "proc/meminfo").read_text().splitlines():
            name, _, rest = line.partition(":")
            if name == "MemTotal":
                return int(rest.split()[0]) * 1024
    except (OSError, ValueError, IndexError):
        return None
    return None
