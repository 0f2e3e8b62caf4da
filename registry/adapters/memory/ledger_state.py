"""What the memory ledger's ports share: the models, their lock, and the questions several of them ask.

Not here: the ports (``ledger.py``, ``ledger_versions.py``, ``ledger_intake.py``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from registry.aliases import AliasChange, AliasRecord
from registry.errors import NotFound
from registry.intake import Registration
from registry.labels import Given
from registry.lifecycle import require_ready, require_unused
from registry.monitoring.ports import BaselineRecord
from registry.monitoring.tallies import Tally
from registry.monitoring.window_ports import WindowKey, WindowSpan
from registry.observed import Answered
from registry.plans import PlanRevision
from registry.records import AliasName, ModelName, VersionNumber, VersionRecord


@dataclass(slots=True)
class KeptWindow:
    """A window of what nodes saw of a version's rows; ``state`` is open, sealed or judged."""

    key: WindowKey
    span: WindowSpan
    state: str = "open"
    tally: Tally = field(default_factory=Tally)
    judged_ms: int = 0
    verdict: str = ""


@dataclass(slots=True)
class ModelState:
    """One model: all that is known of it."""

    name: ModelName
    changed: int = 0
    removed: bool = False
    versions: dict[int, VersionRecord] = field(default_factory=dict)
    claims: dict[int, int] = field(default_factory=dict)
    journal: list[PlanRevision] = field(default_factory=list)
    aliases: dict[AliasName, AliasRecord] = field(default_factory=dict)
    baselines: dict[int, BaselineRecord] = field(default_factory=dict)
    alias_journals: dict[AliasName, list[AliasChange]] = field(default_factory=dict)
    windows: dict[int, dict[int, KeptWindow]] = field(default_factory=dict)

    def newest(self, limit: int, before: int) -> list[VersionRecord]:
        """Return up to ``limit`` records below ``before`` (0: from the newest), newest first."""
        numbers = sorted((n for n in self.versions if before <= 0 or n < before), reverse=True)
        return [self.versions[n] for n in numbers[: max(limit, 0)]]

    def named_aliases(self) -> dict[AliasName, VersionNumber]:
        """Return the aliases that name a version."""
        return {a: r.version for a, r in sorted(self.aliases.items()) if r.version is not None}

    def users_of(self, version: VersionNumber) -> tuple[PlanRevision | None, list[AliasName]]:
        """Return the plan in force if it names the version, and the aliases that do."""
        line = self.journal[-1] if self.journal else None
        planned = line if line is not None and line.plan is not None and version in line.plan.versions else None
        return planned, [alias for alias, named in self.named_aliases().items() if named == version]


@dataclass(slots=True)
class KeptPrediction:
    """One answered request with the labels that came, by row; ``labelled_ms`` is when the last one did."""

    answered: Answered
    given: dict[int, Given] = field(default_factory=dict)
    labelled_ms: int = 0


class LedgerState:
    """What the ports share. Whoever reads or writes it holds ``lock``."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self.clock = clock
        self.lock = threading.RLock()
        self.revision = 0
        self.models: dict[str, ModelState] = {}
        self.used_numbers: dict[str, int] = {}
        self.registrations: dict[tuple[ModelName, str], Registration] = {}
        self.predictions: dict[tuple[str, str], KeptPrediction] = {}

    def present(self, name: str) -> ModelState | None:
        """Return a model that exists."""
        model = self.models.get(name)
        return None if model is None or model.removed else model

    def require(self, name: ModelName) -> ModelState:
        """Return a model; raise NotFound ``unknown_model``."""
        model = self.present(name)
        if model is None:
            raise NotFound("unknown_model", f"there is no model {name}; register a version of it first")
        return model

    def stamp(self, model: ModelState) -> None:
        """Give the model the next snapshot revision."""
        self.revision += 1
        model.changed = self.revision


def require_unused_in(model: ModelState, version: VersionNumber) -> None:
    """Raise Conflict ``in_use`` where the plan in force or an alias names the version."""
    planned, aliases = model.users_of(version)
    require_unused(model.name, version, planned=planned, aliases=aliases)


def require_ready_in(model: ModelState, version: VersionNumber) -> VersionRecord:
    """Return the record of a version; raise NotFound or Conflict unless it is ready."""
    existing = [record.version for record in model.newest(10, 0)]
    return require_ready(model.name, version, model.versions.get(int(version)), existing=existing)
