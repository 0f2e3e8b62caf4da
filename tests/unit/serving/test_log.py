"""Log lines: one JSON object each, without what must not be in them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from registry import log


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root, ours, uvicorn = (logging.getLogger(n) for n in ("", "headgate", "uvicorn.error"))
    before = (root.handlers[:], root.level, ours.level, uvicorn.level)
    yield
    root.handlers[:] = before[0]
    for logger, level in zip((root, ours, uvicorn), before[1:], strict=True):
        logger.setLevel(level)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    """Return what was written, line by line."""
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_an_event_is_one_json_line_with_its_fields(capsys: pytest.CaptureFixture[str]) -> None:
    """Event name, level, time and fields, and nothing below the level."""
    log.configure("INFO")
    log.event("version_loaded", model="churn", seconds=0.5)
    log.event("detail", logging.DEBUG)
    (line,) = lines(capsys)
    assert (line["event"], line["level"], line["model"], line["seconds"]) == ("version_loaded", "info", "churn", 0.5)


def test_control_characters_cannot_break_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever a field holds, it stays one line of ASCII."""
    log.configure("INFO")
    log.event("x", value="a\nb\x1b[31m\u202e")
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    assert text.isascii()
    assert "\x1b" not in text


def test_a_failure_names_its_type_and_place_and_not_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    """An unexpected exception may carry input in its text, so the text stays out."""
    log.configure("INFO")
    try:
        raise ValueError("secret input")
    except ValueError as error:
        log.failure("request_raised", error)
    (line,) = lines(capsys)
    assert line["error"] == "ValueError"
    assert "test_log:" in str(line["where"])
    assert "secret" not in json.dumps(line)
    assert "/" not in str(line["where"])


def test_libraries_lose_their_tracebacks(capsys: pytest.CaptureFixture[str]) -> None:
    """A library's record becomes a line of ours, with the type of its exception."""
    log.configure("INFO")
    try:
        raise KeyError("input")
    except KeyError:
        logging.getLogger("somewhere").exception("it failed")
    (line,) = lines(capsys)
    assert (line["event"], line["logger"], line["error"]) == ("library", "somewhere", "KeyError")
    assert "Traceback" not in json.dumps(line)
