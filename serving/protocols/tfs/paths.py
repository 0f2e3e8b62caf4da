"""TensorFlow Serving's paths: which model, version or label, and which verb. Pure.

Source: the two patterns of TensorFlow Serving's ``http_rest_api_util.cc``. Theirs ignore case throughout; here the
words of a path are small letters, as the gate's table has them, and verbs are read in any case.
"""

from __future__ import annotations

import re

from serving.values import value

PREFIX = "/v1/models/"
EXPLAIN = ":explain"

_PLACE = re.compile(
    r"/v1/models/(?P<model>[^/:]+)"
    r"(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
    r"(?::(?P<verb>[A-Za-z]+)|/(?P<metadata>metadata))?"
)
_NAMELESS = re.compile(r"/v1/models(?:/versions/[0-9]+|/labels/[^/:]+)(?:/metadata)?")


@value
class Place:
    """What a path names: a model, perhaps a version or a label of it, and what is asked of it.

    ``verb`` is empty for its status, ``metadata``, or a word after a colon in small letters.
    """

    model: str
    version: str | None
    label: str | None
    verb: str


def read_path(path: str) -> Place | None:
    """Return what a path names; None where it is none of these."""
    found = _PLACE.fullmatch(path)
    if found is None:
        return None
    verb = found["metadata"] or (found["verb"] or "").lower()
    return Place(found["model"], found["version"], found["label"], verb)


def is_tfs(path: str) -> bool:
    """Tell whether a path is this protocol's, whether anything is there or not."""
    return path.startswith("/v1/") or path == "/v1"


def lacks_name(path: str) -> bool:
    """Tell whether a path asks for a version or label without saying of which model."""
    return _NAMELESS.fullmatch(path) is not None
