"""How things look on every dashboard: colours that mean the same everywhere, units, thresholds, and words.

Not here: which panels there are (one module a dashboard) and how a panel is made (``panels.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

GREEN, YELLOW, ORANGE, RED = "#73BF69", "#FADE2A", "#FF9830", "#F2495C"
BLUE, PURPLE, TEAL, GREY = "#5794F2", "#B877D9", "#37B5AA", "#8E96A3"

# Names of series to colours: a name, or what a name begins with.
ARMS: Mapping[str, str] = MappingProxyType(
    {
        "stable": BLUE,
        "canary": ORANGE,
        "shadow": PURPLE,
        "rule": TEAL,
        "alias": GREEN,
        "pinned": GREY,
        "fallback": RED,
        "training": YELLOW,
    }
)
STATUS: Mapping[str, str] = MappingProxyType({"2xx": GREEN, "4xx": YELLOW, "5xx": RED})
STAGES: Mapping[str, str] = MappingProxyType({"decode": TEAL, "queue": ORANGE, "predict": BLUE, "encode": PURPLE})
OUTCOMES: Mapping[str, str] = MappingProxyType(
    {
        "succeeded": GREEN,
        "failed": RED,
        "aborted": YELLOW,
        "expired": GREY,
        "compared": GREEN,
        "incomparable": PURPLE,
        "error": RED,
        "timeout": ORANGE,
        "not_loaded": YELLOW,
        "dropped": GREY,
    }
)
STATES: Mapping[str, str] = MappingProxyType(
    {
        "ready": GREEN,
        "loading": BLUE,
        "draining": TEAL,
        "cold": GREY,
        "failed": ORANGE,
        "quarantined": RED,
        "pending": BLUE,
        "checking": TEAL,
        "rejected": RED,
        "queued": BLUE,
        "running": TEAL,
        "succeeded": GREEN,
    }
)
QUANTILES: Mapping[str, str] = MappingProxyType({"p50": GREEN, "p95": YELLOW, "p99": RED})
BURNS: Mapping[str, str] = MappingProxyType({"5 m": ORANGE, "1 h": RED, "6 h": PURPLE, "3 d": BLUE})

Levels = tuple[tuple[float | None, str], ...]
"""Colours from a value on; the first, from None on, holds below all others."""

PLAIN: Levels = ((None, BLUE),)
GOOD: Levels = ((None, GREEN),)
ANY_IS_BAD: Levels = ((None, GREEN), (1, RED))
ANY_IS_ODD: Levels = ((None, GREEN), (1, YELLOW))
NONE_IS_BAD: Levels = ((None, RED), (1, GREEN))
FAILED: Levels = ((None, GREEN), (0.001, YELLOW), (0.01, RED))
SLOW: Levels = ((None, GREEN), (0.25, YELLOW), (1, RED))
BURN: Levels = ((None, GREEN), (1, YELLOW), (6, ORANGE), (14.4, RED))
FULL: Levels = ((None, GREEN), (0.8, YELLOW), (0.95, RED))
DRIFT: Levels = ((None, GREEN), (0.5, YELLOW), (1, RED))
VERDICT: Levels = ((None, GREEN), (1, YELLOW), (2, RED))
AGE: Levels = ((None, GREEN), (60, YELLOW), (300, RED))
EVIDENCE: Levels = ((None, GREEN), (0.5, YELLOW), (1, RED))


@dataclass(frozen=True, slots=True)
class About:
    """What a panel is called, what it shows (in a sentence or two), and what it says when there is nothing to show."""

    title: str
    description: str
    empty: str = "Nothing yet"


@dataclass(frozen=True, slots=True)
class Look:
    """How a panel shows its values. ``unit`` is Grafana's name of one; ``highest`` ends the axis there."""

    unit: str = "short"
    levels: Levels = PLAIN
    colours: Mapping[str, str] = field(default_factory=dict)
    stacked: bool = False
    steps: bool = False
    limits: bool = False
    """Draw the levels as dashed lines."""
    lowest: float | None = 0
    highest: float | None = None
    room: float | None = None
    """The axis reaches at least so far, so that small values look small and limits are in sight."""
    right: tuple[str, str] | None = None
    """A series with an axis of its own on the right: its name and unit."""
    decimals: int | None = None
    texts: Mapping[float, tuple[str, str]] = field(default_factory=dict)
    """Values shown as a word in a colour."""
    link: tuple[str, str] | None = None
    """Title and URL of where a click on a value leads."""
