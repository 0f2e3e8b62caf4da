"""Log lines: one JSON object a line on stderr, an event name and its fields.

Shared by both processes. Never inputs, outputs, credentials or stack traces: callers hand over names, numbers and
types, and lines of foreign
libraries lose their tracebacks here. Not here: metrics.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from types import TracebackType

_LOGGER = logging.getLogger("headgate")
_FOREIGN_LIMIT = 300
WARNING = logging.WARNING

Field = str | int | float | bool | None


class JsonLines(logging.Formatter):
    """Writes a record as one JSON object; ASCII alone, so that no control character gets through."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Field] = {"time": at, "level": record.levelname.lower()}
        fields = getattr(record, "headgate_fields", None)
        if isinstance(fields, dict):
            line |= {"event": record.getMessage(), **fields}
        else:
            line |= {"event": "library", "logger": record.name, "message": record.getMessage()[:_FOREIGN_LIMIT]}
        if record.exc_info and record.exc_info[0] is not None:
            line |= {"error": record.exc_info[0].__name__, "where": where(record.exc_info[2])}
        return json.dumps(line)


def configure(level: str) -> None:
    """Send all logging of this process to stderr as JSON lines, from ``level`` on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    _LOGGER.setLevel(level)
    # Their warnings are a client's doing ("Invalid HTTP request received", "Did not find CR at end"): at one
    # line a request they would be a flood.
    for library in ("uvicorn.error", "python_multipart"):
        logging.getLogger(library).setLevel(logging.ERROR)


def event(name: str, level: int = logging.INFO, /, **fields: Field) -> None:
    """Write one line."""
    if _LOGGER.isEnabledFor(level):
        _LOGGER.log(level, name, extra={"headgate_fields": fields})


def failure(name: str, error: BaseException, /, **fields: Field) -> None:
    """Write one line about an exception nobody expected: its type and the place, never its text."""
    event(name, logging.ERROR, error=type(error).__name__, where=where(error.__traceback__), **fields)


def debugging() -> bool:
    """Tell whether there is to be a line for every request."""
    return _LOGGER.isEnabledFor(logging.DEBUG)


def where(trace: TracebackType | None) -> str:
    """Return ``module:line`` of the innermost frame, which names a place in the code and no path of the machine."""
    if trace is None:
        return ""
    while trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_globals.get('__name__', '?')}:{trace.tb_lineno}"
