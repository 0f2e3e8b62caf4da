"""One request's answer as a frame: the model's, or what it raised. Not here: the socket (``host.py``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .wire import BODY_LIMIT, Buffer, pack

if TYPE_CHECKING:
    from .shared import Shared
    from .ways import Model

MESSAGE_LIMIT = 1024


def answer(
    model: Model, number: int, header: dict[str, Any], buffers: Sequence[memoryview], *, shared: Shared | None = None
) -> list[Buffer]:
    """Return the frame that answers one request; its buffers may lie in ``shared``."""
    from .values import OutputInvalid, lay_output

    try:
        result = model.predict(header["input"], buffers, header.get("params"))
        parts: list[Buffer] = []
        output = lay_output(result, parts)
        if sum(map(len, parts)) > BODY_LIMIT:
            raise OutputInvalid(f"the model's answer is larger than {BODY_LIMIT >> 20} MiB")
        return pack({"output": output}, parts, number, shared=shared)
    except BaseException as error:  # noqa: BLE001 -- process edge: what a model raises, exits included, is the answer
        return pack(failure(error), (), number)


def failure(error: BaseException) -> dict[str, Any]:
    """Return an exception as its type and message; never its trace."""
    try:
        message = str(error)[:MESSAGE_LIMIT]
    except Exception:  # noqa: BLE001 -- an exception whose own text fails
        message = ""
    name = type(error).__name__[:100]
    code = "model_output_invalid" if name == "OutputInvalid" else "model_error"
    return {"error": {"code": code, "type": name, "message": message}}
