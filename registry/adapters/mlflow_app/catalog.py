"""Our catalog on MLflow's model registry, in this process: the store that the mounted MLflow writes through.

Reads go to MLflow's tables directly, because its own search omits aliases and answers a page at a time; writes go
through its store, with its rules and ours. Models whose names are not ours, and prompts, are not there. Not here: what
becomes of a version (``registry/operations.py``).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from registry.adapters.mlflow_app.private import (
    DEFAULT_WORKSPACE,
    IS_PROMPT,
    STAGE_DELETED,
    MlflowException,
    ModelVersionTag,
    SqlModelVersion,
    SqlModelVersionTag,
    SqlRegisteredModel,
    SqlRegisteredModelAlias,
    SqlRegisteredModelTag,
    SqlRun,
)
from registry.adapters.mlflow_app.start import MlflowConfig, start_mlflow
from registry.errors import Conflict, HeadgateError, Internal, InvalidRequest, NotFound, Unavailable
from registry.records import AliasName, CatalogModel, CatalogVersion, ModelName, VersionNumber, parse_model_name

_AT_ONCE = 500
"""Names in one query: databases limit the parameters of a statement."""
_LIVE = SqlModelVersion.current_stage != STAGE_DELETED


def open_catalog(config: MlflowConfig) -> MlflowCatalog:
    """Return the catalog of this process's MLflow, which starts unless it runs already."""
    return MlflowCatalog(start_mlflow(config).models)


class MlflowCatalog:
    """The ``Catalog`` port (``registry/ports.py``)."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def changed_since(self, updated_ms: int) -> Sequence[CatalogModel]:
        """Return models whose record changed at or after ``updated_ms``: one small query where none did."""
        with our_errors(), self._store.ManagedSessionMaker() as session:
            rows = session.execute(
                _models(SqlRegisteredModel.name, SqlRegisteredModel.last_updated_time)
                .where(SqlRegisteredModel.last_updated_time >= updated_ms)
                .order_by(SqlRegisteredModel.last_updated_time)
            ).all()
            stamps = {name: int(stamp) for name, stamp in rows if _is_ours(name)}
            found: list[CatalogModel] = []
            names = list(stamps)
            for begin in range(0, len(names), _AT_ONCE):
                found += _read_models(session, names[begin : begin + _AT_ONCE], stamps)
            return found

    def model(self, name: ModelName) -> CatalogModel | None:
        """Return one model as it is now, or None."""
        with our_errors(), self._store.ManagedSessionMaker() as session:
            stamp = session.scalar(_models(SqlRegisteredModel.last_updated_time).where(SqlRegisteredModel.name == name))
            return None if stamp is None else _read_models(session, [name], {name: int(stamp)})[0]

    def names(self) -> frozenset[str]:
        """Return the names of all models."""
        with our_errors(), self._store.ManagedSessionMaker() as session:
            return frozenset(name for name in session.scalars(_models(SqlRegisteredModel.name)) if _is_ours(name))

    def create_version(
        self, model: ModelName, source: str, run_id: str | None, tags: Mapping[str, str]
    ) -> CatalogVersion:
        """Create the model if it is new, and its next version."""
        with our_errors():
            try:
                self._store.get_registered_model(model)
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
                self._create_model(model)
            created = self._store.create_model_version(
                model, source, run_id, [ModelVersionTag(key, value) for key, value in tags.items()]
            )
            with self._store.ManagedSessionMaker() as session:
                return _read_versions(
                    session, SqlModelVersion.name == model, SqlModelVersion.version == created.version
                )[0]

    def find_version(self, model: ModelName, tag: str, value: str) -> CatalogVersion | None:
        """Return the newest version of ``model`` that bears ``tag`` with ``value``, or None."""
        tagged = sa.select(SqlModelVersionTag.version).where(
            SqlModelVersionTag.workspace == DEFAULT_WORKSPACE,
            SqlModelVersionTag.name == model,
            SqlModelVersionTag.key == tag,
            SqlModelVersionTag.value == value,
        )
        newest = sa.select(sa.func.max(SqlModelVersion.version)).where(
            SqlModelVersion.name == model, _LIVE, SqlModelVersion.version.in_(tagged)
        )
        with our_errors(), self._store.ManagedSessionMaker() as session:
            number = session.scalar(newest)
            if number is None:
                return None
            found = _read_versions(session, SqlModelVersion.name == model, SqlModelVersion.version == number)
            return found[0] if found else None

    def set_alias(self, model: ModelName, alias: AliasName, version: VersionNumber | None) -> None:
        """Point MLflow's alias at ``version``; None removes it."""
        with our_errors():
            if version is not None:
                self._store.set_registered_model_alias(model, alias, version)
                return
            with _gone_already():
                self._store.delete_registered_model_alias(model, alias)

    def delete_version(self, model: ModelName, version: VersionNumber) -> None:
        """Delete MLflow's record; no error where it is gone already."""
        with our_errors(), _gone_already():
            self._store.delete_model_version(model, version)

    def _create_model(self, model: ModelName) -> None:
        try:
            self._store.create_registered_model(model)
        except MlflowException as error:
            # Somebody else has just created it, which is as good.
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise


def _models(*columns: Any) -> Any:
    prompts = sa.select(SqlRegisteredModelTag.name).where(
        SqlRegisteredModelTag.workspace == DEFAULT_WORKSPACE,
        SqlRegisteredModelTag.key == IS_PROMPT,
        sa.func.lower(SqlRegisteredModelTag.value) == "true",
    )
    return sa.select(*columns).where(
        SqlRegisteredModel.workspace == DEFAULT_WORKSPACE, SqlRegisteredModel.name.not_in(prompts)
    )


def _is_ours(name: str) -> bool:
    try:
        parse_model_name(name)
    except InvalidRequest:
        return False
    return True


def _read_models(session: Session, names: Sequence[str], stamps: Mapping[str, int]) -> list[CatalogModel]:
    aliases: dict[str, dict[str, str]] = defaultdict(dict)
    of_names = SqlRegisteredModelAlias.name.in_(names)
    for row in session.scalars(
        sa.select(SqlRegisteredModelAlias).where(SqlRegisteredModelAlias.workspace == DEFAULT_WORKSPACE, of_names)
    ):
        aliases[row.name][row.alias] = str(row.version)
    versions: dict[str, list[CatalogVersion]] = defaultdict(list)
    for version in _read_versions(session, SqlModelVersion.name.in_(names)):
        versions[version.model].append(version)
    return [CatalogModel(name, stamps[name], aliases[name], tuple(versions[name])) for name in names]


def _read_versions(session: Session, *conditions: Any) -> list[CatalogVersion]:
    """Return live versions with their tags and the user of their run, by model and number."""
    wanted = (SqlModelVersion.workspace == DEFAULT_WORKSPACE, _LIVE, *conditions)
    tags: dict[tuple[str, int], dict[str, str]] = defaultdict(dict)
    tagged = sa.select(
        SqlModelVersionTag.name, SqlModelVersionTag.version, SqlModelVersionTag.key, SqlModelVersionTag.value
    ).join(
        SqlModelVersion,
        sa.and_(
            SqlModelVersion.workspace == SqlModelVersionTag.workspace,
            SqlModelVersion.name == SqlModelVersionTag.name,
            SqlModelVersion.version == SqlModelVersionTag.version,
        ),
    )
    for name, number, key, value in session.execute(tagged.where(*wanted)):
        tags[name, number][key] = value or ""
    rows = session.execute(
        sa.select(SqlModelVersion, SqlRun.user_id)
        .outerjoin(SqlRun, SqlRun.run_uuid == SqlModelVersion.run_id)
        .where(*wanted)
        .order_by(SqlModelVersion.name, SqlModelVersion.version)
    )
    return [
        CatalogVersion(
            model=ModelName(row.name),
            version=VersionNumber(str(row.version)),
            source=row.source or "",
            location=row.storage_location or row.source or "",
            created_ms=int(row.creation_time),
            run_id=row.run_id or None,
            user=row.user_id or user or None,
            tags=tags[row.name, row.version],
        )
        for row, user in rows
    ]


@contextmanager
def _gone_already() -> Iterator[None]:
    try:
        yield
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise


@contextmanager
def our_errors() -> Iterator[None]:
    """Raise what MLflow and its database raise as errors of ours."""
    try:
        yield
    except MlflowException as error:
        raise _as_ours(error) from error
    except SQLAlchemyError as error:
        raise Unavailable(
            "registry_unavailable", "the database is busy or cannot be reached; try again in a moment"
        ) from error


def _as_ours(error: Any) -> HeadgateError:
    if isinstance(error.__cause__, HeadgateError):
        return error.__cause__
    message = str(error.message)
    kinds: dict[str, HeadgateError] = {
        "INVALID_PARAMETER_VALUE": InvalidRequest("invalid_argument", message),
        "BAD_REQUEST": InvalidRequest("invalid_argument", message),
        "RESOURCE_CONFLICT": Conflict("in_use", message),
        "TEMPORARILY_UNAVAILABLE": Unavailable("registry_unavailable", message),
    }
    if error.error_code == "RESOURCE_DOES_NOT_EXIST":
        which = "unknown_version" if re.match("Model Version", message) else "unknown_model"
        return NotFound(which, message)
    return kinds.get(error.error_code) or Internal("internal", "MLflow's registry failed; see the server's log")
