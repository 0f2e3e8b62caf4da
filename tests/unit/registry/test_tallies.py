"""Windows of features, added up: in any order to the same, and nothing that was taken makes the next addition fail."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.baselines import MOST_COUNT, MOST_FEATURES, CategoryCounts, NumberCounts
from registry.monitoring.closing import LONGEST_MS, PROVISIONAL_ROWS, Closing, within
from registry.monitoring.samples import compacted, merged
from registry.monitoring.tallies import Tally
from registry.observed import MOST_WORDS, FeatureWindow
from registry.records import Digest
from tests.support.rows import FEATURES, NOW, counted, normal, sample, window, word_sample

DIGEST = Digest("sha256:" + "a" * 64)
sizes = st.lists(st.integers(1, 300), min_size=1, max_size=6)


def summed(windows: list[FeatureWindow]) -> Tally:
    """Return all windows as one."""
    tally = Tally()
    for one in windows:
        tally = tally.plus(one)
    return tally


@given(sizes=sizes, order=st.randoms(use_true_random=False))
def test_any_order_gives_the_same(sizes: list[int], order: object) -> None:
    """Counts are the same number for number, and those of all rows at once; sums up to the rounding."""
    windows = [window(DIGEST, rows, seed) for seed, rows in enumerate(sizes)]
    shuffled = list(windows)
    order.shuffle(shuffled)  # type: ignore[attr-defined]  # Hypothesis gives a Random
    one, other = summed(windows), summed(shuffled)
    assert one.rows == other.rows == sum(sizes)
    for name, counts in one.counts.items():
        theirs = other.counts[name]
        if isinstance(counts, NumberCounts) and isinstance(theirs, NumberCounts):
            assert counts.cells.tolist() == theirs.cells.tolist()
            assert (counts.missing, counts.below, counts.above) == (theirs.missing, theirs.below, theirs.above)
            np.testing.assert_allclose(counts.sums, theirs.sums, rtol=1e-9, atol=1e-9)
        else:
            assert counts.to_json() == theirs.to_json()


def test_it_is_read_as_it_was_kept() -> None:
    """Text and back: counts and samples, to the last bit."""
    tally = Tally().plus(window(DIGEST, 500)).plus(window(None, 50))
    again = Tally.from_text(tally.to_text())
    assert again.to_text() == tally.to_text()
    assert {name: one.to_json() for name, one in again.samples.items()} == {
        name: one.to_json() for name, one in tally.samples.items()
    }
    assert again.plus(window(DIGEST, 5)).rows == 555


def test_counts_of_another_shape_are_left_out() -> None:
    """A node that counts by other cells than the rest spoils nothing but its own counts of that feature."""
    tally = Tally().plus(window(DIGEST, 100))
    strange = replace(
        window(DIGEST, 100),
        counts={
            "age": CategoryCounts(np.ones(2, np.int64)),
        },
    )
    after = tally.plus(strange)
    assert after.counts["age"].to_json() == tally.counts["age"].to_json()
    assert after.rows == 200


def test_numbers_that_would_not_fit_are_left_out() -> None:
    """Sums stay finite and counts stay whole numbers that can be held, whatever nodes say."""
    cells = np.array([2**39, 0], np.int64)
    huge = NumberCounts(cells, np.array([sys.float_info.max, 0.0]))
    said = FeatureWindow(window(DIGEST, 1).model, window(DIGEST, 1).version, NOW, 2**39, DIGEST, {"age": huge})
    tally = summed([said] * 3)
    counts = tally.counts["age"]
    assert isinstance(counts, NumberCounts)
    assert counts.sums[0] == sys.float_info.max and counts.cells[0] == 3 * 2**39
    full = replace(tally, rows=MOST_COUNT)
    assert full.plus(said) is full
    brim = Tally(0, {"age": replace(huge, cells=np.array([MOST_COUNT, 0]))})
    assert brim.plus(said).counts["age"].rows == MOST_COUNT
    assert Tally.from_text(tally.to_text()).to_text() == tally.to_text()


def test_there_are_no_more_features_than_there_may_be() -> None:
    """However many names nodes come up with."""
    age = counted(FEATURES, 5)["age"]
    many = FeatureWindow(
        window(DIGEST, 1).model, window(DIGEST, 1).version, NOW, 5, DIGEST, {f"f{n}": age for n in range(1_000)}
    )
    more = replace(many, counts={f"g{n}": age for n in range(1_000)})
    assert len(summed([many, more]).counts) == MOST_FEATURES
    samples = replace(many, baseline=None, counts={}, samples={f"f{n}": sample(normal(2)) for n in range(1_000)})
    others = replace(samples, samples={f"g{n}": sample(normal(2)) for n in range(1_000)})
    assert len(summed([samples, others]).samples) == MOST_FEATURES


def test_samples_stay_small_and_keep_their_ranks() -> None:
    """A hundred samples of two hundred rows: few values, all the weight, and quantiles within a percent."""
    blocks = [normal(200, seed) for seed in range(100)]
    kept = sample(blocks[0])
    for block in blocks[1:]:
        kept = merged(kept, sample(block), 500)
    assert len(kept.values) <= 1_000 and sum(kept.weights) == kept.rows == 20_000
    everything = np.sort(np.concatenate(blocks))
    assert (kept.smallest, kept.largest) == (everything[0], everything[-1])
    upto = np.cumsum(kept.weights) / 20_000
    for share in (0.01, 0.1, 0.5, 0.9, 0.99):
        value = kept.values[int(np.searchsorted(upto, share))]
        assert abs(np.searchsorted(everything, value) / 20_000 - share) < 0.01


def test_repeated_values_stay_themselves() -> None:
    """What most rows have is not mixed with its neighbours."""
    values = np.concatenate([np.zeros(600), normal(400)])
    at, weight = compacted(values, np.ones(1_000), 50)
    assert len(at) <= 50 and weight.sum() == 1_000
    assert weight[at == 0.0] >= 600
    assert compacted((1.0, 1.0, 2.0), (1, 2, 3), 10)[0].tolist() == [1.0, 2.0]


def test_rare_words_are_counted_together() -> None:
    """The most frequent words stay; the rows of the rest are known as more."""
    common = word_sample(["a"] * 50 + ["b"] * 40)
    rare = word_sample([f"w{n}" for n in range(MOST_WORDS)])
    both = merged(common, rare, 100)
    assert len(both.words) == MOST_WORDS and both.words["a"] == 50
    assert sum(both.words.values()) + both.more == both.rows == MOST_WORDS + 90


def test_samples_of_other_things_are_left_out() -> None:
    """The same name for something else adds nothing."""
    tally = Tally().plus(window(None, 10))
    other = replace(window(None, 10), samples={"age": sample(normal(10), "elsewhere")})
    assert tally.plus(other).samples["age"].rows == 10
    with pytest.raises(ValueError, match="two"):
        merged(sample(normal(3)), sample(normal(3), "elsewhere"), 10)


def test_an_empty_sample_has_no_range() -> None:
    """Missing values say nothing of the smallest and largest."""
    nothing, some = sample(normal(0), missing=5), sample(np.array([3.0, 4.0]))
    assert merged(nothing, some, 10).smallest == 3.0
    assert merged(nothing, nothing, 10).largest == 0.0


@pytest.mark.parametrize(
    ("rows", "age_ms", "provisional", "due"),
    [
        (999, 400_000, False, False),
        (1_000, 299_999, False, False),
        (1_000, 300_000, False, True),
        (1, LONGEST_MS - 1, False, False),
        (1, LONGEST_MS, False, True),
        (PROVISIONAL_ROWS - 1, 10 * LONGEST_MS, True, False),
        (PROVISIONAL_ROWS, 0, True, True),
    ],
)
def test_when_a_window_closes(rows: int, age_ms: int, provisional: bool, due: bool) -> None:
    """With enough rows and age, or after a day; samples when there are enough of them."""
    rule = Closing()
    assert rule.is_due(rows, 5_000, 5_000 + age_ms, provisional=provisional) is due


def test_when_a_window_will_close() -> None:
    """It is said as it is now: after its age where the rows are there, else after a day; samples wait for rows."""
    rule = Closing(1_000, 300_000)
    assert rule.closes_ms(1_000, 7, provisional=False) == 300_007
    assert rule.closes_ms(999, 7, provisional=False) == LONGEST_MS + 7
    assert rule.closes_ms(999, 7, provisional=True) is None
    assert (rule.needed_rows(provisional=True), rule.needed_rows(provisional=False)) == (PROVISIONAL_ROWS, 1_000)


def test_a_clock_that_is_wrong_is_not_believed() -> None:
    """A window begins neither in the future nor more than a day ago."""
    assert within(NOW + 5, NOW) == NOW
    assert within(0, NOW) == NOW - LONGEST_MS
