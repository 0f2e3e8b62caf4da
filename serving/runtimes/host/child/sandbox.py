"""Confines a host before it loads its model: the order in which privileges are given up, and what is told of it.

    bounds ─► shared memory of its own ─► no_new_privs ─► files (Landlock) ─► a user of its own ─► no capabilities
    ─► no sockets (seccomp)

Each measure stands alone: what the system does not allow is named, with the reason, and the rest is applied. Whether
that is enough is the operator's word: with ``required`` a host that lacks one of ``NEEDED`` loads nothing. Not here:
the measures themselves, and the process namespace (``namespaces.py``), which exists before the host does.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from . import landlock, limits, namespaces, readable, seccomp, user
from .system import no_new_privileges, not_dumpable, unshare

NEEDED = ("network", "files", "memory", "processes", "no_new_privs")
_NEW_NETWORK = 0x40000000


class Confinement:
    """What was applied, as words (``files:landlock``), and what could not be, with the reason."""

    def __init__(self) -> None:
        self.applied: list[str] = []
        self.missing: dict[str, str] = {}

    @property
    def lacking(self) -> list[str]:
        """What a host must have where a sandbox is required, and has not; each with its reason."""
        return [f"{name} ({self.missing[name]})" for name in NEEDED if name in self.missing]

    def attempt(self, name: str, how: str, measure: Callable[[], object]) -> bool:
        """Apply a measure; note how it went."""
        try:
            measure()
        except OSError as error:
            self.missing[name] = f"{how}: {error.strerror or error}" if how else str(error.strerror or error)
            return False
        self.missing.pop(name, None)
        self.applied.append(f"{name}:{how}" if how else name)
        return True


class Sandbox:
    """Confines the forks of one parent.

    Args:
        mode: ``off`` confines nothing; ``auto`` and ``required`` apply the same, and judge it differently.
        hidden: The directory that holds the platform's own data; no host may look into it.
        spaces: The parent's namespaces, where it has some.
    """

    def __init__(self, mode: str, hidden: str, spaces: namespaces.Namespaces | None) -> None:
        self.mode, self.spaces = mode, spaces
        self._readable = [] if mode == "off" else readable.of_environment(hidden)
        if mode != "off" and spaces is None:
            _quietly(not_dumpable)  # so that a host of the same user cannot look into its parent

    def confine(self, order: Mapping[str, Any]) -> Confinement:
        """Give up all that no model needs, in the host that ``order`` asks for; see ``parent.py``."""
        done = Confinement()
        limits.bound_small()
        if self.mode == "off":
            return done
        os.umask(0o077)
        os.register_at_fork(after_in_child=_step_back)
        if self.spaces is not None:
            done.applied.append("signals:pidns")
        elif landlock.refuses_signals():
            done.applied.append("signals:landlock")
        else:
            done.missing["signals"] = "process namespaces are not allowed here"
        identity = _user_of_its_own(order)
        self._bound(done, order, alone=identity is not None)
        own_memory = self.spaces is not None and done.attempt("shm", "mountns", namespaces.own_shared_memory)
        network = _network()
        if network == "netns":
            done.applied.append("network:netns")
        done.attempt("no_new_privs", "", no_new_privileges)
        landlocked = done.attempt("files", "landlock", lambda: self._restrict_files(order, own_memory))
        if identity is not None:
            os.chown(order["home"], identity, identity)
            if done.attempt("user", str(identity), lambda: user.become(identity)) and not landlocked:
                done.missing.pop("files", None)  # such a user can read what everybody can
                done.applied.append("files:user")
        reading = landlocked and (identity is not None or os.geteuid() == 0)
        done.attempt("capabilities", "dropped", lambda: user.drop_capabilities(reading=reading))
        if not landlocked:
            _quietly(not_dumpable)
        if network == "landlock" and landlocked:
            done.applied.append("network:landlock")
        elif network != "netns":
            done.attempt("network", "seccomp", seccomp.restrict)
        return done

    def _bound(self, done: Confinement, order: Mapping[str, Any], alone: bool) -> None:
        memory = order.get("memory")
        if memory is not None:
            done.attempt("memory", "rlimit", lambda: limits.bound_memory(int(memory)))
        how = "user"
        if not alone and self.spaces is not None and self.spaces.own_user and limits.counts_by_namespace():
            how = "userns"
            alone = _quietly(namespaces.own_user)
        if not alone and os.geteuid() == 0:
            done.missing["processes"] = "root's are not counted, and it may not become another user"
            return
        most = int(order["processes"])
        done.attempt("processes", how if alone else "shared", lambda: limits.bound_processes(most, alone))

    def _restrict_files(self, order: Mapping[str, Any], own_memory: bool) -> None:
        rules = landlock.Rules()
        rules.read([*self._readable, order["model"]])
        rules.write([order["home"], *readable.WRITABLE, *([namespaces.SHARED_MEMORY] if own_memory else [])])
        rules.restrict()


def confine_reader() -> None:
    """Confine the process that reads tables, which needs neither a model nor files of its own, as far as possible."""
    limits.bound_small()
    _quietly(no_new_privileges)
    _quietly(seccomp.restrict)


def _user_of_its_own(order: Mapping[str, Any]) -> int | None:
    """Return the user to become: none where it could not read what it needs, and nothing else keeps it to that."""
    number = order.get("user")
    if number is None or not user.may_change():
        return None
    needed = [*readable.needed(), order["model"], str(Path(order["home"]).parent)]
    return int(number) if landlock.available() or user.could_read(number, needed) else None


def _network() -> str:
    """Return the best of what this kernel has against the network; a namespace of its own is entered at once."""
    if seccomp.available():
        return "seccomp"
    if _quietly(lambda: unshare(_NEW_NETWORK)):
        return "netns"
    return "landlock" if landlock.refuses_network() else "seccomp"


def _step_back() -> None:
    # What a host forks yields to hosts and to the node, the more the further down: where sessions have no shares of
    # their own (in a container), a hundred loops would leave the others a hundredth.
    _quietly(lambda: os.nice(10))


def _quietly(measure: Callable[[], object]) -> bool:
    try:
        measure()
    except OSError:
        return False
    return True
