"""Model directories on their way in, on SQL tables."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, func, insert, select, update

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

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, upload: Upload) -> None:
        """See ``Uploads.create``."""
        self._database.write(lambda connection: _create(connection, upload))

    def get(self, upload_id: str) -> Upload | None:
        """See ``Uploads.get``."""
        return self._database.read(lambda connection: _get(connection, upload_id))

    def arrived(self, upload_id: str, path: str) -> None:
        """See ``Uploads.arrived``."""
        self._database.write(lambda connection: _arrived(connection, upload_id, path))

    def commit(self, upload_id: str) -> None:
        """See ``Uploads.commit``."""
        self._database.write(lambda connection: _commit(connection, upload_id))

    def abandoned(self, before_ms: int) -> Sequence[str]:
        """See ``Uploads.abandoned``."""
        query = select(_AT.id).where(~_AT.committed, _AT.created_ms < before_ms).order_by(_AT.created_ms, _AT.id)
        return self._database.read(lambda connection: connection.scalars(query).all())

    def forget(self, upload_id: str) -> None:
        """See ``Uploads.forget``."""
        gone = delete(tables.uploads).where(_AT.id == upload_id, ~_AT.committed)
        self._database.write(lambda connection: connection.execute(gone))


def _create(connection: Connection, upload: Upload) -> None:
    if connection.execute(select(_AT.id).where(_AT.id == upload.id)).one_or_none() is not None:
        raise Conflict("already_exists", f"there is an upload '{quote(upload.id)}' already")
    connection.execute(
        insert(tables.uploads).values(id=upload.id, committed=upload.committed, created_ms=upload.created_ms)
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
    row = connection.execute(select(tables.uploads).where(_AT.id == upload_id)).one_or_none()
    if row is None:
        return None
    query = select(tables.upload_files).where(_FILE.upload == upload_id).order_by(_FILE.position)
    files = tuple(
        UploadFile(path=file.path, size=file.size, digest=Digest(file.digest), arrived=file.arrived)
        for file in connection.execute(query)
    )
    return Upload(id=row.id, files=files, committed=row.committed, created_ms=row.created_ms)


def _arrived(connection: Connection, upload_id: str, path: str) -> None:
    noted = connection.execute(
        update(tables.upload_files)
        .where(_FILE.upload == upload_id, _FILE.path_sha256 == text_key(path))
        .values(arrived=True)
    )
    if noted.rowcount == 0:
        raise NotFound("unknown_upload", f"no upload '{quote(upload_id)}' with a file '{quote(path)}' was begun")


def _commit(connection: Connection, upload_id: str) -> None:
    row = connection.execute(select(tables.uploads).where(_AT.id == upload_id).with_for_update()).one_or_none()
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
