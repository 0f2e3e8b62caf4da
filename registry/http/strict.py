"""Reads JSON bodies strictly: bounded, one meaning each.

The framework's own reading keeps the last of two equal keys, takes NaN for a number, and answers in a shape of its own;
what is refused here says so in the contract's.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from registry.edge.gate import ASGIApp, Message, Receive, Scope, Send
from registry.edge.problems import STATUS
from registry.errors import HeadgateError, InvalidRequest, quote

BODY_SECONDS = 30.0
JSON = "application/json"


class Problem(HTTPException):
    """An error of ours on its way through the framework, which lets only its own kind pass while it reads a body."""

    def __init__(self, error: HeadgateError) -> None:
        super().__init__(STATUS[error.code])
        self.error = error


class StrictRoute(APIRoute):
    """A route whose JSON body is read by ``strict_json``."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the framework's handler, given a request that reads strictly."""
        answer = super().get_route_handler()

        async def read_strictly(request: Request) -> Response:
            return await answer(_StrictRequest(request.scope, request.receive))

        return read_strictly


class _StrictRequest(Request):
    async def body(self) -> bytes:
        body = await super().body()
        named = self.headers.get("content-type", JSON)
        if body and named.partition(";")[0].strip().lower() != JSON:
            raise Problem(InvalidRequest("unsupported_media_type", f"send {JSON} here; '{quote(named)}' is not read"))
        return body

    async def json(self) -> Any:
        try:
            return strict_json(await self.body())
        except HeadgateError as error:
            raise Problem(error) from error


def strict_json(data: bytes) -> Any:
    """Return the document; raise InvalidRequest ``malformed_json``, ``duplicate_key``, ``non_finite_number`` or
    ``too_deep``."""
    try:
        text = data.decode("utf-8")
        return json.loads(text, object_pairs_hook=_once, parse_constant=_not_finite, parse_float=_finite)
    except RecursionError as error:
        raise InvalidRequest("too_deep", "the JSON nests too deeply") from error
    except ValueError as error:
        raise InvalidRequest("malformed_json", "the body is not valid JSON in UTF-8") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise InvalidRequest("duplicate_key", f"the key '{quote(key)}' stands twice in one object")
        found[key] = value
    return found


def _finite(digits: str) -> float:
    number = float(digits)
    return number if math.isfinite(number) else _not_finite(quote(digits))


def _not_finite(name: str) -> NoReturn:
    raise InvalidRequest("non_finite_number", f"{name} is no JSON number")


class BodyLimit:
    """Ends a request whose body grows past ``limit`` bytes, before it is read where its length is declared, or that
    takes longer than ``seconds`` to come."""

    def __init__(self, app: ASGIApp, limit: int, seconds: float = BODY_SECONDS) -> None:
        self._app = app
        self._limit = limit
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        received, whole = 0, False
        until: float | None = None

        async def counted() -> Message:
            nonlocal received, whole, until
            # From the first question on: nothing is late that nobody has asked for.
            until = until or asyncio.get_running_loop().time() + self._seconds
            try:
                # Once the body is there, whoever waits here waits for the client to hang up.
                async with asyncio.timeout_at(None if whole else until):
                    message = await receive()
            except TimeoutError:
                raise self._too_slow() from None
            received += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if received > self._limit:
                raise self._too_large()
            return message

        async def refused() -> Message:
            raise self._too_large()

        declared = next((v for n, v in scope["headers"] if n == b"content-length"), b"0")
        over = declared.isdigit() and int(declared) > self._limit
        await self._app(scope, refused if over else counted, send)

    def _too_slow(self) -> Problem:
        return Problem(InvalidRequest("request_timeout", f"the body did not arrive within {self._seconds:g} seconds"))

    def _too_large(self) -> Problem:
        return Problem(InvalidRequest("body_too_large", f"a body may have at most {self._limit} bytes here"))
