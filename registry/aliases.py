"""An alias as it stands, and the lines of its journal. Values only."""

from __future__ import annotations

from dataclasses import dataclass

from registry.records import AliasName, ModelName, VersionNumber


@dataclass(frozen=True, slots=True)
class AliasRecord:
    """An alias: the version it names for serving (None: removed, MLflow not yet told), and what MLflow was last seen
    to say."""

    alias: AliasName
    version: VersionNumber | None
    mirrored: VersionNumber | None


@dataclass(frozen=True, slots=True)
class AliasChange:
    """One line of an alias's journal, numbered from 1 for ever, also where the alias was removed in between.

    ``version`` is None where it was removed. A line that names what the one before names says that somebody moved
    MLflow's and that it was put back.
    """

    model: ModelName
    alias: AliasName
    revision: int
    version: VersionNumber | None
    who: str
    why: str
    at_ms: int
