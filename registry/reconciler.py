"""Keeps our records in step with MLflow's registry: new versions, deleted ones, aliases.

A poll and not webhooks: MLflow's webhooks live in memory, are lost in a crash and say nothing of deletions. A look is
cheap when nothing changed (one query by last change), and a full look every half minute catches whatever a clock or a
crash hid. Everything here may be done twice.

Aliases (design decision 2): ours serve, MLflow's follow. One that somebody moved in MLflow is adopted if its version is
ready, waits while that is being checked, and is put back otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from registry.aliases import AliasRecord
from registry.errors import Conflict, HeadgateError, InvalidRequest, NotFound, Unavailable
from registry.log import WARNING, event, failure
from registry.ports import Catalog, Ledger
from registry.records import (
    AliasName,
    CatalogModel,
    ModelName,
    VersionNumber,
    VersionRecord,
    VersionState,
    parse_alias,
    parse_model_name,
    parse_version,
)

FULL_LOOK_EVERY = 60
"""Looks between two full ones."""
MLFLOW = "mlflow"
"""Who, in the journal, where somebody changed something on MLflow's pages or with its client."""


class Reconciler:
    """Looks at MLflow's registry and makes our records follow. Not thread-safe: one thread calls ``look``."""

    def __init__(self, catalog: Catalog, ledger: Ledger) -> None:
        self._catalog = catalog
        self._ledger = ledger
        self._watermark = 0
        self._looks = 0
        self._unsettled: set[ModelName] = set()

    def look(self) -> None:
        """Look once; raise Unavailable where MLflow's store or ours cannot be reached."""
        full = self._looks % FULL_LOOK_EVERY == 0
        # The watermark's own millisecond is looked at again: two changes may share it.
        changed = self._catalog.changed_since(0 if full else self._watermark)
        for model in changed:
            self._try_to_follow(model)
            self._watermark = max(self._watermark, model.updated_ms)
        # These do not move the watermark, which stands for a look at all models at one moment.
        for name in self._unsettled - {model.name for model in changed}:
            again = self._catalog.model(name)
            if again is None:
                self._unsettled.discard(name)
            else:
                self._try_to_follow(again)
        if full:
            self._forget_deleted()
        self._looks += 1

    def _forget_deleted(self) -> None:
        # In this order: every model of ours was MLflow's first, so one that is made meanwhile is in the later reading.
        ours = self._ledger.models.names()
        for name in ours - self._catalog.names():
            self._ledger.models.remove(ModelName(name))
            event("reconciler.model_gone", model=name)

    def _try_to_follow(self, seen: CatalogModel) -> None:
        try:
            name = parse_model_name(seen.name)
        except InvalidRequest:
            return  # a name from before the grammar: listed by MLflow, never served
        try:
            self._follow(name, seen)
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 (one model at fault must not keep the others from being followed)
            failure("reconciler.model_failed", error, model=name)

    def _follow(self, name: ModelName, seen: CatalogModel) -> None:
        known = self._known(name)
        ours = {str(record.alias): record for record in self._ledger.aliases.all(name)}
        if _in_doubt(seen, known, ours):
            # Ours were read after MLflow's. What was registered or moved in between is missing from the older reading
            # and must not be taken for something that was deleted or moved back there.
            now = self._catalog.model(name)
            if now is None:
                return  # all of it is gone: the next full look forgets it
            seen = now
        for version in seen.versions:
            record = known.pop(version.version, None)
            if (record is None or record.created_ms != version.created_ms) and self._ledger.versions.observe(version):
                event("reconciler.version_found", model=name, version=version.version)
        self._retire(name, list(known.values()))
        self._follow_aliases(name, seen.aliases, ours)

    def _known(self, name: ModelName) -> dict[VersionNumber, VersionRecord]:
        """Return all our records of a model: a few large reads rather than one for each version."""
        known: dict[VersionNumber, VersionRecord] = {}
        before = 0
        while page := self._ledger.versions.page(name, 1000, before):
            known |= {record.version: record for record in page}
            before = int(page[-1].version)
        return known

    def _retire(self, name: ModelName, missing: Sequence[VersionRecord]) -> None:
        """Retire records whose version somebody deleted in MLflow past our guard."""
        for record in missing:
            if record.state is VersionState.RETIRED:
                continue
            try:
                self._ledger.versions.retire(name, record.version)
            except Conflict as error:
                event("reconciler.deleted_in_use", WARNING, model=name, version=record.version, code=error.code)

    def _follow_aliases(self, name: ModelName, mlflow: Mapping[str, str], ours: Mapping[str, AliasRecord]) -> None:
        settled = True
        for alias in sorted(mlflow.keys() | ours.keys()):
            try:
                settled &= self._follow_alias(name, parse_alias(alias), mlflow.get(alias), ours.get(alias))
            except Unavailable:
                raise
            except HeadgateError as error:
                event("reconciler.alias", WARNING, model=name, alias=alias, code=error.code)
        (self._unsettled.discard if settled else self._unsettled.add)(name)

    def _follow_alias(self, name: ModelName, alias: AliasName, said: str | None, ours: AliasRecord | None) -> bool:
        """Bring one alias in step; return False where it must be looked at again."""
        theirs = None if said is None else parse_version(said)
        if ours is None:
            return theirs is None or self._adopt(name, alias, theirs, None)
        # What was asked of us and MLflow does not know yet stands, whatever somebody did there meanwhile; a removal
        # stands until MLflow has forgotten the alias.
        if ours.version is None or ours.version != ours.mirrored:
            if theirs not in (ours.version, ours.mirrored):
                self._put_back(name, ours, f"{_moved(theirs)} meanwhile, and put back")
            else:
                self._push(name, alias, ours.version)
            return True
        return theirs == ours.version or self._adopt(name, alias, theirs, ours)

    def _adopt(self, name: ModelName, alias: AliasName, theirs: VersionNumber | None, ours: AliasRecord | None) -> bool:
        if theirs is not None:
            record = self._ledger.versions.get(name, theirs)
            if record is not None and record.state in (VersionState.PENDING, VersionState.CHECKING):
                return False
        line = self._ledger.aliases.current(name, alias)
        if (line.version if line is not None else None) != (ours.version if ours is not None else None):
            return False  # moved here since we looked: that one stands, and the next look sees it
        try:
            expected = line.revision if line is not None else 0
            self._ledger.aliases.set(name, alias, theirs, who=MLFLOW, why=_moved(theirs), expected=expected)
        except (Conflict, NotFound) as error:
            if error.code == "revision_conflict":
                return False
            if ours is not None and ours.version is not None:
                self._put_back(name, ours, f"{_moved(theirs)}, and put back: {error.message}")
            return True
        self._ledger.aliases.note_mirrored(name, alias, theirs)
        event("reconciler.alias_adopted", model=name, alias=alias, version=theirs)
        return True

    def _put_back(self, name: ModelName, ours: AliasRecord, why: str) -> None:
        event("reconciler.alias_put_back", WARNING, model=name, alias=ours.alias)
        self._push(name, ours.alias, ours.version)
        self._ledger.aliases.put_back(name, ours.alias, who=MLFLOW, why=why)

    def _push(self, name: ModelName, alias: AliasName, version: VersionNumber | None) -> None:
        self._catalog.set_alias(name, alias, version)
        self._ledger.aliases.note_mirrored(name, alias, version)


def _moved(theirs: VersionNumber | None) -> str:
    return "removed in MLflow" if theirs is None else f"set to version {theirs} in MLflow"


def _in_doubt(
    seen: CatalogModel, known: Mapping[VersionNumber, VersionRecord], ours: Mapping[str, AliasRecord]
) -> bool:
    """Tell whether following ``seen`` would retire a version, or move or remove an alias of ours."""
    there = {version.version for version in seen.versions}
    if any(number not in there and record.state is not VersionState.RETIRED for number, record in known.items()):
        return True
    return any(seen.aliases.get(alias) != record.mirrored for alias, record in ours.items())
