"""What a version's training data looked like, feature by feature, and how live rows are counted beside it.

A feature of numbers has a *grid*: cells between ascending edges, cell ``i`` being ``(edges[i - 1], edges[i]]``, the
first and last without end. Of each cell the rows and the sum of their values are kept, of the baseline and of live rows
alike. So two counts are added cell by cell, in any order and to the same result, and distances between two
distributions are read off the cells (``monitoring/distances.py``). A few of the edges (``bins``) are the coarse bins of
PSI. A feature of words has named categories. Values only; why grids: docs/adr/0020-grids.md.

Not here: making a baseline from a table (``monitoring/``), what is taken of a row (``columns.py``), windows
(``observed.py``).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from registry.columns import Measure
from registry.windows import count_from

Counts64 = npt.NDArray[np.int64]
Sums64 = npt.NDArray[np.float64]
PREDICTION = "prediction"
"""The feature that is the prediction itself; further outputs are ``prediction.<name>`` or ``prediction[<channel>]``."""
INPUT = "input"
OUTPUT = "output"
MOST_FEATURES = 1200
MOST_EDGES = 255
MOST_CATEGORIES = 50
MOST_OTHERS = 1000
MOST_COUNT = 2**53
DOCUMENT_BYTES = 64 << 20
"""How long a sealed baseline may be."""


class Kind(StrEnum):
    """Whether a feature is one number a row, or one word."""

    NUMBER = "number"
    CATEGORY = "category"


class Origin(StrEnum):
    """Where a baseline came from: handed in, the run's logged dataset, or the first live rows."""

    GIVEN = "given"
    RUN = "run"
    PROVISIONAL = "provisional"


def name_apart(side: str, name: str) -> str:
    """Return what a feature is called so that no column of the input is taken for the prediction: one that bears its
    name has ``input.`` before it."""
    if side == INPUT and (name == PREDICTION or name.startswith((f"{PREDICTION}.", f"{PREDICTION}["))):
        return f"{INPUT}.{name}"
    return name


def outranks(new: Origin, present: Origin) -> bool:
    """Tell whether a baseline replaces one that is there: what was handed in replaces any, live rows replace none."""
    if new is Origin.GIVEN:
        return True
    return new is Origin.RUN and present is not Origin.GIVEN


@dataclass(frozen=True, slots=True)
class Feature:
    """One watched feature and how its values are told apart.

    Attributes:
        name: What people call it (``columns.feature_name``).
        side: ``input`` or ``output``.
        source: The column or tensor that it is taken of; empty where that has no name.
        measure: What is taken of each row, and ``channel`` of which part; None: of the whole.
        kind: Number or category.
        edges: Of a number: strictly ascending edges of its grid, from the baseline's smallest value to its largest; at
            most ``MOST_EDGES``.
        bins: Of a number: positions in ``edges``, ascending, between which its coarse bins lie.
        center: Of a number: what is subtracted before sums are made, so that they stay exact.
        categories: Of a category: at most ``MOST_CATEGORIES`` words, the most frequent first.
        others: Of a category: further words that the baseline had, at most ``MOST_OTHERS``.
        open_ended: Of a category: whether the baseline had more words than those, so that none can be called new.
    """

    name: str
    side: str
    source: str
    measure: Measure
    kind: Kind
    channel: int | None = None
    edges: tuple[float, ...] = ()
    bins: tuple[int, ...] = ()
    center: float = 0.0
    categories: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    open_ended: bool = False

    def empty(self) -> FeatureCounts:
        """Return counts of nothing."""
        if self.kind is Kind.CATEGORY:
            return CategoryCounts(np.zeros(len(self.categories), np.int64))
        return NumberCounts(np.zeros(len(self.edges) + 1, np.int64), np.zeros(len(self.edges) + 1))

    def to_json(self) -> dict[str, Any]:
        """Return the wire form, JSON-ready."""
        said: dict[str, Any] = {
            "name": self.name,
            "side": self.side,
            "source": self.source,
            "measure": self.measure.value,
            "channel": self.channel,
            "kind": self.kind.value,
        }
        if self.kind is Kind.NUMBER:
            return said | {"edges": list(self.edges), "bins": list(self.bins), "center": self.center}
        return said | {
            "categories": list(self.categories),
            "others": list(self.others),
            "open_ended": self.open_ended,
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Feature:
        """Read the wire form; raise KeyError, TypeError or ValueError where it is damaged."""
        feature = cls(
            name=str(raw["name"]),
            side=str(raw["side"]),
            source=str(raw["source"]),
            measure=Measure(raw["measure"]),
            channel=None if raw["channel"] is None else count_from(raw["channel"]),
            kind=Kind(raw["kind"]),
            edges=tuple(float(edge) for edge in raw.get("edges", ())),
            bins=tuple(count_from(position) for position in raw.get("bins", ())),
            center=float(raw.get("center", 0.0)),
            categories=tuple(str(word) for word in raw.get("categories", ())),
            others=tuple(str(word) for word in raw.get("others", ())),
            open_ended=bool(raw.get("open_ended", False)),
        )
        if not all(map(math.isfinite, feature.edges)) or np.any(np.diff(feature.edges) <= 0):
            raise ValueError("the edges of a grid ascend")
        if len(feature.edges) > MOST_EDGES or len(feature.categories) > MOST_CATEGORIES:
            raise ValueError("too many cells")
        if any(not position < len(feature.edges) for position in feature.bins) or np.any(np.diff(feature.bins) <= 0):
            raise ValueError("bins lie between edges")
        return feature


@dataclass(frozen=True, slots=True, eq=False)
class NumberCounts:
    """How many rows were in each cell of a grid, and what their values (less the center) add up to.

    Attributes:
        cells: Rows by cell, int64, one more than the grid has edges. Infinities count in the end cells.
        sums: Sums of ``value - center`` by cell; of infinities nothing.
        missing: Rows without a value.
        below: Of the first cell's, those below the baseline's smallest value; ``above`` its largest.
    """

    cells: Counts64
    sums: Sums64
    missing: int = 0
    below: int = 0
    above: int = 0

    @property
    def rows(self) -> int:
        """Rows, those without a value too."""
        return int(self.cells.sum()) + self.missing

    def plus(self, other: FeatureCounts) -> NumberCounts:
        """Return both as one; raise ValueError where they are not of the same grid."""
        if not isinstance(other, NumberCounts) or self.cells.shape != other.cells.shape:
            raise ValueError("these are counts of two grids")
        return NumberCounts(
            self.cells + other.cells,
            self.sums + other.sums,
            self.missing + other.missing,
            self.below + other.below,
            self.above + other.above,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the wire form, JSON-ready."""
        return {
            "cells": self.cells.tolist(),
            "sums": self.sums.tolist(),
            "missing": self.missing,
            "below": self.below,
            "above": self.above,
        }


@dataclass(frozen=True, slots=True, eq=False)
class CategoryCounts:
    """How many rows had each of a feature's categories, another word of the baseline's, a new one, or none."""

    categories: Counts64
    others: int = 0
    new: int = 0
    missing: int = 0

    @property
    def rows(self) -> int:
        """Rows, those without a value too."""
        return int(self.categories.sum()) + self.others + self.new + self.missing

    def plus(self, other: FeatureCounts) -> CategoryCounts:
        """Return both as one; raise ValueError where they are not of the same categories."""
        if not isinstance(other, CategoryCounts) or self.categories.shape != other.categories.shape:
            raise ValueError("these are counts of two sets of categories")
        return CategoryCounts(
            self.categories + other.categories,
            self.others + other.others,
            self.new + other.new,
            self.missing + other.missing,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the wire form, JSON-ready."""
        return {
            "categories": self.categories.tolist(),
            "others": self.others,
            "new": self.new,
            "missing": self.missing,
        }


FeatureCounts = NumberCounts | CategoryCounts


def counts_from_json(raw: Mapping[str, Any]) -> FeatureCounts:
    """Read counts of either kind; raise KeyError, TypeError or ValueError where they are damaged.

    Whether they are of a given feature's shape is ``fits``.
    """
    if "cells" in raw:
        cells, sums = _whole(raw["cells"]), np.array([float(one) for one in raw["sums"]])
        if len(sums) != len(cells) or not np.isfinite(sums).all():
            raise ValueError("each cell has one sum")
        counts = NumberCounts(cells, sums, *(count_from(raw[name]) for name in ("missing", "below", "above")))
        if counts.below + counts.above > int(cells.sum()):
            raise ValueError("more rows out of range than rows")
        return counts
    return CategoryCounts(_whole(raw["categories"]), *(count_from(raw[name]) for name in ("others", "new", "missing")))


def fits(counts: FeatureCounts, feature: Feature) -> bool:
    """Tell whether counts are of a feature's own grid or categories."""
    if isinstance(counts, NumberCounts):
        return feature.kind is Kind.NUMBER and len(counts.cells) == len(feature.edges) + 1
    return feature.kind is Kind.CATEGORY and len(counts.categories) == len(feature.categories)


@dataclass(frozen=True, slots=True)
class Baseline:
    """The training data of one version: its features, and how its own rows are counted by them.

    ``features`` and ``counts`` go together by position.
    """

    origin: Origin
    rows: int
    features: tuple[Feature, ...]
    counts: tuple[FeatureCounts, ...]

    def to_bytes(self) -> bytes:
        """Return the document that is sealed; the same baseline gives the same bytes."""
        document = {
            "format": 1,
            "origin": self.origin.value,
            "rows": self.rows,
            "features": [
                {**feature.to_json(), "counts": counts.to_json()}
                for feature, counts in zip(self.features, self.counts, strict=True)
            ],
        }
        return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, document: bytes) -> Baseline:
        """Read a sealed document; raise ValueError where it is damaged."""
        try:
            raw = json.loads(document)
            features = tuple(Feature.from_json(one) for one in raw["features"])
            counts = tuple(counts_from_json(one["counts"]) for one in raw["features"])
            if raw["format"] != 1 or not all(map(fits, counts, features)):
                raise ValueError("the baseline is of another format")
            return cls(Origin(raw["origin"]), count_from(raw["rows"]), features, counts)
        except (AttributeError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(f"the baseline cannot be read: {error!r}") from error


def _whole(raw: Any) -> Counts64:
    if not isinstance(raw, list) or len(raw) > MOST_EDGES + 1:
        raise ValueError("too many cells")
    if any(type(one) is not int or not 0 <= one <= MOST_COUNT for one in raw):
        raise ValueError("counts are whole numbers from 0 on")
    return np.array(raw, np.int64)
