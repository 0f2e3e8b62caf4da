"""What tests of rollouts begin with: specs, records, nodes' reports, and a judge whose verdict is plain to see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from registry.plans import Plan, PlanRevision
from registry.records import ModelName, VersionNumber
from registry.reports import HeldPlan, LoadedVersion, NodeReport
from registry.traffic.actions import Findings
from registry.traffic.evidence import Losses
from registry.traffic.judgement import Judgement, arm_json, merged
from registry.traffic.ports import ArmPart
from registry.traffic.rollout import Rollout, begun
from registry.traffic.spec import Spec
from registry.windows import ArmCounts, ArmWindow, ShadowWindow, latency_bin
from tests.support.ledgers import CHURN, number

BOOT = "b" * 32
SHORT: dict[str, Any] = {
    "steps": [{"setWeight": 5, "pause": "10s"}, {"setWeight": 50, "pause": "20s"}],
    "minRequests": 100,
    "interval": "5s",
    "maxDuration": "10m",
}
"""Two steps of ten and twenty seconds."""


def spec(**more: Any) -> Spec:
    """Return ``SHORT`` with some of it said otherwise."""
    return Spec.from_json({**SHORT, **more})


def rollout(now_ms: int = 0, *, base: Plan | None = None, **more: Any) -> Rollout:
    """Return a rollout of version 2 that has just begun, from a plan of version 1 in revision 1."""
    line = PlanRevision(CHURN, 1, base or Plan(number(1)), "ana", "", 0)
    return begun("f" * 32, number(2), spec(**more), line, now_ms)


def plain_judge(rollout: Rollout, parts: Sequence[ArmPart], losses: Sequence[Losses] = ()) -> Judgement:
    """Fail a canary that erred on half of at least ten requests; hold one of whose answers any is invalid."""
    canary = merged(parts, "canary")
    now = rollout.revisions[-1]
    failing = f"{canary.errors} of {canary.requests} failed" if canary.errors * 2 > canary.requests > 9 else ""
    return Judgement(
        Findings(failing, "predictions differ" if canary.invalid else ""),
        sum(p.window.counts.requests for p in parts if p.window.revision == now and p.window.arm == "canary"),
        {"error-rate": {"evidence": 1.0 if failing else 0.0}},
        {arm: arm_json(merged(parts, arm)) for arm in ("stable", "canary")},
    )


def counts(requests: int, errors: int = 0, *, invalid: int = 0, seconds: float = 0.01) -> ArmCounts:
    """Return what an arm did whose successes all took ``seconds``."""
    good = requests - errors
    latency = {latency_bin(seconds): good} if good else {}
    return ArmCounts(requests, errors, invalid, latency, {"c:yes": good} if good else {})


def arm(
    counted: ArmCounts,
    revision: int,
    name: str = "canary",
    version: int = 2,
    *,
    start_ms: int = 0,
    model: ModelName = CHURN,
) -> ArmWindow:
    """Return one window of one arm."""
    return ArmWindow(model, revision, name, number(version), start_ms, counted)


def report(
    sequence: int,
    *arms: ArmWindow,
    shadows: tuple[ShadowWindow, ...] = (),
    node: str = "node-a",
    boot: str = BOOT,
    revision: int = 0,
    held: tuple[HeldPlan, ...] = (),
    versions: tuple[LoadedVersion, ...] = (),
) -> NodeReport:
    """Return a node's report."""
    return NodeReport(node, boot, sequence, revision, held, versions, arms, shadows)


def loaded(version: int, state: str = "ready", model: ModelName = CHURN) -> LoadedVersion:
    """Return a version as a node tells of it."""
    return LoadedVersion(model, VersionNumber(str(version)), state, 1000)
