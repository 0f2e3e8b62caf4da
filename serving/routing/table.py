"""What this node knows of the models, as one immutable value that is swapped whole.

A request reads the table once and sees one state of the world. Signatures are parsed here, once a version. Not here:
choosing (``choose.py``) and where pages come from (``sources/snapshot.py``).
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from registry.plans import Plan
from registry.records import AliasName, ModelName, VersionNumber
from registry.signature import parse_signature
from registry.snapshots import ModelSnapshot, ServableVersion, SnapshotPage
from serving.routing.split import RoutedVersion, Split, split_of

LISTED = 10
UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class RoutedModel:
    """One model: its plan, its versions, and the state of those that may not answer.

    ``listing`` names the newest versions for messages; made once, because a model may have 100,000. ``split`` is the
    plan made ready for choosing; None where nothing can be chosen.
    """

    name: ModelName
    plan: Plan | None
    revision: int
    aliases: Mapping[AliasName, VersionNumber]
    versions: Mapping[VersionNumber, RoutedVersion]
    others: Mapping[VersionNumber, str]
    listing: str
    snapshot: ModelSnapshot
    split: Split | None = field(compare=False)


@dataclass(frozen=True, slots=True)
class Hold:
    """What stays as it was for a model, because a version that shall answer is not loaded here yet.

    Attributes:
        plan: The plan in force, and its ``revision``.
        aliases: Those that go on naming what they named.
        versions: Copies that go on under their number: the newest plan gives them other processes.
        awaits: What must be loaded before it ends.
        unreadable: Versions that the newest plan names and this node cannot read: with them it ends only by a new plan.
    """

    plan: Plan | None
    revision: int
    aliases: Mapping[AliasName, VersionNumber]
    versions: Mapping[VersionNumber, RoutedVersion]
    awaits: tuple[RoutedVersion, ...]
    unreadable: tuple[VersionNumber, ...] = ()

    def applied(self, model: RoutedModel) -> RoutedModel:
        """Return the model as it is in force."""
        versions = {**model.versions, **self.versions}
        return replace(
            model,
            plan=self.plan,
            revision=self.revision,
            aliases={**model.aliases, **self.aliases},
            versions=versions,
            split=split_of(model.name, self.plan, self.revision, versions),
        )


@dataclass(frozen=True, slots=True)
class Table:
    """All models by name, as of one revision of the snapshot. ``known`` is False before the first snapshot."""

    models: Mapping[str, RoutedModel] = field(default_factory=dict)
    revision: int = 0
    known: bool = False

    def servable(self, model: str, version: str) -> ServableVersion | None:
        """Return what a version is now; None where it may not answer."""
        routed = self.models.get(model)
        found = None if routed is None else routed.versions.get(VersionNumber(version))
        return None if found is None else found.servable

    def merged(self, page: SnapshotPage) -> Table:
        """Return the table after a page: a full one replaces everything, any other only what it names."""
        models = {} if page.full else dict(self.models)
        for name in page.removed:
            models.pop(name, None)
        for snapshot in page.models:
            before = self.models.get(snapshot.name)
            # Most models of a full page are as they were: keep their parsed signatures.
            models[snapshot.name] = before if before is not None and before.snapshot == snapshot else routed(snapshot)
        return Table(models, page.revision, known=True)

    def as_page(self) -> SnapshotPage:
        """Return everything as one full page, for keeping on disk."""
        return SnapshotPage(self.revision, full=True, models=tuple(m.snapshot for m in self.models.values()))


class Routes:
    """Holds the table in force, and the newest one that was learnt: they differ where a version is not loaded yet that
    shall answer (``hold.py``). Reading and swapping are single assignments: no request ever sees half of a change."""

    def __init__(self) -> None:
        self.table = Table()
        self.learnt = Table()

    def servable(self, model: str, version: str) -> ServableVersion | None:
        """Return what a version is in the table in force; None where it may not answer."""
        return self.table.servable(model, version)

    def swap(self, table: Table) -> None:
        """Put ``table`` in force, whole, from the next request on."""
        self.table = self.learnt = table

    def hold(self, holds: Mapping[str, Hold]) -> None:
        """Let the models that ``holds`` names stay as they say; all others follow what was learnt."""
        models = dict(self.learnt.models)
        models |= {name: hold.applied(models[name]) for name, hold in holds.items() if name in models}
        self.table = replace(self.learnt, models=models) if holds else self.learnt


def routed(snapshot: ModelSnapshot) -> RoutedModel:
    """Read one model; a version whose signature cannot be read may not answer, and the others go on."""
    versions: dict[VersionNumber, RoutedVersion] = {}
    others = dict(snapshot.others)
    for number, servable in snapshot.versions.items():
        try:
            versions[number] = RoutedVersion(servable, parse_signature(servable.signature))
        except ValueError:
            others[number] = UNREADABLE
    return RoutedModel(
        name=snapshot.name,
        plan=snapshot.plan,
        revision=snapshot.plan_revision,
        aliases=snapshot.aliases,
        versions=versions,
        others=others,
        listing=_listing(versions),
        snapshot=snapshot,
        split=split_of(snapshot.name, snapshot.plan, snapshot.plan_revision, versions),
    )


def _listing(versions: Mapping[VersionNumber, RoutedVersion]) -> str:
    if not versions:
        return "it has none that can answer"
    newest = sorted(heapq.nlargest(LISTED, (int(v) for v in versions)))
    more = f" and {len(versions) - LISTED} older ones" if len(versions) > LISTED else ""
    return f"it has {', '.join(map(str, newest))}{more}"
