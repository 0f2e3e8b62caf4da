"""Bodies that are bytes: an image, an octet stream, or several parts of a form. Values and their syntax; pure.

Not here: how a form is taken apart (``multipart``), how parts become a model's input (``media_input``), and what
pictures look like inside (``images``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from registry.errors import InvalidRequest
from serving.protocols.json_body import load_json
from serving.protocols.limits import HEAVY_BYTES, Limits
from serving.protocols.multipart import Part, split_form
from serving.protocols.refusals import describe, name_some

OCTETS = "application/octet-stream"
FORM = "multipart/form-data"
IMAGES = "image/*"
JSON_PART = "application/json"
TEXT_PARTS = ("", "text/plain")
MEDIA = (IMAGES, OCTETS, FORM)
PARAMS = "params"
"""The name of a form's part that holds inference parameters."""

_SIGNS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
)


def is_media(media: str) -> bool:
    """Tell whether a media type, in lower case, is one of those that are read here."""
    return media.startswith("image/") or media in (OCTETS, FORM)


def sniffed(data: bytes) -> str | None:
    """Return the type of a picture by how its bytes begin; None for anything else."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((media for sign, media in _SIGNS if data.startswith(sign)), None)


def read_media(
    media: str, content_type: str, body: bytes, limits: Limits
) -> tuple[tuple[Part, ...], Mapping[str, Any] | None]:
    """Return a body's parts, and its parameters.

    Args:
        media: Its media type: one for which ``is_media`` is true.
        content_type: The whole header: a form's has the boundary.
        body: Its bytes.
        limits: Bounds on parts that are JSON.

    Raises InvalidRequest ``invalid_argument``, and for parts that are JSON as ``load_json`` does.
    """
    if not body:
        raise InvalidRequest("invalid_argument", "the body is empty; send an image or bytes")
    if media != FORM:
        return (Part(None, media, body),), None
    parts = split_form(content_type, body)
    seen: set[str | None] = set()
    for part in parts:
        if part.name in seen:
            raise InvalidRequest("invalid_argument", f"the form has several parts {name_some([str(part.name)])}", {})
        seen.add(part.name)
    inputs = tuple(part for part in parts if part.name != PARAMS)
    if not inputs:
        raise InvalidRequest("invalid_argument", "the form has no input; send a part for each input of the model")
    return inputs, _params(parts, limits)


def _params(parts: Sequence[Part], limits: Limits) -> Mapping[str, Any] | None:
    given = next((part for part in parts if part.name == PARAMS), None)
    if given is None:
        return None
    value = json_of(given, limits)
    if type(value) is not dict:
        message = f"the part 'params' must be a JSON object, got {describe(value)}"
        raise InvalidRequest("invalid_argument", message, {"path": PARAMS})
    return value


UTF_8 = ("utf-8", "utf8")


def split_type(content_type: str) -> tuple[str, list[tuple[str, str]]]:
    """Return what a Content-Type header names, in small letters, and its parameters, without their quotes."""
    media, *rest = (part.strip() for part in content_type.split(";"))
    pairs = [part.partition("=") for part in rest if part]
    return media.lower(), [(name.strip().lower(), text.strip().strip('"')) for name, _, text in pairs]


def json_of(part: Part, limits: Limits) -> Any:
    """Return the JSON value that a part is; raise as ``load_json`` does."""
    if len(part.data) > HEAVY_BYTES:
        message = f"a part that is JSON may have at most {HEAVY_BYTES:,} bytes; send more as a JSON body"
        raise InvalidRequest("body_too_large", message, {"limit": HEAVY_BYTES})
    return load_json(part.data, limits)[0]
