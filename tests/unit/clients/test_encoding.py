"""Input to JSON and answers back: bit for bit, in kind, and refused with the place where JSON cannot carry it."""

from __future__ import annotations

import datetime as dt
import json
import struct
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from headgate import InvalidRequest
from headgate.encoding import encode, restore
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from hypothesis.extra import pandas as pdst

FINITE = st.floats(allow_nan=False, allow_infinity=False)


def sent(data: Any, params: Any = None) -> Any:
    """Return the body as a server reads it."""
    return json.loads(encode(data, params).body)


def there_and_back(data: Any) -> Any:
    """Return what comes back from a model that answers its own ``inputs``."""
    encoded = encode(data)
    return restore(json.loads(encoded.body)["inputs"], encoded)


@given(npst.arrays(np.float64, npst.array_shapes(max_dims=3), elements=FINITE))
def test_doubles_survive_bit_for_bit(array: np.ndarray[Any, Any]) -> None:
    """Every finite double comes back with the same bits, negative zero too."""
    back = there_and_back(array)
    assert back.dtype == np.float64
    assert back.tobytes() == array.tobytes()


@given(npst.arrays(np.float32, 5, elements=st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_floats_survive_bit_for_bit(array: np.ndarray[Any, Any]) -> None:
    """A float32 is a double; narrowing the answer gives the same bits again."""
    assert there_and_back(array).astype(np.float32).tobytes() == array.tobytes()


@given(st.lists(FINITE, min_size=1))
def test_lists_of_floats_survive_bit_for_bit(values: list[float]) -> None:
    """Plain lists come back as plain lists with the same bits."""
    back = there_and_back(values)
    assert type(back) is list
    assert [struct.pack("d", v) for v in back] == [struct.pack("d", v) for v in values]


@given(npst.arrays(st.sampled_from([np.int8, np.int64, np.uint64, np.bool_]), npst.array_shapes(max_dims=2)))
def test_integers_and_booleans_survive(array: np.ndarray[Any, Any]) -> None:
    """Integers of any width and booleans keep their values."""
    assert np.array_equal(there_and_back(array), array)


COLUMNS = {
    "f": pdst.column("f", dtype=np.float64, elements=st.floats(allow_infinity=False)),
    "g": pdst.column("g", dtype=np.float32, elements=st.floats(width=32, allow_infinity=False)),
    "i": pdst.column("i", dtype=np.int64),
    "u": pdst.column("u", dtype=np.uint8),
    "b": pdst.column("b", dtype=np.bool_),
    "t": pdst.column("t", dtype=np.dtype("datetime64[ns]")),
    "o": pdst.column("o", elements=st.one_of(st.none(), st.text(max_size=5)), dtype=object),
}


@given(pdst.data_frames(list(COLUMNS.values()), index=pdst.range_indexes(max_size=6)))
def test_any_frame_can_be_rebuilt(frame: pd.DataFrame) -> None:
    """A DataFrame of every supported dtype can be rebuilt from what was sent, value for value."""
    split = sent(frame)["dataframe_split"]
    back = pd.DataFrame(split["data"], columns=split["columns"])
    assert list(back.columns) == list(COLUMNS)
    assert len(back) == len(frame)
    for name in "fgiub":
        dtype = frame[name].dtype
        assert np.array_equal(back[name].astype(dtype), frame[name], equal_nan=dtype.kind == "f")
    assert pd.to_datetime(back["t"], format="ISO8601").astype("datetime64[ns]").equals(frame["t"])
    assert [None if pd.isna(v) else v for v in back["o"]] == [None if pd.isna(v) else v for v in frame["o"]]


def test_extension_columns_are_sent_as_their_values() -> None:
    """Nullable, categorical, text and time-zone columns go as values, missing ones as null."""
    frame = pd.DataFrame(
        {
            "n": pd.array([1, None], dtype="Int64"),
            "b": pd.array([True, None], dtype="boolean"),
            "f": pd.array([1.5, None], dtype="Float32"),
            "s": pd.array(["x", None], dtype="string"),
            "c": pd.Categorical(["u", None]),
            "z": pd.to_datetime(["2026-01-02T03:04:05+02:00", None], utc=True),
        }
    )
    rows = sent(frame)["dataframe_split"]["data"]
    assert rows == [[1, True, 1.5, "x", "u", "2026-01-02T01:04:05+00:00"], [None] * 6]


def test_default_labels_are_no_names() -> None:
    """Columns without names are sent without names; a Series is one column."""
    assert sent(pd.DataFrame([[1, 2]])) == {"dataframe_split": {"data": [[1, 2]]}}
    assert sent(pd.Series([1, 2], name="x")) == {"dataframe_split": {"columns": ["x"], "data": [[1], [2]]}}
    assert sent(pd.DataFrame({5: [1]})) == {"dataframe_split": {"columns": ["5"], "data": [[1]]}}


def test_each_kind_has_its_form() -> None:
    """Records, columns, tensors and lists go in the form that the platform has for them."""
    assert sent([{"a": 1}, {"a": 2}]) == {"dataframe_records": [{"a": 1}, {"a": 2}]}
    assert sent({"a": [1, 2]}) == {"inputs": {"a": [1, 2]}}
    assert sent({"a": np.array([[1.5]])}) == {"inputs": {"a": [[1.5]]}}
    assert sent([[1, 2]], {"k": np.int64(3)}) == {"inputs": [[1, 2]], "params": {"k": 3}}
    assert sent((1, (2.5,))) == {"inputs": [1, [2.5]]}


def test_scalars_inside_are_made_plain() -> None:
    """numpy scalars, dates, bytes and missing values are sent as JSON has them."""
    row = {
        "i": np.int32(4), "f": np.float32(0.5), "n": float("nan"), "na": pd.NA, "nat": pd.NaT,
        "d": dt.date(2026, 1, 2), "t": dt.datetime(2026, 1, 2, 3), "p": pd.Timestamp("2026-01-02T03:04:05.000000006"),
        "b": b"\x00\xff", "x": np.datetime64("2026-01-02T03", "h"), "s": np.str_("y"), "l": [np.array([1.0, np.nan])],
    }  # fmt: skip
    assert sent([row])["dataframe_records"] == [
        {
            "i": 4, "f": 0.5, "n": None, "na": None, "nat": None,
            "d": "2026-01-02", "t": "2026-01-02T03:00:00", "p": "2026-01-02T03:04:05.000000006",
            "b": "AP8=", "x": "2026-01-02T03:00", "s": "y", "l": [[1.0, None]],
        }
    ]  # fmt: skip


def test_arrays_of_times_text_and_objects() -> None:
    """Arrays of datetimes, text, bytes and objects are sent value by value; NaN and NaT as null."""
    times = np.array(["2026-01-02T03:04:05.123", "NaT"], dtype="datetime64[ms]")
    assert sent(times) == {"inputs": ["2026-01-02T03:04:05.123", None]}
    assert sent(np.array(["a", "b"])) == {"inputs": ["a", "b"]}
    assert sent(np.array([b"a"])) == {"inputs": ["YQ=="]}
    assert sent(np.array([[1, None], ["x", b"a"]], dtype=object)) == {"inputs": [[1, None], ["x", "YQ=="]]}
    assert sent(np.array([np.nan, 1.0])) == {"inputs": [None, 1.0]}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (np.array([1.0, np.inf]), "inputs holds an infinity"),
        ([[1.0, float("-inf")]], "inputs holds an infinity"),
        (pd.DataFrame({"age": [1.0, np.inf]}), "column 'age' holds an infinity"),
        (pd.DataFrame({"age": [Decimal(1)]}), "column 'age' holds a Decimal"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "'a' more than once"),
        (pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("a", "b")])), "several levels"),
        (pd.DataFrame({"d": pd.to_timedelta([1], unit="s")}), "column 'd' has the dtype timedelta64"),
        (np.array([1j]), "dtype complex128"),
        ([{1: 2}], "records has the key '1', an int"),
        (object(), "inputs holds an object"),
        ({"a": {1, 2}}, "inputs.'a' holds a set"),
    ],
)
def test_what_json_cannot_carry_is_refused(data: Any, words: str) -> None:
    """A value that cannot travel is refused with its place and type."""
    with pytest.raises(InvalidRequest, match=words):
        encode(data)


def test_array_answers() -> None:
    """An array in gets an array out: missing numbers as NaN, tensors as arrays, columns side by side."""
    asked = encode(np.array([[1.0]]))
    back = restore([1.5, None], asked)
    assert back.dtype == np.float64
    assert np.isnan(back[1])
    assert restore([[1, 2], [3, 4]], asked).shape == (2, 2)
    assert restore(["a", "b"], asked).tolist() == ["a", "b"]
    assert restore(["a", 1], asked).tolist() == ["a", 1]
    assert restore([[1], [1, 2]], asked).dtype == object
    assert restore([{"0": 1.5}, {"0": 2.5}], asked).tolist() == [1.5, 2.5]
    assert restore([{"a": 1, "b": 2}], asked).tolist() == [[1, 2]]
    assert restore({"y": [1, 2]}, asked)["y"].tolist() == [1, 2]
    assert restore("text", asked) == "text"


def test_frame_answers() -> None:
    """A DataFrame in gets a DataFrame (with its index) where the model answered one, else an array."""
    asked = encode(pd.DataFrame({"x": [1, 2]}, index=["p", "q"]))
    frame = restore([{"y": 1}, {"y": 2}], asked)
    assert isinstance(frame, pd.DataFrame)
    assert (list(frame.index), list(frame["y"])) == (["p", "q"], [1, 2])
    assert restore([1, 2], asked).tolist() == [1, 2]


def test_plain_answers() -> None:
    """Lists and records in get what JSON said."""
    assert restore([{"y": None}], encode([{"x": 1}])) == [{"y": None}]
    assert restore([[1]], encode([[1]])) == [[1]]
