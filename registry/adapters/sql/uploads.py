"""Model directories on their way in, on SQL tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import Connection, Update, delete, func, insert, select, update

from registry.adapters.sql import tables
from registry.adapters.sql.database import Database
from registry.adapters.sql.rows import text_key
from registry.errors import Conflict, NotFound, quote
from registry.records import Digest, Upload, UploadFile

_AT = tables.uploads.c
_FILE = tables.upload_files.c
_NAMED = 10
"""Missing files that a message names."""


class SqlUploads:
    """The ``Uploads`` port."""

    def __init__(self, database: Database, clock: Callable[[], int]) -> None:
        self._database = database
        self._clock = clock

    def create(self, upload: Upload) -> None:
        """See ``Uploads.create``."""
        self._database.write(lambda connection: _create(connection, upload))

    def get(self, upload_id: str) -> Upload | None:
        """See ``Uploads.get``."""
        return self._database.read(lambda connection: _get(connection, upload_id))

    def arrived(self, upload_id: str, path: str) -> None:
        """See ``Uploads.arrived``."""
        now_ms = self._clock()
        self._database.write(lambda connection: _arrived(connection, upload_id, path, now_ms))

    def commit(self, upload_id: str) -> None:
        """See ``Uploads.commit``."""
        self._database.write(lambda connection: _commit(connection, upload_id))

    def abandon(self, before_ms: int) -> Sequence[str]:
        """See ``Uploads.abandon``."""
        return self._database.write(lambda connection: _abandon(connection, before_ms))

    def forget(self, upload_id: str) -> None:
        """See ``Uploads.forget``."""
        gone = delete(tables.uploads).where(_AT.id == upload_id, _AT.abandoned)
        self._database.write(lambda connection: connection.execute(gone))


def _create(connection: Connection, upload: Upload) -> None:
    if connection.execute(select(_AT.id).where(_AT.id == upload.id)).one_or_none() is not None:
        raise Conflict("already_exists", f"there is an upload '{quote(upload.id)}' already")
    connection.execute(
        insert(tables.uploads).values(
            id=upload.id,
            committed=upload.committed,
            abandoned=False,
            created_ms=upload.created_ms,
            touched_ms=upload.created_ms,
        )
    )
    files = [
        {
            "upload": upload.id,
            "path_sha256": text_key(file.path),
            "position": position,
            "path": file.path,
            "size": file.size,
            "digest": file.digest,
            "arrived": file.arrived,
        }
        for position, file in enumerate(upload.files)
    ]
    if files:
        connection.execute(insert(tables.upload_files), files)


def _get(connection: Connection, upload_id: str) -> Upload | None:
    row = connection.execute(select(tables.uploads).where(_AT.id == upload_id, ~_AT.abandoned)).one_or_none()
    if row is None:
        return None
    query = select(tables.upload_files).where(_FILE.upload == upload_id).order_by(_FILE.position)
    files = tuple(
        UploadFile(path=file.path, size=file.size, digest=Digest(file.digest), arrived=file.arrived)
        for file in connection.execute(query)
    )
    return Upload(id=row.id, files=files, committed=row.committed, created_ms=row.created_ms)


def _arrived(connection: Connection, upload_id: str, path: str, now_ms: int) -> None:
    row = connection.execute(
        select(_AT.touched_ms).where(_AT.id == upload_id, ~_AT.abandoned).with_for_update()
    ).one_or_none()
    noted = 0 if row is None else connection.execute(_note_arrival(upload_id, path)).rowcount
    if row is None or noted == 0:
        raise NotFound("unknown_upload", f"no upload '{quote(upload_id)}' with a file '{quote(path)}' was begun")
    touched = max(now_ms, row.touched_ms)
    connection.execute(update(tables.uploads).where(_AT.id == upload_id).values(touched_ms=touched))


def _note_arrival(upload_id: str, path: str) -> Update:
    here = (_FILE.upload == upload_id) & (_FILE.path_sha256 == text_key(path))
    return update(tables.upload_files).where(here).values(arrived=True)


def _abandon(connection: Connection, before_ms: int) -> Sequence[str]:
    # One statement decides: an upload that is committed, or of which a file comes, at this moment is one or the other.
    connection.execute(update(tables.uploads).where(~_AT.committed, _AT.touched_ms < before_ms).values(abandoned=True))
    # `committed` is said so that the partial index of open uploads is used.
    query = select(_AT.id).where(~_AT.committed, _AT.abandoned).order_by(_AT.touched_ms, _AT.id)
    return connection.scalars(query).all()


def _commit(connection: Connection, upload_id: str) -> None:
    row = connection.execute(
        select(tables.uploads).where(_AT.id == upload_id, ~_AT.abandoned).with_for_update()
    ).one_or_none()
    if row is None:
        raise NotFound("unknown_upload", f"there is no upload '{quote(upload_id)}'; begin one first")
    missing = (_FILE.upload == upload_id) & ~_FILE.arrived
    count = connection.scalar(select(func.count()).select_from(tables.upload_files).where(missing))
    if count:
        query = select(_FILE.path).where(missing).order_by(_FILE.position).limit(_NAMED)
        named = [quote(path) for path in connection.scalars(query)]
        more = f" and {count - len(named)} more" if count > len(named) else ""
        raise Conflict(
            "not_ready",
            f"these files have not come: {', '.join(named)}{more}; send them, then commit",
            {"missing": named},
        )
    connection.execute(update(tables.uploads).where(_AT.id == upload_id).values(committed=True))
