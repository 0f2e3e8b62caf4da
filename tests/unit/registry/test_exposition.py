"""Families of many series: what is written is what Prometheus reads."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from registry.edge.exposition import OTHER, Family, Metric, head_of, histogram_template

METRIC = Metric("headgate_thing_ratio", "gauge", ("model", "version", "feature"), 'A "thing" with a \\ in it.')
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)
NUMBERS = st.floats(allow_nan=False)


def read(family: Family) -> dict[tuple[str, ...], float]:
    """Return what Prometheus' own parser makes of the text."""
    (found,) = text_string_to_metric_families(family.text())
    return {tuple(s.labels[name] for name in family.metric.labels): s.value for s in found.samples}


@given(st.dictionaries(st.tuples(WORDS, WORDS, WORDS), NUMBERS, max_size=8))
def test_any_labels_and_numbers_come_back_as_they_were(values: dict[tuple[str, ...], float]) -> None:
    """Quotes, backslashes, line ends, infinities: what was set is read."""
    family = Family(METRIC)
    family.replace(values)
    if values:
        assert read(family) == values
    assert len(family) == len(values)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("12"), st.sampled_from("xyz"), NUMBERS), max_size=30))
def test_text_that_is_kept_is_never_an_old_one(steps: list[tuple[str, str, str, float]]) -> None:
    """However sets, drops and texts follow one another, the text shows what stands."""
    family, expected = Family(METRIC), dict[tuple[str, ...], float]()
    for model, version, feature, value in steps:
        if feature == "z":
            family.drop(lambda labels, gone=model: labels[0] == gone)  # type: ignore[misc]
            expected = {labels: v for labels, v in expected.items() if labels[0] != model}
        else:
            family.set((model, version, feature), value)
            expected[model, version, feature] = value
        if expected:
            assert read(family) == expected
        assert len(family) == len(expected)


def test_what_is_no_number_is_spelt_as_prometheus_does() -> None:
    """NaN and infinities have one spelling."""
    family = Family(Metric("headgate_age_seconds", "gauge", ("of",), "How old."))
    for name, value in (("a", math.nan), ("b", math.inf), ("c", -math.inf)):
        family.set((name,), value)
    assert [line.rpartition(" ")[2] for line in family.text().splitlines()[2:]] == ["NaN", "+Inf", "-Inf"]


def test_beyond_the_cap_series_are_left_out_or_joined() -> None:
    """Without a rule the rest is not shown; with one it is ``other``, and it follows what it stands for."""
    left_out, joined = Family(METRIC, most=2), Family(METRIC, most=2, overflow=max)
    for family in (left_out, joined):
        family.replace({("m", "1", str(n)): float(n) for n in range(5)})
    assert set(read(left_out)) == {("m", "1", "0"), ("m", "1", "1")}
    assert read(joined)[OTHER, OTHER, OTHER] == 4
    joined.replace({("m", "1", "0"): 0.5})
    assert read(joined) == {("m", "1", "0"): 0.5}


def test_a_counter_rises_and_beyond_the_cap_in_one_series() -> None:
    """Nothing that was counted is lost."""
    family = Family(Metric("headgate_things_total", "counter", ("model",), "Things."), most=2)
    for name in ("a", "b", "c", "d", "a"):
        family.add((name,))
    assert {labels[0]: family.get(labels) for labels in (("a",), ("b",), (OTHER,))} == {"a": 2, "b": 1, OTHER: 2}


def test_a_histogram_is_written_from_its_template() -> None:
    """Buckets, count and sum stand where the parser expects them."""
    metric = Metric("headgate_load_seconds", "histogram", ("model",), "Time.", (0.5, 1.0))
    text = head_of(metric) + histogram_template(metric, ("100 %",)) % (1, 2, 4, 4, 7.25)
    (family,) = text_string_to_metric_families(text)
    found = {(s.name, s.labels.get("le", "")): s.value for s in family.samples}
    assert found["headgate_load_seconds_bucket", "+Inf"] == found["headgate_load_seconds_count", ""] == 4
    assert found["headgate_load_seconds_sum", ""] == 7.25
    assert {s.labels["model"] for s in family.samples} == {"100 %"}
