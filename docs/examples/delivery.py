"""The demo's second act: a good version becomes stable by steps, and a bad one is rolled back, under live traffic.

Not here: starting the platform and the first act (``demo.py``), the models (``churn.py``), who calls (``callers.py``).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import headgate
from headgate import Metric, Rollout, RolloutSpec, Step
from rich.console import Console
from rich.markup import escape

from docs.examples.callers import Caller, Callers
from docs.examples.churn import NAME, customers

RATE = 150.0
PEOPLE = 600
STEPS = (Step(25, "5s"), Step(50, "5s"))
REQUESTS = 250
"""That the new version must have answered in a step before the next: some dozen by customers who pay by cheque."""
METRICS = (Metric("error-rate", 1.25), Metric("latency", 1.5), Metric("invalid", 1.25))
WAIT_SECONDS = 240


def deliver(registry: str, serving: str, console: Console) -> bool:
    """Roll out both versions; return whether the good one was promoted and the bad one rolled back.

    Args:
        registry: Its URL, and ``serving`` that of serving.
        console: Where to tell it.
    """
    with headgate.Client(registry_url=registry, serving_url=serving) as client:
        stable, good, bad = sorted((v.version for v in client.versions(NAME)), key=int)[-3:]
        for version in (stable, good, bad):
            client.wait_until_ready(NAME, version, timeout=60)
        _clear_the_way(client)
        client.promote(NAME, stable, note="demo", warm=True)
        with Callers(f"{serving}/models/{NAME}/predict", _callers(), RATE) as callers:
            console.print(
                f"   version {stable} is stable; {PEOPLE} customers send up to {RATE:g} requests a second from now on"
            )
            _until_answered(callers)
            console.print(f"\n[bold]5.[/] Roll out version {good}: the same model with more data")
            first = _roll_out(client, good, "more data", console)
            console.print(
                f"\n[bold]6.[/] Roll out version {bad}: it raises for customers who pay by cheque, one in twenty"
            )
            second = _roll_out(client, bad, "new encoder", console)
        answers = callers.answers
    console.print(f"\n   In all {answers.told} ({answers.failed[bad]:,} by version {bad}).")
    return (first.state, second.state) == ("succeeded", "failed")


def _clear_the_way(client: headgate.Client) -> None:
    """End a rollout that an interrupted demo has left behind."""
    for rollout in client.rollouts(NAME):
        if not rollout.ended:
            client.abort_rollout(NAME, rollout.id, why="a new demo begins")


def _callers() -> list[Caller]:
    people = customers(PEOPLE, seed=3)
    return [
        Caller(f"customer-{number}", json.dumps({"dataframe_records": [person]}).encode())
        for number, person in enumerate(people.to_dict("records"))
    ]


def _until_answered(callers: Callers) -> None:
    """Wait until the first version is loaded and answers."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not callers.answers.good and time.monotonic() < deadline:
        time.sleep(0.1)


def _roll_out(client: headgate.Client, version: str, note: str, console: Console) -> Rollout:
    """Start a rollout and tell what it does until it ends."""
    spec = RolloutSpec(
        version, STEPS, METRICS, min_requests=REQUESTS, interval="1s", max_duration=f"{WAIT_SECONDS}s", note=note
    )
    steps = ", ".join(f"{step.weight:g} % for {step.pause}" for step in spec.steps)
    console.print(f"   {steps}; then all. It goes on only where the evidence lets it.")
    rollout = client.start_rollout(NAME, spec)
    told, shown_at = 0, 0.0
    for look in _looks(client, rollout.id):
        rollout = look
        for event in rollout.journal[told:]:
            console.print(f"   [cyan]journal[/]   {escape(event.message)}")
            shown_at = time.monotonic()
        told = len(rollout.journal)
        if not rollout.ended and time.monotonic() - shown_at >= 3:
            shown_at = time.monotonic()
            console.print(f"   [dim]now[/]       {_line(rollout)}")
    style = "green" if rollout.state == "succeeded" else "red"
    traffic = client.traffic(NAME)
    console.print(
        f"   [bold {style}]{rollout.state}[/]: version {traffic.stable} has all the traffic "
        f"(revision {traffic.revision} of the plan)"
    )
    return rollout


def _looks(client: headgate.Client, rollout_id: str) -> Iterator[Rollout]:
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        rollout = client.rollout(NAME, rollout_id)
        yield rollout
        if rollout.ended:
            return
        time.sleep(0.5)
    yield client.abort_rollout(NAME, rollout_id, why="the demo's time is over")


def _line(rollout: Rollout) -> str:
    """Return the share, both arms and the evidence on a line."""
    arms = " · ".join(
        f"{name} {arm.requests:,} requests, {arm.errors / arm.requests if arm.requests else 0:.1%} failed"
        for name, arm in sorted(rollout.arms.items())
    )
    found = rollout.evidence.get("error-rate")
    evidence = "" if found is None or found.evidence is None else f" · evidence {max(found.evidence, 0):.2f} of 1"
    return f"{rollout.weight:g} % · {arms}{evidence}"
