"""The artifact cache on disk: blocking file work, each step whole or not at all.

    <directory>/
    ├── blobs/<64 hex>             verified files, shared by every artifact that holds them; read-only
    ├── manifests/<64 hex>         what the artifact consists of; its hash is its name
    ├── artifacts/<64 hex>/…       model directories made of hard links to blobs (copies where links fail)
    ├── records/<64 hex>           how each file of a model directory looked when it was known to be right; written
    │                              last, and its mtime is when the artifact was last held
    └── unfinished/                everything on its way in or out; emptied at the start

A name outside ``unfinished`` is only ever given by a rename, to something verified. One process a directory. Not here:
what to fetch, keep or evict (``cache.py``).
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import shutil
import stat
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from errno import EDQUOT, ENOSPC
from pathlib import Path
from typing import TypeAlias

from registry.digest import decode_manifest, encode_manifest, manifest_digest, manifest_of
from registry.errors import InvalidRequest, Unavailable
from registry.records import Digest, Manifest, ManifestEntry, parse_digest

NO_SPACE = frozenset({ENOSPC, EDQUOT})
_CHUNK = 1024 * 1024
Stamp: TypeAlias = tuple[int, int, int]
"""Size, mtime in ns and inode: equal stamps mean that nobody wrote to the file meanwhile."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An artifact found on disk: its manifest, and the bytes that its directory has beside its blobs."""

    digest: Digest
    manifest: Manifest
    copied: int


class Shelf:
    """The directory of a cache. Every method blocks; those of different digests may run at once in several threads."""

    def __init__(self, directory: Path) -> None:
        self._root = directory
        self._numbers = itertools.count()

    def open(self) -> tuple[list[Kept], dict[Digest, int]]:
        """Tidy up; return the artifacts that are there, the one held longest ago first, and the sizes of all blobs."""
        shutil.rmtree(self._root / "unfinished", ignore_errors=True)
        for name in ("blobs", "manifests", "artifacts", "records", "unfinished"):
            (self._root / name).mkdir(parents=True, exist_ok=True)
        kept = [found for digest in self._named("records") if (found := self._kept(digest)) is not None]
        whole = {k.digest for k in kept}
        for name in ("artifacts", "manifests", "records"):
            self.discard([self.set_aside(self._path(name, d)) for d in self._named(name) if d not in whole])
        blobs = {digest: self._path("blobs", digest).stat().st_size for digest in self._named("blobs")}
        return kept, blobs

    def _named(self, name: str) -> list[Digest]:
        """Return the digests below a folder, the oldest first; what has no digest's name is not ours and goes."""
        found = []
        for path in sorted((self._root / name).iterdir(), key=lambda p: p.lstat().st_mtime_ns):
            try:
                found.append(parse_digest(f"sha256:{path.name}"))
            except InvalidRequest:
                self.discard([self.set_aside(path)])
        return found

    def _kept(self, digest: Digest) -> Kept | None:
        try:
            manifest = decode_manifest(self._path("manifests", digest).read_bytes(), digest)
            copied = int(json.loads(self._path("records", digest).read_bytes())["copied"])
        except (OSError, ValueError, KeyError, TypeError, Unavailable):
            return None
        return Kept(digest, manifest, copied) if self.tree(digest).is_dir() else None

    def tree(self, digest: Digest) -> Path:
        """Return the model directory of an artifact."""
        return self._path("artifacts", digest)

    def _path(self, name: str, digest: Digest) -> Path:
        return self._root / name / digest.removeprefix("sha256:")

    def _unfinished(self) -> Path:
        return self._root / "unfinished" / str(next(self._numbers))

    def write_blob(self, entry: ManifestEntry) -> BlobWriter:
        """Begin a blob."""
        return BlobWriter(entry, self._unfinished(), self._path("blobs", entry.digest))

    def stamp(self, digest: Digest) -> Stamp | None:
        """Return how a blob looks from outside, or None where it is not there."""
        return _stamp(self._path("blobs", digest))

    def verify_blob(self, entry: ManifestEntry) -> Stamp | None:
        """Read a blob whole; return its stamp if it is what its name says, else None."""
        path = self._path("blobs", entry.digest)
        before = _stamp(path)
        if before is None or before[0] != entry.size:
            return None
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        return before if found == path.name else None

    def place(self, digest: Digest, manifest: Manifest) -> int:
        """Build the model directory beside, then put it in place with its manifest and record; return bytes copied."""
        beside = self._unfinished()
        copied = 0
        try:
            for entry in manifest.entries:
                copied += self._link(entry, _inside(beside, entry.path))
            beside.mkdir(exist_ok=True)  # an artifact without files
            self.discard([self.set_aside(self.tree(digest)), self.set_aside(self._path("records", digest))])
            self._write("manifests", digest, encode_manifest(manifest))
            beside.rename(self.tree(digest))
        except BaseException:
            shutil.rmtree(beside, ignore_errors=True)
            raise
        record = {"copied": copied, "files": dict(_look(self.tree(digest)))}
        self._write("records", digest, json.dumps(record).encode())
        return copied

    def _link(self, entry: ManifestEntry, target: Path) -> int:
        blob = self._path("blobs", entry.digest)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(blob, target)
        except OSError as error:
            if error.errno in NO_SPACE:
                raise
            shutil.copyfile(blob, target)
            target.chmod(0o444)
            return entry.size
        return 0

    def _write(self, name: str, digest: Digest, data: bytes) -> None:
        beside = self._unfinished()
        try:
            beside.write_bytes(data)
            beside.rename(self._path(name, digest))
        finally:
            beside.unlink(missing_ok=True)

    def untouched(self, digest: Digest) -> bool:
        """Tell whether a model directory is exactly as its record says; if so, note that it is held now."""
        path = self._path("records", digest)
        try:
            files = json.loads(path.read_bytes())["files"]
            same = {k: tuple(v) for k, v in files.items()} == dict(_look(self.tree(digest)))
            if same:
                os.utime(path)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return False
        return same

    def take_artifact(self, digest: Digest) -> list[Path | None]:
        """Take an artifact off the shelf, its blobs excepted; give the result to ``discard``. Quick."""
        return [self.set_aside(self._path(name, digest)) for name in ("records", "artifacts", "manifests")]

    def take_blob(self, digest: Digest) -> Path | None:
        """Take a blob off the shelf; give the result to ``discard``. Quick."""
        return self.set_aside(self._path("blobs", digest))

    def set_aside(self, path: Path) -> Path | None:
        """Rename something out of sight; return where it is now, or None where it was not there."""
        aside = self._unfinished()
        try:
            path.rename(aside)
        except FileNotFoundError:
            return None
        return aside

    def discard(self, paths: list[Path | None]) -> None:
        """Delete what was set aside; what cannot be deleted now goes at the next start."""
        for path in paths:
            if path is None:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    path.unlink()


class BlobWriter:
    """A blob on its way in: it gets its name only if its bytes are the ones that the name stands for."""

    def __init__(self, entry: ManifestEntry, beside: Path, target: Path) -> None:
        self._entry, self._beside, self._target = entry, beside, target
        self._hash, self._size, self._kept = hashlib.sha256(), 0, False
        # A cancelled task abandons the file while a thread may still be writing to it.
        self._turn = threading.Lock()
        self._file = beside.open("xb", buffering=0)

    def write(self, piece: bytes) -> None:
        """Append; raise Unavailable ``artifact_corrupt`` as soon as it is too long."""
        with self._turn:
            self._size += len(piece)
            if self._size > self._entry.size:
                raise _corrupt("is longer than its manifest says")
            rest = memoryview(piece)
            while rest and not self._file.closed:
                rest = rest[self._file.write(rest) :]
            self._hash.update(piece)

    def keep(self) -> Stamp:
        """Verify, make durable, and give it its name; raise Unavailable ``artifact_corrupt`` where it is wrong."""
        with self._turn:
            if self._size != self._entry.size:
                raise _corrupt("is shorter than its manifest says")
            if self._hash.hexdigest() != self._target.name:
                raise _corrupt("does not match its digest")
            os.fchmod(self._file.fileno(), 0o444)
            os.fsync(self._file.fileno())
            self._file.close()
            self._beside.rename(self._target)
            self._kept = True
        stamp = _stamp(self._target)
        if stamp is None:
            raise Unavailable("artifact_unavailable", "the artifact cache was changed from outside; try again")
        return stamp

    def end(self) -> bool:
        """Let go of it, and of its bytes unless it was kept; return whether it was."""
        with self._turn:
            self._file.close()
            self._beside.unlink(missing_ok=True)
            return self._kept


def check_manifest(digest: Digest, manifest: Manifest) -> None:
    """Raise Unavailable ``artifact_corrupt`` unless the manifest has that digest and only paths that are allowed."""
    try:
        if manifest_digest(manifest_of(list(manifest.entries))) == digest:
            return
    except InvalidRequest:
        pass
    raise Unavailable("artifact_corrupt", "the manifest of this version does not match its digest", retry_after=30)


def _corrupt(what: str) -> Unavailable:
    return Unavailable("artifact_corrupt", f"a sealed file of this version {what}", retry_after=30)


def _inside(root: Path, path: str) -> Path:
    """Return the place of a manifest's path below ``root``; never one outside it, whoever made the manifest."""
    target = root / path
    if not Path(os.path.normpath(target)).is_relative_to(root):
        raise _corrupt("has a path outside the model directory")
    return target


def _stamp(path: Path) -> Stamp | None:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None
    return (status.st_size, status.st_mtime_ns, status.st_ino) if stat.S_ISREG(status.st_mode) else None


def _look(root: Path, below: str = "") -> Iterator[tuple[str, Stamp | None]]:
    """Yield every file below ``root`` with its stamp; what is neither file nor directory has none."""
    with os.scandir(root / below) as entries:
        for entry in entries:
            path = f"{below}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                yield from _look(root, f"{path}/")
            else:
                yield path, _stamp(Path(entry.path))
