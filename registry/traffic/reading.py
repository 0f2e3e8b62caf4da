"""Reads a node's report strictly: what is damaged, endless or out of range is refused as a whole. Pure.

A node is ours, and its report is still a stranger's body: what gets in here is added to counts that decide who has the
traffic. Not here: whether a plan accounts for a window (``buckets.py``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from registry.errors import HeadgateError, InvalidRequest
from registry.reports import NodeReport
from registry.traffic.features import check_features
from registry.windows import (
    CANARY,
    MOST_OUTCOMES,
    MOST_OUTPUTS,
    STABLE,
    WORD_LETTERS,
    ArmCounts,
    Bins,
    Difference,
    ShadowCounts,
    is_bin,
)

MOST_ENTRIES = 10_000
MOST_COUNT = 2**53
MOST_DEPTH = 32
EXAMPLE_CHARACTERS = 16_384
OUTPUT_LETTERS = 128
ARMS = (STABLE, CANARY)
_NODE = re.compile(r"[\x21-\x7e]{1,128}")
_BOOT = re.compile(r"[0-9a-f]{32}")
_WORD = re.compile(r"[a-z_]{1,32}")


def read_report(document: object) -> NodeReport:
    """Return the report in a JSON document; raise InvalidRequest ``invalid_argument`` where it is none."""
    try:
        # Nothing that cannot be written down again: infinities, half characters.
        json.dumps(document, ensure_ascii=False, allow_nan=False).encode()
        report = NodeReport.from_json(_mapping(document))
    except (AttributeError, HeadgateError, KeyError, OverflowError, RecursionError, TypeError, ValueError) as error:
        raise _damaged("it has not the form that nodes send") from error
    _check(report)
    return report


def _mapping(document: object) -> Mapping[str, Any]:
    if not isinstance(document, dict) or not isinstance(document.get("node"), str):
        raise TypeError("it must be an object that names its node")
    return document


def _check(report: NodeReport) -> None:
    _require(_NODE.fullmatch(report.node) is not None, "node must be 1 to 128 visible ASCII characters")
    _require(_BOOT.fullmatch(report.boot) is not None, "boot must be 32 hexadecimal digits")
    _require(1 <= report.sequence <= MOST_COUNT, "sequence must be a whole number from 1 on")
    _require(0 <= report.revision <= MOST_COUNT, "revision must be a whole number from 0 on")
    kinds = (report.held, report.versions, report.arms, report.shadows, report.answers)
    entries = (*kinds, *(held.awaits for held in report.held))
    _require(all(len(some) <= MOST_ENTRIES for some in entries), f"at most {MOST_ENTRIES} entries of each kind")
    _require(all(0 <= held.revision <= MOST_COUNT for held in report.held), "held: revision is out of range")
    for version in report.versions:
        _require(_WORD.fullmatch(version.state) is not None, "versions: state must be one lower-case word")
        _require(0 <= version.memory_bytes <= MOST_COUNT, "versions: memory_bytes is out of range")
    spans = [(w.revision, w.start_ms) for w in report.arms] + [(w.revision, w.start_ms) for w in report.shadows]
    for revision, start_ms in spans:
        _require(1 <= revision <= MOST_COUNT, "windows: revision is out of range")
        _require(0 <= start_ms <= MOST_COUNT, "windows: start_ms is out of range")
    for arm in report.arms:
        _require(arm.arm in ARMS, f"arms: arm must be one of {', '.join(ARMS)}")
        _check_arm(arm.counts)
    for shadow in report.shadows:
        _check_shadow(shadow.counts)
    check_features(report.features, _require)


def _check_arm(counts: ArmCounts) -> None:
    _require(counts.requests <= MOST_COUNT, "arms: more requests than there can be")
    _require(counts.errors + counts.invalid <= counts.requests, "arms: more errors than requests")
    _require(sum(counts.latency.values()) <= counts.requests, "arms: more times than requests")
    _check_bins(counts.predictions, "arms: predictions")


def _check_bins(bins: Bins, place: str) -> None:
    _require(all(map(is_bin, bins)), f"{place}: a name that no value is counted by")
    _require(sum(bins.values()) <= MOST_COUNT, f"{place}: more than there can be")


def _check_shadow(counts: ShadowCounts) -> None:
    numbers = (counts.requests, counts.differing, *counts.outcomes.values())
    numbers += (*counts.primary.values(), *counts.shadow.values())
    _require(all(number <= MOST_COUNT for number in numbers), "shadows: more than there can be")
    _require(all(_WORD.fullmatch(name) for name in counts.outcomes), "shadows: outcomes must be lower-case words")
    _require(len(counts.outcomes) <= MOST_OUTCOMES, f"shadows: at most {MOST_OUTCOMES} outcomes")
    _require(len(counts.outputs) <= MOST_OUTPUTS, f"shadows: at most {MOST_OUTPUTS} outputs")
    for name, difference in counts.outputs.items():
        _require(len(name) <= OUTPUT_LETTERS, f"outputs: a name has at most {OUTPUT_LETTERS} letters")
        _check_difference(difference)
    for example in counts.examples:
        _require(_depth(example, 0) <= MOST_DEPTH, f"examples: at most {MOST_DEPTH} levels")
        size = len(json.dumps(dict(example)))
        _require(size <= EXAMPLE_CHARACTERS, f"examples: at most {EXAMPLE_CHARACTERS} characters each")


def _check_difference(difference: Difference) -> None:
    numbers = (difference.compared, difference.differed, *difference.pairs.values())
    _require(all(number <= MOST_COUNT for number in numbers), "outputs: more than there can be")
    _check_bins(difference.absolute, "outputs: absolute")
    _check_bins(difference.relative, "outputs: relative")
    words = (word for pair in difference.pairs for word in pair)
    _require(all(len(word) <= WORD_LETTERS for word in words), f"pairs: a word has at most {WORD_LETTERS} letters")


def _depth(value: object, above: int) -> int:
    if above > MOST_DEPTH:
        return above
    parts = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    return max((_depth(part, above + 1) for part in parts), default=above)


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise _damaged(otherwise)


def _damaged(why: str) -> InvalidRequest:
    return InvalidRequest("invalid_argument", f"this is no report of a node: {why}")
