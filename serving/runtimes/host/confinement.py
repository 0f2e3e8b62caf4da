"""How hosts are confined, as the node decides it; what that came to is told once. The deeds: ``child/sandbox.py``.

Not here: judging whether it is enough for ``required``; a host does that itself, before a model's first line runs.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from registry.log import event

Mode = Literal["auto", "required", "off"]
MANY_USERS = range(1_879_048_192, 2_147_483_647)
FEW_USERS = range(60_578, 61_184)
"""Numbers of users that nothing else gives out, by systemd's table of them: above those of containers, and between
those of its homes and of its dynamic services. Drawn from the many, no two hosts of any two nodes meet, not even in two
containers of one kernel; who shared a number would share a bound on processes. The few are for where the many are not
mapped."""
PROCESSES, PROCESSES_PER_PROCESSOR = 64, 16


class Confinement:
    """What each host of a node may use. One for a node; for one event loop.

    Args:
        mode: ``off`` confines nothing beyond the process, ``required`` has hosts refuse to load what is not confined.
        hidden: The directory of the platform's own data, which no host may read.
        memory_bytes: What a host may take beyond its parent's memory; None for no bound.
        processes: How many processes and threads it may have; without it, what suits the machine.
        users: The numbers that their users may have, where the node may give them users of their own.
    """

    def __init__(
        self,
        mode: Mode = "auto",
        hidden: Path | None = None,
        *,
        memory_bytes: int | None = None,
        processes: int | None = None,
        users: range | None = None,
    ) -> None:
        self.mode = mode
        self.hidden = str(hidden.absolute()) if hidden is not None else ""
        self._memory = memory_bytes
        self._processes = processes or PROCESSES + PROCESSES_PER_PROCESSOR * (os.cpu_count() or 1)
        self._taken: set[int] = set()
        self._users = users or (MANY_USERS if _mapped(MANY_USERS) else FEW_USERS)
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
        user = secrets.choice(self._users)
        while user in self._taken and len(self._taken) < len(self._users):
            user = secrets.choice(self._users)
        self._taken.add(user)
        return user


def _mapped(users: range) -> bool:
    """Tell whether this process's user namespace knows all these numbers, of users and of groups."""
    try:
        return all(
            any(int(first) <= users[0] and users[-1] < int(first) + int(count) for first, _, count in _mappings(kind))
            for kind in ("uid_map", "gid_map")
        )
    except (OSError, ValueError):  # not Linux
        return False


def _mappings(kind: str) -> list[list[str]]:
    return [line.split() for line in Path(f"/proc/self/{kind}").read_text().splitlines()]
