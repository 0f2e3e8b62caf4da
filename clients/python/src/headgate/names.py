"""The spelling of names, checked before anything is sent. Pure.

The platform has the last word; here a mistake gets its sentence without a round trip, and no name can bend a URL.
"""

from __future__ import annotations

import re

from headgate.errors import InvalidRequest

_MODEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?")
_VERSION = re.compile(r"[1-9][0-9]{0,17}")
# What people write for 1: v1, version 1, #1, 01, 1.0.
_NEARLY_VERSION = re.compile(r"(?:v(?:ersion)?[-_ .]?|#)?0*([1-9][0-9]{0,17})(?:\.0+)?", re.IGNORECASE)
_ROLLOUT = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,63}")
_ALIAS = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}")


def model_name(raw: str) -> str:
    """Return ``raw`` if it is a model name; raise InvalidRequest ``invalid_name`` otherwise."""
    if not isinstance(raw, str) or not _MODEL.fullmatch(raw):
        raise InvalidRequest(
            f"{quoted(raw)} is no model name: use 1 to 128 of A-Z a-z 0-9 . _ -, "
            "beginning and ending with a letter or digit",
            code="invalid_name",
        )
    return raw


def version_number(raw: str | int) -> str:
    """Return ``raw``, a number or its text, as a version; raise InvalidRequest ``invalid_name`` otherwise."""
    text = str(raw)
    if isinstance(raw, bool) or not _VERSION.fullmatch(text):
        near = None if isinstance(raw, bool) else _NEARLY_VERSION.fullmatch(text)
        meant = f"; did you mean {near[1]}?" if near else ""
        raise InvalidRequest(f"{quoted(raw)} is no version: versions are 1, 2, 3, …{meant}", code="invalid_name")
    return text


def alias_name(raw: str) -> str:
    """Return ``raw`` if it can be an alias; raise InvalidRequest ``invalid_name`` otherwise."""
    if not isinstance(raw, str) or not _ALIAS.fullmatch(raw):
        raise InvalidRequest(
            f"{quoted(raw)} is no alias: use a letter, then up to 62 of A-Z a-z 0-9 _ -", code="invalid_name"
        )
    return raw


def rollout_id(raw: str) -> str:
    """Return ``raw`` if it can be a rollout's id; raise InvalidRequest ``invalid_name`` otherwise."""
    if not isinstance(raw, str) or not _ROLLOUT.fullmatch(raw):
        raise InvalidRequest(
            f"{quoted(raw)} is no rollout's id; `headgate rollout list MODEL` shows them", code="invalid_name"
        )
    return raw


def quoted(raw: object, limit: int = 64) -> str:
    """Return ``raw`` for a message: in quotes, at most ``limit`` characters, as it was sent.

    What cannot be printed is shown as its escape (``\\n``, ``\\x1b``), since a message must not steer a terminal.
    """
    text = str(raw)
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[:limit])
    return f"'{shown}…'" if len(text) > limit else f"'{shown}'"


def a_type(value: object) -> str:
    """Return what ``value`` is for a message: ``an int``, ``a list``."""
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
