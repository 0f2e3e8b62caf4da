"""The ledger in memory: every promise of the ports under one lock, for tests and for trying things out.

It is a real implementation and the model that the SQL one is compared with. Only what memory cannot do is missing:
nothing survives the process, and no second process sees it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from registry.adapters.memory.ledger_aliases import MemoryAliases, end_journals
from registry.adapters.memory.ledger_baselines import MemoryBaselines
from registry.adapters.memory.ledger_feature_windows import MemoryFeatureWindows
from registry.adapters.memory.ledger_intake import MemoryRegistrations, MemoryUploads
from registry.adapters.memory.ledger_predictions import MemoryPredictions
from registry.adapters.memory.ledger_reports import MemoryLeases, MemoryReports
from registry.adapters.memory.ledger_rollouts import MemoryRollouts
from registry.adapters.memory.ledger_state import LedgerState, ModelState, require_ready_in
from registry.adapters.memory.ledger_versions import MemoryVersions
from registry.errors import Conflict
from registry.lifecycle import require_idle
from registry.plans import Plan, PlanRevision
from registry.ports import Ledger, ModelSummary
from registry.records import ModelName, VersionNumber, VersionState
from registry.snapshots import ModelSnapshot, ServableVersion, SnapshotPage, as_planned
from registry.traffic.fitness import require_fit, require_sound

REMOVED_WHY = "the model was deleted in MLflow"


def system_clock() -> int:
    """Return the time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def memory_ledger(clock: Callable[[], int] = system_clock) -> Ledger:
    """Return an empty ledger; ``clock`` tells when things happen, in milliseconds."""
    state = LedgerState(clock)
    plans = MemoryPlans(state)
    rollouts = MemoryRollouts(state, plans)
    feature_windows, predictions = MemoryFeatureWindows(state), MemoryPredictions(state)
    return Ledger(
        models=MemoryModels(state),
        versions=MemoryVersions(state),
        plans=plans,
        aliases=MemoryAliases(state),
        uploads=MemoryUploads(state),
        registrations=MemoryRegistrations(state),
        snapshots=MemorySnapshots(state),
        rollouts=rollouts,
        reports=MemoryReports(state, rollouts, feature_windows, predictions),
        leases=MemoryLeases(clock),
        feature_windows=feature_windows,
        baselines=MemoryBaselines(state),
        predictions=predictions,
    )


class MemoryModels:
    """The ``Models`` port."""

    def __init__(self, state: LedgerState) -> None:
        self._state = state

    def page(self, limit: int, after: str, query: str) -> Sequence[ModelSummary]:
        """See ``Models.page``."""
        if not query.isascii():
            return ()  # no name holds anything else; and lower() turns some letters into ASCII ones
        with self._state.lock:
            names = sorted(n for n in self.names() if n > after and query.lower() in n.lower())
            return [_summary(self._state.models[name]) for name in names[: max(limit, 0)]]

    def get(self, model: ModelName) -> ModelSummary | None:
        """See ``Models.get``."""
        with self._state.lock:
            present = self._state.present(model)
            return None if present is None else _summary(present)

    def names(self) -> frozenset[str]:
        """See ``Models.names``."""
        with self._state.lock:
            return frozenset(name for name, model in self._state.models.items() if not model.removed)

    def highest_number(self, model: ModelName) -> int:
        """See ``Models.highest_number``."""
        with self._state.lock:
            known = self._state.models.get(model)
            present = max(known.versions, default=0) if known is not None else 0
            return max(present, self._state.used_numbers.get(model, 0))

    def remember_number(self, model: ModelName, number: int) -> None:
        """See ``Models.remember_number``."""
        with self._state.lock:
            self._state.used_numbers[model] = max(number, self._state.used_numbers.get(model, 0))

    def retire_all(self, model: ModelName) -> None:
        """See ``Models.retire_all``."""
        with self._state.lock:
            present = self._state.present(model)
            if present is None:
                return
            plan = present.journal[-1].plan if present.journal else None
            require_idle(model, plan, present.named_aliases())
            live = {n: v for n, v in present.versions.items() if v.state is not VersionState.RETIRED}
            present.versions |= {n: replace(v, state=VersionState.RETIRED) for n, v in live.items()}
            present.claims.clear()
            if live:
                self._state.stamp(present)

    def remove(self, model: ModelName) -> None:
        """See ``Models.remove``."""
        with self._state.lock:
            self.remember_number(model, self.highest_number(model))
            present = self._state.present(model)
            if present is None:
                return
            end_journals(present, "mlflow", REMOVED_WHY, self._state.clock())
            for gone in (present.versions, present.claims, present.aliases, present.baselines, present.windows):
                gone.clear()
            for key in [k for k in self._state.registrations if k[0] == model]:
                del self._state.registrations[key]
            for known in [k for k in self._state.predictions if k[0] == model]:
                del self._state.predictions[known]
            if present.journal and present.journal[-1].plan is not None:
                revision = present.journal[-1].revision + 1
                line = PlanRevision(model, revision, None, "mlflow", REMOVED_WHY, self._state.clock())
                present.journal.append(line)
            present.removed = True
            self._state.stamp(present)


def _summary(model: ModelState) -> ModelSummary:
    newest = model.newest(5, 0)
    return ModelSummary(
        name=model.name,
        versions=tuple(newest),
        version_count=len(model.versions),
        aliases=model.named_aliases(),
        plan=model.journal[-1] if model.journal else None,
        baselines={v.version: model.baselines[int(v.version)] for v in newest if int(v.version) in model.baselines},
    )


class MemoryPlans:
    """The ``Plans`` port."""

    def __init__(self, state: LedgerState) -> None:
        self._state = state

    def current(self, model: ModelName) -> PlanRevision | None:
        """See ``Plans.current``."""
        found = self.history(model, 1, 0)
        return found[0] if found else None

    def append(self, model: ModelName, expected: int, plan: Plan | None, who: str, why: str) -> PlanRevision:
        """See ``Plans.append``."""
        if plan is not None:
            require_sound(plan)
        with self._state.lock:
            present = self._state.require(model)
            revision = present.journal[-1].revision if present.journal else 0
            if expected != revision:
                raise Conflict(
                    "revision_conflict",
                    f"the plan of {model} is at revision {revision}, not {expected}; look, then decide again",
                    {"revision": revision},
                )
            if plan is not None:
                ready = {v: require_ready_in(present, v) for v in sorted(plan.versions, key=int)}
                require_fit(model, plan, ready)
            line = PlanRevision(model, revision + 1, plan, who, why, self._state.clock())
            present.journal.append(line)
            self._state.stamp(present)
            return line

    def history(self, model: ModelName, limit: int, before: int) -> Sequence[PlanRevision]:
        """See ``Plans.history``."""
        with self._state.lock:
            known = self._state.models.get(model)
            lines = [line for line in known.journal if before <= 0 or line.revision < before] if known else []
            return lines[::-1][: max(limit, 0)]


class MemorySnapshots:
    """The ``Snapshots`` port."""

    def __init__(self, state: LedgerState) -> None:
        self._state = state

    def revision(self) -> int:
        """See ``Snapshots.revision``."""
        with self._state.lock:
            return self._state.revision

    def changed(self, model: ModelName) -> int:
        """See ``Snapshots.changed``."""
        with self._state.lock:
            known = self._state.models.get(model)
            return 0 if known is None else known.changed

    def page(self, since: int) -> SnapshotPage:
        """See ``Snapshots.page``."""
        with self._state.lock:
            full = since <= 0 or since > self._state.revision
            changed = [m for _, m in sorted(self._state.models.items()) if full or m.changed > since]
            return SnapshotPage(
                revision=self._state.revision,
                full=full,
                models=tuple(_snapshot(m) for m in changed if not m.removed),
                removed=() if full else tuple(m.name for m in changed if m.removed),
            )


def _snapshot(model: ModelState) -> ModelSnapshot:
    ready: dict[VersionNumber, ServableVersion] = {}
    others: dict[VersionNumber, str] = {}
    for _, record in sorted(model.versions.items()):
        sealed = record.sealed
        if record.state is not VersionState.READY or sealed is None:
            others[record.version] = record.state.value
            continue
        baseline = model.baselines.get(int(record.version))
        ready[record.version] = ServableVersion(
            version=record.version,
            digest=sealed.digest,
            size=sealed.size,
            runtime=sealed.runtime,
            signature=sealed.signature,
            requirements=sealed.requirements,
            python=sealed.python,
            flavors=sealed.flavors,
            lock=sealed.lock,
            baseline=None if baseline is None else baseline.digest,
        )
    plan = model.journal[-1].plan if model.journal else None
    aliases = model.named_aliases()
    return ModelSnapshot(
        name=model.name,
        plan=plan,
        plan_revision=model.journal[-1].revision if model.journal else 0,
        aliases=aliases,
        versions=as_planned(ready, plan, set(aliases.values())),
        others=others,
    )
