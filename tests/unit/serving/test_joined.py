"""Rows joined into columns and sampled: nothing is mixed up, whatever forms requests have."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.baselines import CategoryCounts, Feature, Kind
from registry.columns import Measure
from registry.observed import MOST_SAMPLED, MOST_WORDS
from serving.exchange import (
    Array,
    ArrayOutput,
    Input,
    JsonInput,
    JsonOutput,
    Output,
    Table,
    TableOutput,
    TensorInput,
    TensorsInput,
    TensorsOutput,
)
from serving.telemetry.counted import Counted, Plan, tally_of
from serving.telemetry.features import FeatureWindows
from serving.telemetry.joined import Part, join_answers, join_inputs, kept_answer, kept_input, objects, thinned
from serving.telemetry.sampled import FEWEST_WORDS, Sampled
from tests.support.watched import Shelf, baseline, category, finished, known, number, prediction, travelled

DTYPES = st.sampled_from([np.float64, np.float32, np.int64, np.uint8, np.bool_])


def words(*values: object) -> Array:
    """Return a column of objects."""
    return objects(values)


def sampled(data: Input, answer: Output, rows: int = 1) -> Any:
    """Return the samples of one request, as the registry reads them."""
    windows = FeatureWindows(lambda _model, _version: known(None), Shelf())
    windows.observe(finished(data, answer, rows))
    windows.gather()
    (window,) = travelled(windows.take())
    assert window.baseline is None
    assert not window.counts
    return window.samples


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), DTYPES, st.integers(1, 3), st.booleans()), max_size=12))
def test_every_value_is_in_its_column_once(requests: Sequence[tuple[str, type[np.generic], int, bool]]) -> None:
    """Tables of two widths and many types, in blocks and columns: each column holds its own values, all of them."""
    names = {"a": ("x", "y"), "b": ("x",)}
    parts, expected = [], dict[str, list[float]]()
    for at, (kind, dtype, rows, in_block) in enumerate(requests):
        block = (np.arange(rows * len(names[kind])).reshape(len(names[kind]), rows) + at).astype(dtype)
        parts.append(kept_input(Table(names[kind], tuple(block), True, block if in_block else None)))
        for name, column in zip(names[kind], block, strict=True):
            expected.setdefault(name, []).extend(column.astype(float).tolist())
    found: dict[str, list[float]] = {}
    for columns in join_inputs(parts):
        assert len({len(array) for array in columns.values()}) == 1
        for name, array in columns.items():
            found.setdefault(name, []).extend(array.astype(float).tolist())
    assert {name: sorted(values) for name, values in found.items()} == {n: sorted(v) for n, v in expected.items()}


def test_outputs_are_called_by_their_place() -> None:
    """The first one is the prediction, whatever the model calls it."""
    answers: list[Output] = [
        ArrayOutput(np.array([1.0])),
        TableOutput(Table(("label", "score"), (words("yes"), np.array([0.9])))),
        TensorsOutput({"label": np.array([1]), "probabilities": np.array([[0.1, 0.9]])}),
        JsonOutput([{"label": "no", "score": 0.2}, {"label": "yes", "score": 0.8}]),
        JsonOutput("a text"),
    ]
    found = [set(columns) for answer in answers for columns in join_answers([kept_answer(answer)])]
    assert found == [
        {"prediction"},
        {"prediction", "prediction.score"},
        {"prediction", "prediction.probabilities"},
        {"prediction"},
        {"prediction.score"},
        {"prediction"},
    ]


def test_words_are_counted_by_category() -> None:
    """Texts, booleans and missing values; what is no category of the baseline is new."""
    plan = Plan(baseline(category("city", "Rome", "Oslo"), category("paid", "true", "false")))
    counted = Counted(plan)
    cities = words("Oslo", None, "Lima", "Oslo", float("nan"))
    table = Table(("city", "paid"), (cities, np.array([True, False, True, True, True])))
    counted.add(5, join_inputs([table]), [])
    counts = counted.counts()
    city, paid = counts["city"], counts["paid"]
    assert isinstance(city, CategoryCounts)
    assert isinstance(paid, CategoryCounts)
    assert (city.categories.tolist(), city.new, city.missing) == ([0, 2], 1, 2)
    assert paid.categories.tolist() == [4, 1]


def test_what_python_calls_equal_stays_apart() -> None:
    """1, 1.0 and True are three words."""
    assert tally_of(words(1, 1.0, True, None)) == {"1": 1, "1.0": 1, "true": 1, None: 1}
    assert tally_of(np.array([True, False, True])) == {"true": 2, "false": 1}


def test_a_prediction_of_several_numbers_is_not_one() -> None:
    """Where the baseline has one value a row, an answer of many is left out rather than mistaken for it."""
    counted = Counted(Plan(baseline(prediction(0.5), category("", "yes", side="output", name="prediction"))))
    counted.add(1, [], join_answers([np.array([[0.1, 0.9]])]))
    assert counted.counts() == {}


def test_pictures_are_counted_by_mean_and_deviation() -> None:
    """Each channel of a tensor of pictures, by the features of its baseline."""
    mean = number("image", 0.5, 1.5, measure=Measure.MEAN, channel=1)
    deviation = number("image", 0.5, measure=Measure.DEVIATION, channel=1)
    counted = Counted(Plan(baseline(mean, deviation)))
    pictures = np.zeros((2, 4, 4, 3), np.uint8)
    pictures[1, :, :, 1] = 1
    counted.add(2, join_inputs([{"image": pictures}]), [])
    assert [counts.cells.tolist() for counts in counted.counts().values()] == [[1, 1, 0], [2, 0]]  # type: ignore[union-attr]  # of numbers


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (Table(("age",), (np.array([1.0]),)), {"age"}),
        (Table(("city",), (words("Rome"),)), {"city", "city.length"}),
        (Table(("paid",), (np.array([True]),)), {"paid"}),
        (Table(("blob", "list"), (words(b"abc"), words([1, 2]))), {"blob.length", "list.length"}),
        (TensorInput(np.zeros((1, 3))), {"input[0]", "input[1]", "input[2]"}),
        (TensorInput(np.zeros((1, 5, 5, 1))), {"input[0].mean", "input[0].deviation"}),
        (TensorsInput({"age": np.zeros((1, 1))}), {"age"}),
        (TensorInput(words("a", "b").reshape(1, 2)), {"input[0]", "input[1]"}),
        (JsonInput({"messages": [{"text": "hello"}]}), {"input.length"}),
        (JsonInput("hello"), {"input", "input.length"}),
    ],
)  # fmt: skip
def test_without_a_baseline_every_kind_of_input_is_sampled(data: Input, names: set[str]) -> None:
    """By what is watched of its shape; of words their length too."""
    samples = sampled(data, ArrayOutput(np.array([0.5])))
    assert samples.keys() == names | {"prediction"}
    assert samples["prediction"].values == (0.5,)


def test_probabilities_are_sampled_by_class() -> None:
    """Each column of an answer is a feature; a single one is the prediction itself."""
    data = Table(("age",), (np.array([1.0]),))
    assert {"prediction[0]", "prediction[1]"} < sampled(data, ArrayOutput(np.array([[0.1, 0.9]]))).keys()
    assert "prediction" in sampled(data, ArrayOutput(np.array([[0.1]])))


def test_a_sample_stands_for_all_its_rows() -> None:
    """Weights add up to the finite rows; missing and infinite ones are no values; quantiles are near the true ones."""
    values = np.random.default_rng(0).normal(size=20_000)
    values[:3] = math.nan, math.inf, -math.inf
    sample = sampled(Table(("x",), (values,)), ArrayOutput(values), len(values))["x"]
    assert (sample.rows, sample.missing, sum(sample.weights)) == (20_000, 1, 19_997)
    assert len(sample.values) <= MOST_SAMPLED
    assert (sample.smallest, sample.largest) == (np.min(values[3:]), np.max(values[3:]))
    middle = sample.values[int(np.searchsorted(np.cumsum(sample.weights), 10_000))]
    assert abs(middle - float(np.median(values[3:]))) < 0.05


def test_a_sample_of_words_is_bounded() -> None:
    """So many different ones are kept; the rows of the rest are counted."""
    column = words(*[f"word {number}" for number in range(MOST_WORDS + 50)], "word 0")
    sample = sampled(Table(("id",), (column,)), ArrayOutput(np.zeros(len(column))), len(column))["id"]
    assert (len(sample.words), sample.words["word 0"], sample.more) == (MOST_WORDS, 2, 50)


def test_words_of_many_columns_stay_few_and_can_be_sent() -> None:
    """A thousand columns of words keep fewer of each; names without end and half surrogates are no report's end."""
    column = words(*[f"{number} {chr(0xD800)}" for number in range(100)])
    names = (*[f"x{at}" for at in range(1000)], "y" * 300)
    kept = Sampled()
    kept.add(100, join_inputs([Table(names, (column,) * len(names))]), [])
    samples = kept.samples()
    assert orjson.dumps([sample.to_json() for sample in samples.values()])
    assert "y" * 300 not in samples
    assert {len(sample.words) for sample in samples.values() if sample.words} == {FEWEST_WORDS}
    assert samples["x0"].more == 100 - FEWEST_WORDS
    assert "0 ?" in samples["x0"].words


def test_wide_models_are_sampled_within_a_few_megabytes() -> None:
    """Each sketch is smaller then, and a thousand columns are the most."""
    block = np.random.default_rng(0).normal(size=(1500, 2000))
    names = tuple(f"x{at}" for at in range(1500))
    kept = Sampled()
    kept.add(2000, join_inputs([(names, block)]), join_answers([np.zeros(2000)]))
    samples = kept.samples()
    assert len(samples) == 1001
    assert sum(len(sample.values) for sample in samples.values()) < 200_000
    assert kept.wire_bytes < 5_000_000


def test_thinning_takes_every_so_many_rows_of_any_form() -> None:
    """Parts without rows of their own cannot be thinned."""
    ten = np.arange(10.0)
    forms: tuple[Part, ...] = (ten, (("x",), ten[None]), Table(("x",), (ten,)), {"x": ten})
    for part in forms:
        few = thinned(part, 10, 5)
        assert few is not None
        assert [array.tolist() for columns in join_inputs([few]) for array in columns.values()] == [[0.0, 5.0]]
    assert thinned([*range(10)], 10, 5) == [0, 5]
    assert thinned(ten, 3, 5) is None


def test_a_feature_of_another_channel_than_there_is_has_no_rows() -> None:
    """A baseline of a wider tensor does not stop the rest from being counted."""
    wide: Feature = number("", 0.0, channel=7)
    assert wide.kind is Kind.NUMBER
    counted = Counted(Plan(baseline(wide, number("", 0.0, channel=0))))
    counted.add(1, join_inputs([np.zeros((1, 2))]), [])
    assert counted.counts().keys() == {"input[0]"}
