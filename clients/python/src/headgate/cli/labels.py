"""Labels in a file, read as they are sent: JSON Lines or CSV, line by line, so that a file of any size is no matter.

Not here: sending them (``quality.py``).
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

import typer

from headgate.errors import InvalidRequest
from headgate.names import quoted
from headgate.quality import Label, label_from

_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]*)")
_REAL = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]")
_TRUTHS = {"true": True, "false": False}


class Form(StrEnum):
    """How labels are written down."""

    JSONL = "jsonl"
    CSV = "csv"


@contextmanager
def read_labels(file: str, form: Form | None) -> Iterator[Iterator[Label]]:
    """Give the labels of a file, or of stdin for ``-``; where neither says which form, the first character does.

    Raises typer.BadParameter where it cannot be opened; the labels raise InvalidRequest with the line that is no label.
    """
    if file == "-":
        yield _labels(sys.stdin, form)
        return
    path = Path(file)
    by_suffix = {".csv": Form.CSV, ".jsonl": Form.JSONL, ".ndjson": Form.JSONL}
    try:
        opened = path.open(encoding="utf-8-sig", newline="")
    except OSError as error:
        raise typer.BadParameter(f"{path.name} cannot be read: {error.strerror}", param_hint="FILE") from error
    with opened:
        yield _labels(opened, form or by_suffix.get(path.suffix.lower()))


def value_of(text: str) -> str | int | float | bool:
    """Return what a cell of CSV says: a number, a truth value, else the text; ``007`` is a text."""
    if _WHOLE.fullmatch(text):
        return int(text)
    if _REAL.fullmatch(text) and not _LEADING_ZERO.match(text):
        return float(text)
    return _TRUTHS.get(text.lower(), text)


def _labels(stream: TextIO, form: Form | None) -> Iterator[Label]:
    try:
        first = next((line for line in stream if line.strip()), "")
        lines = chain((first,), stream)
        if form is Form.CSV or (form is None and not first.lstrip().startswith("{")):
            yield from _of_csv(lines)
        else:
            yield from _of_json(lines)
    except UnicodeDecodeError as error:
        raise InvalidRequest("the labels are not UTF-8; write the file as UTF-8") from error


def _of_json(lines: Iterator[str]) -> Iterator[Label]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            item = json.loads(line)
        except ValueError as error:
            raise InvalidRequest(f"line {number} is not JSON: {quoted(line.strip())}") from error
        yield _label(item, number)


def _of_csv(lines: Iterator[str]) -> Iterator[Label]:
    reader = csv.DictReader(lines, strict=True)
    try:
        for row in reader:
            if None in row or None in row.values():
                raise InvalidRequest(f"line {reader.line_num} has not as many cells as the first line")
            given: dict[str, Any] = {str(name).strip(): cell.strip() for name, cell in row.items()}
            if given.get("label") == "":
                raise InvalidRequest(f"line {reader.line_num} has no label; leave out rows whose truth is not known")
            if "label" in given:
                given["label"] = value_of(given["label"])
            yield _label(given, reader.line_num)
    except csv.Error as error:
        raise InvalidRequest(f"line {reader.line_num} is not CSV: {quoted(error)}") from error


def _label(item: Any, number: int) -> Label:
    try:
        label = label_from(item)
        label.to_json()
    except InvalidRequest as error:
        error.reword(f"line {number}: {error.message}")
        raise
    return label
