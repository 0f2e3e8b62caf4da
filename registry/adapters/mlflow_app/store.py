"""MLflow's model registry with our rules: one spelling of names, sources in our own store, numbers never used twice.

A subclass, mounted in place of MLflow's own through the registry that MLflow has for stores. What it refuses it refuses
with MLflow's exception, so that the plain client shows the sentence. Prompts are refused: MLflow keeps them as
registered models under a tag, and nothing that serves could do anything with one. Not here: transactions
(``sessions.py``), and where a source's files are (``places.py``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from registry.adapters.mlflow_app import places
from registry.adapters.mlflow_app.guard import CatalogGuard
from registry.adapters.mlflow_app.private import (
    INTERNAL_ERROR,
    INVALID_PARAMETER_VALUE,
    IS_PROMPT,
    RESOURCE_CONFLICT,
    RESOURCE_DOES_NOT_EXIST,
    TEMPORARILY_UNAVAILABLE,
    MlflowException,
    RegistryStore,
    SqlModelVersion,
)
from registry.adapters.mlflow_app.sessions import registry_sessions
from registry.errors import Conflict, HeadgateError, InvalidRequest, NotFound, Unavailable, quote
from registry.records import parse_alias, parse_model_name, parse_version

MAX_TAGS = 200
MAX_CONDITIONS = 32
MAX_FILTER = 65_536
_AND = re.compile(r"\band\b", re.IGNORECASE)
_DELETE_TRIES = 5


@contextmanager
def as_mlflow_errors() -> Iterator[None]:
    """Raise our errors as MLflow's, with the status that comes nearest."""
    try:
        yield
    except HeadgateError as error:
        raise MlflowException(error.message, error_code=_mlflow_code(error)) from error


def check_search(filter_string: str | None, order_by: Sequence[Any] | None) -> None:
    """Raise MLflow's error for a search that is a lot of work: each condition and each order may be a join of its own,
    and two hundred in 4 KB keep the database busy for half a minute."""
    conditions = len(_AND.findall(filter_string or "")) + 1
    with as_mlflow_errors():
        _check_length("filter", filter_string, MAX_FILTER)
        if conditions > MAX_CONDITIONS or len(order_by or ()) > MAX_CONDITIONS:
            raise InvalidRequest(
                "invalid_argument",
                f"a search has at most {MAX_CONDITIONS} conditions joined by AND, and as many orders; ask in several",
            )


def _mlflow_code(error: HeadgateError) -> Any:
    codes: tuple[tuple[type[HeadgateError], Any], ...] = (
        (InvalidRequest, INVALID_PARAMETER_VALUE),
        (NotFound, RESOURCE_DOES_NOT_EXIST),
        (Conflict, RESOURCE_CONFLICT),
        (Unavailable, TEMPORARILY_UNAVAILABLE),
    )
    return next((code for kind, code in codes if isinstance(error, kind)), INTERNAL_ERROR)


class HeadgateRegistryStore(RegistryStore):  # type: ignore[misc]  # MLflow has no types for mypy
    """The store behind every model registry route, and behind our own catalog."""

    CREATE_MODEL_VERSION_RETRIES = 10

    def __init__(self, db_uri: str, guard: CatalogGuard, tracking: Any) -> None:
        super().__init__(db_uri)
        self._guard = guard
        self._tracking = tracking
        self.ManagedSessionMaker = registry_sessions(
            self.engine, self.db_type, guard.highest_version, guard.after_change
        )

    # Models

    def create_registered_model(
        self, name: str, tags: Any = None, description: Any = None, deployment_job_id: Any = None
    ) -> Any:
        """Create a model whose name everybody can spell."""
        with as_mlflow_errors():
            parse_model_name(name)
            _check_tags(tags)
            _check_length("description", description, 5000)
        return super().create_registered_model(name, tags, description, deployment_job_id)

    def search_registered_models(
        self, filter_string: Any = None, max_results: Any = 100, order_by: Any = None, page_token: Any = None
    ) -> Any:
        """Search, where that is not too much work."""
        check_search(filter_string, order_by)
        return super().search_registered_models(filter_string, max_results, order_by, page_token)

    def search_model_versions(
        self, filter_string: Any = None, max_results: Any = 10_000, order_by: Any = None, page_token: Any = None
    ) -> Any:
        """Search, where that is not too much work."""
        check_search(filter_string, order_by)
        return super().search_model_versions(filter_string, max_results, order_by, page_token)

    def update_registered_model(self, name: str, description: Any, deployment_job_id: Any = None) -> Any:
        """Change the description."""
        with as_mlflow_errors():
            _check_length("description", description, 5000)
        return super().update_registered_model(name, description, deployment_job_id)

    def rename_registered_model(self, name: str, new_name: str) -> Any:
        """Refuse: callers address a model by its name, and its plan, journal and version numbers belong to it."""
        self.get_registered_model(name)
        with as_mlflow_errors():
            raise Conflict(
                "in_use",
                f"models keep their names, which callers and the traffic journal use; to offer '{quote(name)}' under "
                "another name, copy the version there: "
                "MlflowClient().copy_model_version('models:/<name>/<version>', '<new name>')",
            )

    def delete_registered_model(self, name: str) -> None:
        """Delete a model that nothing uses, after its highest number is remembered."""
        for _ in range(_DELETE_TRIES):
            self.get_registered_model(name)
            highest = self._highest(name)
            with as_mlflow_errors():
                self._guard.before_delete_model(name)
                self._guard.remember_highest(name, highest)
            with self.ManagedSessionMaker(read_only=False) as session:
                model = self._get_registered_model(session, name)
                if self._highest(name, session) == highest:
                    session.delete(model)
                    return
        raise MlflowException(
            f"versions of {name} are being registered at this moment; delete it when that has ended", RESOURCE_CONFLICT
        )

    def set_registered_model_tag(self, name: str, tag: Any) -> None:
        """Tag a model, but not as a prompt."""
        with as_mlflow_errors():
            _check_tags([tag])
        super().set_registered_model_tag(name, tag)

    def _highest(self, name: str, session: Any = None) -> int:
        if session is None:
            with self.ManagedSessionMaker() as opened:
                return self._highest(name, opened)
        of_model = sa.select(sa.func.max(SqlModelVersion.version)).where(
            SqlModelVersion.name == name, *self._get_workspace_clauses(SqlModelVersion)
        )
        return int(session.scalar(of_model) or 0)

    # Versions

    def create_model_version(
        self, name: str, source: str, run_id: str | None = None, tags: Any = None, **others: Any
    ) -> Any:
        """Number a version whose files are in our store; a ``runs:/`` source is recorded as the place it means.

        ``others`` are MLflow's further arguments, by name, as its handlers give them.
        """
        with as_mlflow_errors():
            parse_model_name(name)
            _check_tags(tags)
            _check_length("description", others.get("description"), 5000)
            _check_length("run_link", others.get("run_link"), 500)
            if run_id:
                places.require_run(self._tracking, run_id)
            found = places.find(self._tracking, self, source)
        # MLflow's handlers give an absent id as an empty text, which is no id.
        others["model_id"] = others.get("model_id") or None
        return super().create_model_version(name, found, run_id=run_id or None, tags=tags, **others)

    def delete_model_version(self, name: str, version: Any) -> None:
        """Delete a version that nothing uses; its number stays used."""
        number = _spelt(name, version)
        self.get_model_version(name, number)
        with as_mlflow_errors():
            self._guard.before_delete_version(name, number)
        super().delete_model_version(name, number)

    def get_model_version(self, name: str, version: Any) -> Any:
        """Return a version, spelt the one way."""
        return super().get_model_version(name, _spelt(name, version))

    def get_model_version_download_uri(self, name: str, version: Any) -> Any:
        """Return where a version's files are."""
        return super().get_model_version_download_uri(name, _spelt(name, version))

    def update_model_version(self, name: str, version: Any, description: Any = None) -> Any:
        """Change the description."""
        with as_mlflow_errors():
            _check_length("description", description, 5000)
        return super().update_model_version(name, _spelt(name, version), description)

    def transition_model_version_stage(
        self, name: str, version: Any, stage: str, archive_existing_versions: bool
    ) -> Any:
        """Move to a stage, as MLflow does; stages say nothing about what serves."""
        return super().transition_model_version_stage(name, _spelt(name, version), stage, archive_existing_versions)

    def set_model_version_tag(self, name: str, version: Any, tag: Any) -> None:
        """Tag a version, but not as a prompt."""
        with as_mlflow_errors():
            _check_tags([tag])
        super().set_model_version_tag(name, _spelt(name, version), tag)

    def delete_model_version_tag(self, name: str, version: Any, key: str) -> None:
        """Remove a tag."""
        super().delete_model_version_tag(name, _spelt(name, version), key)

    # Aliases

    def set_registered_model_alias(self, name: str, alias: str, version: Any) -> None:
        """Point an alias, spelt our way, at a version that exists when the transaction ends."""
        with as_mlflow_errors():
            parse_alias(alias)
        super().set_registered_model_alias(name, alias, _spelt(name, version))


def _spelt(name: str, version: Any) -> str:
    """Return the version's one spelling; MLflow would take ``01`` and ``١`` for 1, and fail on twenty digits."""
    try:
        number = parse_version(str(version))
    except NotFound as error:
        raise MlflowException(
            f"Model Version (name={quote(name)}, version={quote(version)}) not found: {error.message}",
            RESOURCE_DOES_NOT_EXIST,
        ) from error
    # Wider than the column of PostgreSQL: nothing can be there.
    if int(number) > 2**31 - 1:
        raise MlflowException(
            f"Model Version (name={quote(name)}, version={number}) not found", RESOURCE_DOES_NOT_EXIST
        )
    return str(number)


def _check_length(field: str, text: str | None, limit: int) -> None:
    if text is not None and len(text) > limit:
        raise InvalidRequest("invalid_argument", f"the {field} has {len(text)} characters; at most {limit} are kept")


def _check_tags(tags: Iterable[Any] | Sequence[Any] | None) -> None:
    given = list(tags or ())
    if len(given) > MAX_TAGS:
        raise InvalidRequest("invalid_argument", f"{len(given)} tags at once; at most {MAX_TAGS} are taken")
    if any(tag.key == IS_PROMPT and str(tag.value).lower() != "false" for tag in given):
        raise InvalidRequest(
            "invalid_argument",
            "this registry keeps models, not prompts; keep prompts in a tracking server of their own",
        )
