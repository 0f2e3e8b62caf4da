"""An exchange on which a shadow differed, as the operator may see it: JSON of at most 4 KB. Pure.

Kept only where inputs may be stored (``HEADGATE_STORE_INPUTS``), which is the caller's to know. What is too long is
cut, as text that ends with "…".
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from serving.exchange import Output
from serving.outputs import Column, columns
from serving.shadows.backlog import Answered

OUTPUT_BYTES = 900
INPUT_BYTES = 1800
MOST_SHOWN = 64
_TEXTS = ("application/json", "text/csv")


def example(answered: Answered, shadow: Output) -> dict[str, Any]:
    """Return both answers and the body that they are to."""
    return {
        "request_id": answered.request_id[:64],
        "primary": _output(answered.output),
        "shadow": _output(shadow),
        "inputs": _inputs(answered),
    }


def _output(output: Output) -> Any:
    parts = {column.name: _values(column) for column in columns(output)[:MOST_SHOWN]}
    return _fitting(parts[""] if parts.keys() == {""} else parts)


def _values(column: Column) -> Any:
    values = list(column.values[:MOST_SHOWN])
    if column.shape == ():
        return values[0] if values else None
    return [*values, "…"] if len(column.values) > MOST_SHOWN else values


def _fitting(value: Any) -> Any:
    text = json.dumps(_plain(value), default=str)
    return json.loads(text) if len(text) <= OUTPUT_BYTES else _cut(text, OUTPUT_BYTES)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no word for it
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value


def _inputs(answered: Answered) -> Any:
    media = (answered.content_type or _TEXTS[0]).partition(";")[0].strip().lower()
    if media not in _TEXTS:
        return f"{len(answered.body)} bytes of {media[:64]}"
    text = answered.body[: 2 * INPUT_BYTES].decode(errors="replace")
    if media == _TEXTS[0] and len(answered.body) <= INPUT_BYTES:
        found = _plain(json.loads(text))
        if len(json.dumps(found)) <= INPUT_BYTES:
            return found
    return _cut(text, INPUT_BYTES)


def _cut(text: str, most: int) -> str:
    """Return as much of a text as takes less than ``most`` bytes when it is written as JSON."""
    if len(json.dumps(text)) <= most - 8:
        return text
    text = text[:most]
    while len(json.dumps(text)) > most - 8:
        text = text[: len(text) * 3 // 4]
    return text + "…"
