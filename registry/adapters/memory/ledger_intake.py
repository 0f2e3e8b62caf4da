"""What comes in, in memory: uploads and idempotency keys. Not here: the versions that come of them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

from registry.adapters.memory.ledger_state import LedgerState
from registry.errors import Conflict, NotFound, quote
from registry.intake import Registration
from registry.records import ModelName, Upload, VersionNumber


class MemoryUploads:
    """The ``Uploads`` port."""

    def __init__(self, state: LedgerState) -> None:
        self._clock = state.clock
        self._lock = threading.Lock()
        self._uploads: dict[str, Upload] = {}
        self._touched: dict[str, int] = {}
        self._abandoned: set[str] = set()

    def create(self, upload: Upload) -> None:
        """See ``Uploads.create``."""
        with self._lock:
            if upload.id in self._uploads:
                raise Conflict("already_exists", f"there is an upload '{quote(upload.id)}' already")
            self._uploads[upload.id] = upload
            self._touched[upload.id] = upload.created_ms

    def get(self, upload_id: str) -> Upload | None:
        """See ``Uploads.get``."""
        with self._lock:
            return self._present(upload_id)

    def arrived(self, upload_id: str, path: str) -> None:
        """See ``Uploads.arrived``."""
        with self._lock:
            upload = self._present(upload_id)
            if upload is None or all(file.path != path for file in upload.files):
                raise NotFound(
                    "unknown_upload", f"no upload '{quote(upload_id)}' with a file '{quote(path)}' was begun"
                )
            files = tuple(replace(f, arrived=True) if f.path == path else f for f in upload.files)
            self._uploads[upload_id] = replace(upload, files=files)
            self._touched[upload_id] = max(self._clock(), self._touched[upload_id])

    def commit(self, upload_id: str) -> None:
        """See ``Uploads.commit``."""
        with self._lock:
            upload = self._present(upload_id)
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

    def abandon(self, before_ms: int) -> Sequence[str]:
        """See ``Uploads.abandon``."""
        with self._lock:
            open_ones = [u.id for u in self._uploads.values() if not u.committed]
            self._abandoned |= {name for name in open_ones if self._touched[name] < before_ms}
            return sorted(self._abandoned, key=lambda name: (self._touched[name], name))

    def forget(self, upload_id: str) -> None:
        """See ``Uploads.forget``."""
        with self._lock:
            if upload_id in self._abandoned:
                self._abandoned.remove(upload_id)
                del self._uploads[upload_id], self._touched[upload_id]

    def _present(self, upload_id: str) -> Upload | None:
        return None if upload_id in self._abandoned else self._uploads.get(upload_id)


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
