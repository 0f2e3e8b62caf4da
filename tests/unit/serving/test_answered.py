"""Kept answers: which requests, how many, and where a label finds them."""

from __future__ import annotations

from collections import Counter
from threading import Thread

import numpy as np

from registry.observed import Answered
from serving.exchange import ArrayOutput, Table, TableOutput
from serving.telemetry.answered import MOST_PENDING, MOST_REQUESTS, MOST_VALUES, WHOLE, KeptAnswers, place
from serving.telemetry.finished import Finished
from tests.support.labels import answered


class Story:
    """Kept answers with a clock in the hand, and what was lost."""

    def __init__(self, sample: float = 1.0) -> None:
        self.lost: Counter[str] = Counter()
        self.kept = KeptAnswers(sample, lost=self._lose, clock=lambda: 7.5)

    def _lose(self, reason: str, requests: int) -> None:
        self.lost[reason] += requests

    def observe(self, request_id: str, *, model: str = "churn", values: int = 1, code: str = "") -> None:
        """Let a request finish."""
        output = ArrayOutput(np.arange(values))
        done = Finished(model, "1", "stable", code=code, revision=1, rows=values, output=output)
        done.request_id = request_id
        self.kept.observe(done)


def test_an_answer_is_handed_over_once() -> None:
    """With all that a label needs; errors and what has no id are not."""
    story = Story()
    story.observe("a", values=2)
    story.observe("b", code="model_output_invalid")
    story.observe("")
    assert story.kept.take() == (answered("a", 0, 1, at_ms=7_500),)
    assert story.kept.take() == ()


def test_an_answer_is_found_until_the_next_report_is_taken() -> None:
    """While it waits, while its report is on its way, and no longer; another model's is not."""
    story = Story()
    story.observe("a")
    for _ in range(2):
        assert [one.request_id for one in story.kept.find("churn", ["b", "a"])] == ["a"]
    story.kept.take()
    story.observe("b")
    assert {one.request_id for one in story.kept.find("churn", ["a", "b"])} == {"a", "b"}
    assert story.kept.find("other", ["a", "b"]) == []
    story.kept.take()
    assert [one.request_id for one in story.kept.find("churn", ["a", "b"])] == ["b"]


def test_the_first_of_two_with_one_id_stays() -> None:
    """A client that gives ids twice labels the first."""
    story = Story()
    story.observe("a")
    story.observe("a", values=3)
    assert [len(one.rows) for one in story.kept.take()] == [1]


def test_a_sample_is_chosen_by_the_id() -> None:
    """The same on every node, about the share that was asked for, and nothing of it is lost."""
    names = [f"request-{n}" for n in range(2_000)]
    chosen = []
    for _ in range(2):
        story = Story(0.25)
        for name in names:
            story.observe(name)
        chosen.append({one.request_id for one in story.kept.take()})
    assert chosen[0] == chosen[1] == {name for name in names if place(name) < WHOLE / 4}
    assert 400 < len(chosen[0]) < 600
    assert not story.lost
    assert not Story(0.0).kept.take()


def test_too_many_are_thinned_evenly() -> None:
    """A busy model's share is halved until it fits, those that are lost are counted, and a quiet one keeps all."""
    story = Story()
    for n in range(4 * MOST_REQUESTS):
        story.observe(f"r{n}")
        if n % 100 == 0:
            story.observe(f"q{n}", model="quiet")
        if n % 1000 == 0:
            story.kept.settle()
    taken = story.kept.take()
    busy = [int(one.request_id[1:]) for one in taken if one.model == "churn"]
    assert sum(one.model == "quiet" for one in taken) == MOST_REQUESTS // 25
    assert MOST_REQUESTS // 4 < len(busy) <= MOST_REQUESTS
    assert story.lost == {"predictions": 4 * MOST_REQUESTS - len(busy)}
    assert 0.4 < sum(n < 2 * MOST_REQUESTS for n in busy) / len(busy) < 0.6
    for n in range(100):
        story.observe(f"after-{n}")
    assert 5 < len(story.kept.take()) < 80, "the next report begins with the share of this one"
    story.kept.take()
    story.observe("quiet-again")
    assert len(story.kept.take()) == 1, "reports that are not half full take more again"


def test_rows_take_room_too() -> None:
    """A report holds a bounded number of values."""
    story = Story()
    for n in range(300):
        story.observe(f"r{n}", values=1_000)
    taken = story.kept.take()
    assert 0 < sum(len(one.rows) for one in taken) <= MOST_VALUES
    assert story.lost["predictions"] == 300 - len(taken)


def test_what_waits_is_bounded() -> None:
    """By number and by bytes; whoever settles is told in time."""
    story = Story()
    told: list[int] = []
    story.kept.when_crowded(lambda: told.append(1))
    for n in range(MOST_PENDING + 10):
        story.observe(f"r{n}")
    assert told and story.lost == {"predictions": 10}
    story.kept.settle()
    large = KeptAnswers(1.0, most_bytes=1_000, lost=story._lose)
    for n in range(3):
        large.observe(Finished("m", "1", "stable", rows=60, output=ArrayOutput(np.zeros(60)), request_id=f"r{n}"))
    assert [one.request_id for one in large.take()] == ["r0", "r1"]


def test_an_answer_that_cannot_be_read_costs_no_other() -> None:
    """It is counted as a fault."""
    story = Story()
    story.observe("a")
    ragged = TableOutput(Table(("a", "b"), (np.zeros(1), np.zeros(2))))
    story.kept.observe(Finished("m", "1", "stable", rows=1, output=ragged, request_id="b"))
    story.observe("c")
    assert [one.request_id for one in story.kept.take()] == ["a", "c"]
    assert story.lost == {"fault": 1}


def test_threads_lose_nothing() -> None:
    """What is found and handed over meanwhile is all that was observed."""
    story = Story()
    taken: list[Answered] = []

    def hand_over() -> None:
        for _ in range(50):
            taken.extend(story.kept.take())
            story.kept.find("churn", ["r1", "r2"])

    thread = Thread(target=hand_over)
    thread.start()
    for n in range(3_000):
        story.observe(f"r{n}")
    thread.join()
    taken.extend(story.kept.take())
    assert len({one.request_id for one in taken}) == len(taken) == 3_000 - story.lost["predictions"]
