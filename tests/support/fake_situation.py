"""What the fake platform knows, and what a test wants to happen. Not here: HTTP (``fake_platform.py``)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

API = "/registry/v1"


class Problem(Exception):
    """An answer in the contract's error shape."""

    def __init__(self, status: int, code: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.details = status, code, message, details


@dataclass
class Failure:
    """The next ``times`` requests whose ``METHOD path`` matches get this instead of an answer; status 0 hangs up."""

    pattern: str
    status: int
    code: str = "overloaded"
    times: int = 1
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None


@dataclass
class Upload:
    """A model directory on its way in."""

    id: str
    files: list[dict[str, Any]]
    contents: dict[str, bytes] = field(default_factory=dict)
    committed: bool = False

    def shown(self) -> dict[str, Any]:
        """Return its JSON."""
        files = [{**f, "arrived": f["path"] in self.contents} for f in self.files]
        return {"upload": {"id": self.id, "files": files, "committed": self.committed}}


@dataclass
class Model:
    """A name with its versions, aliases and journal."""

    versions: list[dict[str, Any]] = field(default_factory=list)
    aliases: dict[str, str] = field(default_factory=dict)
    journal: list[dict[str, Any]] = field(default_factory=list)
    rollouts: list[dict[str, Any]] = field(default_factory=list)


class Situation:
    """All that the fake platform knows, and what a test wants to happen."""

    def __init__(self) -> None:
        self.logged: dict[str, bytes] = {}  # the MLflow routes hold on to it
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self.models: dict[str, Model] = {}
        self.uploads: dict[str, Upload] = {}
        self.keys: dict[tuple[str, str], dict[str, Any]] = {}
        self.logged.clear()
        self.failures: list[Failure] = []
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.checks_left = 0
        self.rejections: list[str] = []
        self.behind = False
        self.deaf = 0
        self.serving_ready = True
        self.served: dict[str, Any] = {}
        self.answer: Callable[[Any], Any] = lambda body: body
        self.chunks: list[bytes] = []
        self.bodies: list[tuple[str, bytes]] = []
        self.nodes: list[dict[str, Any]] = []
        self.shadows: dict[tuple[str, str], dict[str, Any]] = {}
        self.turns: list[dict[str, Any]] = []
        self.tables: list[tuple[str, bytes, dict[str, str]]] = []
        self.misfit = ""
        self.drifts: list[dict[str, Any]] = []
        self.quality: dict[str, Any] = {}
        self.labels: list[list[dict[str, Any]]] = []

    def count(self, pattern: str) -> int:
        """Tell how many requests came whose ``METHOD path`` matches."""
        return sum(bool(re.search(pattern, f"{method} {path}")) for method, path, _ in self.requests)

    def add(self, name: str, count: int = 1, state: str = "ready") -> None:
        """Let a model have ``count`` more versions."""
        for _ in range(count):
            self.new_version(name, state)

    def new_version(self, name: str, state: str = "pending", **more: Any) -> dict[str, Any]:
        """Number a new version."""
        model = self.models.setdefault(name, Model())
        number = str(len(model.versions) + 1)
        at = "2026-11-20T08:00:00.000Z"
        record = {
            "model": name,
            "version": number,
            "state": state,
            "reason": "",
            "checks": [],
            "created_at": at,
            **more,
        }
        model.versions.append(record)
        return record

    def find(self, name: str) -> Model:
        """Return a model or refuse."""
        if name not in self.models:
            raise Problem(404, "unknown_model", f"there is no model '{name}'")
        return self.models[name]

    def version(self, name: str, number: str) -> dict[str, Any]:
        """Return a version or refuse."""
        found = next((v for v in self.find(name).versions if v["version"] == number), None)
        if found is None:
            raise Problem(404, "unknown_version", f"{name} has no version {number}")
        return found

    def settle(self, record: dict[str, Any]) -> None:
        """Move admission on by one look."""
        if record["state"] not in ("pending", "checking"):
            return
        if self.checks_left:
            self.checks_left -= 1
            record["state"] = "checking"
            return
        record["checks"] = [{"name": "probe", "verdict": "failed", "reason": r} for r in self.rejections]
        record["reason"] = "; ".join(self.rejections)
        record["state"] = "rejected" if self.rejections else "ready"

    def stable(self, name: str) -> str | None:
        """Return who has a model's traffic."""
        journal = self.find(name).journal
        plan = journal[-1]["plan"] if journal else None
        return plan["stable"] if plan else None

    def require_unused(self, record: dict[str, Any]) -> None:
        """Refuse where a plan or an alias names the version."""
        shown = self.shown(record)
        if shown["stable"] or shown["aliases"]:
            raise Problem(409, "in_use", f"version {record['version']} is in use")

    def shown(self, record: dict[str, Any]) -> dict[str, Any]:
        """Return a version's JSON."""
        model = self.find(record["model"])
        stable = self.stable(record["model"])
        roles = roles_of(model.journal[-1]["plan"] if model.journal else None, record["version"])
        aliases = sorted(a for a, v in model.aliases.items() if v == record["version"])
        return {
            "signature": None,
            **record,
            "aliases": aliases,
            "stable": stable == record["version"],
            "traffic": roles,
        }

    def model_shown(self, name: str) -> dict[str, Any]:
        """Return a model's JSON."""
        model = self.find(name)
        return {
            "name": name,
            "aliases": model.aliases,
            "plan": model.journal[-1] if model.journal else None,
            "version_count": len(model.versions),
            "versions": [self.shown(v) for v in reversed(model.versions[-5:])],
        }


def roles_of(plan: dict[str, Any] | None, version: str) -> list[str]:
    """Return as what a plan names a version, in the platform's words."""
    if plan is None:
        return []
    canary = plan.get("canary") or {"version": None, "share": 0}
    return [
        *(["stable"] if plan["stable"] == version else []),
        *([f"canary {canary['share'] * 100:g}%"] if canary["version"] == version else []),
        *("shadow" for shadow in plan.get("shadows", ()) if shadow["version"] == version),
        *(["rule"] if any(rule["version"] == version for rule in plan.get("rules", ())) else []),
    ]
