"""The resolver in memory: every version is satisfied by the platform, unless a test says otherwise."""

from __future__ import annotations

from collections.abc import Sequence

from registry.errors import InvalidRequest, Unavailable
from registry.ports import Locked


class MemoryResolver:
    """``registry.ports.Resolver`` from what a test put there.

    Attributes:
        locks: Requirement lines → the lock they lead to.
        refused: Requirement lines → why there is none, in words.
        dark: While set, whatever needs a lock finds the package index away.
        asked: How often it was asked.
    """

    def __init__(self) -> None:
        self.locks: dict[tuple[str, ...], Locked] = {}
        self.refused: dict[tuple[str, ...], str] = {}
        self.dark = False
        self.asked = 0

    def resolve(self, requirements: Sequence[str], python: str | None) -> Locked | None:
        """Return what was put there."""
        self.asked += 1
        lines = tuple(requirements)
        if lines not in self.locks and lines not in self.refused:
            return None
        if self.dark:
            raise Unavailable("environment_unavailable", "the package index cannot be used: it does not answer")
        if lines in self.refused:
            raise InvalidRequest("not_servable", self.refused[lines])
        return self.locks[lines]

    def close(self) -> None:
        """Nothing is ever under way."""
