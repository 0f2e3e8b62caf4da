"""What a node tells the registry, over and over: what it serves, what it still waits for, and what it has counted.

Reports of one process (``boot``) are numbered from 1. The registry takes each number once, in order: a report that was
sent again, because its answer was lost, changes nothing. Values only. Not here: windows (``windows.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from registry.observed import Answered, FeatureWindow
from registry.records import ModelName, VersionNumber, parse_model_name, parse_version
from registry.windows import ArmCounts, ArmWindow, ShadowCounts, ShadowWindow, count_from


@dataclass(frozen=True, slots=True)
class HeldPlan:
    """A model whose newest plan is not in force on a node yet: ``revision`` is, and ``awaits`` must load first."""

    model: ModelName
    revision: int
    awaits: tuple[VersionNumber, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the wire form, JSON-ready."""
        return {"model": self.model, "revision": self.revision, "awaits": list(self.awaits)}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> HeldPlan:
        """Read the wire form; raise as ``NodeReport.from_json`` does."""
        awaits = tuple(parse_version(version) for version in raw["awaits"])
        return cls(parse_model_name(raw["model"]), count_from(raw["revision"]), awaits)


@dataclass(frozen=True, slots=True)
class LoadedVersion:
    """A version that is not cold on a node: ``state`` as the pool says it, memory in bytes."""

    model: ModelName
    version: VersionNumber
    state: str
    memory_bytes: int

    def to_json(self) -> dict[str, Any]:
        """Return the wire form, JSON-ready."""
        return {
            "model": self.model,
            "version": self.version,
            "state": self.state,
            "memory_bytes": self.memory_bytes,
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> LoadedVersion:
        """Read the wire form; raise as ``NodeReport.from_json`` does."""
        return cls(
            parse_model_name(raw["model"]),
            parse_version(raw["version"]),
            str(raw["state"]),
            count_from(raw["memory_bytes"]),
        )


@dataclass(frozen=True, slots=True)
class NodeReport:
    """One report.

    Attributes:
        node: The name that people know the node by.
        boot: One process's life, as 32 hexadecimal digits; ``sequence`` counts its reports from 1.
        revision: Of the snapshot that the node acts on.
        held: Models for which it is still the plan before.
        versions: What is loaded, or on its way, or in trouble.
        arms: Windows of arms, ``shadows`` of shadows, and ``features`` of rows, since the last report.
        answers: Predictions since then that are kept for labels.
    """

    node: str
    boot: str
    sequence: int
    revision: int
    held: tuple[HeldPlan, ...] = ()
    versions: tuple[LoadedVersion, ...] = ()
    arms: tuple[ArmWindow, ...] = ()
    shadows: tuple[ShadowWindow, ...] = ()
    features: tuple[FeatureWindow, ...] = ()
    answers: tuple[Answered, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the wire form, JSON-ready."""
        return {
            "node": self.node,
            "boot": self.boot,
            "sequence": self.sequence,
            "revision": self.revision,
            "held": [held.to_json() for held in self.held],
            "versions": [version.to_json() for version in self.versions],
            "arms": [
                {
                    "model": w.model,
                    "revision": w.revision,
                    "arm": w.arm,
                    "version": w.version,
                    "start_ms": w.start_ms,
                    "counts": w.counts.to_json(),
                }
                for w in self.arms
            ],
            "shadows": [
                {
                    "model": w.model,
                    "revision": w.revision,
                    "version": w.version,
                    "start_ms": w.start_ms,
                    "counts": w.counts.to_json(),
                }
                for w in self.shadows
            ],
            "features": [window.to_json() for window in self.features],
            "answers": [answered.to_json() for answered in self.answers],
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> NodeReport:
        """Read the wire form; raise KeyError, TypeError, ValueError, AttributeError or HeadgateError where it is
        damaged."""
        return cls(
            node=str(raw["node"]),
            boot=str(raw["boot"]),
            sequence=count_from(raw["sequence"]),
            revision=count_from(raw["revision"]),
            held=tuple(HeldPlan.from_json(held) for held in raw["held"]),
            versions=tuple(LoadedVersion.from_json(version) for version in raw["versions"]),
            arms=tuple(
                ArmWindow(
                    parse_model_name(w["model"]),
                    count_from(w["revision"]),
                    str(w["arm"]),
                    parse_version(w["version"]),
                    count_from(w["start_ms"]),
                    ArmCounts.from_json(w["counts"]),
                )
                for w in raw["arms"]
            ),
            shadows=tuple(
                ShadowWindow(
                    parse_model_name(w["model"]),
                    count_from(w["revision"]),
                    parse_version(w["version"]),
                    count_from(w["start_ms"]),
                    ShadowCounts.from_json(w["counts"]),
                )
                for w in raw["shadows"]
            ),
            # Nodes of the release before send neither.
            features=tuple(FeatureWindow.from_json(window) for window in raw.get("features", ())),
            answers=tuple(Answered.from_json(answered) for answered in raw.get("answers", ())),
        )
