"""Which upload an interrupted registration had begun, remembered on disk so that the next run goes on with it.

Only a convenience: where nothing can be kept, everything is sent again. Old entries go by themselves.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Mapping
from pathlib import Path

_KEEP_SECONDS = 7 * 86_400
_LONGEST_ID = 200


def memory_directory(environment: Mapping[str, str] | None = None) -> Path:
    """Return where entries are kept: ``headgate/uploads`` below the user's cache directory."""
    env = os.environ if environment is None else environment
    base = env.get("XDG_CACHE_HOME") or ""
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "headgate" / "uploads"


class UploadMemory:
    """Upload ids by registry and idempotency key, one small file each."""

    def __init__(self, directory: Path, registry_url: str) -> None:
        self._directory = directory
        self._registry_url = registry_url

    def recall(self, key: str) -> str | None:
        """Return the id of the upload that was begun for ``key``, or None."""
        with contextlib.suppress(OSError, UnicodeDecodeError):
            text = self._file(key).read_text("ascii")
            if text and len(text) <= _LONGEST_ID and text.isprintable():
                return text
        return None

    def remember(self, key: str, upload_id: str) -> None:
        """Keep the id, and drop entries older than a week."""
        with contextlib.suppress(OSError, UnicodeEncodeError):
            self._directory.mkdir(parents=True, exist_ok=True)
            file = self._file(key)
            draft = file.with_suffix(f".{os.getpid()}")
            draft.write_text(upload_id, "ascii")
            draft.replace(file)
            self._drop_old()

    def forget(self, key: str) -> None:
        """Drop the entry."""
        with contextlib.suppress(OSError):
            self._file(key).unlink()

    def _file(self, key: str) -> Path:
        return self._directory / hashlib.sha256(f"{self._registry_url}\n{key}".encode()).hexdigest()

    def _drop_old(self) -> None:
        limit = time.time() - _KEEP_SECONDS
        for file in self._directory.iterdir():
            if file.stat().st_mtime < limit:
                file.unlink()
