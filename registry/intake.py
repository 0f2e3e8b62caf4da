"""What the registry needs to take models in, as ports: uploads on their way, and keys that make a retry harmless.

The contracts of ``ports.py`` hold for these too. Not here: the bytes themselves (``ports.Artifacts``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from registry.records import ModelName, Upload, VersionNumber


class Uploads(Protocol):
    """Model directories on their way in."""

    def create(self, upload: Upload) -> None:
        """Record a new upload."""
        ...

    def get(self, upload_id: str) -> Upload | None:
        """Return an upload, or None."""
        ...

    def arrived(self, upload_id: str, path: str) -> None:
        """Record that a file is stored, now; raise NotFound ``unknown_upload`` where the upload is gone."""
        ...

    def commit(self, upload_id: str) -> None:
        """Close it: idempotent; raise Conflict ``not_ready`` naming files that have not come."""
        ...

    def abandon(self, before_ms: int) -> Sequence[str]:
        """Give up uploads that were never committed and of which nothing came since ``before_ms``; return the ids of
        all that were given up, now or earlier, and not forgotten yet, oldest first.

        From then on nobody finds or commits them, so that their files may go.
        """
        ...

    def forget(self, upload_id: str) -> None:
        """Remove the record of an upload that was given up."""
        ...


@dataclass(frozen=True, slots=True)
class Registration:
    """What an idempotency key stood for: a fingerprint of the content and, once known, the version."""

    model: ModelName
    key: str
    fingerprint: str
    version: VersionNumber | None


class Registrations(Protocol):
    """Idempotency keys, per model."""

    def begin(self, registration: Registration) -> Registration:
        """Record the key unless it is known; return what is recorded."""
        ...

    def complete(self, model: ModelName, key: str, version: VersionNumber) -> None:
        """Record the version that came of it; raise Conflict ``already_exists`` where another one is recorded."""
        ...
