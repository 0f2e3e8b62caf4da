"""Training data as a file to send: what people have becomes a table, in slices, under names that fit."""

from __future__ import annotations

import csv
import sys
import tempfile
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from headgate import Client, InvalidRequest
from headgate.tables import ARROW_FILE, ARROW_STREAM, CSV, PARQUET, SLICE_ROWS, TableFile, Training, as_file, predicted

from tests.support.fake_platform import FakePlatform

FRAME = pd.DataFrame(
    {
        "price": [1.5, np.nan, 3.0],
        "count": pd.array([1, None, 2], dtype="Int64"),
        "payment": ["card", None, "cheque"],
        "tier": pd.Categorical(["b", "a", "b"]),
        "loyal": [True, False, True],
        "since": pd.to_datetime(["2026-01-01", "2026-01-02", None]),
    }
)


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep files for sending in the test's own directory."""
    place = tmp_path / "scratch"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


def read(file: TableFile) -> pa.Table:
    """Return what was written."""
    assert file.media_type == ARROW_STREAM
    with pa.OSFile(str(file.path)) as source:
        return pa.ipc.open_stream(source).read_all()


def test_a_frame_keeps_its_columns_and_what_is_missing() -> None:
    """Numbers, words, categories, booleans and moments arrive as they are; missing ones as missing."""
    table = read(as_file(Training(FRAME)))
    assert table.column_names == list(FRAME.columns)
    columns = table.to_pydict()
    assert columns["price"] == [1.5, None, 3.0]
    assert columns["count"] == [1, None, 2]
    assert columns["payment"] == ["card", None, "cheque"]
    assert columns["tier"] == ["b", "a", "b"]
    assert columns["loyal"] == [True, False, True]
    assert columns["since"][2] is None
    assert not any(pa.types.is_dictionary(field.type) for field in table.schema)


def test_predictions_are_a_column_that_no_other_is() -> None:
    """They stand in ``prediction``, or, where the inputs have that name, in one that is told."""
    plain = as_file(Training(FRAME, pd.Series([0, 1, 1], index=[7, 8, 9])))
    assert plain.prediction == "prediction"
    assert read(plain).column("prediction").to_pylist() == [0, 1, 1]
    taken = as_file(Training(FRAME.rename(columns={"price": "prediction"}), [0, 1, 1]))
    assert taken.prediction == "_prediction"
    assert read(taken).column("_prediction").to_pylist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("predictions", "names"),
    [
        (np.zeros((3, 1)), ["prediction"]),
        (np.zeros((3, 2)), ["prediction[0]", "prediction[1]"]),
        (pd.DataFrame({"yes": [1, 2, 3]}), ["prediction"]),
        (pd.DataFrame({"yes": [1, 2, 3], "no": [1, 2, 3]}), ["prediction.yes", "prediction.no"]),
    ],
)
def test_several_outputs_are_several_columns(predictions: Any, names: list[str]) -> None:
    """Probabilities and named outputs get the names by which the registry finds them."""
    assert read(as_file(Training(FRAME[["price"]], predictions))).column_names == ["price", *names]


def test_an_array_gets_the_names_of_the_signature(client: Client, fake: FakePlatform) -> None:
    """Columns without names are the model's inputs in their order; where those have none either, they are numbered."""
    inputs = [{"name": "price", "type": "double"}, {"name": "months", "type": "double"}]
    fake.situation.new_version("churn", "ready", signature={"inputs": inputs})
    fake.situation.new_version("churn", "ready", signature={"inputs": [{"type": "tensor", "tensor-spec": {}}]})
    array = np.arange(6.0).reshape(3, 2)
    sent = []
    for version in ("1", "2"):
        client.set_baseline("churn", version, array, y=array[:, 0])
        kind, body, query = fake.situation.tables.pop()
        assert (kind, query) == (ARROW_STREAM, {"prediction": "prediction"})
        sent.append(pa.ipc.open_stream(body).read_all().column_names)
    assert sent == [["price", "months", "prediction"], ["0", "1", "prediction"]]


def test_nothing_is_left_behind(client: Client, fake: FakePlatform, scratch: Path) -> None:
    """The file that is made for sending goes, whether or not the table was taken; a given file stays."""
    fake.situation.add("churn")
    client.set_baseline("churn", 1, FRAME)
    fake.situation.misfit = "months"
    with pytest.raises(InvalidRequest):
        client.set_baseline("churn", 1, FRAME)
    with pytest.raises(InvalidRequest, match="as Arrow"):
        client.set_baseline("churn", 1, pd.DataFrame({"mixed": [1, "a"]}))
    assert not list(scratch.iterdir())
    given = scratch / "train.csv"
    given.write_text("a\n1\n")
    fake.situation.misfit = ""
    client.set_baseline("churn", 1, str(given))
    assert given.exists()


def test_a_large_table_is_written_in_slices() -> None:
    """Beside the table itself, a few megabytes are enough, whatever its size; every row arrives."""
    rows = 40 * SLICE_ROWS + 7
    array, predictions = np.ones((rows, 2)), np.zeros(rows)
    usual, counted = pa.default_memory_pool(), pa.proxy_memory_pool(pa.default_memory_pool())
    pa.set_memory_pool(counted)
    tracemalloc.start()
    try:
        file = as_file(Training(array, predictions))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        pa.set_memory_pool(usual)
    assert counted.max_memory() > 0
    assert peak + counted.max_memory() < 8e6 < array.nbytes
    assert read(file).num_rows == rows


@pytest.mark.parametrize("table", [pa.table({"a": [1, 2]}), pa.RecordBatch.from_pydict({"a": [1, 2]})])
def test_arrow_is_taken_as_it_is(table: Any) -> None:
    """A table of pyarrow's needs no pandas."""
    assert read(as_file(Training(table, [0, 1]))).to_pydict() == {"a": [1, 2], "prediction": [0, 1]}


def test_without_pyarrow_a_table_is_csv(monkeypatch: pytest.MonkeyPatch) -> None:
    """Doubles survive bit for bit, and what is missing is empty."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    file = as_file(Training(FRAME, [0.1, 1 / 3, 1e-300]))
    assert file.media_type == CSV
    rows = list(csv.DictReader(file.path.read_text().splitlines()))
    assert [row["price"] for row in rows] == ["1.5", "", "3.0"]
    assert [row["count"] for row in rows] == ["1", "", "2"]
    assert [float(row["prediction"]) for row in rows] == [0.1, 1 / 3, 1e-300]
    assert rows[2]["since"] == rows[1]["payment"] == ""


def test_a_files_beginning_says_what_it_is(tmp_path: Path) -> None:
    """Parquet and Arrow files are known by their first bytes, whatever they are called."""
    table = pa.table({"a": [1]})
    pq.write_table(table, tmp_path / "one.data")
    with pa.OSFile(str(tmp_path / "two.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    with pa.OSFile(str(tmp_path / "three.arrow"), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    kinds = [as_file(Training(tmp_path / name)).media_type for name in ("one.data", "two.arrow", "three.arrow")]
    assert kinds == [PARQUET, ARROW_FILE, ARROW_STREAM]


@pytest.mark.parametrize(
    ("training", "told"),
    [
        (Training("nowhere.csv"), "'nowhere.csv' cannot be read: No such file"),
        (Training(__file__), "what is in 'test_training_tables.py'"),
        (Training(__file__, [1]), "predictions beside a file"),
        (Training({"a": [1]}), "a dict is no table"),
        (Training(np.zeros((2, 2, 2))), "an array of 3 axes is no table"),
        (Training(FRAME, [1]), "1 predictions for 3 rows"),
        (Training(FRAME, "abc"), "one value a row"),
        (Training(pd.DataFrame([[1, 2]], columns=["a", "a"])), "'a' more than once"),
        (Training(pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("a", "b")]))), "several levels"),
    ],
)
def test_what_is_no_table_is_told(training: Training, told: str) -> None:
    """A mistake is named before anything is sent, with what would be right."""
    with pytest.raises(InvalidRequest, match=told):
        as_file(training)


def test_an_estimator_predicts_its_training_data() -> None:
    """Without predictions, a fitted estimator makes them; a table with columns beside the inputs stays as it is."""

    class Doubler:
        def fit(self) -> None:
            """Make it an estimator."""

        def predict(self, inputs: Any) -> Any:
            return np.asarray(inputs)[:, 0] * 2

    array = np.arange(3.0).reshape(3, 1)
    made = predicted(Training(array, inputs_only=True), Doubler())
    assert made.predictions.tolist() == [0, 2, 4]
    assert predicted(Training(array), Doubler()).predictions is None
    assert predicted(Training(array, inputs_only=True), "runs:/1/model").predictions is None
