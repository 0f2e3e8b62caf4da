"""A table of training data as one file to send: a file that is there already, or a frame or array written to one.

numpy, pandas and pyarrow are used where the caller has them, never required: with pyarrow a table is written as Arrow,
otherwise as CSV. It is written in slices, so that no second copy of it stands in memory. Sends nothing.
"""

from __future__ import annotations

import csv
import math
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from headgate.encoding import Data
from headgate.errors import InvalidRequest
from headgate.names import a_type, quoted

PARQUET = "application/vnd.apache.parquet"
CSV = "text/csv"
ARROW_STREAM = "application/vnd.apache.arrow.stream"
ARROW_FILE = "application/vnd.apache.arrow.file"
PREDICTION = "prediction"
SLICE_ROWS = 65_536
_MAGIC = ((b"PAR1", PARQUET), (b"ARROW1", ARROW_FILE))
_BY_SUFFIX = {".csv": CSV, ".arrow": ARROW_STREAM, ".arrows": ARROW_STREAM}


@dataclass(frozen=True, slots=True)
class Training:
    """The training data of a version.

    Attributes:
        table: A path to a Parquet, CSV or Arrow file; or a pandas DataFrame, a pyarrow Table or what
            can be one without a copy, or an array (rows first).
        predictions: What the model should predict for each row, beside a table that has no column for it.
        prediction: The column of the table that holds it; by default ``prediction``, if there is one.
        names: Of an array's columns, in their order.
        inputs_only: Whether the table has no column but the model's inputs.
    """

    table: Data
    predictions: Data = None
    prediction: str | None = None
    names: tuple[str, ...] = ()
    inputs_only: bool = False


@dataclass(frozen=True, slots=True)
class TableFile:
    """A table in a file: ``media_type`` says how, ``prediction`` which column is the prediction, where that is said.

    ``scratch`` tells whether the file was made for sending and is to be removed afterwards.
    """

    path: Path
    size: int
    media_type: str
    prediction: str | None = None
    scratch: bool = False


@dataclass(frozen=True, slots=True)
class _Columns:
    """Columns by name, each something that can be sliced."""

    names: tuple[str, ...]
    values: tuple[Any, ...]
    rows: int

    def slices(self) -> Iterator[list[Any]]:
        """Yield the columns of some rows after the other."""
        for begin in range(0, self.rows, SLICE_ROWS):
            yield [column[begin : begin + SLICE_ROWS] for column in self.values]


def is_path(table: Data) -> bool:
    """Tell whether a table is given as a path."""
    return isinstance(table, (str, os.PathLike))


def check(training: Training) -> None:
    """Raise InvalidRequest where this can never be sent as a table."""
    if is_path(training.table):
        _from_path(training)
    else:
        _with_predictions(_columns(training), training)


def predicted(training: Training, model: Data) -> Training:
    """Return a table of inputs with what a fitted estimator predicts on it; as it is for anything else."""
    if not (training.inputs_only and hasattr(model, "fit") and hasattr(model, "predict")):
        return training
    return replace(training, predictions=model.predict(training.table))


def as_file(training: Training) -> TableFile:
    """Return the table as a file; one that is made for it lies in the directory for temporary files.

    Raises:
        InvalidRequest: Where it is no table, or cannot be read; the message says what would be one.
    """
    if is_path(training.table):
        return _from_path(training)
    columns, prediction = _with_predictions(_columns(training), training)
    handle, name = tempfile.mkstemp(prefix="headgate-")
    os.close(handle)
    path = Path(name)
    try:
        media_type = _write(columns, path)
    except BaseException:  # whatever ended it, nothing half written stays behind
        path.unlink(missing_ok=True)
        raise
    return TableFile(path, path.stat().st_size, media_type, prediction, scratch=True)


def _from_path(training: Training) -> TableFile:
    if training.predictions is not None:
        raise InvalidRequest("predictions beside a file: add them to the file as its column 'prediction'")
    path = Path(os.fspath(training.table))
    try:
        with path.open("rb") as file:
            head = file.read(6)
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise InvalidRequest(f"{quoted(path, 200)} cannot be read: {error.strerror}") from error
    media_type = next((kind for magic, kind in _MAGIC if head.startswith(magic)), _BY_SUFFIX.get(path.suffix.lower()))
    if media_type is None:
        raise InvalidRequest(
            f"what is in {quoted(path.name)}? A table is a .parquet, .csv, .arrow or .arrows file", code="no_table"
        )
    return TableFile(path, size, media_type, training.prediction)


def _columns(training: Training) -> _Columns:
    table = training.table
    pandas, pyarrow = sys.modules.get("pandas"), sys.modules.get("pyarrow")
    if pandas is not None and isinstance(table, pandas.DataFrame):
        return _frame_columns(table, training.names)
    if pyarrow is not None and hasattr(table, "__arrow_c_stream__") and hasattr(table, "columns"):
        table = pyarrow.table(table)
        return _Columns(_distinct(tuple(table.column_names)), tuple(table.columns), table.num_rows)
    if hasattr(table, "__array__"):
        return _array_columns(table, training.names)
    raise InvalidRequest(
        f"{a_type(table)} is no table; give a path to a Parquet, CSV or Arrow file, a DataFrame, a pyarrow Table or an "
        "array",
        code="no_table",
    )


def _frame_columns(frame: Data, names: Sequence[str]) -> _Columns:
    if frame.columns.nlevels > 1:
        raise InvalidRequest("the DataFrame has several levels of columns; flatten them to one name each")
    labels = list(frame.columns)
    unnamed = all(type(label) is int and label == i for i, label in enumerate(labels))
    called = tuple(names) if unnamed and len(names) == len(labels) else tuple(str(label) for label in labels)
    return _Columns(_distinct(called), tuple(frame.iloc[:, i] for i in range(len(labels))), len(frame))


def _array_columns(array: Data, names: Sequence[str]) -> _Columns:
    array = array.__array__()
    if array.ndim == 1:
        array = array.reshape(-1, 1)
    if array.ndim != 2:
        raise InvalidRequest(f"an array of {array.ndim} axes is no table; give one of 2: rows and columns")
    count = array.shape[1]
    called = tuple(names) if len(names) == count else tuple(str(i) for i in range(count))
    return _Columns(_distinct(called), tuple(array[:, i] for i in range(count)), len(array))


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise InvalidRequest(f"the table has the column {quoted(twice)} more than once; names must differ")
    return names


def _with_predictions(columns: _Columns, training: Training) -> tuple[_Columns, str | None]:
    """Return the columns with those of the predictions as the last, and under which name they begin.

    One value a row is the column ``prediction``; of several outputs they are ``prediction[0]``, ``prediction.name`` …
    Where the table has a column of such a name already, it is another one.
    """
    if training.predictions is None:
        return columns, training.prediction
    by_ending = _prediction_columns(training.predictions)
    rows = {len(values) for values in by_ending.values()}
    if rows != {columns.rows}:
        counted = ", ".join(f"{count:,}" for count in rows)
        raise InvalidRequest(f"there are {counted} predictions for {columns.rows:,} rows; each row needs its own")
    name = training.prediction or PREDICTION
    while any(f"{name}{ending}" in columns.names for ending in by_ending):
        name = f"_{name}"
    names = tuple(f"{name}{ending}" for ending in by_ending)
    return _Columns((*columns.names, *names), (*columns.values, *by_ending.values()), columns.rows), name


def _prediction_columns(values: Data) -> dict[str, Any]:
    """Return predictions as columns, each by what its name has after ``prediction``."""
    if hasattr(values, "iloc") and getattr(values, "ndim", 1) == 2:
        labels = [str(label) for label in values.columns]
        endings = [""] if len(labels) == 1 else [f".{label}" for label in labels]
        return {ending: values.iloc[:, i] for i, ending in enumerate(endings)}
    if hasattr(values, "__array__") and not hasattr(values, "iloc"):
        values = values.__array__()
    axes = getattr(values, "ndim", 1)
    if axes == 2 and values.shape[1] > 1:
        return {f"[{i}]": values[:, i] for i in range(values.shape[1])}
    if axes > 2 or not hasattr(values, "__len__") or isinstance(values, (str, bytes, dict)):
        raise InvalidRequest("predictions must be one value a row, or one for each output of the model")
    return {"": values[:, 0] if axes == 2 else values}


def _write(columns: _Columns, path: Path) -> str:
    try:
        import pyarrow
    except ImportError:
        _write_csv(columns, path)
        return CSV
    try:
        _write_arrow(columns, path, pyarrow)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError, pyarrow.ArrowNotImplementedError) as error:
        raise InvalidRequest(f"the table cannot be written as Arrow: {quoted(error, 200)}", code="no_table") from error
    return ARROW_STREAM


def _write_arrow(columns: _Columns, path: Path, pyarrow: Any) -> None:
    def arrow(values: Any, kind: Any = None) -> Any:
        if isinstance(values, pyarrow.ChunkedArray):
            return values if kind is None else values.cast(kind)
        if hasattr(values, "cat"):  # each value for itself: what a code means is not the same in all slices
            values = values.astype(object)
        return pyarrow.array(values, type=kind, from_pandas=True)

    # Types are those of whole columns: a slice of nothing but missing values has none of its own.
    kinds = [_plain(_kind(arrow, values)) for values in columns.values]
    schema = pyarrow.schema(list(zip(columns.names, kinds, strict=True)))
    with pyarrow.OSFile(str(path), "wb") as sink, pyarrow.ipc.new_stream(sink, schema) as writer:
        for part in columns.slices():
            arrays = [arrow(values, kind) for values, kind in zip(part, kinds, strict=True)]
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))


def _kind(arrow: Any, values: Any) -> Any:
    """Return a column's Arrow type: off one value where all have the same, off all of them where they are objects."""
    objects = getattr(getattr(values, "dtype", None), "kind", "O") == "O"
    return arrow(values if objects else values[:1]).type


def _plain(kind: Any) -> Any:
    """Return the type of a column's values, where it is one of codes that stand for them."""
    return getattr(kind, "value_type", kind) if hasattr(kind, "index_type") else kind


def _write_csv(columns: _Columns, path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns.names)
        for part in columns.slices():
            writer.writerows(zip(*(_cells(values) for values in part), strict=True))


def _cells(values: Any) -> list[Any]:
    """Return values as CSV says them; a missing one is empty."""
    listed = values.tolist() if hasattr(values, "tolist") else list(values)
    return ["" if _missing(value) else value for value in listed]


def _missing(value: Any) -> bool:
    # pandas.NA answers no comparison with a truth.
    return (
        value is None
        or type(value).__name__ in ("NAType", "NaTType")
        or (isinstance(value, float) and math.isnan(value))
    )
