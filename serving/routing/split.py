"""A plan made ready for choosing: every decision it can come to is made once, when the plan is learnt. Pure.

Who is in a share is decided by a hash of the canary's seed and the caller's key, a number from 0 to 9,999: below the
share, the canary answers. So a key stays where it is while the share stays, raising the share only adds keys, and
another seed picks other keys. Shadows hash the request's id, so that a sample is one of requests, not of callers.

Not here: reading a request (``choose.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Final

from registry.plans import WHOLE, Plan
from registry.records import ModelName, VersionNumber
from registry.signature import Signature
from registry.snapshots import ServableVersion
from serving.values import value

STABLE: Final = "stable"
CANARY: Final = "canary"
RULE: Final = "rule"
ALIAS: Final = "alias"
PINNED: Final = "pinned"
FALLBACK: Final = "fallback"


@dataclass(frozen=True, slots=True)
class RoutedVersion:
    """A version that may answer, with its signature ready for use."""

    servable: ServableVersion
    signature: Signature


@value
class Decision:
    """What the plan means for one request.

    Attributes:
        chosen: What answers, and its ``version``.
        arm: Which part of the plan that is.
        revision: Which plan it was.
        stable: What answers instead, where a canary or a rule chose a version that cannot; else None.
        shadows: What gets a copy.
        watched: Whether the plan compares a canary with stable.
    """

    model: ModelName
    version: VersionNumber
    chosen: RoutedVersion
    arm: str
    revision: int
    stable: RoutedVersion | None = None
    shadows: tuple[RoutedVersion, ...] = ()
    watched: bool = False

    def fallen_back(self) -> Decision:
        """Return the decision that the stable version answers instead. There must be one."""
        stable = self.stable
        assert stable is not None, "only what stable stands behind falls back"
        return replace(self, version=stable.servable.version, chosen=stable, arm=FALLBACK, stable=None)


@dataclass(frozen=True, slots=True)
class Split:
    """What one plan can decide.

    Attributes:
        stable: The decision where nothing else claims a request.
        rules: Header, value, decision; the first that fits decides.
        canary: The decision for keys in its share; None without a canary.
        share: In ten-thousandths.
        sticky: The header that holds the key.
        seed: What keys are hashed with.
        shadows: Sample in ten-thousandths, seed, version.
        simple: Whether ``stable`` is all there is.
    """

    stable: Decision
    rules: tuple[tuple[bytes, bytes, Decision], ...] = ()
    canary: Decision | None = None
    share: int = 0
    sticky: bytes = b""
    seed: bytes = b""
    shadows: tuple[tuple[int, bytes, RoutedVersion], ...] = ()
    simple: bool = True

    def decide(self, fields: Mapping[bytes, bytes], request_id: str) -> Decision:
        """Return the decision for a request, by its headers (lower-case names) and its id."""
        decision = self._arm(fields, request_id)
        if not self.shadows:
            return decision
        request = request_id.encode()
        sampled = [
            shadow
            for sample, seed, shadow in self.shadows
            if shadow is not decision.chosen and (sample == WHOLE or point(seed, request) < sample)
        ]
        return _shadowed(decision, tuple(sampled)) if sampled else decision

    def _arm(self, fields: Mapping[bytes, bytes], request_id: str) -> Decision:
        for header, equals, ruled in self.rules:
            if fields.get(header) == equals:
                return ruled
        canary, share = self.canary, self.share
        if canary is None or not share:
            return self.stable
        key = fields.get(self.sticky) or request_id.encode()
        return canary if share == WHOLE or point(self.seed, key) < share else self.stable


def _shadowed(decision: Decision, shadows: tuple[RoutedVersion, ...]) -> Decision:
    # Once a request, where `replace` would cost three times as much.
    d = decision
    return Decision(d.model, d.version, d.chosen, d.arm, d.revision, d.stable, shadows, d.watched)


def point(seed: bytes, key: bytes) -> int:
    """Return where a key lies under a seed: evenly over 0 to 9,999, the same for ever."""
    return int.from_bytes(blake2b(seed + key, digest_size=8).digest(), "big") * WHOLE >> 64


def split_of(
    model: ModelName, plan: Plan | None, revision: int, versions: Mapping[VersionNumber, RoutedVersion]
) -> Split | None:
    """Return what a plan can decide; None without a plan, or where its stable version may not answer.

    Args:
        versions: Those that may answer. A canary or a rule that names another falls back to stable, always.
    """
    stable = None if plan is None else versions.get(plan.stable)
    if plan is None or stable is None:
        return None
    watched = plan.canary is not None
    standard = Decision(model, plan.stable, stable, STABLE, revision, watched=watched)

    def to(number: VersionNumber, arm: str) -> Decision:
        found = versions.get(number)
        if found is None:
            return replace(standard, arm=FALLBACK)
        return replace(standard, version=number, chosen=found, arm=arm, stable=None if found is stable else stable)

    canary = plan.canary
    return Split(
        stable=standard,
        rules=tuple((r.header.encode(), r.equals.encode("latin-1"), to(r.version, RULE)) for r in plan.rules),
        canary=None if canary is None else to(canary.version, CANARY),
        share=0 if canary is None else canary.share,
        sticky=plan.sticky.encode(),
        seed=b"" if canary is None else _seed(model, canary.seed),
        shadows=tuple(
            (shadow.sample, _seed(model, f"shadow {shadow.version}"), versions[shadow.version])
            for shadow in plan.shadows
            if shadow.sample and shadow.version in versions
        ),
        simple=not (plan.rules or plan.shadows or canary is not None),
    )


def _seed(model: ModelName, seed: str) -> bytes:
    # A zero byte cannot be in either, nor in a header: no two models, seeds and keys are ever spelt alike.
    return f"{model}\0{seed}\0".encode()
