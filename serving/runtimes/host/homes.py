"""Removing what a host leaves in its own directory, however it left it. It blocks: call in a thread.

Not here: making those directories (``runtime.py``).
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path


def remove(directory: Path) -> None:
    """Remove a directory whose processes have ended, and all in it; nothing happens where there is none."""
    for root, directories, _ in os.walk(directory):
        for name in directories:
            path = Path(root, name)
            with contextlib.suppress(OSError):
                if not path.is_symlink():
                    path.chmod(0o700)  # else a model that locks its own directories leaves them behind
    shutil.rmtree(directory, ignore_errors=True)
