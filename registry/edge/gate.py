"""The one gate: a deny-by-default ASGI wrapper around a whole process, mounted apps included.

It decides from the method and ``scope["path"]`` alone, against one visible table of routes; what is not in the table
does not exist (404), whoever mounted it. It also checks what must hold for every request before anybody parses it: one
``Host`` header that names us, headers within their limits, a path with one spelling. Each route carries the scope that
identities will need; until the trust work brings identities, scopes are recorded and not asked for.

Standard library alone: it stands in front of the predict lane.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain
from random import getrandbits
from typing import Any

from registry.edge.heads import head_of
from registry.edge.problems import STATUS, problem_body, problem_headers
from registry.errors import Forbidden, HeadgateError, InvalidRequest, NotFound, quote

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
ProblemWriter = Callable[[str, HeadgateError, str], tuple[int, bytes, list[tuple[bytes, bytes]]]]

MAX_HEADERS = 100
MAX_HEADER_BYTES = 65_536
_KEPT_PATHS = 4096
"""How many paths that are in order are remembered, so that they are looked at once."""
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")
_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?", re.IGNORECASE)


class Access(StrEnum):
    """The scope a route needs."""

    OPEN = "open"
    OBSERVE = "observe"
    PREDICT = "predict"
    READ = "read"
    WRITE = "write"
    OPERATE = "operate"
    NODE = "node"


@dataclass(frozen=True, slots=True)
class Route:
    """One line of the table.

    ``template`` is a path whose segments are literal, ``{name}`` for exactly one segment that is not empty, or a final
    ``{path...}`` for one or more. HEAD goes where GET goes. A route that ``streams`` takes bodies of any length, piece
    by piece, within limits of its own.
    """

    methods: str
    template: str
    access: Access
    streams: bool = False


@dataclass(frozen=True, slots=True)
class _Leaf:
    template: str
    methods: dict[str, Access]


@dataclass(slots=True)
class _Node:
    literal: dict[str, _Node] = field(default_factory=dict)
    any: _Node | None = None
    tail: _Leaf | None = None
    leaf: _Leaf | None = None


class RouteTable:
    """A tree of the routes: a lookup costs one dictionary access a segment."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        self._root = _Node()
        for route in self.routes:
            self._add(route)

    def _add(self, route: Route) -> None:
        node = self._root
        segments = route.template.removeprefix("/").split("/")
        allowed = dict.fromkeys(route.methods.split(), route.access)
        if "GET" in allowed:
            allowed["HEAD"] = allowed["GET"]
        for i, segment in enumerate(segments):
            if segment.endswith("...}"):
                if i != len(segments) - 1:
                    raise ValueError(f"{route.template}: a tail must come last")
                node.tail = _joined(node.tail, route.template, allowed)
                return
            if segment.startswith("{"):
                node.any = node.any or _Node()
                node = node.any
            else:
                node = node.literal.setdefault(segment, _Node())
        node.leaf = _joined(node.leaf, route.template, allowed)

    def find(self, path: str) -> dict[str, Access] | None:
        """Return the methods that ``path`` (which starts with a slash) answers, or None where nothing is there."""
        leaf = self._find(self._root, path[1:].split("/"), 0)
        return None if leaf is None else leaf.methods

    def template(self, path: str) -> str | None:
        """Return the template of the route that ``path`` leads to, or None where nothing is there."""
        leaf = self._find(self._root, path[1:].split("/"), 0)
        return None if leaf is None else leaf.template

    def _find(self, node: _Node, segments: Sequence[str], i: int) -> _Leaf | None:
        if i == len(segments):
            return node.leaf
        literal = node.literal.get(segments[i])
        if literal is not None:
            found = self._find(literal, segments, i + 1)
            if found is not None:
                return found
        if node.any is not None and segments[i]:
            found = self._find(node.any, segments, i + 1)
            if found is not None:
                return found
        return node.tail if segments[i] else None


def _joined(leaf: _Leaf | None, template: str, methods: dict[str, Access]) -> _Leaf:
    return _Leaf(template, methods) if leaf is None else _Leaf(leaf.template, {**leaf.methods, **methods})


def native_problem(path: str, error: HeadgateError, request_id: str) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
    """Render an error in the contract's own shape."""
    return STATUS[error.code], problem_body(error, request_id), problem_headers(error, request_id)


class Gate:
    """Wrap ``app`` so that only the table's routes reach it.

    Args:
        app: The process's whole ASGI application.
        table: Every route there is.
        hosts: Names (without port) that ``Host`` may bear besides loopback ones; ``*`` admits all.
        problem: Renders an error for a path; protocols with an error shape of their own are told apart in it.
    """

    def __init__(
        self, app: ASGIApp, table: RouteTable, hosts: Iterable[str] = (), problem: ProblemWriter = native_problem
    ) -> None:
        self._app = app
        self.table = table
        self._problem = problem
        self._hosts = frozenset(h.lower() for h in hosts)
        self._good_hosts: set[bytes] = set()
        self._good_paths: dict[tuple[str, str, bytes], Access] = {}
        self.errands: bool = getattr(app, "errands", False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        try:
            self._admit(scope)
        except HeadgateError as error:
            await self._refuse(scope, send, error)
            return
        await self._app(scope, receive, send)

    def _admit(self, scope: Scope) -> None:
        head = head_of(scope)
        admitted = None if head is None else head.kept.get(self)
        if admitted is None:
            given = self._check_headers(scope["headers"], safe=scope["method"] in _SAFE_METHODS)
            # Everybody further in reads the id here, so that one request has one id.
            scope["headgate.request_id"] = given or new_request_id()
            admitted = given, self._find(scope["method"], scope["path"], scope.get("raw_path", b""))
            if head is not None:
                head.kept[self] = admitted
        given, scope["headgate.access"] = admitted
        scope["headgate.request_id"] = given or scope.get("headgate.request_id") or new_request_id()

    def _find(self, method: str, path: str, raw_path: bytes) -> Access:
        asked = method, path, raw_path
        access = self._good_paths.get(asked)
        if access is None:
            access = self._look_up(*asked)
            if len(self._good_paths) >= _KEPT_PATHS:
                self._good_paths.clear()
            self._good_paths[asked] = access
        return access

    def _look_up(self, method: str, path: str, raw_path: bytes) -> Access:
        check_spelling(path, raw_path)
        methods = self.table.find(path)
        if methods is None:
            raise NotFound(
                "not_found", f"nothing is at {quote(path)}; /openapi.json lists what is", {"method": quote(method, 16)}
            )
        access = methods.get(method)
        if access is None:
            allowed = ", ".join(sorted(methods))
            raise InvalidRequest(
                "method_not_allowed",
                f"{quote(method, 16)} is not for this path; use {allowed}",
                {"allow": sorted(methods), "method": quote(method, 16)},
            )
        return access

    def _check_headers(self, headers: list[tuple[bytes, bytes]], *, safe: bool) -> str | None:
        if len(headers) > MAX_HEADERS or sum(map(len, chain.from_iterable(headers))) > MAX_HEADER_BYTES:
            raise InvalidRequest(
                "headers_too_large", f"send at most {MAX_HEADERS} headers of {MAX_HEADER_BYTES} bytes together"
            )
        fields = dict(headers)
        if len(fields) != len(headers) and sum(name == b"host" for name, _ in headers) > 1:
            raise InvalidRequest("misdirected_host", "send exactly one Host header")
        host, given, origin = fields.get(b"host"), fields.get(b"x-request-id"), fields.get(b"origin")
        if host is None or (host not in self._good_hosts and not self._host_ok(host)):
            raise InvalidRequest(
                "misdirected_host", "the Host header does not name this server; HEADGATE_ALLOWED_HOSTS lists more names"
            )
        if origin is not None and not safe:
            self._check_origin(origin, host)
        return request_id_of(given)

    def _check_origin(self, origin: bytes, host: bytes) -> None:
        """Refuse a change that a browser sends for a page of another site."""
        _, _, named = origin.decode("latin-1").lower().partition("://")
        ours = named == host.decode("latin-1").lower() or "*" in self._hosts or named.partition(":")[0] in self._hosts
        if not ours:
            raise Forbidden("forbidden", "a page of another site may not change anything here")

    def _host_ok(self, raw: bytes) -> bool:
        match = _HOST.fullmatch(raw.decode("latin-1"))
        if match is None:
            return False
        name = match["name"].lower()
        good = "*" in self._hosts or name in self._hosts or name == "localhost" or _is_loopback(name.strip("[]"))
        if good and len(self._good_hosts) < 64:
            self._good_hosts.add(raw)
        return good

    async def _refuse(self, scope: Scope, send: Send, error: HeadgateError) -> None:
        request_id = scope.get("headgate.request_id") or new_request_id()
        status, body, headers = self._problem(scope["path"], error, request_id)
        headers = [*headers, (b"content-length", str(len(body)).encode()), (b"connection", b"close")]
        if error.code == "method_not_allowed":
            headers.append((b"allow", ", ".join(error.details["allow"]).encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def request_id_of(given: bytes | None) -> str | None:
    """Return the id that a caller gives its request; None where there is none, or it cannot be one."""
    return given.decode() if given is not None and _REQUEST_ID.fullmatch(given) else None


def new_request_id() -> str:
    """Return an id that no other request has: 128 random bits. It is a name, not a secret."""
    return f"{getrandbits(128):032x}"


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def check_spelling(path: str, raw_path: bytes) -> None:
    """Raise unless the path has its one spelling: no dot segments, control characters, broken UTF-8, encoded
    separators."""
    if not path.startswith("/") or any(ord(c) < 32 or ord(c) == 127 or c in "\\\ufffd" for c in path):
        raise InvalidRequest("invalid_name", "the path holds a control character, a backslash or broken UTF-8")
    if "//" in path or "/./" in path or "/../" in path or path.endswith(("/.", "/..")):
        raise NotFound("not_found", "the path holds an empty or dot segment; nothing is there")
    if b"%" in raw_path:
        lowered = raw_path.lower()
        doubly = path.lower()
        if b"%2f" in lowered or b"%5c" in lowered or any(code in doubly for code in ("%2e", "%2f", "%5c")):
            raise NotFound("not_found", "the path holds an encoded separator; nothing is there")
