"""Manifests and their digests. Pure: bytes in, bytes out.

A manifest is one canonical JSON document (keys sorted, no spaces, UTF-8), so that equal artifacts have equal digests
wherever they were sealed. Its digest is the serving identity of a version.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from itertools import accumulate

from registry.errors import InvalidRequest, Unavailable, quote
from registry.records import Digest, Manifest, ManifestEntry, parse_digest

MAX_FILES = 100_000
MAX_PATH_CHARS = 1024
MAX_SEGMENTS = 64
MAX_SEGMENT_BYTES = 255
"""The longest name that file systems take: a longer one could be sealed, and never be put on a node's disk."""
_WINDOWS_DEVICES = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?", re.IGNORECASE)
_VCS = frozenset({".git", ".hg", ".svn"})


def sha256_digest(data: bytes) -> Digest:
    """Return the digest of ``data``."""
    return Digest("sha256:" + hashlib.sha256(data).hexdigest())


def check_path(path: str) -> str:
    """Return ``path`` if it names a file inside a model directory on every system; else raise InvalidRequest.

    Refused: absolute paths, ``..`` and empty segments, backslashes, drive letters, control characters, names that are
    devices on Windows, trailing dots or spaces, text that is not NFC, and version-control folders (which signing tools
    skip).
    """
    problem = _path_problem(path)
    if problem:
        raise InvalidRequest("invalid_argument", f"the path '{quote(path)}' {problem}", {"path": quote(path)})
    return path


def _path_problem(path: str) -> str:
    if not path or len(path) > MAX_PATH_CHARS:
        return f"must have 1 to {MAX_PATH_CHARS} characters"
    if "\\" in path or ":" in path or any(ord(c) < 32 or ord(c) == 127 for c in path):
        return "must not contain backslashes, colons or control characters"
    if any(0xD800 <= ord(c) <= 0xDFFF for c in path) or unicodedata.normalize("NFC", path) != path:
        return "must be valid Unicode in its composed form (NFC)"
    segments = path.split("/")
    if len(segments) > MAX_SEGMENTS:
        return f"must have at most {MAX_SEGMENTS} segments"
    return next(filter(None, map(_segment_problem, segments)), "")


def _segment_problem(segment: str) -> str:
    if segment in ("", ".", ".."):
        return "must be relative, with no empty, '.' or '..' segment"
    if len(segment.encode()) > MAX_SEGMENT_BYTES:
        return f"must not have segments of more than {MAX_SEGMENT_BYTES} bytes"
    if segment != segment.strip(" ") or segment.endswith("."):
        return "must not have segments that begin or end with a space, or end with a dot"
    if segment.casefold() in _VCS or _WINDOWS_DEVICES.fullmatch(segment):
        return "must not name a version-control folder or a device"
    return ""


def check_paths(paths: list[str]) -> None:
    """Check each path, and that no two are the same to a file system that ignores case, and none is inside another."""
    if len(paths) > MAX_FILES:
        raise InvalidRequest("invalid_argument", f"{len(paths)} files: an artifact holds at most {MAX_FILES}")
    files: dict[str, str] = {}
    for path in paths:
        check_path(path)
        folded = path.casefold()
        if folded in files:
            raise InvalidRequest(
                "invalid_argument",
                f"the paths '{quote(path)}' and '{quote(files[folded])}' differ by case alone or not at all",
            )
        files[folded] = path
    folders: dict[str, str] = {}
    for folded, path in files.items():
        for place, spelt in zip(_folders(folded), _folders(path), strict=True):
            if place in files:
                raise InvalidRequest("invalid_argument", f"the path '{quote(path)}' lies inside another file")
            if folders.setdefault(place, spelt) != spelt:
                raise InvalidRequest(
                    "invalid_argument",
                    f"the folders '{quote(spelt)}' and '{quote(folders[place])}' differ by case alone",
                )


def _folders(path: str) -> list[str]:
    return list(accumulate(path.split("/")[:-1], "{}/{}".format))


def manifest_of(entries: list[ManifestEntry]) -> Manifest:
    """Return the manifest of ``entries``, sorted; raise InvalidRequest for paths no artifact may hold."""
    check_paths([entry.path for entry in entries])
    return Manifest(tuple(sorted(entries, key=lambda e: e.path)))


def encode_manifest(manifest: Manifest) -> bytes:
    """Return the canonical bytes of a manifest."""
    document = {
        "files": [{"digest": e.digest, "path": e.path, "size": e.size} for e in manifest.entries],
        "schema": 1,
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def manifest_digest(manifest: Manifest) -> Digest:
    """Return the digest that identifies the artifact."""
    return sha256_digest(encode_manifest(manifest))


def decode_manifest(data: bytes, expected: Digest) -> Manifest:
    """Read a manifest and verify it against ``expected``; raise Unavailable ``artifact_corrupt`` where it differs."""
    if sha256_digest(data) != expected:
        raise Unavailable("artifact_corrupt", "the manifest of this version does not match its digest", retry_after=30)
    try:
        document = json.loads(data)
        if document["schema"] != 1:
            raise ValueError("unknown schema")
        entries = [ManifestEntry(f["path"], int(f["size"]), parse_digest(f["digest"])) for f in document["files"]]
        return manifest_of(entries)
    except (KeyError, TypeError, ValueError, InvalidRequest) as error:
        raise Unavailable("artifact_corrupt", "the manifest of this version cannot be read", retry_after=30) from error
