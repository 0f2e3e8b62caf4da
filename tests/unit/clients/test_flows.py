"""Flows without any I/O: what is asked in which order, and what is never asked twice."""

from __future__ import annotations

import pytest
from headgate import ConnectionFailed, Plan, flows, requests, traffic_flows
from headgate.traffic_flows import Wanted
from headgate.wire import Answer, Done, Now, Pause, Request, Server, step

OK = Answer(200, {}, b"{}", "http://x/y")


def test_a_read_is_sent_again_where_no_connection_came_about() -> None:
    """A GET is tried three times, with pauses that grow, then the failure is the caller's."""
    request = requests.readyz(Server.REGISTRY)
    flow = flows.ask(request)
    assert step(flow, None, None) == request
    assert step(flow, None, ConnectionFailed("down")) == Pause(0.1)
    assert step(flow, None, None) == request
    assert step(flow, None, ConnectionFailed("down")) == Pause(0.2)
    assert step(flow, None, None) == request
    with pytest.raises(ConnectionFailed):
        step(flow, None, ConnectionFailed("down"))


def test_a_read_may_succeed_the_second_time() -> None:
    """The answer of a later attempt is the answer."""
    flow = flows.ask(requests.readyz(Server.SERVING))
    step(flow, None, None)
    step(flow, None, ConnectionFailed("down"))
    step(flow, None, None)
    assert step(flow, OK, None) == Done(OK)


@pytest.mark.parametrize(
    "request_",
    [
        requests.predict(requests.Target("churn"), b"{}", "application/json"),
        requests.put_traffic("churn", Plan("1"), 0),
        requests.post_rollback("churn", None),
    ],
)
def test_nothing_else_is_sent_again(request_: Request) -> None:
    """What may have had an effect, or costs the model, is sent once."""
    flow = flows.ask(request_)
    step(flow, None, None)
    with pytest.raises(ConnectionFailed):
        step(flow, None, ConnectionFailed("down"))


def test_promote_reads_then_replaces() -> None:
    """A promotion puts the plan against the revision it has just read, and lets serving hear of it."""
    flow = traffic_flows.promote("churn", Wanted(3, "why"))
    assert step(flow, None, None) == requests.get_traffic("churn")
    plan = b'{"model": "churn", "revision": 7, "plan": null}'
    put = step(flow, Answer(200, {}, plan, "u"), None)
    assert isinstance(put, Request)
    assert (put.method, put.headers["If-Match"]) == ("PUT", '"7"')
    assert (
        step(flow, Answer(200, {}, b'{"model": "churn", "revision": 8, "plan": {"stable": "3"}}', "u"), None) == Now()
    )
    assert step(flow, 0.0, None) == requests.served_model("churn")
    assert step(flow, Answer(200, {}, b'{"revision": 7}', "u"), None) == Pause(0.05)
    assert step(flow, None, None) == Now()
    assert step(flow, 0.05, None) == requests.served_model("churn")
    done = step(flow, Answer(200, {}, b'{"revision": 8}', "u"), None)
    assert isinstance(done, Done)
    assert (done.value.revision, done.value.stable) == (8, "3")


def test_serving_is_waited_for_but_never_long() -> None:
    """Where serving hears nothing or cannot be asked, the promotion stands all the same."""
    for last in (Answer(404, {}, b"{}", "u"), Answer(403, {}, b"{}", "u"), ConnectionFailed("down")):
        flow = traffic_flows.rollback("churn")
        step(flow, None, None)
        step(flow, Answer(200, {}, b'{"model": "churn", "revision": 8, "plan": {"stable": "3"}}', "u"), None)
        step(flow, 0.0, None)
        failure = last if isinstance(last, ConnectionFailed) else None
        end = step(flow, last, failure)
        if end == Pause(0.05):
            step(flow, None, None)
            end = step(flow, 3.0, None)
        assert isinstance(end, Done)


def test_paths_are_encoded() -> None:
    """An upload's file paths keep their slashes and nothing else that a URL could misread."""
    from pathlib import Path

    from headgate.wire import FileBody

    body = FileBody(Path("x"), 3, lambda count: None)
    request = requests.put_file("id", "data/a b?#é%.txt", body)
    assert request.path == "/registry/v1/uploads/id/files/data/a%20b%3F%23%C3%A9%25.txt"
    assert request.headers["Content-Length"] == "3"
