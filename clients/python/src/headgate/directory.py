"""A model directory on this machine: which files it has, their digests, and what no artifact may hold.

Reads files, sends nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from headgate.errors import InvalidRequest
from headgate.names import quoted

_DEVICES = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?", re.IGNORECASE)
_VCS = frozenset({".git", ".hg", ".svn"})
_LONGEST_PATH = 1024


@dataclass(frozen=True, slots=True)
class LocalFile:
    """One file: where it lies, its path in the artifact (with slashes), its bytes, its sha256 in hexadecimal."""

    file: Path
    path: str
    size: int
    sha256: str

    def declared(self) -> dict[str, object]:
        """Return what the registry is told of it beforehand."""
        return {"path": self.path, "size": self.size, "sha256": self.sha256}


def scan(directory: Path) -> tuple[LocalFile, ...]:
    """Return every file of a saved MLflow model, by path, hashed as a stream.

    Raises:
        InvalidRequest: Where it is no model directory, or holds a symbolic link, a special file, or a path that cannot
            exist on every system; the message names it.
    """
    if not directory.is_dir():
        what = "is a file" if directory.exists() else "does not exist"
        raise InvalidRequest(f"{quoted(directory, 200)} {what}; give the directory that an MLflow save_model wrote")
    if not (directory / "MLmodel").is_file():
        raise InvalidRequest(
            f"{quoted(directory, 200)} has no MLmodel file; give the directory that an MLflow save_model wrote"
        )
    found = sorted(_walk(directory, ""))
    _refuse_twins([path for path, _ in found])
    return tuple(_hashed(file, path) for path, file in found)


def registration_key(name: str, files: Sequence[LocalFile]) -> str:
    """Return the idempotency key of these files under that name: equal content, equal key."""
    document = {"model": name, "files": [file.declared() for file in files]}
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def path_problem(path: str) -> str:
    """Return what is wrong with a path inside an artifact, in words; empty for nothing."""
    if len(path) > _LONGEST_PATH:
        return f"is longer than {_LONGEST_PATH} characters"
    if "\\" in path or ":" in path or any(not c.isprintable() for c in path):
        return "holds a backslash, a colon, or a character that cannot be printed or decoded"
    if unicodedata.normalize("NFC", path) != path:
        return "is not in Unicode's composed form (NFC)"
    for segment in path.split("/"):
        if segment != segment.strip(" ") or segment.endswith("."):
            return "has a segment that begins or ends with a space, or ends with a dot"
        if segment.casefold() in _VCS or _DEVICES.fullmatch(segment):
            return "names a version-control folder, or a device on Windows"
    return ""


def _walk(directory: Path, prefix: str) -> list[tuple[str, Path]]:
    found: list[tuple[str, Path]] = []
    with os.scandir(directory) as entries:
        for entry in entries:
            path = prefix + entry.name
            if problem := path_problem(path):
                raise InvalidRequest(f"{quoted(path)} {problem}; rename or remove it")
            if entry.is_symlink():
                raise InvalidRequest(f"{quoted(path)} is a symbolic link; put the file itself there")
            if entry.is_dir(follow_symlinks=False):
                found += _walk(Path(entry.path), path + "/")
            elif entry.is_file(follow_symlinks=False):
                found.append((path, Path(entry.path)))
            else:
                raise InvalidRequest(f"{quoted(path)} is neither a file nor a directory; remove it")
    return found


def _refuse_twins(paths: list[str]) -> None:
    seen: dict[str, str] = {}
    for path in paths:
        other = seen.setdefault(path.casefold(), path)
        if other != path:
            raise InvalidRequest(f"{quoted(other)} and {quoted(path)} differ by case alone; rename one")


def _hashed(file: Path, path: str) -> LocalFile:
    try:
        with file.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
            info = os.fstat(stream.fileno())
            size = stream.tell() if stat.S_ISREG(info.st_mode) else info.st_size
    except OSError as error:
        raise InvalidRequest(f"{quoted(path)} cannot be read: {error.strerror}") from error
    return LocalFile(file, path, size, sha256)
