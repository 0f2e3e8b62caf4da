"""What ``headgate rollout start`` is told, as what a rollout is asked to do. Pure.

Defaults that are not the client's own are the platform's: what is not said is not sent.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import typer

from headgate.cli.plans import read_object, require_known
from headgate.names import quoted, version_number
from headgate.rollouts import STEPS, Metric, RolloutSpec, Step

METRICS = ("error-rate", "latency", "invalid", "quality")
_DURATION = re.compile(r"(?:[0-9]{1,9}d)?(?:[0-9]{1,9}h)?(?:[0-9]{1,9}m)?(?:[0-9]{1,9}s)?(?:[0-9]{1,9}ms)?")

_TWO_STEPS = re.compile(r"[0-9a-z%]\s+[0-9]")


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line says of a rollout; None and empty where it says nothing."""

    steps: str | None = None
    metrics: Sequence[str] = ()
    alpha: float | None = None
    min_requests: int | None = None
    interval: str | None = None
    max_duration: str | None = None
    note: str | None = None
    allow_incompatible: bool = False


def spec(version: str, asked: Asked, document: str | None) -> RolloutSpec:
    """Return what is asked for: the document's, where there is one, and the options over it.

    Raises typer.BadParameter where either cannot be read, and where the document is about another version.
    """
    number = version_number(version)
    wanted = RolloutSpec(number) if document is None else _from_document(document, number)
    return replace(
        wanted,
        steps=wanted.steps if asked.steps is None else steps(asked.steps),
        metrics=tuple(metric(text) for text in asked.metrics) or wanted.metrics,
        alpha=wanted.alpha if asked.alpha is None else _alpha(asked.alpha),
        min_requests=wanted.min_requests if asked.min_requests is None else asked.min_requests,
        interval=wanted.interval if asked.interval is None else duration(asked.interval, "--interval"),
        max_duration=wanted.max_duration
        if asked.max_duration is None
        else duration(asked.max_duration, "--max-duration"),
        note=wanted.note if asked.note is None else asked.note,
        allow_incompatible=wanted.allow_incompatible or asked.allow_incompatible,
    )


def steps(text: str) -> tuple[Step, ...]:
    """Return steps that are written ``5:10m,25:10m,50:30m``; a step without a pause waits for ``resume``."""
    found = []
    for part in text.split(","):
        if _TWO_STEPS.search(part.strip()):
            raise typer.BadParameter(
                f"separate steps by commas, not spaces: {quoted(','.join(text.replace(',', ' ').split()))}",
                param_hint="--steps",
            )
        weight, has_pause, pause = part.strip().partition(":")
        try:
            share = float(weight.strip().removesuffix("%"))
        except ValueError as error:
            raise typer.BadParameter(
                f"{quoted(part)} is no step: write percent:pause, as 5:10m", param_hint="--steps"
            ) from error
        if not 0 <= share <= 100:
            raise typer.BadParameter(f"{quoted(weight)} is no percentage from 0 to 100", param_hint="--steps")
        found.append(Step(share, duration(pause.strip(), "--steps") if has_pause else None))
    return tuple(found)


def metric(text: str) -> Metric:
    """Return a metric that is written ``error-rate``, ``error-rate:1.25`` or ``error-rate:1.25:max=0.02``."""
    name, *rest = (part.strip() for part in text.split(":"))
    if name not in METRICS:
        raise typer.BadParameter(
            f"there is no metric {quoted(name)}; there are {', '.join(METRICS)}", param_hint="--metric"
        )
    found = Metric(name)
    for part in rest:
        try:
            if part.startswith("max="):
                found = replace(found, maximum=_finite(part.removeprefix("max=")))
            else:
                found = replace(found, tolerance=_finite(part))
        except ValueError as error:
            raise typer.BadParameter(
                f"{quoted(part)} in {quoted(text)} is no number: write name:tolerance:max=limit, "
                "as error-rate:1.25:max=0.02",
                param_hint="--metric",
            ) from error
    return found


def duration(text: str, option: str) -> str:
    """Return ``text`` if it is a duration, such as ``30s`` or ``1h30m``; raise typer.BadParameter otherwise."""
    if not text or not _DURATION.fullmatch(text):
        bare = text.isascii() and text.isdecimal() and len(text) < 10
        right = f"do you mean {text}s or {text}m?" if bare else "write 30s, 10m or 1h30m"
        raise typer.BadParameter(f"{quoted(text)} is no duration: {right}", param_hint=option)
    return text


def seconds(text: str | None) -> float | None:
    """Return a duration's seconds; None where it is none, as for a step that waits for somebody."""
    if not text or not _DURATION.fullmatch(text):
        return None
    units = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
    return sum(int(count) * units[unit] for count, unit in re.findall(r"([0-9]+)(ms|[dhms])", text))


def _alpha(alpha: float) -> float:
    if not 0 < alpha < 1:  # NaN is neither
        raise typer.BadParameter(f"{alpha:g} cannot be: alpha is above 0 and below 1, as 0.05", param_hint="--alpha")
    return alpha


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _from_document(text: str, number: str) -> RolloutSpec:
    document = read_object(text)
    if "id" in document and "state" in document:  # as the platform shows one: how far it came is not asked for
        document = {key: value for key, value in document.items() if key in _EVERYTHING}
    about = document.get("version", number)
    if str(about) != number:
        raise typer.BadParameter(f"the file is about version {quoted(about)}, not {number}", param_hint="--file")
    try:
        found = RolloutSpec.from_json({**document, "version": number})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"{quoted(error)} is missing" if isinstance(error, KeyError) else quoted(error)
        raise typer.BadParameter(f"this is no rollout: {reason}", param_hint="--file") from error
    require_known(document, _EVERYTHING, "a rollout")
    return found


_EVERYTHING = {
    **RolloutSpec("1", STEPS, alpha=0.05, min_requests=1, interval="1s", max_duration="1h", note="x").to_json(),
    "metrics": [Metric("latency", 1.0, 1.0).to_json()] * 16,
    "steps": [Step(1, "1s").to_json()] * 50,
    "allow_incompatible": True,
}
"""Every field that a rollout can have, in its form."""
