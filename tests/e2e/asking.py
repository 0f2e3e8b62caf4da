"""Predict requests as a service sends them: every body the contract knows, made from one table. No SDK is used."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import httpx
import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from tests.support.platform import Platform

JSON, CSV = "application/json", "text/csv"
PARQUET, ARROW = "application/vnd.apache.parquet", "application/vnd.apache.arrow.stream"
# What a version that MLflow has just numbered may answer until it is ready and loaded.
NOT_YET = {"unknown_model", "unknown_version", "not_ready", "loading"}


@dataclass(frozen=True, slots=True)
class Told:
    """What the stranger's script said of one model: what it asked, and what came out there."""

    kind: str
    name: str
    version: str
    at: float
    dtype: str
    answer: Any
    columns: list[str]
    rows: list[list[float]]
    cells: str
    signed: bool = True
    params: dict[str, Any] | None = None
    run_id: str | None = None
    model_id: str | None = None
    seconds: float = field(default=0.0, compare=False)

    @property
    def table(self) -> pd.DataFrame:
        """The rows, as the script had them."""
        return pd.DataFrame(self.rows, columns=self.columns, dtype=self.cells)

    @property
    def path(self) -> str:
        """The versioned URL's path."""
        return f"/models/{self.name}/versions/{self.version}/predict"


def json_bodies(told: Told) -> Iterator[tuple[str, str, bytes]]:
    """Yield (form, content type, body) for each JSON form that the model can read."""
    split = {"columns": told.columns, "data": told.rows}
    records = [dict(zip(told.columns, row, strict=True)) for row in told.rows]
    by_name = told.signed and told.dtype != "dict"  # a signature of columns, not of tensors
    columns = {name: [row[i] for row in told.rows] for i, name in enumerate(told.columns)}
    forms = {
        "dataframe_split": split,
        "dataframe_records": records,
        "instances": records if by_name else told.rows,
        "inputs": columns if by_name else told.rows,
    }
    for form, value in forms.items():
        body = {form: value} | ({"params": told.params} if told.params else {})
        yield form, JSON, json.dumps(body).encode()


def table_bodies(told: Told) -> Iterator[tuple[str, str, bytes]]:
    """Yield (form, content type, body) for each table format."""
    yield "csv", CSV, told.table.to_csv(index=False).encode()
    table = pa.Table.from_pandas(told.table, preserve_index=False)
    sink = BytesIO()
    pa.parquet.write_table(table, sink)
    yield "parquet", PARQUET, sink.getvalue()
    stream = BytesIO()
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    yield "arrow", ARROW, stream.getvalue()


def error_code(answer: httpx.Response) -> str:
    """Return the code of an error answer."""
    return str(answer.json()["error"]["code"])


def first_answer(platform: Platform, path: str, body: dict[str, Any], seconds: float = 60) -> httpx.Response:
    """Ask until the version has come, and return the first answer that is no ``not yet``."""
    deadline = time.monotonic() + seconds
    while True:
        answer = httpx.post(platform.serving_url + path, json=body, timeout=90)
        if answer.status_code == 200 or error_code(answer) not in NOT_YET or time.monotonic() > deadline:
            return answer
        time.sleep(0.05)
