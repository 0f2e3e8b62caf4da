"""What the platform says of a version's rows, as values: its baseline, and how the windows after it differ from that.

Reading is lenient where the platform may learn to say more. Not here: labels and quality (``quality.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Json = Mapping[str, Any]
OK, WARN, DRIFT, INSUFFICIENT = "ok", "warn", "drift", "insufficient data"


@dataclass(frozen=True, slots=True)
class BaselineRef:
    """Which baseline a version has.

    Attributes:
        origin: ``given`` (a table), ``run`` (logged with the MLflow run) or ``provisional`` (made of live rows).
        rows: That it summarises.
    """

    origin: str
    rows: int
    digest: str | None = None
    at: str | None = None

    @property
    def provisional(self) -> bool:
        """Whether it was made of live rows, for want of a table."""
        return self.origin == "provisional"

    @classmethod
    def from_json(cls, raw: Json) -> BaselineRef:
        """Read a reference."""
        return cls(str(raw["origin"]), int(raw["rows"]), raw.get("digest"), raw.get("at"))


@dataclass(frozen=True, slots=True)
class Bin:
    """One coarse bin or category, with the share of the rows that fell into it."""

    label: str
    ratio: float


@dataclass(frozen=True, slots=True)
class FeatureSummary:
    """What one feature of the training data looked like.

    Attributes:
        kind: ``number`` or ``category``, in the platform's words.
        quantiles: By ``p1 p10 p25 p50 p75 p90 p99``; empty for categories.
    """

    name: str
    kind: str
    missing_ratio: float = 0.0
    min: float | None = None
    max: float | None = None
    quantiles: Mapping[str, float] = field(default_factory=dict)
    bins: tuple[Bin, ...] = ()

    @classmethod
    def from_json(cls, raw: Json) -> FeatureSummary:
        """Read a feature."""
        return cls(
            name=str(raw["name"]),
            kind=str(raw["kind"]),
            missing_ratio=float(raw.get("missing_ratio") or 0.0),
            min=optional(raw.get("min")),
            max=optional(raw.get("max")),
            quantiles=numbers(raw.get("quantiles")),
            bins=tuple(Bin(str(one["label"]), float(one["ratio"])) for one in raw.get("bins") or ()),
        )


@dataclass(frozen=True, slots=True)
class Baseline:
    """What a version's training data looked like, and its prediction there.

    Attributes:
        origin: As in ``BaselineRef``.
        quality: Of the model as its training run tells it, by metric.
        ignored: Columns of a table just sent that are no input and no prediction of the model.
    """

    model: str
    version: str
    origin: str
    rows: int
    digest: str | None = None
    at: str | None = None
    features: tuple[FeatureSummary, ...] = ()
    quality: Mapping[str, float] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, raw: Json) -> Baseline:
        """Read a baseline."""
        return cls(
            model=str(raw["model"]),
            version=str(raw["version"]),
            origin=str(raw["origin"]),
            rows=int(raw["rows"]),
            digest=raw.get("digest"),
            at=raw.get("at"),
            features=tuple(FeatureSummary.from_json(one) for one in raw.get("features") or ()),
            quality=numbers(raw.get("quality")),
            ignored=tuple(str(name) for name in raw.get("ignored") or ()),
        )


@dataclass(frozen=True, slots=True)
class Moved:
    """A bin whose share of the rows is another one than in the baseline."""

    bin: str
    baseline_ratio: float
    window_ratio: float


@dataclass(frozen=True, slots=True)
class FeatureDrift:
    """How one feature of a window differs from the baseline.

    Attributes:
        verdict: ``ok``, ``warn``, ``drift`` or ``insufficient data``.
        psi: Population stability index; above ``psi_warn`` it is 99 % sure that the true one exceeds 0.1, above
            ``psi_drift`` that it exceeds 0.2.
        js: Jensen-Shannon distance, from 0 to 1.
        ks: Largest gap between the two distribution functions; None for categories, as the next.
        wasserstein: How far values moved, in standard deviations of the baseline.
        p_value: Of no drift at all; ``p_adjusted`` for the number of features (Benjamini-Hochberg).
        out_of_range_ratio: Values beyond all of the baseline's, and ``new_ratio`` categories that it does not have.
        moved: The bins that moved most.
    """

    name: str
    kind: str
    verdict: str
    psi: float | None = None
    psi_warn: float | None = None
    psi_drift: float | None = None
    js: float | None = None
    ks: float | None = None
    wasserstein: float | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    missing_ratio: float | None = None
    missing_ratio_baseline: float | None = None
    out_of_range_ratio: float | None = None
    new_ratio: float | None = None
    moved: tuple[Moved, ...] = ()

    @property
    def ratio(self) -> float | None:
        """PSI beside the value from which on it is drift: above 1 it is."""
        return None if self.psi is None or not self.psi_drift else self.psi / self.psi_drift

    @classmethod
    def from_json(cls, raw: Json) -> FeatureDrift:
        """Read a feature's line."""
        told = {name: optional(raw.get(name)) for name in _MEASURES}
        moved = tuple(
            Moved(str(one["bin"]), float(one["baseline_ratio"]), float(one["window_ratio"]))
            for one in raw.get("moved") or ()
        )
        return cls(str(raw["name"]), str(raw.get("kind") or ""), str(raw["verdict"]), moved=moved, **told)


_MEASURES = (
    "psi", "psi_warn", "psi_drift", "js", "ks", "wasserstein", "p_value", "p_adjusted", "missing_ratio",
    "missing_ratio_baseline", "out_of_range_ratio", "new_ratio",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class DriftWindow:
    """A window that was full and was judged; its features are ranked, the most drifted first.

    Attributes:
        feature_count: How many features were judged; ``features`` may be the first of them only.
    """

    number: int
    rows: int
    verdict: str
    first_at: str | None = None
    last_at: str | None = None
    judged_at: str | None = None
    features: tuple[FeatureDrift, ...] = ()
    feature_count: int = 0

    def of(self, verdict: str) -> tuple[FeatureDrift, ...]:
        """Return the features with this verdict."""
        return tuple(feature for feature in self.features if feature.verdict == verdict)

    @classmethod
    def from_json(cls, raw: Json) -> DriftWindow:
        """Read a window."""
        return cls(
            number=int(raw["number"]),
            rows=int(raw["rows"]),
            verdict=str(raw["verdict"]),
            first_at=raw.get("first_at"),
            last_at=raw.get("last_at"),
            judged_at=raw.get("judged_at"),
            features=tuple(FeatureDrift.from_json(one) for one in raw.get("features") or ()),
            feature_count=int(raw.get("feature_count") or len(raw.get("features") or ())),
        )


@dataclass(frozen=True, slots=True)
class OpenWindow:
    """The window that rows are counted into now; it is judged once it has ``needed_rows`` and ``closes_at`` is over."""

    rows: int
    needed_rows: int
    opened_at: str | None = None
    closes_at: str | None = None

    @classmethod
    def from_json(cls, raw: Json) -> OpenWindow:
        """Read the open window."""
        return cls(int(raw["rows"]), int(raw["needed_rows"]), raw.get("opened_at"), raw.get("closes_at"))


@dataclass(frozen=True, slots=True)
class DriftReport:
    """How a version's live rows differ from its baseline.

    Attributes:
        baseline: What it is measured against; None where nothing is there yet.
        open: The window that fills now; None where no row came.
        windows: Those that were judged, newest first.
    """

    model: str
    version: str
    baseline: BaselineRef | None = None
    open: OpenWindow | None = None
    windows: tuple[DriftWindow, ...] = ()

    @property
    def newest(self) -> DriftWindow | None:
        """The newest judged window."""
        return self.windows[0] if self.windows else None

    @property
    def verdict(self) -> str:
        """The newest window's verdict; ``insufficient data`` before there is one."""
        return self.windows[0].verdict if self.windows else INSUFFICIENT

    @classmethod
    def from_json(cls, raw: Json) -> DriftReport:
        """Read a report."""
        baseline, filling = raw.get("baseline"), raw.get("open")
        return cls(
            model=str(raw["model"]),
            version=str(raw["version"]),
            baseline=None if baseline is None else BaselineRef.from_json(baseline),
            open=None if filling is None else OpenWindow.from_json(filling),
            windows=tuple(DriftWindow.from_json(one) for one in raw.get("windows") or ()),
        )


def optional(value: Any) -> float | None:
    """Return a number, or None where there is none."""
    return None if value is None else float(value)


def numbers(raw: Any) -> dict[str, float]:
    """Return those members of a JSON object that are numbers."""
    given = raw if isinstance(raw, Mapping) else {}
    return {
        str(name): float(value)
        for name, value in given.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    }
