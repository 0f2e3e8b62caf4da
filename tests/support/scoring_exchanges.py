"""The golden exchanges of ``tests/wire/mlflow``: what is sent to a model that adds up ``a`` and ``b``; what comes back.

One file a row of MLflow's protocol. The answers are those of MLflow's own server, unless ``differs`` says why not; of
errors only the status, the type and the keys are fixed, for the words are ours.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path

DIRECTORY = Path(__file__).resolve().parents[1] / "wire" / "mlflow"


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and its answer.

    Attributes:
        answer: The bytes; None for an error in JSON, whose keys are ``keys``, or in text.
        differs: Why the answer is not MLflow's; empty where it is.
    """

    row: str
    content_type: str | None
    body: bytes
    status: int
    answer_type: str
    answer: bytes | None
    keys: frozenset[str]
    differs: str

    def agrees(self, status: int, content_type: str, body: bytes) -> bool:
        """Tell whether an answer is this one."""
        if (status, content_type) != (self.status, self.answer_type):
            return False
        if self.answer is not None:
            return body == self.answer
        return not self.keys or json.loads(body).keys() - {"stack_trace"} == self.keys


def exchanges() -> list[Exchange]:
    """Return all of them."""
    return [_read(file) for file in sorted(DIRECTORY.glob("*.json"))]


def _read(file: Path) -> Exchange:
    held = json.loads(file.read_text())
    request, answer = held["request"], held["answer"]
    body = base64.b64decode(request["base64"]) if "base64" in request else request["text"].encode()
    return Exchange(
        row=file.stem,
        content_type=request["content_type"],
        body=body,
        status=answer["status"],
        answer_type=answer["content_type"],
        answer=answer["text"].encode() if "text" in answer else None,
        keys=frozenset(answer.get("keys", ())),
        differs=held.get("differs", ""),
    )
