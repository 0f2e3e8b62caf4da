"""What monitoring needs of the world, as ports: where baselines are recorded, who reads tables, what a run logged.

The contracts of ``registry/ports.py`` hold for these too. Not here: what is done with them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, BinaryIO, Protocol

from registry.baselines import Baseline, Origin
from registry.records import Check, Digest, ModelName, VersionNumber, VersionRecord

BASELINE_CHECK = "baseline"
"""The check of a version that says what was found when somebody looked for its baseline."""


@dataclass(frozen=True, slots=True)
class BaselineRecord:
    """The baseline of a version: the digest of its sealed document, how many rows it was made of, and when."""

    model: ModelName
    version: VersionNumber
    digest: Digest
    origin: Origin
    rows: int
    at_ms: int


class Baselines(Protocol):
    """Which baseline each version has: at most one. A change of it is a change of the snapshot."""

    def put(
        self, model: ModelName, version: VersionNumber, digest: Digest, origin: Origin, rows: int
    ) -> BaselineRecord:
        """Record the baseline of a ready version, in place of the one before; return what is then recorded.

        One that is ``given`` replaces any; one of the ``run`` does not replace one that is given, and a ``provisional``
        one replaces none. The same again changes nothing. Raises NotFound ``unknown_version`` or Conflict
        ``not_ready``.
        """
        ...

    def get(self, model: ModelName, version: VersionNumber) -> BaselineRecord | None:
        """Return the record, or None."""
        ...

    def of_model(self, model: ModelName) -> Mapping[VersionNumber, BaselineRecord]:
        """Return the records of all versions of a model."""
        ...

    def unlooked(self, limit: int) -> Sequence[VersionRecord]:
        """Return up to ``limit`` ready versions for which nobody looked for a baseline yet (``BASELINE_CHECK``),
        oldest first."""
        ...

    def note(self, model: ModelName, version: VersionNumber, check: Check) -> None:
        """Add a check to a version's own, in place of one of that name. Nothing happens where it is gone."""
        ...


class TableForm(StrEnum):
    """The formats of tables."""

    PARQUET = "parquet"
    CSV = "csv"
    ARROW = "arrow"


@dataclass(frozen=True, slots=True)
class TableOrder:
    """What shall be made of a table: its format, the model's signature as JSON, and the prediction's column, where the
    caller named one."""

    form: TableForm
    signature: Mapping[str, Any] | None
    origin: Origin
    prediction: str | None = None


@dataclass(frozen=True, slots=True)
class MadeOfTable:
    """A baseline, and the columns of its table that were not used."""

    baseline: Baseline
    ignored: tuple[str, ...] = ()


class Tables(Protocol):
    """Reads tables that strangers sent, in bounded memory, where a damaged one does no harm."""

    def make(self, file: BinaryIO, order: TableOrder) -> MadeOfTable:
        """Make a baseline of a table, which is a file of this machine (by its descriptor).

        Raises InvalidRequest ``invalid_input`` where the table is damaged or does not fit the signature,
        ``body_too_large`` where it takes too much memory or time, Refused ``overloaded``.
        """
        ...


@dataclass(frozen=True, slots=True)
class LoggedDataset:
    """A dataset that a run logged as its input: its name, MLflow's type of its source, where that says the data is, and
    its context (``training``); empty where none was said."""

    name: str
    source_type: str
    source: str
    context: str = ""


@dataclass(frozen=True, slots=True)
class LoggedRun:
    """What a training run says of itself.

    Attributes:
        run_id: Its id.
        artifacts: Where its artifacts are: ``mlflow-artifacts:/…``.
        metrics: The newest value of each metric.
        datasets: Its inputs.
    """

    run_id: str
    artifacts: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    datasets: tuple[LoggedDataset, ...] = ()


class Runs(Protocol):
    """MLflow's runs."""

    def of(self, version: VersionRecord) -> LoggedRun | None:
        """Return the run that a version came from; None where it came from none, or that is gone."""
        ...
