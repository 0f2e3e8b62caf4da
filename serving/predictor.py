"""THE STORY: one predict, top to bottom.

    plan ── choose ── parse ── lease ── shape ── predict ── encode
                                                    (aside: observe, with finished values)

Not here: HTTP (``http/lane.py``), how bytes become arrays (``protocols``; tables: ``reader``), how a version is loaded
(``pool``).
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import perf_counter
from typing import TypeVar

from registry.errors import HeadgateError, ModelFault
from serving.exchange import Priority
from serving.pool.pool import Pool
from serving.protocols.answer import Encoded, choose_format, encode_answer
from serving.protocols.limits import Limits
from serving.protocols.native import parse_body, shape
from serving.reader.reader import TableReader
from serving.routing.choose import Ask, Decision, choose
from serving.routing.table import Routes
from serving.telemetry.finished import Finished
from serving.values import value

T = TypeVar("T")
JSON = "application/json"
HEAVY_BYTES = 128 * 1024
"""Bodies and answers above this, and answers that are tables whatever their size (their library takes long to import),
are worked on beside the event loop, which must go on turning. Bodies that are tables are read by another process."""


@value
class Question:
    """One request as a protocol front hands it over. ``seconds`` is how long the caller waits in all."""

    ask: Ask
    body: bytes
    content_type: str | None
    accept: str | None
    request_id: str
    seconds: float
    priority: Priority = Priority.NORMAL


@value
class Answer:
    """What goes back: the bytes, and which version gave them."""

    encoded: Encoded
    decision: Decision


class Predictor:
    """Answers questions with the right version. For one event loop; ``observe`` must neither block nor raise."""

    def __init__(
        self, routes: Routes, pool: Pool, tables: TableReader, *, limits: Limits, observe: Callable[[Finished], None]
    ) -> None:
        self._routes = routes
        self._pool = pool
        self._tables = tables
        self._limits = limits
        self._observe = observe
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="heavy")
        self._heavy = 0

    async def predict(self, question: Question) -> Answer:
        """Answer; raise the errors of ``choose``, the protocol, the pool and the runtime."""
        begun = perf_counter()
        done = Finished(model=question.ask.model, version=question.ask.version or "", code="internal")
        try:
            answer = await self._answer(question, begun, done)
            done.code = ""
        except HeadgateError as error:
            done.code, done.reason = error.code, str(error.details.get("reason", ""))
            raise
        except asyncio.CancelledError:
            done.code = "request_timeout"  # its client has gone, which is no fault of the model or ours
            raise
        else:
            return answer
        finally:
            done.seconds = perf_counter() - begun
            self._observe(done)

    async def _answer(self, question: Question, begun: float, done: Finished) -> Answer:
        decision = choose(self._routes.table, question.ask)
        done.version, done.arm = decision.version, decision.arm
        chosen, limits = decision.chosen, self._limits
        form = choose_format(question.accept)
        heavy, until = len(question.body) > HEAVY_BYTES, begun + question.seconds
        if heavy:
            parsed = await self._aside(until, partial(parse_body, question.content_type, question.body, limits))
        else:
            parsed = parse_body(question.content_type, question.body, limits)
        asked = perf_counter()
        done.decode = asked - begun

        lease = await self._pool.lease(decision.model, chosen.servable, question.seconds - (asked - begun))
        try:
            leased = perf_counter()
            done.queue = leased - asked
            inputs = lease.loaded.graph_inputs
            if parsed.is_table:
                left = _left(question, leased - begun)
                call = await self._tables.read(parsed, chosen.signature, inputs, seconds=left)
            elif heavy:
                call = await self._aside(until, partial(shape, parsed, chosen.signature, inputs, limits))
            else:
                call = shape(parsed, chosen.signature, inputs, limits)
            shaped = perf_counter()
            done.decode += shaped - leased
            output = await lease.loaded.predict(call, _left(question, shaped - begun), question.priority)
            predicted = perf_counter()
            done.predict = predicted - shaped
        finally:
            lease.release()

        told = {"model": decision.model, "version": decision.version, "request_id": question.request_id}
        if form != JSON or output.size > HEAVY_BYTES:
            encoded = await self._aside(until, partial(encode_answer, output, form, limits, **told))
        else:
            encoded = encode_answer(output, form, limits, **told)
        done.encode = perf_counter() - predicted
        return Answer(encoded, decision)

    async def _aside(self, until: float, work: Callable[[], T]) -> T:
        running = asyncio.get_running_loop().run_in_executor(self._threads, work)
        self._rest_collector()
        running.add_done_callback(self._wake_collector)
        try:
            async with asyncio.timeout(max(0.0, until - perf_counter())):
                return await running
        except TimeoutError:
            raise ModelFault("model_timeout", "the time for this request was over while others were read") from None

    def _rest_collector(self) -> None:
        # A large body may be millions of small lists, and each few hundred wake the collector, which looks at all the
        # others again and holds the interpreter meanwhile: the event loop would stand still for seconds. There are no
        # cycles in what is read and written here.
        self._heavy += 1
        gc.disable()

    def _wake_collector(self, _: object) -> None:
        self._heavy -= 1
        if not self._heavy:
            gc.enable()

    def close(self) -> None:
        """End the threads; they are idle by then."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _left(question: Question, spent: float) -> float:
    left = question.seconds - spent
    if left <= 0:
        raise ModelFault("model_timeout", "the time for this request was over before the model could run")
    return left
