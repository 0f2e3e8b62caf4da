"""When a failing version rests, and how it comes back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.records import ModelName, VersionNumber
from registry.signature import Signature
from serving.routing.ejection import FAILURES, MOST_SECONDS, RECOVERED, Ejections
from serving.routing.split import Decision, RoutedVersion
from tests.support.serving_fakes import servable


def decision(revision: int = 1) -> Decision:
    """Return what chose version 2."""
    chosen = RoutedVersion(servable("2"), Signature())
    return Decision(ModelName("churn"), VersionNumber("2"), chosen, "canary", revision)


def fail(ejections: Ejections, times: int, now: float, revision: int = 1) -> list[float]:
    """Fail so often, at once; return for how long each put it out."""
    return [ejections.note_failure(decision(revision), now) for _ in range(times)]


def test_five_failures_running_put_it_out() -> None:
    """Four do not, and the fifth does for two seconds."""
    ejections = Ejections()
    assert fail(ejections, FAILURES, 10.0) == [0.0, 0.0, 0.0, 0.0, 2.0]
    assert ejections.is_out(decision(), 11.9)
    assert not ejections.is_out(decision(), 12.0)


def test_an_answer_in_between_begins_the_count_anew() -> None:
    """Only failures running count."""
    ejections = Ejections()
    fail(ejections, FAILURES - 1, 0.0)
    ejections.note_success(decision())
    assert fail(ejections, FAILURES - 1, 0.0) == [0.0] * (FAILURES - 1)


def test_on_trial_one_failure_is_enough_and_the_rest_doubles() -> None:
    """Back from its rest it goes out again at the first failure, for 4, 8 … at most 120 seconds."""
    ejections, now, rests = Ejections(), 0.0, [2.0]
    fail(ejections, FAILURES, now)
    for _ in range(8):
        now += rests[-1]
        rests.append(ejections.note_failure(decision(), now))
    assert rests == [2.0, 4.0, 8.0, 16.0, 32.0, 64.0, MOST_SECONDS, MOST_SECONDS, MOST_SECONDS]


def test_who_has_recovered_is_trusted_again() -> None:
    """Fifty answers running forget what was."""
    ejections = Ejections()
    fail(ejections, FAILURES, 0.0)
    for _ in range(RECOVERED):
        ejections.note_success(decision())
    assert fail(ejections, 1, 3.0) == [0.0]


def test_failures_of_requests_from_before_do_not_prolong_a_rest() -> None:
    """What was asked before it was put out may still fail."""
    ejections = Ejections()
    fail(ejections, FAILURES, 0.0)
    assert fail(ejections, 9, 1.0) == [0.0] * 9
    assert not ejections.is_out(decision(), 2.0)


def test_a_new_revision_begins_anew() -> None:
    """A plan that was replaced gives the version another chance."""
    ejections = Ejections()
    fail(ejections, FAILURES, 0.0)
    assert not ejections.is_out(decision(2), 0.5)
    assert fail(ejections, 1, 0.5, revision=2) == [0.0]


def test_what_no_plan_names_is_forgotten() -> None:
    """Records do not pile up."""
    ejections = Ejections()
    fail(ejections, FAILURES, 0.0)
    ejections.retain(lambda model, version: False)
    assert not ejections.is_out(decision(), 0.5)


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 10)), max_size=200))
def test_a_rest_always_ends(events: list[tuple[bool, float]]) -> None:
    """Whatever happens, the version may be asked again within the longest rest."""
    ejections, now = Ejections(), 0.0
    for failed, later in events:
        now += later
        if failed:
            assert 0 <= ejections.note_failure(decision(), now) <= MOST_SECONDS
        else:
            ejections.note_success(decision())
    assert not ejections.is_out(decision(), now + MOST_SECONDS)


@pytest.mark.parametrize("times", [1, FAILURES - 1])
def test_a_few_failures_change_nothing(times: int) -> None:
    """A version that fails now and then goes on being asked."""
    ejections = Ejections()
    fail(ejections, times, 0.0)
    assert not ejections.is_out(decision(), 0.0)
