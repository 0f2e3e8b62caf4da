"""Beside MLflow's own scoring server: the same bytes wherever its answer is right, and the differences on purpose."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.support.both_servers import BothServers, both_servers
from tests.support.scoring_bodies import DIFFERENT, KINDER, REFUSED, SAME, STRICTER, cases, raw
from tests.support.scoring_exchanges import Exchange, exchanges
from tests.support.scoring_models import ANSWERS, NOT_JSON, save_scoring_models

pytestmark = pytest.mark.integration
KEYS = {"error_code", "message", "sqlstate", "error_class"}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BothServers]:
    """Give both servers, with every model."""
    root = tmp_path_factory.mktemp("scoring")
    with both_servers(root / "home", save_scoring_models(root / "models")) as both:
        yield both


@pytest.mark.parametrize(("kind", "body"), cases(SAME))
def test_the_answer_is_that_of_mlflow(both: BothServers, kind: str, body: bytes) -> None:
    """What both can read gives the same bytes."""
    ours, theirs = both.ours(kind, body), both.theirs(kind, body)
    assert (ours.status_code, ours.text) == (200, theirs.text)
    assert (theirs.status_code, theirs.headers["content-type"]) == (200, ours.headers["content-type"])


@pytest.mark.parametrize("name", ANSWERS)
def test_each_kind_of_answer_is_written_as_mlflow_writes_it(both: BothServers, name: str) -> None:
    """Arrays, frames, series, dicts, dates, bytes: byte for byte, but for what is no JSON or no date."""
    body = raw({"inputs": [name]})
    ours, theirs = both.ours("answers", body), both.theirs("answers", body)
    assert (ours.status_code, theirs.status_code) == (200, 200), ours.text
    assert (ours.text == theirs.text) != (name in NOT_JSON), (ours.text, theirs.text)
    if name in NOT_JSON:
        assert ours.text == NOT_JSON[name]


@pytest.mark.parametrize(("kind", "body"), cases(REFUSED))
def test_both_refuse_with_the_same_status(both: BothServers, kind: str, body: bytes) -> None:
    """A caller's error is 400 in both, in the same shape, and ours repeats nothing long of it."""
    ours, theirs = both.ours(kind, body), both.theirs(kind, body)
    assert ours.status_code == theirs.status_code == 400, (ours.text, theirs.text)
    assert KEYS == ours.json().keys() <= theirs.json().keys() | KEYS
    assert len(ours.json()["message"]) < 2048


@pytest.mark.parametrize(("kind", "body"), cases(STRICTER))
def test_nothing_is_cast_that_loses_something(both: BothServers, kind: str, body: bytes) -> None:
    """MLflow answers these; we refuse them with 400 and say why."""
    assert both.theirs(kind, body).status_code == 200
    ours = both.ours(kind, body)
    assert (ours.status_code, set(ours.json())) == (400, KEYS)


@pytest.mark.parametrize(("kind", "body"), cases(KINDER))
def test_some_bodies_are_read_that_mlflow_refuses(both: BothServers, kind: str, body: bytes) -> None:
    """Rows without names are taken by position."""
    assert both.theirs(kind, body).status_code == 400
    assert both.ours(kind, body).status_code == 200


@pytest.mark.parametrize(("kind", "body", "expected"), DIFFERENT)
def test_answers_differ_where_those_of_mlflow_are_wrong(
    both: BothServers, kind: str, body: object, expected: str
) -> None:
    """Both answer; ours is valid JSON that says what is missing."""
    theirs = both.theirs(kind, raw(body))
    assert (theirs.status_code, theirs.text == expected) == (200, False)
    assert both.ours(kind, raw(body)).text == expected


@pytest.mark.parametrize("exchange", exchanges(), ids=lambda exchange: exchange.row)
def test_the_golden_exchanges_are_those_of_mlflow(both: BothServers, exchange: Exchange) -> None:
    """What ``tests/wire/mlflow`` says is what MLflow's server does, but where the file says that we differ."""
    theirs = both.theirs("sum", exchange.body, exchange.content_type)
    same = exchange.agrees(theirs.status_code, theirs.headers["content-type"], theirs.content)
    assert same != bool(exchange.differs), (theirs.status_code, theirs.text)
    ours = both.ours("sum", exchange.body, exchange.content_type)
    assert exchange.agrees(ours.status_code, ours.headers["content-type"], ours.content), ours.text


@pytest.mark.parametrize("path", ["/ping", "/health", "/version", "/invocations"])
def test_other_routes_answer_alike(both: BothServers, path: str) -> None:
    """Ping, health and version; and GET where only POST is."""
    ours, theirs = both.get("sum", path)
    assert (ours.status_code, ours.content) == (theirs.status_code, theirs.content)
    assert ours.headers["content-type"] == theirs.headers["content-type"]


def test_a_model_that_raises_is_a_fault_of_the_model(both: BothServers) -> None:
    """MLflow calls it a bad request and shows its trace; here it is 500, with the model's own words."""
    ours, theirs = both.ours("failing", raw({"inputs": [1]})), both.theirs("failing", raw({"inputs": [1]}))
    assert (theirs.status_code, "stack_trace" in theirs.json()) == (400, True)
    assert (ours.status_code, ours.json()["error_class"]) == (500, "PREDICTION_FUNCTION_FAILED")
    assert "these rows cannot be had" in ours.json()["message"]
    assert "Traceback" not in json.dumps(ours.json())
