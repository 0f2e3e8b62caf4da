"""What is watched of columns and tensors."""

from __future__ import annotations

import numpy as np
import pytest

from registry.columns import Measure, channels_of, feature_name, is_long, is_wordy, numbers, words


def test_a_matrix_is_watched_column_by_column() -> None:
    """Each column of a 2-D array is a feature of its own, named by its place."""
    watched = channels_of((5, 2))
    assert [feature_name("input", *one) for one in watched] == ["input[0]", "input[1]"]
    array = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert [numbers(array, *one).tolist() for one in watched] == [[1.0, 3.0], [2.0, 4.0]]


def test_a_picture_is_watched_by_the_statistics_of_its_channels() -> None:
    """Of a tensor with few channels each row gives a mean and a deviation a channel."""
    pictures = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    watched = channels_of(pictures.shape)
    assert [feature_name("image", *one) for one in watched][:2] == ["image[0].mean", "image[0].deviation"]
    assert len(watched) == 6
    expected = pictures[..., 1].reshape(2, -1).astype(float)
    assert np.allclose(numbers(pictures, Measure.MEAN, 1), expected.mean(axis=1))
    assert np.allclose(numbers(pictures, Measure.DEVIATION, 1), expected.std(axis=1))


def test_missing_values_are_nan_and_none() -> None:
    """None, NaN and NaT are missing, as numbers and as words."""
    assert np.isnan(numbers(np.array([None, 1, True, "x"], dtype=object), Measure.VALUE)).tolist() == [
        True,
        False,
        False,
        True,
    ]
    assert np.isnan(numbers(np.array(["NaT", "2026-01-01"], dtype="datetime64[ns]"), Measure.VALUE)).tolist() == [
        True,
        False,
    ]
    assert words(np.array([None, float("nan"), "a", True, 3], dtype=object)) == [None, None, "a", "true", "3"]


def test_lengths() -> None:
    """Texts count characters, bytes bytes, lists elements, and JSON the characters of its texts."""
    array = np.empty(5, dtype=object)
    array[:] = ["four", b"123", [1, 2], {"role": "user", "content": ["hello", 7]}, None]
    assert numbers(array, Measure.LENGTH)[:4].tolist() == [4.0, 3.0, 2.0, 10.0]
    assert np.isnan(numbers(array, Measure.LENGTH)[4])


@pytest.mark.parametrize(
    ("values", "wordy", "long"),
    [([None, "a"], True, False), ([None, b"a"], False, True), ([[1]], False, True), ([1, None], False, False)],
)
def test_the_first_value_that_is_there_tells_the_kind(values: list[object], wordy: bool, long: bool) -> None:
    """A column of objects is what its first present value is."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    assert (is_wordy(array), is_long(array)) == (wordy, long)
