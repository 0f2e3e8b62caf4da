"""The verbs, as flows: what is asked in which order, and what the answers mean. No I/O.

Not here: plans (``traffic_flows.py``), rollouts (``rollout_flows.py``), registering (``registration.py``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from headgate import answers, encoding, processes, requests
from headgate.errors import (
    PASSING,
    ConnectionFailed,
    HeadgateError,
    NotFound,
    Timeout,
    VersionRejected,
)
from headgate.records import Model, Prediction, ProcessStatus, Served, Status, Version
from headgate.requests import Target
from headgate.settings import Settings
from headgate.wire import Answer, Flow, Now, Pause, Request, Server

T = TypeVar("T")

READ_ATTEMPTS = 3
PAGE = 200
_FIRST_POLL_SECONDS = 0.1
_LONGEST_POLL_SECONDS = 1.0
_HEARD_SECONDS = 3.0
_MODEL_IN_PATH = re.compile(r"/models/([^/]+)")


def ask(request: Request) -> Flow[Answer]:
    """Send a request; return its answer if it succeeded.

    A GET is sent again, twice at most, where no connection came about; nothing else ever is. A model that is not known
    is named in the error's details.

    Raises:
        BadSettings: Where nothing is at this path because the other process answers at that URL.
    """
    left = READ_ATTEMPTS if request.method == "GET" else 1
    while True:
        try:
            answer = yield request
            return answers.raise_for(answer)
        except ConnectionFailed:
            left -= 1
            if not left:
                raise
            yield Pause(0.1 * (READ_ATTEMPTS - left))
        except NotFound as error:
            if error.code == "not_found":
                yield from processes.require_right_kind(request)
            if error.code == "unknown_model" and (named := _MODEL_IN_PATH.search(request.path)):
                error.details.setdefault("model", named[1])
            raise


def until_served(request: Request, heard: Callable[[Any], bool]) -> Flow[None]:
    """Give serving a moment to hear of what the registry has acknowledged, so that the caller's next predict meets it.

    A courtesy, never a failure: it ends after a few seconds, and at once where serving cannot be asked.
    """
    start = yield Now()
    now = start
    while now - start < _HEARD_SECONDS:
        try:
            answer = yield request
            if answer.status == 200 and answers.read_as(answer, heard):
                return
        except HeadgateError:
            return
        if answer.status not in (200, 404, 409):
            return
        yield Pause(0.05)
        now = yield Now()


def models(query: str = "", limit: int | None = None) -> Flow[list[Model]]:
    """Return models by name, page after page."""
    return (
        yield from _pages(
            lambda token, size: requests.list_models(query, token, size), "models", Model.from_json, limit
        )
    )


def model(name: str) -> Flow[Model]:
    """Return one model."""
    answer = yield from ask(requests.get_model(name))
    return answers.read_as(answer, Model.from_json)


def versions(name: str, limit: int | None = None) -> Flow[list[Version]]:
    """Return versions, newest first, page after page."""
    return (
        yield from _pages(
            lambda token, size: requests.list_versions(name, token, size), "versions", Version.from_json, limit
        )
    )


def version(name: str, number: str | int) -> Flow[Version]:
    """Return one version."""
    answer = yield from ask(requests.get_version(name, number))
    return answers.read_as(answer, Version.from_json)


def served_version(name: str, number: str | int) -> Flow[Served]:
    """Return where a version stands on the serving node."""
    answer = yield from ask(requests.served_version(name, number))
    return answers.read_as(answer, Served.from_json)


def admit(name: str, number: str | int, timeout: float | None) -> Flow[Version]:
    """Have a rejected version checked again; wait for the verdict for ``timeout`` seconds, or not at all with None."""
    answer = yield from ask(requests.admit(name, number))
    found = answers.read_as(answer, Version.from_json)
    return found if timeout is None else (yield from wait_until_ready(name, number, timeout))


def retire(name: str, number: str | int) -> Flow[Version]:
    """Take a version out of service for good."""
    answer = yield from ask(requests.retire(name, number))
    return answers.read_as(answer, Version.from_json)


def delete_version(name: str, number: str | int) -> Flow[None]:
    """Delete a version."""
    yield from ask(requests.delete_version(name, number))


def set_alias(name: str, alias: str, number: str | int) -> Flow[None]:
    """Point an alias at a version."""
    yield from ask(requests.put_alias(name, alias, number))
    yield from until_served(requests.served_model(name), lambda raw: bool(raw["aliases"].get(alias) == str(number)))


def delete_alias(name: str, alias: str) -> Flow[None]:
    """Remove an alias."""
    yield from ask(requests.delete_alias(name, alias))
    yield from until_served(requests.served_model(name), lambda raw: alias not in raw["aliases"])


def predict(target: Target, data: encoding.Data, params: Mapping[str, Any] | None) -> Flow[Prediction]:
    """Encode, ask, and give back in kind."""
    encoded = encoding.encode(data, params)
    answer = yield from ask(requests.predict(target, encoded.body, "application/json"))
    return answers.read_as(answer, lambda raw: _prediction(raw, answer, lambda value: encoding.restore(value, encoded)))


def predict_body(target: Target, body: bytes, content_type: str) -> Flow[Prediction]:
    """Ask with a body that is already what the platform reads; give back what its JSON says."""
    answer = yield from ask(requests.predict(target, body, content_type))
    return answers.read_as(answer, lambda raw: _prediction(raw, answer, lambda value: value))


def stream_request(target: Target, data: encoding.Data | bytes, params: Mapping[str, Any] | None) -> Request:
    """Return what asks for a streamed prediction: no flow, because it is answered more than once."""
    body = data if isinstance(data, bytes) else encoding.encode(data, params).body
    return requests.predict_stream(target, body)


def wait_until_ready(name: str, number: str | int, timeout: float) -> Flow[Version]:
    """Return the version once it is ready; look on through outages until ``timeout`` seconds are over.

    Raises:
        VersionRejected: With the reasons.
        Timeout: Where it was neither in time; the version goes on without us.
    """
    start = yield Now()
    pause, state = _FIRST_POLL_SECONDS, "unknown"
    while True:
        try:
            found = yield from version(name, number)
            if found.state == "ready":
                yield from until_served(requests.served_version(name, number), lambda raw: True)
                return found
            if found.state in ("rejected", "retired"):
                raise rejection(found)
            state = found.state
        except PASSING as error:
            trouble: HeadgateError | None = error
        else:
            trouble = None
        now = yield Now()
        if now - start + pause > timeout:
            raise Timeout(
                f"{name} version {number} is still {state} after {timeout:g} s; "
                f"`headgate versions show {name} {number}` tells how it goes on",
                code="wait_timeout",
            ) from trouble
        yield Pause(pause)
        pause = min(pause * 1.5, _LONGEST_POLL_SECONDS)


def rejection(found: Version) -> VersionRejected:
    """Return the error that a rejected or retired version stands for."""
    reasons = found.reasons
    told = f": {'; '.join(reasons)}" if reasons else ""
    return VersionRejected(
        f"{found.model} version {found.version} is {found.state}{told}",
        reasons=reasons,
        details={"model": found.model, "version": found.version, "state": found.state},
    )


def status(settings: Settings) -> Flow[Status]:
    """Return how both processes are; one that is down is told, not raised."""
    registry = yield from processes.process(Server.REGISTRY, settings.registry_url)
    serving = yield from processes.process(Server.SERVING, settings.serving_url)
    known: list[Model] = []
    served: dict[str, int] = {}
    if registry.kind in (None, registry.name) and registry.reachable:
        try:
            known = yield from models()
        except HeadgateError as error:
            registry = _worse(registry, error)
    if serving.kind in (None, serving.name) and serving.reachable:
        try:
            served = dict((yield from _pages(requests.served_models, "models", _served, None)))
        except HeadgateError as error:
            serving = _worse(serving, error)
    return Status(registry, serving, tuple(known), served)


def _worse(process: ProcessStatus, error: HeadgateError) -> ProcessStatus:
    return replace(process, ready=False, detail=error.message)


def _served(raw: Mapping[str, Any]) -> tuple[str, int]:
    return str(raw["name"]), int(raw["revision"])


def _prediction(raw: Mapping[str, Any], answer: Answer, restore: Callable[[Any], Any]) -> Prediction:
    return Prediction(
        data=restore(raw["predictions"]),
        model=str(raw["model_name"]),
        version=str(raw["model_version"]),
        arm=answer.headers.get("x-headgate-arm"),
        request_id=raw.get("request_id") or answer.headers.get("x-request-id"),
        revision=answer.headers.get("x-headgate-revision"),
    )


def _pages(
    request: Callable[[str, int], Request], key: str, read: Callable[[Any], T], limit: int | None
) -> Flow[list[T]]:
    found: list[T] = []
    token = ""
    while limit is None or len(found) < limit:
        size = PAGE if limit is None else min(PAGE, limit - len(found))
        answer = yield from ask(request(token, size))
        page, token = answers.read_as(
            answer, lambda raw: ([read(item) for item in raw[key]], str(raw.get("next_page_token") or ""))
        )
        found += page
        if not token:
            break
    return found
