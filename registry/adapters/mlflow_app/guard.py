"""What MLflow's model registry must ask of ours before it changes something that serves.

The port, and the implementation that allows everything. Not here: the answers, which our ledger gives.
"""

from __future__ import annotations

from typing import Protocol


class CatalogGuard(Protocol):
    """Asked by the mounted MLflow, from its request threads. No method may wait for MLflow's own tables.

    ``before_delete_version`` and ``before_delete_model`` run before MLflow's transaction opens and may write;
    ``highest_version`` runs inside it and may only read: on SQLite a write would wait for the writer that waits for it.
    """

    def before_delete_version(self, model: str, version: str) -> None:
        """Raise Conflict ``in_use`` while traffic or an alias needs the version; else see that none comes to."""
        ...

    def before_delete_model(self, model: str) -> None:
        """Raise Conflict ``in_use`` while traffic or an alias needs any version of the model."""
        ...

    def remember_highest(self, model: str, version: int) -> None:
        """Keep ``version`` as used, for ever: the model is about to be deleted with all its numbers. Idempotent."""
        ...

    def highest_version(self, model: str) -> int:
        """Return the highest number that any version of a model of this name ever had; 0 where there was none."""
        ...

    def after_change(self, model: str) -> None:
        """Hear that MLflow's record of ``model`` has changed (committed). Must return at once and never raise."""
        ...


class OpenGuard:
    """A guard that allows everything and remembers numbers for as long as it lives."""

    def __init__(self) -> None:
        self._highest: dict[str, int] = {}

    def before_delete_version(self, model: str, version: str) -> None:
        """Allow it."""

    def before_delete_model(self, model: str) -> None:
        """Allow it."""

    def remember_highest(self, model: str, version: int) -> None:
        """Remember it."""
        self._highest[model] = max(version, self.highest_version(model))

    def highest_version(self, model: str) -> int:
        """Return what was remembered."""
        return self._highest.get(model, 0)

    def after_change(self, model: str) -> None:
        """Do nothing."""
