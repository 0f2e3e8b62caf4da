"""Answers: always valid JSON with MLflow's numbers, or a table for who asks for one."""

from __future__ import annotations

import contextlib
import datetime
import io
import json
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from registry.errors import HeadgateError, InvalidRequest, ModelFault
from serving.exchange import ArrayOutput, JsonOutput, Output, Table, TableOutput, TensorsOutput
from serving.protocols.answer import Format, choose_format, encode_answer
from serving.protocols.limits import Limits
from serving.protocols.request import Encoded

JSON: Format = "application/json"
ARROW: Format = "application/vnd.apache.arrow.stream"
CSV: Format = "text/csv"


def encode(output: Output, fmt: Format = JSON, limits: Limits = Limits()) -> Encoded:  # noqa: B008  # frozen value
    """Write an answer."""
    return encode_answer(output, fmt, model="churn", version="3", request_id="r-1", limits=limits)


def predictions(output: Output) -> Any:
    """Write an answer as JSON and read its predictions, as strict JSON."""
    return json.loads(encode(output).body, parse_constant=pytest.fail)["predictions"]


def objects(*values: Any) -> Any:
    """Return a 1-D object array."""
    return np.fromiter(values, dtype=object, count=len(values))


def test_the_answer_names_the_model_the_version_and_the_request() -> None:
    """A JSON answer has the four keys of the contract."""
    answer = encode(ArrayOutput(np.array([1.5])))
    assert answer.content_type == "application/json"
    assert json.loads(answer.body) == {"predictions": [1.5], "model_name": "churn", "model_version": "3",
     "request_id": "r-1"}  # fmt: skip


@pytest.mark.parametrize(
    ("array", "expected"),
    [(np.array([[1.5, np.nan], [np.inf, -np.inf]]), [[1.5, None], [None, None]]), (np.array([0.1], np.float32),
     [0.10000000149011612]), (np.array([0.1], np.float16), [0.0999755859375]),
     (np.array([2**63], np.uint64), [2**63]), (np.array([True]), [True]), (np.array(5), 5), (np.array(["a"]), ["a"]),
     (np.array([b"\xff"]), ["/w=="]), (np.zeros((2, 0)), [[], []]),
     (np.zeros((2, 0, 3)), [[], []]), (np.arange(6).reshape(2, 3).T, [[0, 3], [1, 4], [2, 5]]),
     (np.array([1, 2], ">i4"), [1, 2]), (np.array(["2024-01-01", "NaT", "2024-01-01T00:00:00.5"], "M8[ns]"),
     ["2024-01-01T00:00:00", None, "2024-01-01T00:00:00.500000"]),
     (objects("a", None, np.float32(0.1), np.int64(3), b"x", [np.float32(0.1)], datetime.date(2024, 1, 1)),
     ["a", None, 0.10000000149011612, 3, "eA==", [0.10000000149011612], "2024-01-01"])],
)  # fmt: skip
def test_arrays_become_nested_lists(array: Any, expected: Any) -> None:
    """Every dtype is written as MLflow writes it, but validly: no NaN, no line breaks in base64."""
    assert predictions(ArrayOutput(array)) == expected


def test_tables_become_records_and_named_arrays_an_object() -> None:
    """A DataFrame becomes a list of records, a dict of arrays an object of lists."""
    table = Table(("a", "b"), (np.array([1.5, np.nan], np.float32), objects("x", None)))
    assert predictions(TableOutput(table)) == [{"a": 1.5, "b": "x"}, {"a": None, "b": None}]
    assert predictions(TensorsOutput({"p": np.array([[0.1]], np.float32),
     "q": np.array([1])})) == {"p": [[0.10000000149011612]], "q": [1]}  # fmt: skip


@pytest.mark.parametrize(
    ("value", "expected"),
    [({"a": [1, float("nan")]}, {"a": [1, None]}), ({1: "x", None: 0, False: "z"}, {"1": "x", "null": 0, "false": "z"}),
     ([np.float32(0.1), np.arange(2)], [0.10000000149011612, [0, 1]]),
     (None, None), ("x", "x"), ((1, 2), [1, 2])],
)  # fmt: skip
def test_json_values_are_written_as_they_are(value: Any, expected: Any) -> None:
    """What JSON can say is said, with numbers as keys made text."""
    assert predictions(JsonOutput(value)) == expected


def deep(levels: int) -> Any:
    """Return a list nested so deep."""
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def circle() -> list[Any]:
    """Return a list that holds itself."""
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    "output",
    [JsonOutput({1, 2}), JsonOutput(object()), JsonOutput(deep(64)), JsonOutput(deep(5000)), JsonOutput(circle()),
     JsonOutput("\ud800"), JsonOutput(2**64), JsonOutput({1: 1, "1": 2}),
     JsonOutput({(1, 2): 1}), ArrayOutput(np.array([1j])), ArrayOutput(objects(object())),
      ArrayOutput(np.array([np.timedelta64(1, "s")])),
     TableOutput(Table(("a", "a"), (np.array([1]), np.array([2]))))],
)  # fmt: skip
def test_what_json_cannot_say_is_the_models_fault(output: Output) -> None:
    """Output that cannot be written is refused as invalid, whatever it is."""
    with pytest.raises(ModelFault) as caught:
        encode(output)
    assert caught.value.code == "model_output_invalid"


@pytest.mark.parametrize("fmt", [JSON, ARROW, CSV])
def test_answers_that_are_too_long_are_refused(fmt: Format) -> None:
    """Both before writing, by count, and after, by length."""
    for output in (ArrayOutput(np.zeros(10_000)), ArrayOutput(np.full(40, 0.123456789))):
        with pytest.raises(ModelFault) as caught:
            encode(output, fmt, Limits(response_bytes=128))
        assert caught.value.code == "model_output_invalid"


@pytest.mark.parametrize(
    ("accept", "fmt"),
    [(None, JSON), ("", JSON), ("*/*", JSON), ("application/json", JSON), ("application/*", JSON), ("text/csv", CSV),
     ("text/*", CSV), (ARROW, ARROW), ("text/html, */*;q=0.1", JSON),
     ("application/json;q=0.5, text/csv", CSV), ("application/json;q=0, */*", ARROW),
     ("TEXT/CSV ; q=0.9 , application/json;q=x", CSV), ("text/csv;q=nan", CSV)],
)  # fmt: skip
def test_accept_chooses_the_format(accept: str | None, fmt: Format) -> None:
    """Quality, then our preference, decides; the more specific range wins."""
    assert choose_format(accept) == fmt


@pytest.mark.parametrize("accept", ["text/html", "application/json;q=0", "nonsense", ",", "text/csv;q=0, text/*;q=0"])
def test_nothing_acceptable_is_said(accept: str) -> None:
    """Where no format is acceptable, the answer is an error that lists what there is."""
    with pytest.raises(InvalidRequest) as caught:
        choose_format(accept)
    assert caught.value.code == "not_acceptable"


MIXED = Table(
    ("f", "i", "b", "s", "t", "n", "y"),
    (np.array([1.5, np.nan]), np.array([1, 2], np.int8), np.array([True, False]), objects("é", None),
    np.array(["2024-01-01", "NaT"], "M8[ns]"), objects(1, None), objects(b"x", b"y")),
)  # fmt: skip


def test_arrow_answers_keep_types() -> None:
    """An Arrow answer has the table's columns with their types; NaN stays NaN."""
    answer = encode(TableOutput(MIXED), ARROW)
    back = pa.ipc.open_stream(answer.body).read_all()
    back.validate(full=True)
    assert back.column_names == list(MIXED.names)
    assert [str(kind) for kind in back.schema.types] == ["double", "int8", "bool", "large_string", "timestamp[ns]",
     "int64", "large_binary"]  # fmt: skip
    assert back.column("s").to_pylist() == ["é", None]
    assert back.column("n").to_pylist() == [1, None]
    assert back.column("f").null_count == 0
    assert back.column("t").null_count == 1


def test_csv_answers_are_what_pandas_reads() -> None:
    """A CSV answer is read back equal; missing values are empty fields."""
    frame = pd.read_csv(io.BytesIO(encode(TableOutput(MIXED), CSV).body))
    assert list(frame.columns) == list(MIXED.names)
    assert frame["f"][0] == 1.5
    assert frame.loc[1, ["f", "s", "t", "n"]].isna().all()
    assert (frame["b"].tolist(), frame["y"].tolist()) == ([True, False], ["eA==", "eQ=="])


@pytest.mark.parametrize(
    ("array", "names"), [(np.zeros(3), ["predictions"]), (np.zeros((3, 2), np.float32), ["0", "1"])]
)
@pytest.mark.parametrize("fmt", [ARROW, CSV])
def test_arrays_become_columns(array: Any, names: list[str], fmt: Format) -> None:
    """One dimension is one column, two are several."""
    body = encode(ArrayOutput(array), fmt).body
    back = pa.ipc.open_stream(body).read_all().column_names if fmt == ARROW else list(pd.read_csv(io.BytesIO(body)))
    assert back == names


@pytest.mark.parametrize(
    "output", [ArrayOutput(np.array(1)), ArrayOutput(np.zeros((2, 2, 2))), JsonOutput({"a": 1}),
     TensorsOutput({"a": np.zeros(2), "b": np.zeros(3)}), ArrayOutput(objects([1], [2])), ArrayOutput(objects(1, "a"))]
)  # fmt: skip
@pytest.mark.parametrize("fmt", [ARROW, CSV])
def test_what_is_no_table_is_not_acceptable_as_one(output: Output, fmt: Format) -> None:
    """Other output is only to be had as JSON."""
    with pytest.raises(InvalidRequest) as caught:
        encode(output, fmt)
    assert caught.value.code == "not_acceptable"


arrays = hnp.arrays(
    st.sampled_from(["f8", "f4", "f2", "i8", "i4", "i1", "u8", "u2", "?", "U3", "M8[ns]"]),
     hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
)  # fmt: skip


@given(arrays, st.sampled_from([JSON, ARROW, CSV]))
def test_any_array_is_written_or_refused(array: Any, fmt: Format) -> None:
    """No array brings another exception than ours, and numbers come back exactly."""
    try:
        answer = encode(ArrayOutput(array), fmt)
    except HeadgateError:
        return
    if fmt == JSON and array.dtype.kind in "fiub":
        back = np.array(json.loads(answer.body)["predictions"], dtype=np.float64).reshape(array.shape)
        expected = array.astype(np.float64)
        assert np.array_equal(back[np.isfinite(expected)], expected[np.isfinite(expected)])


outputs = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.dates() | arrays,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.one_of(st.text(), st.integers(), st.none()),
     inner, max_size=3),
)  # fmt: skip


@given(outputs)
def test_any_value_is_valid_json_or_the_models_fault(value: Any) -> None:
    """Whatever a model answers, the body is strict JSON or the fault is the model's."""
    with contextlib.suppress(ModelFault):
        predictions(JsonOutput(value))


@pytest.mark.parametrize("fmt", ["text/csv", "application/vnd.apache.arrow.stream"])
def test_a_table_of_a_great_many_columns_is_refused(fmt: Format) -> None:
    """Each column of a table costs a thousand bytes: one row of millions would take all memory."""
    with pytest.raises(InvalidRequest) as caught:
        encode(ArrayOutput(np.zeros((1, 70_000))), fmt)
    assert caught.value.code == "not_acceptable"
    columns = tuple(np.zeros(1) for _ in range(70_000))
    with pytest.raises(ModelFault) as fault:
        encode(TableOutput(Table(tuple(map(str, range(70_000))), columns)), fmt)
    assert fault.value.code == "model_output_invalid"
