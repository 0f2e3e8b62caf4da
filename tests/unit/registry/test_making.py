"""Baselines made of tables: the same from each format, and right by numpy's word."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from registry.adapters.tables.child import answer
from registry.baselines import Baseline, CategoryCounts, Kind, NumberCounts, Origin
from registry.columns import Measure, numbers, words
from registry.counting import count_numbers, count_words
from registry.monitoring.gathering import Tally, Values, tally
from registry.monitoring.grids import Watched
from registry.monitoring.ports import TableForm, TableOrder
from tests.support.tables import TablesHere, signature, table_bytes, tensor

ROWS = 5000


def made(tmp_path: Path, table: bytes, raw: dict[str, Any] | None, form: TableForm = TableForm.PARQUET) -> Baseline:
    """Return the baseline of a table."""
    path = tmp_path / "table"
    path.write_bytes(table)
    with path.open("rb") as file:
        return TablesHere().make(file, TableOrder(form, raw, Origin.GIVEN)).baseline


@pytest.fixture(scope="module")
def columns() -> dict[str, Any]:
    """A table with a column of every kind that formats share."""
    random = np.random.default_rng(3)
    age = random.normal(40, 12, ROWS)
    age[random.random(ROWS) < 0.1] = np.nan
    city = [None if at % 17 == 0 else f"city{at % 70:02}" for at in range(ROWS)]
    return {
        "age": pa.array([None if np.isnan(value) else value for value in age.tolist()]),
        "visits": pa.array(random.poisson(1.5, ROWS)),
        "city": pa.array(city),
        "member": pa.array((random.random(ROWS) < 0.3).tolist()),
        "since": pa.array((random.integers(0, 10**9, ROWS) * 10**9).astype("datetime64[ns]")),
        "said": pa.array([f"remark {at} {'x' * (at % 9)}" for at in range(ROWS)]),
        "prediction": pa.array(random.random(ROWS)),
    }


TYPES = signature(
    ("age", "double"),
    ("visits", "long"),
    ("city", "string"),
    ("member", "boolean"),
    ("since", "datetime"),
    ("said", "string"),
)


@pytest.mark.parametrize("form", TableForm)
def test_counts_are_those_of_the_rows(tmp_path: Path, columns: dict[str, Any], form: TableForm) -> None:
    """From each format: every feature's counts are those of the same rows as a node would count them."""
    baseline = made(tmp_path, table_bytes(columns, form), TYPES, form)
    assert (baseline.rows, baseline.origin) == (ROWS, Origin.GIVEN)
    names = ["age", "visits", "city", "member", "since", "said.length", "prediction"]
    assert [feature.name for feature in baseline.features] == names
    for feature, counts in zip(baseline.features, baseline.counts, strict=True):
        rows = columns[feature.name.removesuffix(".length")].to_numpy(zero_copy_only=False)
        if isinstance(counts, NumberCounts):
            wanted = count_numbers(feature, numbers(rows, feature.measure))
            assert counts.cells.tolist() == wanted.cells.tolist()
            assert counts.sums == pytest.approx(wanted.sums, rel=1e-9, abs=1e-6)
            assert (counts.missing, counts.below, counts.above) == (wanted.missing, 0, 0)
        else:
            assert isinstance(counts, CategoryCounts)
            assert counts.to_json() == count_words(feature, words(rows)).to_json()
            assert counts.new == 0


def test_the_same_table_gives_the_same_document(tmp_path: Path, columns: dict[str, Any]) -> None:
    """A table of moderate length is no matter of chance, nor of its format."""
    formats = [TableForm.PARQUET, TableForm.ARROW, TableForm.ARROW]
    documents = {made(tmp_path, table_bytes(columns, form), TYPES, form).to_bytes() for form in formats}
    assert len(documents) == 1


def test_without_a_signature_columns_are_what_they_look_like(tmp_path: Path, columns: dict[str, Any]) -> None:
    """Numbers are numbers and truths categories, in CSV too; moments are text there, which only a type could tell."""
    for form in TableForm:
        kinds = {f.name: f.kind for f in made(tmp_path, table_bytes(columns, form), None, form).features}
        assert kinds["age"] == kinds["visits"] == kinds["prediction"] == kinds["said.length"] == Kind.NUMBER
        assert kinds["city"] == kinds["member"] == Kind.CATEGORY
        assert ("since.length" in kinds) is (form is TableForm.CSV)


def test_long_values_are_measured_as_nodes_measure_them(tmp_path: Path) -> None:
    """Bytes, lists, records and maps are watched by their length."""
    table = {
        "raw": pa.array([b"abc", None, b""]),
        "list": pa.array([[1, 2], [], None]),
        "record": pa.array([{"a": "xyz", "b": [1, 2]}, None, {"a": "", "b": []}]),
        "map": pa.array([[("k", "vw")], [], None], pa.map_(pa.string(), pa.string())),
    }
    baseline = made(tmp_path, table_bytes(table, TableForm.ARROW), None, TableForm.ARROW)
    for feature, counts in zip(baseline.features, baseline.counts, strict=True):
        source = table[feature.name.removesuffix(".length")]
        rows = np.empty(3, object)
        rows[:] = [dict(one) if feature.source == "map" and one is not None else one for one in source.to_pylist()]
        assert counts.to_json() == count_numbers(feature, numbers(rows, feature.measure)).to_json()
        assert feature.name.endswith(".length")


def test_floats_are_rounded_as_live_ones_are(tmp_path: Path) -> None:
    """A column of 32-bit floats is counted as such, so that a class at 0.1 stays in its cell."""
    table = table_bytes({"x": [0.1] * 50 + [0.7] * 50})
    baseline = made(tmp_path, table, signature(("x", "float")))
    live = np.full(10, 0.1, np.float32).astype(np.float64)
    (counts,) = baseline.counts
    assert isinstance(counts, NumberCounts)
    assert count_numbers(baseline.features[0], live).cells.argmax() == counts.cells.tolist().index(50)


def test_a_matrix_has_a_feature_a_column(tmp_path: Path) -> None:
    """A tensor signature takes columns by their order; a wide one has mean and deviation of its rows."""
    random = np.random.default_rng(1).normal(size=(100, 3))
    table = {f"c{at}": random[:, at] for at in range(3)}
    raw = {"inputs": [tensor([-1, 3])], "outputs": None, "params": None}
    baseline = made(tmp_path, table_bytes(table), raw)
    assert [f.name for f in baseline.features] == ["input[0]", "input[1]", "input[2]"]
    assert [(f.source, f.channel) for f in baseline.features] == [("", 0), ("", 1), ("", 2)]
    wide = np.random.default_rng(1).normal(size=(5, 1001))
    raw = {"inputs": [tensor([-1, 1001])], "outputs": None, "params": None}
    baseline = made(tmp_path, table_bytes({f"c{at}": wide[:, at] for at in range(1001)}), raw)
    ends = [(feature.edges[0], feature.edges[-1]) for feature in baseline.features]
    mean, deviation = wide.mean(axis=1), wide.std(axis=1)
    assert ends == [
        pytest.approx((mean.min(), mean.max())),
        pytest.approx((deviation.min(), deviation.max())),
    ]


def test_odd_numbers_are_counted(tmp_path: Path) -> None:
    """Infinities are in the end cells and no edges; a column without any value has no grid."""
    table = {"x": [1.0, np.inf, -np.inf, 2.0, np.nan], "none": pa.nulls(5), "all_nan": [np.nan] * 5}
    baseline = made(tmp_path, table_bytes(table), None)
    x, none, nan = baseline.counts
    assert isinstance(x, NumberCounts)
    assert baseline.features[0].edges[0] == 1.0 and baseline.features[0].edges[-1] == 2.0
    assert (x.below, x.above, x.missing, x.rows) == (1, 1, 1, 5)
    assert [f.edges for f in baseline.features[1:]] == [(), ()]
    assert [c.missing for c in (none, nan)] == [5, 5]


def test_wide_tables_are_read_in_turns(tmp_path: Path) -> None:
    """Of five thousand columns the first thousand of the signature are watched, and the others named."""
    table = {f"c{at}": [float(at), at + 1.0] for at in range(5000)}
    raw = signature(*((name, "double") for name in table))
    path = tmp_path / "table"
    path.write_bytes(table_bytes(table))
    with path.open("rb") as file:
        found = TablesHere().make(file, TableOrder(TableForm.PARQUET, raw, Origin.GIVEN))
    assert [f.name for f in found.baseline.features] == [f"c{at}" for at in range(1000)]
    assert all(c.rows == 2 for c in found.baseline.counts)
    assert len(found.ignored) == 1000 and found.ignored[0] == "c1000"


def test_sketches_are_as_good_as_promised() -> None:
    """With more values than are kept, no cell holds much more than its share, and the ends are exact."""
    values = np.random.default_rng(2).exponential(size=200_000)
    seen = Values(1000)
    for block in np.array_split(values, 50):
        seen.see(block)
    feature = seen.feature(Watched("x", "input", "x", Measure.VALUE))
    counts = count_numbers(feature, values)
    assert (feature.edges[0], feature.edges[-1]) == (values.min(), values.max())
    assert counts.below == counts.above == 0
    assert counts.cells.max() / len(values) < 2 / 126


def test_frequent_words_survive_rare_ones() -> None:
    """Misra and Gries: with ten times more different words than are kept, frequent ones are kept, none overcounted."""
    random = np.random.default_rng(4)
    seen = Tally(100)
    real: dict[str, int] = {}
    for _ in range(50):
        block = [f"often{at}" for at in range(5) for _ in range(40)] + [
            f"rare{n}" for n in random.integers(0, 10**6, 300)
        ]
        counted = tally(block)
        seen.see(counted)
        for word, rows in counted.items():
            real[word] = real.get(word, 0) + rows
    assert all(real[word] - 25_000 / 50 <= count <= real[word] for word, count in seen.words.items())
    assert {f"often{at}" for at in range(5)} <= set(seen.words)
    assert sum(seen.words.values()) + seen.more == 25_000


def test_values_are_all_kept_while_they_are_few() -> None:
    """Up to the limit the grid is that of all values; a block that goes beyond it turns them into a sketch."""
    few = Values(10)
    few.see(np.array([3.0, 1.0, np.nan, np.inf]))
    assert few.feature(Watched("x", "input", "x", Measure.VALUE)).edges[0] == 1.0


DAMAGED: Mapping[str, tuple[TableForm, bytes, str]] = {
    "nothing of a Parquet file": (TableForm.PARQUET, b"PAR1" + b"\0" * 100, "unreadable"),
    "half a Parquet file": (TableForm.PARQUET, table_bytes({"age": [1.0] * 100})[:-40], "unreadable"),
    "JSON": (TableForm.PARQUET, b'{"age": [1]}', "unreadable"),
    "nothing of Arrow": (TableForm.ARROW, b"\xff" * 64, "unreadable"),
    "half a stream": (TableForm.ARROW, table_bytes({"age": [1.0] * 100}, TableForm.ARROW)[:300], "unreadable"),
    "no rows": (TableForm.PARQUET, table_bytes({"age": pa.array([], pa.float64())}), "no_rows"),
    "no rows of CSV": (TableForm.CSV, b"age\n", "no_rows"),
    "words for numbers": (TableForm.PARQUET, table_bytes({"age": ["a"]}), "wrong_type"),
    "words for numbers in CSV": (TableForm.CSV, b"age\n1\nsecret\n", "wrong_type"),
    "Latin-1": (TableForm.CSV, "age,café\n1,2\n".encode("latin-1"), "malformed_csv"),
    "Latin-1 further down": (TableForm.CSV, b"age\n" + b"1\n" * 10 + "é\n".encode("latin-1"), "malformed_csv"),
    "UTF-16": (TableForm.CSV, "age\n1\n".encode("utf-16"), "malformed_csv"),
    "ragged": (TableForm.CSV, b"age,b\n1,2\n1\n", "malformed_csv"),
    "a line without end": (TableForm.CSV, b"age,b\n1," + b"x" * 9_000_000 + b"\n", "malformed_csv"),
    "a quote never closed": (TableForm.CSV, b'age,b\n1,"' + b"x\n" * 4_000_000, "malformed_csv"),
    "empty lines": (TableForm.CSV, b"\n\n\n", "malformed_csv"),
    "the wrong column": (TableForm.CSV, b"AGE\n1\n", "wrong_columns"),
    "a column twice": (TableForm.CSV, b"age,age\n1,2\n", "wrong_columns"),
}


@pytest.mark.parametrize("case", DAMAGED.values(), ids=DAMAGED.keys())
def test_what_is_no_table_is_refused(tmp_path: Path, case: tuple[TableForm, bytes, str]) -> None:
    """Damaged and wrong tables are the sender's error, in words that quote no value."""
    form, body, reason = case
    path = tmp_path / "table"
    path.write_bytes(body)
    order = {"form": form.value, "signature": signature(("age", "double")), "prediction": None, "origin": "given"}
    refused = answer(str(path), order)["refused"]
    assert (refused["code"], refused["details"]["reason"]) == ("invalid_input", reason)
    assert "secret" not in json.dumps(refused) and str(tmp_path) not in json.dumps(refused)


def test_text_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """Parquet may call any bytes a string; the refusal names the column."""
    lying = pa.StringArray.from_buffers(1, pa.py_buffer(np.array([0, 2], np.int32)), pa.py_buffer(b"\xff\xfe"))
    out = io.BytesIO()
    pq.write_table(pa.table({"age": [1.0], "city": lying}), out)
    path = tmp_path / "table"
    path.write_bytes(out.getvalue())
    raw = signature(("age", "double"), ("city", "string"))
    order = {"form": "parquet", "signature": raw, "prediction": None, "origin": "given"}
    assert answer(str(path), order)["refused"]["details"] == {"reason": "not_utf8", "column": "city"}


def test_csv_is_read_as_pandas_would(tmp_path: Path) -> None:
    """Spaces and plus signs around numbers, quoted line breaks, a byte order mark and many words for missing pass."""
    text = '\ufeffage,city\n +1.5,"a\nb"\n2 ,NA\nNaN,x\n,""\n'
    baseline = made(tmp_path, text.encode(), signature(("age", "double"), ("city", "string")), TableForm.CSV)
    age, city = baseline.counts
    assert (age.rows, age.missing, city.missing) == (4, 2, 2)
    assert baseline.features[1].categories == ("a\nb", "x")


def test_no_two_features_have_one_name(tmp_path: Path) -> None:
    """A column goes before what is measured of another column."""
    table = table_bytes({"a": [f"{at} is a text" for at in range(500)], "a.length": np.arange(500.0)})
    baseline = made(tmp_path, table, signature(("a", "string"), ("a.length", "double")))
    (feature,) = baseline.features
    assert (feature.name, feature.source, feature.measure) == ("a.length", "a.length", Measure.VALUE)
