"""The nouns everybody agrees on: names, versions, artifacts, uploads. Values only.

Not here: plans (``plans.py``), what nodes are told (``snapshots.py``), signatures (``signature.py``) and legal moves
(``lifecycle.py``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NewType

from registry.errors import InvalidRequest, NotFound, quote

ModelName = NewType("ModelName", str)
VersionNumber = NewType("VersionNumber", str)
AliasName = NewType("AliasName", str)
Digest = NewType("Digest", str)
"""``sha256:`` and 64 lower-case hexadecimal digits."""

_MODEL_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?")
_VERSION = re.compile(r"[1-9][0-9]{0,17}")
_ALIAS = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}")
_RESERVED_ALIAS = re.compile(r"latest|v[0-9]+", re.IGNORECASE)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
NAME_RULE = "1 to 128 of A-Z a-z 0-9 . _ -, beginning and ending with a letter or digit"
ALIAS_RULE = "a letter, then up to 62 of A-Z a-z 0-9 _ -; not 'latest', not 'v' and digits"


def parse_model_name(raw: str) -> ModelName:
    """Return ``raw`` as a model name; raise InvalidRequest ``invalid_name`` where it is none."""
    if not _MODEL_NAME.fullmatch(raw):
        raise InvalidRequest("invalid_name", f"'{quote(raw)}' is no model name: use {NAME_RULE}")
    return ModelName(raw)


def parse_version(raw: str) -> VersionNumber:
    """Return ``raw`` as a version number; raise NotFound ``unknown_version`` where it is spelt any other way."""
    if not _VERSION.fullmatch(raw):
        raise NotFound(
            "unknown_version", f"'{quote(raw)}' is no version: versions are 1, 2, 3, … with no other spelling"
        )
    return VersionNumber(raw)


def parse_alias(raw: str) -> AliasName:
    """Return ``raw`` as an alias; raise InvalidRequest ``invalid_name`` where it is none."""
    if not _ALIAS.fullmatch(raw) or _RESERVED_ALIAS.fullmatch(raw):
        raise InvalidRequest("invalid_name", f"'{quote(raw)}' is no alias: use {ALIAS_RULE}")
    return AliasName(raw)


def parse_target(raw: str) -> tuple[ModelName, VersionNumber | None, AliasName | None]:
    """Read ``name``, ``name@alias`` or ``name/version``; raise as ``parse_model_name``, ``parse_alias`` and
    ``parse_version`` do."""
    name, at, alias = raw.partition("@")
    if at:
        return parse_model_name(name), None, parse_alias(alias)
    name, slash, version = raw.partition("/")
    return parse_model_name(name), parse_version(version) if slash else None, None


def parse_digest(raw: str) -> Digest:
    """Return ``raw`` as a digest; raise InvalidRequest ``invalid_argument`` where it is none."""
    if not _DIGEST.fullmatch(raw):
        raise InvalidRequest(
            "invalid_argument", f"'{quote(raw)}' is no digest: write sha256: and 64 lower-case hex digits"
        )
    return Digest(raw)


class VersionState(StrEnum):
    """Where a version stands; the legal moves are in ``lifecycle.py``."""

    PENDING = "pending"
    CHECKING = "checking"
    READY = "ready"
    REJECTED = "rejected"
    RETIRED = "retired"


class Tier(StrEnum):
    """What loading a version may do: *data* is parsed, *code* is executed."""

    DATA = "data"
    CODE = "code"


class Verdict(StrEnum):
    """How one admission check ended."""

    PASSED = "passed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Check:
    """One admission check: what was looked at, how it ended, and why in words."""

    name: str
    verdict: Verdict
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """One file of an artifact: its path below the model directory, its size in bytes and its digest."""

    path: str
    size: int
    digest: Digest


@dataclass(frozen=True, slots=True)
class Manifest:
    """All files of an artifact, sorted by path. Its own digest (``digest.py``) is the artifact's identity."""

    entries: tuple[ManifestEntry, ...]

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(entry.size for entry in self.entries)


@dataclass(frozen=True, slots=True)
class CatalogVersion:
    """A version as MLflow's registry knows it. ``created_ms`` tells two versions of one number apart.

    ``location`` is where MLflow keeps its files, already resolved (``mlflow-artifacts:/…``), empty where it could not
    be.
    """

    model: ModelName
    version: VersionNumber
    source: str
    location: str
    created_ms: int
    run_id: str | None = None
    user: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CatalogModel:
    """A model as MLflow's registry knows it: when it last changed, its aliases and all its versions."""

    name: str
    updated_ms: int
    aliases: Mapping[str, str]
    versions: tuple[CatalogVersion, ...] = ()


@dataclass(frozen=True, slots=True)
class Sealed:
    """What admission learnt of an artifact, all of it from the sealed bytes.

    Attributes:
        digest: The manifest's digest: the serving identity of the version.
        size: Bytes of all files.
        tier: Whether loading executes code.
        runtime: ``host`` or ``inline``.
        signature: The MLflow signature as its JSON object, or None.
        requirements: Requirement lines (PEP 508) the model was saved with.
        python: The Python version it was saved with, as ``3.11.7``, or None.
        flavors: MLflow flavour names, sorted.
        lock: The sealed file of its locked requirements, with hashes; None where the platform's own environment
            satisfies them.
    """

    digest: Digest
    size: int
    tier: Tier
    runtime: str
    signature: Mapping[str, Any] | None
    requirements: tuple[str, ...]
    python: str | None
    flavors: tuple[str, ...]
    lock: Digest | None = None


@dataclass(frozen=True, slots=True)
class VersionRecord:
    """An immutable numbered record of a model, and how far its admission has come."""

    model: ModelName
    version: VersionNumber
    state: VersionState
    source: str
    location: str
    created_ms: int
    run_id: str | None = None
    user: str | None = None
    checks: tuple[Check, ...] = ()
    sealed: Sealed | None = None

    @property
    def reason(self) -> str:
        """Why it was rejected, in words; empty otherwise."""
        return "; ".join(c.reason for c in self.checks if c.verdict is Verdict.FAILED)


@dataclass(frozen=True, slots=True)
class UploadFile:
    """One file a client promised to send: path below the model directory, size in bytes, digest, whether it has
    come."""

    path: str
    size: int
    digest: Digest
    arrived: bool = False


@dataclass(frozen=True, slots=True)
class Upload:
    """A model directory on its way in. Files must match what was declared; nothing is visible before the commit."""

    id: str
    files: tuple[UploadFile, ...]
    committed: bool
    created_ms: int
