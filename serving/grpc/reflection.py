"""Server reflection, for tools without our file: the library's own, for so many callers and so long each.

Not here: what it tells of (``server.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Container, Iterator, Sequence
from contextlib import suppress
from typing import Any

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import reflection

from registry.errors import Refused
from serving.grpc.seats import REFLECTIONS, Seats

_Context = grpc.aio.ServicerContext[Any, Any]


class _Symbols:
    """A pool that finds the file of a method or a field too, by what it is part of: the pool itself knows neither."""

    def __init__(self, pool: DescriptorPool) -> None:
        self._pool = pool

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    def FindFileContainingSymbol(self, symbol: str) -> Any:  # noqa: N802 -- the pool's own name
        """Return a file's descriptor; raise KeyError where no file has the symbol."""
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            around, _, part = symbol.rpartition(".")
            found: Any = self._pool.FindFileContainingSymbol(around)
            if not any(part in each for each in _parts(self._pool, around)):
                raise
            return found


def _parts(pool: DescriptorPool, name: str) -> Iterator[Container[str]]:
    for find, named in ((pool.FindServiceByName, "methods_by_name"), (pool.FindMessageTypeByName, "fields_by_name")):
        with suppress(KeyError):
            yield getattr(find(name), named)


class Reflection:
    """Tells of the services ``names``, whose descriptors are in ``pool``; a call may take ``seconds``."""

    def __init__(self, names: Sequence[str], pool: DescriptorPool, seconds: float) -> None:
        symbols: Any = _Symbols(pool)
        self._told: Any = reflection.aio.ReflectionServicer(names, symbols)  # typed as if it were no generator
        self._seats = Seats(REFLECTIONS, "reflections")
        self._seconds = seconds

    async def ServerReflectionInfo(self, request_iterator: Any, context: _Context) -> AsyncIterator[Any]:  # noqa: N802 -- the service's own name
        """Answer each request of a stream."""
        try:
            with self._seats:
                async with asyncio.timeout(self._seconds):
                    async for answer in self._told.ServerReflectionInfo(request_iterator, context):
                        yield answer
        except Refused as error:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, error.message)
        except TimeoutError:
            message = f"a reflection may take {self._seconds:.6g} s; ask anew"
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, message)
