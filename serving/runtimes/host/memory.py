"""What a process costs: the memory that would come back if it ended, as the kernel tells. It blocks: call in a thread.

Not here: who counts it against which budget (``serving/pool``).
"""

from __future__ import annotations

from pathlib import Path

_PRIVATE = ("Private_Clean:", "Private_Dirty:")


def private_bytes(pid: int) -> int:
    """Return the bytes of a process's private pages; 0 where the kernel does not tell."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(_PRIVATE))
    except (OSError, ValueError):
        return 0
