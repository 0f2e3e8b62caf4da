"""How hosts are confined, as the node decides it; what that came to is told once. The deeds: ``child/sandbox.py``.

Not here: judging whether it is enough for ``required``; a host does that itself, before a model's first line runs.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from registry.log import event

Mode = Literal["auto", "required", "off"]
FIRST_USER, USERS = 60_578, 606
"""Numbers of users that nothing else gives out: between those of systemd's homes and of its dynamic services."""
PROCESSES, PROCESSES_PER_PROCESSOR = 64, 16


class Confinement:
    """What each host of a node may use. One for a node; for one event loop.

    Args:
        mode: ``off`` confines nothing beyond the process, ``required`` has hosts refuse to load what is not confined.
        hidden: The directory of the platform's own data, which no host may read.
        memory_bytes: What a host may take beyond its parent's memory; None for no bound.
        processes: How many processes and threads it may have; without it, what suits the machine.
    """

    def __init__(
        self,
        mode: Mode = "auto",
        hidden: Path | None = None,
        *,
        memory_bytes: int | None = None,
        processes: int | None = None,
    ) -> None:
        self.mode = mode
        self.hidden = str(hidden.absolute()) if hidden is not None else ""
        self._memory = memory_bytes
        self._processes = processes or PROCESSES + PROCESSES_PER_PROCESSOR * (os.cpu_count() or 1)
        self._taken: set[int] = set()
        self._next = os.getpid()  # so that two nodes of one machine seldom meet
        self._told = False

    def order(self) -> dict[str, Any]:
        """Return what a parent has to know to confine the next host; ``give_back`` its ``user`` when it has ended."""
        return {"memory": self._memory, "processes": self._processes, "user": self._take()}

    def give_back(self, user: int) -> None:
        """Say that a host's user has no process any more."""
        self._taken.discard(user)

    def tell(self, confined: tuple[str, ...], unconfined: Mapping[str, str]) -> None:
        """Say once in the log what could not be applied."""
        if unconfined and not self._told:
            self._told = True
            missing = "; ".join(f"{name} ({why})" for name, why in unconfined.items())
            event("sandbox_incomplete", logging.WARNING, missing=missing, applied=" ".join(confined))

    def _take(self) -> int:
        for _ in range(USERS):
            self._next += 1
            user = FIRST_USER + self._next % USERS
            if user not in self._taken:
                break
        self._taken.add(user)
        return user
