"""What a version's ``source`` may be: a place in this registry's own artifact store, however it is spelt. Pure.

    mlflow-artifacts:/<path>        a folder of the store
    models:/m-<id>                  a logged model, wherever the store put it
    models:/<name>/<version>        the place of another version
    runs:/<run id>/<path>           a folder below a run's artifacts

Everything else (another bucket, a disk, a web address) is refused when a version is created, because the platform seals
what it finds there. Not here: looking up where a logged model, a version or a run is.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from urllib.parse import unquote

from registry.errors import InvalidRequest, quote
from registry.layout import ARTIFACT_SCHEME
from registry.records import parse_model_name, parse_version

MAX_CHARS = 500
"""The width of MLflow's own column."""
MAX_SEGMENT_BYTES = 255
MAX_PATH_BYTES = 1000
"""What stores take as a name and as a key, less the prefix."""

UPLOADS = "uploads/"
"""Folders below this are written by ``POST /uploads`` alone (``registry/layout.py``)."""

RULE = (
    "log the model through this registry and register models:/m-<id>, runs:/<run id>/<path> or "
    "mlflow-artifacts:/<path>; or copy a version with models:/<name>/<version>"
)
_LOGGED_MODEL = re.compile(r"m-[0-9a-f]{32}")
_RUN_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class StoredAt:
    """A folder of the store."""

    path: str


@dataclass(frozen=True, slots=True)
class LoggedModel:
    """A logged model, by its id."""

    model_id: str


@dataclass(frozen=True, slots=True)
class OtherVersion:
    """A version of a model of this registry."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class BelowRun:
    """A folder below a run's artifacts."""

    run_id: str
    path: str


Source = StoredAt | LoggedModel | OtherVersion | BelowRun


def parse_source(raw: str) -> Source:
    """Read a version's source; raise InvalidRequest ``invalid_argument`` where it is none that this registry keeps."""
    if not raw or len(raw) > MAX_CHARS:
        raise _refusal(raw, f"must have 1 to {MAX_CHARS} characters")
    scheme, colon, rest = raw.partition(":")
    if not colon or scheme not in ("mlflow-artifacts", "models", "runs"):
        raise _refusal(raw, "is not in this registry's artifact store")
    if not rest.startswith("/") or rest.startswith("//"):
        raise _refusal(raw, f"must be written {quote(scheme)}:/…, with one slash and no host")
    path = rest[1:].removesuffix("/")
    problem = path_problem(path)
    if problem:
        raise _refusal(raw, problem)
    if scheme == "mlflow-artifacts":
        return StoredAt(path)
    return _run_source(raw, path) if scheme == "runs" else _model_source(raw, path)


def parse_location(location: str) -> StoredAt:
    """Read where MLflow says that something is; raise InvalidRequest ``invalid_argument`` unless it is in the store."""
    if not location.startswith(ARTIFACT_SCHEME):
        raise _refusal(location, "is not in this registry's artifact store")
    found = parse_source(location)
    assert isinstance(found, StoredAt)
    return found


def path_problem(path: str) -> str:
    """Say what is wrong with an artifact path, as it stands and percent-decoded once; empty where nothing is."""
    decoded = unquote(path, errors="replace")
    for form in (path, decoded):
        if any(unicodedata.category(c) in ("Cc", "Cs") for c in form) or "\\" in form or "\ufffd" in form:
            return "must not contain control characters, backslashes or broken text"
        if any(segment in ("", ".", "..") for segment in form.split("/")):
            return "must not be empty, and must have no empty, '.' or '..' segment"
    if any(len(segment.encode()) > MAX_SEGMENT_BYTES for segment in decoded.split("/")):
        return f"must not have segments of more than {MAX_SEGMENT_BYTES} bytes"
    if len(decoded.encode()) > MAX_PATH_BYTES:
        return f"must have at most {MAX_PATH_BYTES} bytes"
    if "?" in decoded or "#" in decoded or "%" in decoded:
        return "must not contain '?', '#' or a percent sign that is encoded itself"
    return ""


def _run_source(raw: str, path: str) -> BelowRun:
    run_id, _, below = path.partition("/")
    if not _RUN_ID.fullmatch(run_id) or not below:
        raise _refusal(raw, "must be written runs:/<run id>/<path>, the id in 32 hexadecimal digits")
    return BelowRun(run_id, below)


def _model_source(raw: str, path: str) -> LoggedModel | OtherVersion:
    name, slash, version = path.partition("/")
    if not slash and _LOGGED_MODEL.fullmatch(name):
        return LoggedModel(name)
    if not slash or not version.isascii() or not version.isdigit():
        raise _refusal(raw, "must be written models:/m-<id> or models:/<name>/<version>, the version as a number")
    return OtherVersion(parse_model_name(name), parse_version(version))


def _refusal(raw: str, problem: str) -> InvalidRequest:
    return InvalidRequest("invalid_argument", f"the source '{quote(raw)}' {problem}; {RULE}")
