"""What a model may answer, and how each answer is laid out."""

from __future__ import annotations

import datetime
import decimal
import enum
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from serving.runtimes.host.child.values import OutputInvalid, lay_array, lay_output, plain, take_array
from serving.runtimes.host.child.wire import Buffer


class Colour(enum.StrEnum):
    """A word that is also a member."""

    RED = "red"


class Tensor:
    """Another library's array."""

    shape = (2,)

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray[Any, Any]:
        """Return it as numpy's."""
        return np.array([1.0, 2.0])


def column(series: Any) -> list[Any]:
    """Return a column of a DataFrame after its journey."""
    buffers: list[Buffer] = []
    spec = lay_output(pd.DataFrame({"c": series}), buffers)
    return list(take_array(spec["arrays"][0], [memoryview(bytearray(b)) for b in buffers]).tolist())


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float64(1.5), 1.5),
        (np.int8(3), 3),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (np.longdouble(0.5), 0.5),
        (Colour.RED, "red"),
        (decimal.Decimal("1.5"), 1.5),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        (datetime.datetime(2026, 1, 2, 3, 4, 5), "2026-01-02T03:04:05"),
        (np.datetime64("2026-01-02T03:04:05"), "2026-01-02T03:04:05"),
        (np.datetime64("NaT"), None),
        (pd.NaT, None),
        (pd.NA, None),
        (b"\x00\xff", "AP8=\n"),
        ((1, [2, {"a": np.array([3])}]), [1, [2, {"a": [3]}]]),
        ({7: "a", True: "b", None: "c"}, {"7": "a", "true": "b", "null": "c"}),
        (pd.Series([1, 2]), [1, 2]),
        (pd.DataFrame({"a": [1]}), [{"a": 1}]),
        (np.array([["2026-01-02"]], dtype="M8[D]"), [["2026-01-02T00:00:00"]]),
    ],
)
def test_values_become_what_json_can_say(value: object, expected: object) -> None:
    """Scalars of libraries, dates, bytes and nested frames have a plain form."""
    assert plain(value, tagged=False) == expected


def test_what_json_cannot_say_is_refused() -> None:
    """Objects, complex numbers, sets and endless nesting are the model's mistake."""
    endless: list[Any] = []
    endless.append(endless)
    for value in (object(), np.complex128(1), {1, 2}, endless, iter([1]), np.timedelta64(1, "s")):
        with pytest.raises(OutputInvalid):
            plain(value, tagged=False)


@pytest.mark.parametrize(
    ("series", "expected"),
    [
        (pd.Series([1, None], dtype="Int64"), [1, None]),
        (pd.Series([1, 2], dtype="Int64"), [1, 2]),
        (pd.Series([True, None], dtype="boolean"), [True, None]),
        (pd.Series(["a", None], dtype="string"), ["a", None]),
        (pd.Series(["a", "b"], dtype="category"), ["a", "b"]),
        (pd.Series(["a", None]), ["a", None]),
        (pd.to_datetime(pd.Series(["2026-01-02"])).dt.tz_localize("UTC"), ["2026-01-02T00:00:00+00:00"]),
        (pd.Series([1.5, 2.5], dtype="float32"), [1.5, 2.5]),
    ],
)
def test_pandas_own_types_become_ordinary_columns(series: Any, expected: list[Any]) -> None:
    """Nullable, text, categorical and zoned columns arrive as numbers, text and None."""
    assert column(series) == expected


@pytest.mark.parametrize("dtype", ["complex64", "m8[s]", "V4"])
def test_exotic_arrays_are_refused(dtype: str) -> None:
    """Arrays that no protocol can say are the model's mistake."""
    with pytest.raises(OutputInvalid):
        lay_array(np.zeros(2, dtype=dtype), [])


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (np.zeros((1,) * 33), "33 dimensions"),
        (np.zeros((0, 1_000_001)), "without values"),
        (pd.DataFrame(np.zeros((1, 65_537))), "65537 columns"),
        ({str(i): np.zeros(1) for i in range(65_537)}, "65537 arrays"),
        ({"x" * (1 << 20): np.zeros(1), "y": np.zeros(1)}, "names"),
    ],
)
def test_what_the_node_would_not_take_is_refused_before_it_is_sent(output: object, words: str) -> None:
    """It is the model's mistake, and must not cost it its process."""
    with pytest.raises(OutputInvalid, match=words):
        lay_output(output, [])


def test_big_endian_masked_and_old_dates_are_made_ordinary() -> None:
    """Byte order, masks and dates beyond nanoseconds do not change what is said."""
    buffers: list[Buffer] = []
    big = lay_array(np.array([1, 2], dtype=">i4"), buffers)
    masked = lay_array(np.ma.array([1, 2], mask=[True, False]), buffers)
    old = lay_array(np.array(["0001-01-01"], dtype="M8[s]"), buffers)
    views = [memoryview(bytearray(b)) for b in buffers]
    assert take_array(big, views).tolist() == [1, 2]
    assert take_array(masked, views).tolist() == [None, 2]
    assert take_array(old, views).tolist() == ["0001-01-01T00:00:00"]


def test_sparse_matrices_and_foreign_tensors_are_arrays() -> None:
    """A sparse matrix is written out if it is not too large; another library's tensor is taken as numpy's."""
    assert lay_output(scipy.sparse.csr_matrix(np.eye(2)), [])["array"]["shape"] == (2, 2)
    assert lay_output(Tensor(), [])["array"]["shape"] == (2,)
    with pytest.raises(OutputInvalid, match="too large"):
        lay_output(scipy.sparse.csr_matrix((1 << 20, 1 << 20)), [])


def test_a_series_is_a_table_of_one_column() -> None:
    """A Series keeps its name, and is called 0 without one."""
    assert lay_output(pd.Series([1], name="y"), [])["names"] == ["y"]
    assert lay_output(pd.Series([1]), [])["names"] == ["0"]
