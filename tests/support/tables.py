"""Tables as strangers send them, and a reader of tables that needs no process of its own."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from registry.adapters.tables.child import answer
from registry.adapters.tables.process import order_json, understood
from registry.monitoring.ports import MadeOfTable, TableForm, TableOrder

TYPES = {
    TableForm.PARQUET: "application/vnd.apache.parquet",
    TableForm.CSV: "text/csv",
    TableForm.ARROW: "application/vnd.apache.arrow.stream",
}


class TablesHere:
    """The ``Tables`` port in this process: what the other end would do, without its bounds.

    Attributes:
        orders: What was asked for.
        broken: Whether every order meets a fault of ours.
    """

    def __init__(self) -> None:
        self.orders: list[TableOrder] = []
        self.broken = False

    def make(self, file: BinaryIO, order: TableOrder) -> MadeOfTable:
        """See ``Tables.make``."""
        self.orders.append(order)
        if self.broken:
            raise RuntimeError("a bug")
        told = answer(f"/dev/fd/{file.fileno()}", json.loads(order_json(order, 60)))
        return understood(json.dumps(told).encode())


def table_bytes(columns: Mapping[str, Sequence[Any]] | Any, form: TableForm = TableForm.PARQUET) -> bytes:
    """Return a table, or columns, in a format."""
    table = columns if isinstance(columns, pa.Table) else pa.table(dict(columns))
    out = io.BytesIO()
    if form is TableForm.PARQUET:
        pq.write_table(table, out)
    elif form is TableForm.CSV:
        pyarrow.csv.write_csv(table, out)
    else:
        with pa.ipc.new_stream(out, table.schema) as writer:
            writer.write_table(table)
    return out.getvalue()


def signature(*columns: tuple[str, str], outputs: Sequence[Mapping[str, Any]] | None = None) -> dict[str, Any]:
    """Return a signature of these columns (name and type; ``name?`` may be left out) as JSON."""
    inputs = [{"type": kind, "name": name.rstrip("?"), "required": not name.endswith("?")} for name, kind in columns]
    return {"inputs": inputs, "outputs": None if outputs is None else list(outputs), "params": None}


def tensor(shape: Sequence[int], dtype: str = "float64", name: str | None = None) -> dict[str, Any]:
    """Return a tensor of a signature as JSON."""
    said: dict[str, Any] = {"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": list(shape)}}
    return said if name is None else {**said, "name": name}
