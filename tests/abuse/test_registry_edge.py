"""What a hostile client may do at the registry's edge: be refused in words, quickly, and hold nothing (groups H, J)."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path

import pytest
from flask import Flask, Response

from registry.adapters.mlflow_app.bodies import check_body
from registry.adapters.mlflow_app.faults import answer_faults
from registry.adapters.mlflow_app.sources import path_problem
from registry.adapters.mlflow_app.start import silence
from registry.edge.gate import Message, Receive, Scope, Send
from registry.edge.unread import EndsUnread
from registry.errors import InvalidRequest
from registry.http.bodies import MAX_FILES
from registry.http.strict import BodyLimit, Problem
from tests.support.registry_app import V1, RegistryInMemory, code

PLAN = f"{V1}/models/churn/traffic"


@pytest.fixture
def registry() -> RegistryInMemory:
    """A registry with a model."""
    made = RegistryInMemory()
    made.ready("churn")
    return made


@pytest.mark.parametrize("path", ["/livez", "/openapi.json", f"{V1}/models", f"{V1}/models/churn/versions/1"])
def test_head_is_get_without_the_body(registry: RegistryInMemory, path: str) -> None:
    """HEAD goes where GET goes, with the same headers."""
    head, get = registry.ask("HEAD", path), registry.ask("GET", path)
    assert (head.status_code, head.content) == (get.status_code, b"")
    assert head.headers["content-length"] == get.headers["content-length"]


@pytest.mark.parametrize("named", ["text/plain", "application/xml", "multipart/form-data; boundary=x", "*/*"])
def test_body_of_another_type_is_refused_by_name(registry: RegistryInMemory, named: str) -> None:
    """A body that is not said to be JSON is 415, not a complaint about its fields (H16)."""
    answer = registry.ask("PUT", PLAN, content=b'{"stable": "1"}', headers={"content-type": named, "if-match": '"0"'})
    assert code(answer) == (415, "unsupported_media_type")


@pytest.mark.parametrize("named", ["application/json", "Application/JSON ; charset=utf-8"])
def test_json_is_read_however_it_is_spelt(registry: RegistryInMemory, named: str) -> None:
    """Case and parameters of the content type do not matter."""
    answer = registry.ask("PUT", PLAN, content=b'{"stable": "1"}', headers={"content-type": named, "if-match": '"0"'})
    assert answer.status_code == 200


def test_refusal_repeats_little_and_is_short(registry: RegistryInMemory) -> None:
    """Thousands of wrong fields with long names are still a small answer with little of the input (J26)."""
    body = {"z" * 500 + str(i): 1 for i in range(1000)}
    answer = registry.ask("PUT", PLAN, json=body, headers={"if-match": '"0"'})
    assert code(answer) == (400, "invalid_argument")
    assert len(answer.content) <= 2048
    assert b"z" * 65 not in answer.content


def test_upload_of_too_many_files_is_refused(registry: RegistryInMemory) -> None:
    """Each file that comes is looked up among all: their number is bounded where they are declared."""
    files = [{"path": f"f{i}", "size": 1, "sha256": "0" * 64} for i in range(MAX_FILES + 1)]
    assert code(registry.ask("POST", f"{V1}/uploads", json={"files": files})) == (400, "invalid_argument")


def post(length: bytes = b"9") -> Scope:
    """Return the scope of a request with a body of so many bytes."""
    return {"type": "http", "method": "POST", "path": "/", "headers": [(b"content-length", length)]}


class Client:
    """A sender of messages, and then of nothing; keeps what it is answered."""

    def __init__(self, *messages: Message) -> None:
        self.waiting = list(messages)
        self.answers: list[Message] = []

    async def receive(self) -> Message:
        """Give the next message; wait for ever after the last."""
        if not self.waiting:
            await asyncio.Event().wait()
        return self.waiting.pop(0)

    async def send(self, message: Message) -> None:
        """Keep an answer."""
        self.answers.append(message)


def piece(body: bytes, *, more: bool) -> Message:
    """Return a part of a body."""
    return {"type": "http.request", "body": body, "more_body": more}


async def read_all(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the body to its end."""
    while (await receive()).get("more_body"):
        pass


def test_body_that_stops_coming_is_refused() -> None:
    """One byte and then silence is 408, after the time that a whole body has (H11)."""
    client = Client(piece(b"x", more=True))
    with pytest.raises(Problem) as caught:
        asyncio.run(BodyLimit(read_all, 10, seconds=0.01)(post(), client.receive, client.send))
    assert caught.value.error.code == "request_timeout"


def test_whoever_waits_for_the_client_to_leave_waits_as_long_as_it_takes() -> None:
    """The limit is for the body: a long poll goes on after it."""

    async def long_poll(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(receive(), 0.05)

    client = Client(piece(b"", more=False))
    asyncio.run(BodyLimit(long_poll, 10, seconds=0.001)(post(), client.receive, client.send))


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse without reading."""
    await send({"type": "http.response.start", "status": 413, "headers": [(b"connection", b"keep-alive")]})
    await send({"type": "http.response.body", "body": b"no"})


def test_refusal_before_the_body_ends_the_connection_and_reads_on() -> None:
    """The client is told to leave, and what it still sends is thrown away, so that it reads why (H01)."""
    client = Client(piece(b"x" * 1000, more=True), piece(b"x", more=False))
    asyncio.run(EndsUnread(refuse)(post(), client.receive, client.send))
    start, said, end = client.answers
    assert start["headers"] == [(b"connection", b"close")]
    assert (said["body"], said["more_body"], end["body"], end.get("more_body", False)) == (b"no", True, b"", False)
    assert not client.waiting


def test_refusal_of_a_request_without_a_body_keeps_the_connection() -> None:
    """Where nothing is unread nothing need end."""
    client = Client()
    asyncio.run(EndsUnread(refuse)(post(b"0"), client.receive, client.send))
    assert client.answers[0]["headers"] == [(b"connection", b"keep-alive")]


def test_mlflows_refusals_are_short_and_name_no_folder_of_ours() -> None:
    """MLflow repeats values of any length, and resolves what it takes for a path against the server's folder (J26)."""
    app = Flask("mlflow")
    answer_faults(app)

    @app.get("/long")
    def refuse_long() -> Response:
        body = {"error_code": "INVALID_PARAMETER_VALUE", "message": f"{Path.cwd()}/x is no {'y' * 100_000}"}
        return Response(json.dumps(body), 400, mimetype="application/json")

    @app.get("/fine")
    def answer_long() -> Response:
        return Response(json.dumps({"message": "y" * 5000}), 200, mimetype="application/json")

    refused = app.test_client().get("/long")
    assert refused.status_code == 400
    assert len(refused.data) < 2048
    assert refused.get_json()["message"].startswith("x is no yyy")
    assert len(app.test_client().get("/fine").data) > 5000


def test_mlflows_outages_say_when_to_come_again() -> None:
    """503 carries Retry-After, as everywhere here; MLflow's own handlers leave it out (O01)."""
    app = Flask("mlflow")
    answer_faults(app)

    @app.get("/busy")
    def refuse() -> Response:
        return Response(json.dumps({"error_code": "TEMPORARILY_UNAVAILABLE", "message": "busy"}), 503)

    assert app.test_client().get("/busy").headers["retry-after"] == "1"


def test_graphql_of_a_megabyte_is_refused_before_it_is_parsed() -> None:
    """MLflow's interpreter takes seconds for a megabyte, and the pages send a few kilobytes."""
    check_body("/graphql", b'{"query": "{__typename}"}')
    with pytest.raises(InvalidRequest) as caught:
        check_body("/graphql", json.dumps({"query": "{__typename " + "@skip(if:false) " * 10_000 + "}"}).encode())
    assert caught.value.code == "body_too_large"


@pytest.mark.parametrize("path", ["x" * 256, "a/" + "\u00e9" * 128, "/".join(["d" * 200] * 6)])
def test_artifact_path_that_no_store_takes_is_the_callers_mistake(path: str) -> None:
    """A name or key that the bucket would refuse is 400, not an outage."""
    assert "bytes" in path_problem(path)


def test_mlflow_logs_nothing_that_callers_sent() -> None:
    """Its own handler writes raw lines to stderr; what it logged to is silent, children included (M07)."""
    logger = logging.getLogger("foreign_library")
    logger.addHandler(logging.StreamHandler())
    logger.propagate = False
    silence(["foreign_library"])
    assert not logger.handlers
    assert not logging.getLogger("foreign_library.child").isEnabledFor(logging.ERROR)
