"""A catalog in memory that keeps the promises of the real one, and lets a test act as MLflow's users do.

Beside the port, ``user_…`` methods change things behind the platform's back, as people with MLflow's client or pages
do, and ``reachable = False`` takes the database away. Not here: anything that MLflow alone cares about.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from registry.errors import InvalidRequest, NotFound, Unavailable, quote
from registry.layout import ARTIFACT_SCHEME
from registry.records import AliasName, CatalogModel, CatalogVersion, ModelName, VersionNumber, parse_model_name


@dataclass(slots=True)
class _Model:
    updated_ms: int
    aliases: dict[str, str] = field(default_factory=dict)
    versions: dict[int, CatalogVersion] = field(default_factory=dict)


def _seen(name: str, model: _Model) -> CatalogModel:
    return CatalogModel(name, model.updated_ms, dict(model.aliases), tuple(model.versions.values()))


class MemoryCatalog:
    """The ``Catalog`` port (``registry/ports.py``) without MLflow. Safe to use from several threads.

    Args:
        start_ms: The time of the first change; each change after it is one millisecond later.
    """

    def __init__(self, start_ms: int = 1_000) -> None:
        self.reachable = True
        self._lock = threading.RLock()
        self._clock = itertools.count(start_ms)
        self._models: dict[str, _Model] = {}
        self._highest: dict[str, int] = {}
        self._runs: dict[str, str] = {}

    # The port

    def changed_since(self, updated_ms: int) -> Sequence[CatalogModel]:
        """Return models whose record changed at or after ``updated_ms``."""
        with self._reached():
            changed = [(name, model) for name, model in self._models.items() if model.updated_ms >= updated_ms]
            return [_seen(name, model) for name, model in sorted(changed, key=lambda pair: pair[1].updated_ms)]

    def model(self, name: ModelName) -> CatalogModel | None:
        """Return one model as it is now, or None."""
        with self._reached():
            found = self._models.get(name)
            return None if found is None else _seen(name, found)

    def names(self) -> frozenset[str]:
        """Return the names of all models."""
        with self._reached():
            return frozenset(self._models)

    def create_version(
        self, model: ModelName, source: str, run_id: str | None, tags: Mapping[str, str]
    ) -> CatalogVersion:
        """Create the model if it is new, and its next version."""
        with self._reached():
            parse_model_name(model)
            if run_id is not None and run_id not in self._runs:
                raise NotFound(
                    "not_found", f"there is no run '{quote(run_id)}' here; give the id of a run of this server"
                )
            location = self._location(source)
            now = next(self._clock)
            entry = self._models.setdefault(model, _Model(now))
            number = self._highest[model] = self._highest.get(model, 0) + 1
            user = self._runs.get(run_id or "")
            version = CatalogVersion(model, VersionNumber(str(number)), source, location, now, run_id, user, dict(tags))
            entry.versions[number] = version
            entry.updated_ms = now
            return version

    def find_version(self, model: ModelName, tag: str, value: str) -> CatalogVersion | None:
        """Return the newest version of ``model`` that bears ``tag`` with ``value``, or None."""
        with self._reached():
            entry = self._models.get(model)
            versions = reversed(entry.versions.values()) if entry else iter(())
            return next((v for v in versions if v.tags.get(tag) == value), None)

    def set_alias(self, model: ModelName, alias: AliasName, version: VersionNumber | None) -> None:
        """Point the alias at ``version``; None removes it."""
        with self._reached():
            entry = self._models.get(model)
            if version is None:
                if entry is not None and entry.aliases.pop(alias, None) is not None:
                    entry.updated_ms = next(self._clock)
                return
            if entry is None or int(version) not in entry.versions:
                raise NotFound("unknown_version", f"{model} has no version {version}")
            entry.aliases[alias] = version
            entry.updated_ms = next(self._clock)

    def delete_version(self, model: ModelName, version: VersionNumber) -> None:
        """Delete the record with the aliases that name it; no error where it is gone already."""
        with self._reached():
            entry = self._models.get(model)
            if entry is None or entry.versions.pop(int(version), None) is None:
                return
            entry.aliases = {alias: named for alias, named in entry.aliases.items() if named != version}
            entry.updated_ms = next(self._clock)

    # What MLflow's users do

    def user_creates_run(self, user: str) -> str:
        """Log a run as ``user``; return its id."""
        with self._lock:
            run_id = f"{len(self._runs) + 1:032x}"
            self._runs[run_id] = user
            return run_id

    def user_creates_version(
        self, model: str, source: str = "mlflow-artifacts:/1/models/m-1/artifacts", run_id: str | None = None
    ) -> CatalogVersion:
        """Register a version with MLflow's client."""
        return self.create_version(ModelName(model), source, run_id, {})

    def user_sets_alias(self, model: str, alias: str, version: str) -> None:
        """Move an alias on MLflow's pages."""
        self.set_alias(ModelName(model), AliasName(alias), VersionNumber(version))

    def user_deletes_alias(self, model: str, alias: str) -> None:
        """Remove an alias on MLflow's pages."""
        self.set_alias(ModelName(model), AliasName(alias), None)

    def user_deletes_version(self, model: str, version: str) -> None:
        """Delete a version on MLflow's pages."""
        self.delete_version(ModelName(model), VersionNumber(version))

    def user_deletes_model(self, model: str) -> None:
        """Delete a model on MLflow's pages, with all its versions."""
        with self._lock:
            self._models.pop(model, None)

    def user_tags_version(self, model: str, version: str, tag: str, value: str) -> None:
        """Tag a version on MLflow's pages."""
        with self._lock:
            entry = self._models[model]
            old = entry.versions[int(version)]
            entry.versions[int(version)] = replace(old, tags={**old.tags, tag: value})
            entry.updated_ms = next(self._clock)

    def _location(self, source: str) -> str:
        scheme, _, path = source.partition(":/")
        if scheme == "mlflow-artifacts" and path and not path.startswith("/") and ".." not in path.split("/"):
            return source
        if scheme == "runs" and path.partition("/")[0] in self._runs:
            return f"{ARTIFACT_SCHEME}1/{path.replace('/', '/artifacts/', 1)}"
        if scheme == "runs":
            raise NotFound("not_found", f"there is no run '{quote(path.partition('/')[0])}' here")
        name, _, number = path.partition("/")
        if scheme == "models" and number.isdigit():
            entry = self._models.get(name)
            if entry is None or int(number) not in entry.versions:
                raise NotFound("not_found", f"{quote(name)} has no version {quote(number)} to copy")
            return entry.versions[int(number)].location
        raise InvalidRequest(
            "invalid_argument", f"the source '{quote(source)}' is not in this registry's artifact store"
        )

    @contextmanager
    def _reached(self) -> Iterator[None]:
        with self._lock:
            if not self.reachable:
                raise Unavailable(
                    "registry_unavailable", "the database is busy or cannot be reached; try again in a moment"
                )
            yield
