"""Whether a model's newest plan and aliases may answer already, or what must stay meanwhile. Pure.

A version takes planned traffic on a node only once it is loaded there, as long as the one before it still can answer:

    nothing planned before, or its stable version is not loaded here   the newest plan, at once
    that version may serve no more (retired, replaced)                  the newest plan, at once
    the stable version of the newest plan is loaded                     the newest plan
    otherwise                                                           the plan before

Each alias for itself likewise. A canary, or what a rule names, holds nothing back: until it is loaded, stable answers
for it. Requests that name a version are never held back. Not here: loading (``pool/warming.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from registry.records import AliasName, VersionNumber
from registry.snapshots import ServableVersion
from serving.routing.split import RoutedVersion
from serving.routing.table import Hold, RoutedModel

Tells = Callable[[ServableVersion], bool]


def decide(before: RoutedModel, newest: RoutedModel, usable: Tells, ready: Tells) -> Hold | None:
    """Return what must stay; None where the newest may answer.

    Args:
        before: The model as it is in force.
        newest: The model as the registry has it.
        usable: Tells whether a version of before can go on answering here.
        ready: Tells whether a version that shall answer is loaded here.
    """
    waits = _Waits(before, newest, usable, ready)
    plan_stays = waits.plan()
    aliases = waits.aliases()
    if not plan_stays and not aliases:
        return None
    return Hold(
        plan=before.plan if plan_stays else newest.plan,
        revision=before.revision if plan_stays else newest.revision,
        aliases=aliases,
        versions=waits.versions,
        awaits=tuple(waits.awaited.values()),
        unreadable=tuple(sorted(waits.unreadable, key=int)),
    )


class _Waits:
    """Collects what one decision finds."""

    def __init__(self, before: RoutedModel, newest: RoutedModel, usable: Tells, ready: Tells) -> None:
        self._before, self._newest = before, newest
        self._usable, self._ready = usable, ready
        self.awaited: dict[VersionNumber, RoutedVersion] = {}
        self.unreadable: set[VersionNumber] = set()
        self.versions: dict[VersionNumber, RoutedVersion] = {}

    def plan(self) -> bool:
        """Tell whether the plan before must stay."""
        before, newest = self._before.plan, self._newest.plan
        if before is None or newest is None or not self._can_stay((before.stable,)):
            return False
        same = before.stable == newest.stable and not self._is_another_copy(newest.stable)
        return not same and self._await((newest.stable,), before.versions)

    def aliases(self) -> dict[AliasName, VersionNumber]:
        """Return the aliases that must stay, and what they name."""
        moved = {
            alias: number
            for alias, number in self._before.aliases.items()
            if self._newest.aliases.get(alias, number) != number
        }
        return {
            alias: number
            for alias, number in moved.items()
            if self._can_stay((number,)) and self._await((self._newest.aliases[alias],), (number,))
        }

    def _await(self, targets: Iterable[VersionNumber], stay: Iterable[VersionNumber]) -> bool:
        """Note which targets are not loaded; tell whether there are any."""
        waits = False
        for number in targets:
            routed = self._newest.versions.get(number)
            if routed is None:
                self.unreadable.add(number)
            elif not self._ready(routed.servable):
                self.awaited[number] = routed
            else:
                continue
            waits = True
        if waits:
            self.versions |= {n: self._before.versions[n] for n in stay if self._is_another_copy(n)}
        return waits

    def _can_stay(self, numbers: Iterable[VersionNumber]) -> bool:
        return all(self._is_same_model(n) and self._usable(self._before.versions[n].servable) for n in numbers)

    def _is_same_model(self, number: VersionNumber) -> bool:
        before, newest = self._before.versions.get(number), self._newest.versions.get(number)
        if before is None or newest is None:
            return False
        as_now = replace(before.servable, instances=newest.servable.instances, background=newest.servable.background)
        return as_now == newest.servable

    def _is_another_copy(self, number: VersionNumber) -> bool:
        before, newest = self._before.versions.get(number), self._newest.versions.get(number)
        return before is not None and newest is not None and before.servable != newest.servable
