"""Which process answers at a URL, and how it is. No I/O.

The registry and serving listen on ports that are easily taken for one another; their ``/readyz`` tells them apart.
"""

from __future__ import annotations

import json

from headgate import answers, requests
from headgate.errors import BadSettings, HeadgateError
from headgate.records import ProcessStatus
from headgate.settings import url_variable
from headgate.wire import Answer, Flow, Request, Server

_WHAT = {Server.REGISTRY: "a registry", Server.SERVING: "a serving node"}


def kind_of(answer: Answer) -> Server | None:
    """Return which process gave this answer to ``/readyz``; None where it does not tell."""
    try:
        document = json.loads(answer.body)
    except ValueError:
        return None
    if not isinstance(document, dict):
        return None
    return Server.SERVING if "ready" in document else Server.REGISTRY if "status" in document else None


def swapped(wanted: Server, found: Server, url: str) -> str:
    """Return what to say where one process answers at the other's URL."""
    variables = " and ".join(url_variable(server.value) for server in Server)
    return f"{url} is {_WHAT[found]}, not {_WHAT[wanted]}: swap the URLs ({variables})"


def require_right_kind(request: Request) -> Flow[None]:
    """Raise BadSettings where the process at the request's URL is the other one: one more GET, no other failure."""
    try:
        answer = yield requests.readyz(request.server)
    except HeadgateError:
        return
    kind = kind_of(answer)
    if kind is not None and kind is not request.server:
        raise BadSettings(swapped(request.server, kind, answer.url.removesuffix("/readyz")), code="swapped_urls")


def process(server: Server, url: str) -> Flow[ProcessStatus]:
    """Return how the process at ``url`` is; one that is down is told, not raised."""
    try:
        answer = yield requests.readyz(server)
    except HeadgateError as error:
        return ProcessStatus(server.value, url, reachable=False, ready=False, detail=error.message)
    clock, kind = answer.headers.get("date"), kind_of(answer)
    if kind is not None and kind is not server:
        detail = swapped(server, kind, url)
        return ProcessStatus(server.value, url, True, False, detail, clock, kind.value)
    ready = answer.status == 200
    detail = "" if ready else answers.unready_reason(answer)
    return ProcessStatus(server.value, url, True, ready, detail, clock, None if kind is None else kind.value)
