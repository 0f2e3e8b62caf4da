"""``headgate predict``: ask a model, with data from the command line, a file or stdin."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from headgate.cli import show
from headgate.cli.session import Format, Output, open_client, say
from headgate.client import Client
from headgate.encoding import FORMS
from headgate.records import Prediction
from headgate.requests import Target


class Kind(StrEnum):
    """What the data is."""

    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"
    ARROW = "arrow"


_MEDIA_TYPES = {
    Kind.CSV: "text/csv",
    Kind.PARQUET: "application/vnd.apache.parquet",
    Kind.ARROW: "application/vnd.apache.arrow.stream",
}
_BY_SUFFIX = {
    ".json": Kind.JSON,
    ".csv": Kind.CSV,
    ".parquet": Kind.PARQUET,
    ".arrow": Kind.ARROW,
    ".arrows": Kind.ARROW,
}


_BODIES = FORMS | {"messages", "prompt", "input"}
"""What a JSON object holds that is a body already; a chat is one as well."""


@dataclass(frozen=True, slots=True)
class Given:
    """The data as it came, and what it is."""

    content: bytes
    kind: Kind


def predict(  # noqa: PLR0913 - Typer reads options off parameters
    context: typer.Context,
    *,
    name: Annotated[str, typer.Argument(help="The model's name.")],
    version: Annotated[str | None, typer.Option("--version", "-v", help="Ask this version.")] = None,
    alias: Annotated[str | None, typer.Option("--alias", "-a", help="Ask the version that this alias names.")] = None,
    data: Annotated[
        str | None, typer.Option("--data", "-d", help="JSON: records, lists, columns, or a whole body.")
    ] = None,
    file: Annotated[
        str | None, typer.Option("--file", "-f", help="A .json, .csv, .parquet or .arrow file; - for stdin.")
    ] = None,
    kind: Annotated[
        Kind | None, typer.Option("--format", help="What the file is, where its name does not tell.")
    ] = None,
    stream: Annotated[
        bool, typer.Option("--stream", "-s", help="Write each piece as it comes, from a model with predict_stream.")
    ] = False,
    output: Output = Format.TABLE,
) -> None:
    """Ask a model for predictions; without --version or --alias, its plan chooses who answers."""
    given, target = _given(data, file, kind), Target(name, version, alias)
    if stream:
        with open_client(context) as client:
            _write_pieces(_stream(client, target, given), plain=output is not Format.JSON)
        return
    with open_client(context) as client:
        answer = _ask(client, target, given)
    if output is Format.JSON:
        show.print_json(
            {
                "predictions": answer.data,
                "model_name": answer.model,
                "model_version": answer.version,
                "arm": answer.arm,
                "request_id": answer.request_id,
            }
        )
        return
    _print_table(answer)
    named = f", request id {answer.request_id}" if answer.request_id else ""
    say(f"answered by {answer.model} version {answer.version} ({answer.arm or 'unknown arm'}){named}")


def _given(data: str | None, file: str | None, kind: Kind | None) -> Given:
    if (data is None) == (file is None):
        raise typer.BadParameter("give --data or --file, one of them", param_hint="--data / --file")
    if data is not None:
        if data.startswith("@"):  # as curl has it
            raise typer.BadParameter("it is the JSON itself; a file's name goes to --file", param_hint="--data")
        return Given(data.encode("utf-8", "surrogateescape"), Kind.JSON)
    assert file is not None
    if file == "-":
        return Given(sys.stdin.buffer.read(), kind or Kind.JSON)
    path = Path(file)
    kind = kind or _BY_SUFFIX.get(path.suffix.lower())
    if kind is None:
        raise typer.BadParameter(
            f"what is in {path.name}? Name it .json, .csv, .parquet or .arrow, or say --format", param_hint="--file"
        )
    try:
        return Given(path.read_bytes(), kind)
    except OSError as error:
        raise typer.BadParameter(f"{path.name} cannot be read: {error.strerror}", param_hint="--file") from error


def _ask(client: Client, target: Target, given: Given) -> Prediction:
    if given.kind is not Kind.JSON:
        media_type = _MEDIA_TYPES[given.kind]
        return client.predict_body(target.name, given.content, media_type, version=target.version, alias=target.alias)
    document = _document(given)
    # A body with one of the forms is in serving's own words, and goes as it is, mistakes included: it tells them best.
    if isinstance(document, dict) and FORMS & document.keys():
        return client.predict_body(target.name, given.content, version=target.version, alias=target.alias)
    return client.predict_response(target.name, document, version=target.version, alias=target.alias)


def _stream(client: Client, target: Target, given: Given) -> Iterator[Any]:
    if given.kind is not Kind.JSON:
        raise typer.BadParameter("a stream is asked with JSON", param_hint="--stream")
    document = _document(given)
    said = given.content if isinstance(document, dict) and _BODIES & document.keys() else document
    return client.predict_stream(target.name, said, version=target.version, alias=target.alias)


def _document(given: Given) -> Any:
    try:
        return json.loads(given.content)
    except ValueError as error:
        raise typer.BadParameter(f"the data is not JSON: {error}", param_hint="--data / --file") from error


def _write_pieces(pieces: Iterator[Any], *, plain: bool) -> None:
    """Write pieces as they come: text as text, one behind the other, if ``plain``; the rest as a line of JSON each."""
    in_text = False
    try:
        for piece in pieces:
            if plain and isinstance(piece, str):
                typer.echo(piece, nl=False)
                in_text = True
            else:
                typer.echo(("\n" if in_text else "") + json.dumps(piece))
                in_text = False
            sys.stdout.flush()
    finally:
        if in_text:
            typer.echo()


def _print_table(answer: Prediction) -> None:
    columns, rows = _tabulated(answer.data)
    show.print_table(columns, rows, empty="no predictions")


def _tabulated(data: Any) -> tuple[list[str], list[list[object]]]:
    if isinstance(data, list) and data and all(isinstance(row, Mapping) for row in data):
        names = list(dict.fromkeys(str(name) for row in data for name in row))
        return ["row", *names], [[i, *(row.get(name) for name in names)] for i, row in enumerate(data)]
    if isinstance(data, Mapping):
        return ["name", "value"], [[name, value] for name, value in data.items()]
    if not isinstance(data, list):
        return ["prediction"], [[data]]
    if data and all(isinstance(row, list) and len(row) == len(data[0]) for row in data):
        return ["row", *(str(i) for i in range(len(data[0])))], [[i, *row] for i, row in enumerate(data)]
    return ["row", "prediction"], [[i, value] for i, value in enumerate(data)]
