"""A file of a table, opened to be read in batches: Parquet, Arrow (stream or file) or CSV.

Memory is bounded whatever the file's length: Parquet is read by pages and a few columns at a time, Arrow is mapped, CSV
comes in blocks. Whoever calls runs in a process that may die of it (``child.py``). Not here: what is made of the rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from registry.adapters.tables.arrow import ArrowBatch, held
from registry.adapters.tables.csv_text import CsvTable, misfit
from registry.errors import InvalidRequest
from registry.monitoring.making import Held
from registry.monitoring.ports import TableForm
from registry.monitoring.wanted import Part

MOST_COLUMNS = 20_000
BATCH_ROWS = 65_536
BATCH_BYTES = 32 << 20
LEAST_ROWS = 64
PARQUET_COLUMNS = 128
"""Each column that is read at once holds a page or two, of a megabyte."""
_PIECE = 1 << 16


class ArrowTable:
    """The ``Rows`` of a file whose columns have types."""

    columns_at_once = PARQUET_COLUMNS

    def __init__(self, schema: Any) -> None:
        if len(schema.names) > MOST_COLUMNS:
            raise InvalidRequest(
                "invalid_input",
                f"the table has {len(schema.names):,} columns; at most {MOST_COLUMNS:,} are read",
                {"reason": "too_many_columns"},
            )
        self.names: tuple[str, ...] = tuple(schema.names)
        self._types = list(schema.types)

    def held(self, part: Part) -> Held:
        """See ``making.Rows.held``."""
        found = [held(self._types[column], part.family) for column in part.columns]
        for column, one in zip(part.columns, found, strict=True):
            if one is None:
                raise misfit(self.names[column], part.family)
        first = found[0]
        assert first is not None  # the loop has seen to it
        return first

    def batches(self, columns: Iterable[int]) -> Iterator[ArrowBatch]:
        """See ``making.Rows.batches``."""
        wanted = list(columns)
        for batch in self._read(wanted):
            if batch.num_rows:
                # By name: files keep their own order, and names were seen to be different.
                found = {at: batch.column(self.names[at]) for at in wanted}
                yield ArrowBatch(batch.num_rows, found, self.names)

    def _read(self, columns: list[int]) -> Iterator[Any]:
        raise NotImplementedError


class ParquetTable(ArrowTable):
    """A Parquet file."""

    def __init__(self, path: str) -> None:
        self._file = pq.ParquetFile(pa.OSFile(path), pre_buffer=False, buffer_size=_PIECE)
        super().__init__(self._file.schema_arrow)

    def _read(self, columns: list[int]) -> Iterator[Any]:
        names = [self.names[at] for at in columns]
        yield from self._file.iter_batches(self._batch_rows(), columns=names, use_threads=False)

    def _batch_rows(self) -> int:
        """Return how many rows are about ``BATCH_BYTES``, by what the file says of itself."""
        about = self._file.metadata
        groups = [about.row_group(at).total_byte_size for at in range(min(about.num_row_groups, 16))]
        rows: int = sum(about.row_group(at).num_rows for at in range(len(groups)))
        width: int = max(1, sum(groups) // max(1, rows))
        return max(LEAST_ROWS, min(BATCH_ROWS, BATCH_BYTES // width))


class IpcTable(ArrowTable):
    """An Arrow file or stream."""

    columns_at_once = 1 << 20

    def __init__(self, path: str) -> None:
        self._path = path
        with Path(path).open("rb") as file:
            self._is_file = file.read(6) == b"ARROW1"
        with self._opened(None) as reader:
            super().__init__(reader.schema)

    @contextmanager
    def _opened(self, columns: list[int] | None) -> Iterator[Any]:
        # Mapped: a batch may be as long as the table, and its columns are then read from the file as they are needed.
        options = pa.ipc.IpcReadOptions(use_threads=False, included_fields=columns)
        kind = pa.ipc.open_file if self._is_file else pa.ipc.open_stream
        with pa.memory_map(self._path) as source, kind(source, options=options) as reader:
            yield reader

    def _read(self, columns: list[int]) -> Iterator[Any]:
        with self._opened(columns) as reader:
            whole = (reader.get_batch(at) for at in range(reader.num_record_batches)) if self._is_file else reader
            for batch in whole:
                batch.validate(full=True)  # offsets come from a stranger and are used as they are
                width = max(1, batch.nbytes // max(1, batch.num_rows))
                step = max(LEAST_ROWS, min(BATCH_ROWS, BATCH_BYTES // width))
                for start in range(0, batch.num_rows, step):
                    yield batch.slice(start, step)


def open_table(path: str, form: TableForm) -> ArrowTable | CsvTable:
    """Open a file; raise InvalidRequest ``invalid_input``, or what the library raises at damaged ones."""
    if form is TableForm.PARQUET:
        return ParquetTable(path)
    if form is TableForm.ARROW:
        return IpcTable(path)
    return CsvTable(path)
