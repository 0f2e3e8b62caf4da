"""What comes in, in memory: uploads and idempotency keys. Not here: the versions that come of them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

from registry.adapters.memory.ledger_state import LedgerState
from registry.errors import Conflict, NotFound, quote
from registry.ports import Registration
from registry.records import ModelName, Upload, VersionNumber


class MemoryUploads:
    """The ``Uploads`` port."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._uploads: dict[str, Upload] = {}

    def create(self, upload: Upload) -> None:
        """See ``Uploads.create``."""
        with self._lock:
            if upload.id in self._uploads:
                raise Conflict("already_exists", f"there is an upload '{quote(upload.id)}' already")
            self._uploads[upload.id] = upload

    def get(self, upload_id: str) -> Upload | None:
        """See ``Uploads.get``."""
        with self._lock:
            return self._uploads.get(upload_id)

    def arrived(self, upload_id: str, path: str) -> None:
        """See ``Uploads.arrived``."""
        with self._lock:
            upload = self._uploads.get(upload_id)
            if upload is None or all(file.path != path for file in upload.files):
                raise NotFound(
                    "unknown_upload", f"no upload '{quote(upload_id)}' with a file '{quote(path)}' was begun"
                )
            files = tuple(replace(f, arrived=True) if f.path == path else f for f in upload.files)
            self._uploads[upload_id] = replace(upload, files=files)

    def commit(self, upload_id: str) -> None:
        """See ``Uploads.commit``."""
        with self._lock:
            upload = self._uploads.get(upload_id)
            if upload is None:
                raise NotFound("unknown_upload", f"there is no upload '{quote(upload_id)}'; begin one first")
            missing = [quote(f.path) for f in upload.files if not f.arrived]
            if missing:
                named = missing[:10]
                more = f" and {len(missing) - len(named)} more" if len(missing) > len(named) else ""
                raise Conflict(
                    "not_ready",
                    f"these files have not come: {', '.join(named)}{more}; send them, then commit",
                    {"missing": named},
                )
            self._uploads[upload_id] = replace(upload, committed=True)

    def abandoned(self, before_ms: int) -> Sequence[str]:
        """See ``Uploads.abandoned``."""
        with self._lock:
            old = [u for u in self._uploads.values() if not u.committed and u.created_ms < before_ms]
            return [u.id for u in sorted(old, key=lambda u: (u.created_ms, u.id))]

    def forget(self, upload_id: str) -> None:
        """See ``Uploads.forget``."""
        with self._lock:
            upload = self._uploads.get(upload_id)
            if upload is not None and not upload.committed:
                del self._uploads[upload_id]


class MemoryRegistrations:
    """The ``Registrations`` port."""

    def __init__(self, state: LedgerState) -> None:
        self._state = state

    def begin(self, registration: Registration) -> Registration:
        """See ``Registrations.begin``."""
        with self._state.lock:
            return self._state.registrations.setdefault((registration.model, registration.key), registration)

    def complete(self, model: ModelName, key: str, version: VersionNumber) -> None:
        """See ``Registrations.complete``."""
        with self._state.lock:
            known = self._state.registrations.get((model, key))
            if known is None:
                raise NotFound("not_found", f"no registration of {model} was begun with this key")
            if known.version not in (None, version):
                raise Conflict(
                    "already_exists", f"this key already stands for {model} version {known.version}, not {version}"
                )
            self._state.registrations[model, key] = replace(known, version=version)
