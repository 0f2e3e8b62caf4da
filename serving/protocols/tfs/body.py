"""What all of TensorFlow Serving's request bodies have in common: an object of which they know some keys. Pure.

Whatever else stands in it is left alone, as theirs does; so is the content type, which theirs does not look at. Floats
may be NaN, Infinity and -Infinity.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from registry.errors import InvalidRequest, quote
from serving.protocols.json_body import load_json_or_nan
from serving.protocols.json_scan import Marks
from serving.protocols.limits import Limits
from serving.protocols.refusals import describe

DEFAULT_SIGNATURE = "serving_default"


def load_object(body: bytes, limits: Limits, signatures: Sequence[str]) -> tuple[Mapping[str, Any], Marks, int]:
    """Read a body.

    Args:
        body: Its bytes.
        limits: How deep and how much.
        signatures: The names by which it may ask for what a model does.

    Returns: The object, the marks of the body, and how many strings the input has: those of other keys may count too.

    Raises InvalidRequest, as ``load_json`` does and ``invalid_argument``.
    """
    value, marks = load_json_or_nan(body, limits, nan=math.nan, short=True)
    if type(value) is not dict:
        raise InvalidRequest("invalid_argument", f"the body must be a JSON object, got {describe(value)}")
    strings = marks.strings - marks.members
    if "signature_name" in value:
        name = value["signature_name"]
        if type(name) is not str:
            raise InvalidRequest("invalid_argument", "'signature_name' key must be a string value.")
        if name and name not in signatures:
            raise InvalidRequest(
                "invalid_argument",
                f'Serving signature name: "{quote(name)}" not found in signature def; '
                f"a model has one here: {', '.join(signatures)}, or leave it out",
            )
        strings -= 1
    return value, marks, strings


def is_base64(value: Any) -> bool:
    """Tell whether a value is how they write bytes: an object of one key ``b64`` with a string."""
    return type(value) is dict and len(value) == 1 and type(value.get("b64")) is str
