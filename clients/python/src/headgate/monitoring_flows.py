"""Verbs of monitoring, as flows: a version's baseline, its drift and quality, and labels sent back. No I/O.

Where no version is named, the stable one is meant.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any

from headgate import answers, requests, tables
from headgate.drift import Baseline, DriftReport
from headgate.errors import PASSING, HeadgateError, InvalidRequest, NotFound
from headgate.flows import ask, version
from headgate.names import a_type, model_name
from headgate.quality import FeedbackResult, Label, QualityReport, label_from
from headgate.records import Prediction
from headgate.tables import TableFile, Training
from headgate.traffic_flows import traffic
from headgate.wire import Flow, Pause, Work

LABELS_AT_ONCE = 10_000
"""Labels in one request, at most."""
SEND_ROUNDS = 3
BASELINE_SECONDS = 600.0
"""How long the platform may take to read a table."""

# Labels, dicts or a DataFrame of them; or the request id or the prediction that one label is of.
Labels = Any


class Unsaid:
    """The type of an argument that was left out, where None would mean something."""


UNSAID = Unsaid()


def set_baseline(name: str, number: str | int, training: Training, seconds: float) -> Flow[Baseline]:
    """Give a version the table that it was trained on; return what the platform makes of it."""
    if not tables.is_path(training.table) and not training.names:
        # An array has no names of its own: it gets those of the model's signature, where they are as many.
        training = replace(training, names=_input_names((yield from version(name, number)).signature))
    table: TableFile = yield Work(partial(tables.as_file, training))
    try:
        answer = yield from ask(requests.put_baseline(name, number, table, seconds))
    finally:
        if table.scratch:
            table.path.unlink(missing_ok=True)
    return answers.read_as(answer, Baseline.from_json)


def baseline(name: str, number: str | int | None) -> Flow[Baseline]:
    """Return a version's baseline."""
    chosen = yield from _chosen(name, number)
    try:
        answer = yield from ask(requests.get_baseline(name, chosen))
    except NotFound as error:
        if error.code == "not_found":
            error.reword(
                f"{name} version {chosen} has no baseline yet; `headgate baseline set {name} {chosen} TABLE` gives it "
                "the table that it was trained on"
            )
        raise
    return answers.read_as(answer, Baseline.from_json)


def drift(name: str, number: str | int | None, limit: int | None, features: int | None) -> Flow[DriftReport]:
    """Return how a version's rows differ from its baseline."""
    chosen = yield from _chosen(name, number)
    answer = yield from ask(requests.get_drift(name, chosen, limit, features))
    return answers.read_as(answer, DriftReport.from_json)


def quality(name: str, number: str | int | None) -> Flow[QualityReport]:
    """Return how good a version is on live traffic."""
    chosen = yield from _chosen(name, number)
    answer = yield from ask(requests.get_quality(name, chosen))
    return answers.read_as(answer, QualityReport.from_json)


def feedback(name: str, labels: Labels, label: Any, row: int, observed_at: Any) -> Flow[FeedbackResult]:
    """Send labels back, in chunks; the items are only taken off ``labels`` as they are sent."""
    model_name(name)
    items = iter(_items(labels, label, row, observed_at))
    total = FeedbackResult(0)
    begun = 0
    while chunk := (yield from _taken(items, begun)):
        total += yield from _send(name, chunk, begun)
        begun += len(chunk)
    return total


def _taken(items: Iterator[Any], begun: int) -> Flow[list[Label]]:
    try:
        chunk: list[Label] = yield Work(partial(_next, items))
    except HeadgateError as error:  # a file may be wrong in its millionth line
        _say_place(error, begun)
        raise
    return chunk


def _send(name: str, chunk: list[Label], begun: int) -> Flow[FeedbackResult]:
    # Labels may be sent again: the last one of a row counts.
    request = requests.post_feedback(name, chunk)
    for left in range(SEND_ROUNDS - 1, -1, -1):
        try:
            answer = yield from ask(request)
            break
        except PASSING as error:
            if not left:
                _say_place(error, begun)
                raise
            yield Pause(error.retry_after or 0.2)
    return answers.read_as(answer, partial(FeedbackResult.from_json, offset=begun))


def _say_place(error: HeadgateError, begun: int) -> None:
    """Add to an error how far it had come, so that somebody can go on from there, or send all again."""
    error.details.setdefault("sent", begun)
    if begun:
        error.reword(f"{error.message}; the first {begun:,} labels were sent, and may be sent again")


def _next(items: Iterator[Any]) -> list[Label]:
    return [label_from(item) for item in islice(items, LABELS_AT_ONCE)]


def _items(labels: Labels, label: Any, row: int, observed_at: Any) -> Iterable[Any]:
    """Return labels as what gives one item after the other."""
    if isinstance(labels, Prediction):
        if labels.request_id is None:
            raise InvalidRequest("this prediction has no request id, so no label can be sent back for it")
        labels = labels.request_id
    if isinstance(labels, str):
        if label is UNSAID:
            raise InvalidRequest("give the label too: feedback(name, request_id, label)")
        return [Label(labels, label, row, observed_at)]
    if label is not UNSAID:
        raise InvalidRequest("a label beside a list of them; give feedback(name, items) or (name, request_id, label)")
    if hasattr(labels, "itertuples"):  # a DataFrame
        names = [str(name) for name in labels.columns]
        return (dict(zip(names, row, strict=True)) for row in labels.itertuples(index=False, name=None))
    if not isinstance(labels, Iterable) or isinstance(labels, (bytes, dict)):
        raise InvalidRequest(f"{a_type(labels)} holds no labels; give a list of headgate.Label, or of dicts like it")
    return labels


def _chosen(name: str, number: str | int | None) -> Flow[str | int]:
    if number is not None:
        return number
    stable = (yield from traffic(name)).stable
    if stable is None:
        raise NotFound(f"{name} has no stable version, so name one: `headgate versions list {name}` shows them")
    return stable


def _input_names(signature: Any) -> tuple[str, ...]:
    """Return the names of a signature's columns; none where it is one of tensors."""
    inputs = (signature or {}).get("inputs") or ()
    names = tuple(str(one["name"]) for one in inputs if isinstance(one, dict) and one.get("name"))
    return names if len(names) == len(inputs) else ()
