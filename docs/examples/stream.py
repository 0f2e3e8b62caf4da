"""The demo's last act: prices rise, and drift is told for that feature and for no other; then labels come back.

A version is registered with the table that it was trained on. Customers like those of the table ask first, then
customers who pay more. What became of them is sent back as labels. Not here: starting the platform (``demo.py``), the
models (``churn.py``).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import headgate
from headgate import DriftReport, Label
from rich.console import Console

from docs.examples.churn import NAME, customers, left

PEOPLE, SEED = 4000, 1
"""Of the table that churn.py trains its second version on."""
ROWS, RATE = 25, 16.0
"""Customers in a request, and requests a second."""
RISE = 12.0
"""By how much prices go up. The model tells leavers by other things too: what it predicts hardly moves."""
WAIT_SECONDS = 60.0


@dataclass(slots=True)
class Stream:
    """Customers who ask, request after request, and what will become of them."""

    client: headgate.Client
    rise: float = 0.0
    labels: list[Label] = field(default_factory=list)
    sent: int = 0

    def until(self, enough: Callable[[], bool]) -> bool:
        """Send requests at an even rate until something is so; return whether it came to be."""
        start, first = time.monotonic(), self.sent
        while time.monotonic() - start < WAIT_SECONDS:
            self._ask()
            if self.sent % 8 == 0 and enough():
                return True
            time.sleep(max(0.0, start + (self.sent - first) / RATE - time.monotonic()))
        return False

    def _ask(self) -> None:
        self.sent += 1
        people = customers(ROWS, seed=1000 + self.sent)
        people["price"] += self.rise
        answer = self.client.predict_response(NAME, people)
        assert answer.request_id is not None  # serving names every answer
        outcome = left(people, seed=100_000 + self.sent).tolist()
        self.labels += [Label(answer.request_id, gone, row) for row, gone in enumerate(outcome)]


def drift_away(registry: str, serving: str, console: Console) -> bool | None:
    """Show drift and live quality; return whether the price drifted and nothing else, and quality was told.

    None where the platform, which was up already, keeps its windows open for longer than anybody likes to watch.

    Args:
        registry: Its URL, and ``serving`` that of serving.
        console: Where to tell it.
    """
    with headgate.Client(registry_url=registry, serving_url=serving) as client:
        version = _register(client, console)
        stream = Stream(client)
        console.print(f"   {ROWS * RATE:g} customers a second, like those of the table, until two windows are full")
        calm = stream.until(
            lambda: len((seen := client.drift(NAME, version)).windows) >= 2 or open_for(seen) > WAIT_SECONDS
        )
        if (seconds := open_for(client.drift(NAME, version))) > WAIT_SECONDS:
            console.print(
                f"   The platform that is up judges a window after {seconds:g} s (HEADGATE_DRIFT_SECONDS): left out."
                " Stop that one, and the demo starts its own, with short windows"
            )
            return None
        console.print(f"   [dim]now[/]       {_line(client.drift(NAME, version))}")
        before = client.drift(NAME, version)
        stream.rise = RISE
        console.print(f"   From now on everybody pays {RISE:g} more; nothing else changes")
        stream.until(lambda: client.drift(NAME, version).verdict == "drift")
        after = client.drift(NAME, version)
        console.print(f"   [bold red]now[/]       {_line(after)}")
        console.print("\n   What became of them is sent back, and compared with what was predicted")
        result = client.feedback(NAME, stream.labels)
        console.print(f"   {result.accepted:,} labels accepted, {len(result.refused):,} refused")
        quality = stream.until(lambda: any(arm.labelled for arm in client.quality(NAME, version).arms))
    still = calm and all(window.verdict == "ok" for window in before.windows)
    drifted = [] if after.newest is None else [feature.name for feature in after.newest.of("drift")]
    return still and drifted == ["price"] and quality and not result.refused


def _register(client: headgate.Client, console: Console) -> str:
    """Register the run of the stable version again, this time with its training data, and promote it."""
    stable = client.version(NAME, str(client.traffic(NAME).stable))
    people = customers(PEOPLE, SEED)
    predicted = client.predict(NAME, people, version=stable.version)
    version = client.register(f"runs:/{stable.run_id}/model", NAME, X=people, y=predicted).version
    client.promote(NAME, version, note="with its training data", warm=True)
    console.print(f"   version {version} is stable; its baseline is made of the {PEOPLE:,} rows that it was trained on")
    return version


def open_for(report: DriftReport) -> float:
    """Return how many seconds the window that fills stays open; 0 before it has the rows that it needs."""
    window = report.open
    if window is None or window.rows < window.needed_rows or not (window.opened_at and window.closes_at):
        return 0.0
    return (datetime.fromisoformat(window.closes_at) - datetime.fromisoformat(window.opened_at)).total_seconds()


def _line(report: DriftReport) -> str:
    """Return the newest window's features with PSI beside the value from which on it is drift."""
    window = report.newest
    if window is None:
        return "no window is full yet"
    told = ", ".join(f"{feature.name} {feature.ratio or 0:.2f}" for feature in window.features)
    return f"window {window.number}, {window.rows:,} rows: {window.verdict} · PSI ÷ critical: {told}"
