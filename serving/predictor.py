"""THE STORY: one predict, top to bottom.

    plan ── choose ── parse ── lease ── shape ── predict ── encode
               │        ▲                           │      (aside, with finished values: offer, observe)
               └────────┴── stable instead, where a canary cannot answer

A canary that is not loaded here, is broken or rests after failures falls back to stable, and so does a request whose
canary died under it. What a canary raises is its answer, and its caller's.

Not here: HTTP (``http/lane.py``), how bytes become arrays (``protocols``; tables: ``reader``), how a version is loaded
(``pool``).
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import field
from functools import partial
from time import perf_counter
from typing import TypeVar

from registry import log
from registry.edge.errand import in_task
from registry.errors import HeadgateError, ModelFault, Refused, Unavailable
from serving.exchange import Output, Priority
from serving.pool.pool import Pool
from serving.pool.state import State
from serving.protocols.limits import HEAVY_BYTES, Limits
from serving.protocols.request import Encoded, Read, Request, Told
from serving.reader.reader import TableReader
from serving.routing.choose import Ask, choose
from serving.routing.ejection import Ejections
from serving.routing.split import CANARY, Decision
from serving.routing.table import Routes
from serving.shadows.backlog import Answered
from serving.shadows.shadows import NoShadows, Offers
from serving.telemetry.finished import Finished
from serving.values import value

T = TypeVar("T")


@value
class Question:
    """One request as a protocol's front hands it over.

    Attributes:
        ask: Of whom.
        body: Its bytes, after expansion; ``read`` reads them.
        read: Reads the body; pure, and called again for copies.
        content_type: What the body is said to be, for whoever keeps it.
        request_id: The request's.
        seconds: How long the caller waits in all; its body may shorten that.
        priority: Who goes first; its body may say otherwise.
        fields: Its headers by lower-case name.
        weight: How many bytes of JSON take as long to read, where that is not the length of the body.
    """

    ask: Ask
    body: bytes
    read: Read
    content_type: str | None
    request_id: str
    seconds: float
    priority: Priority = Priority.NORMAL
    fields: Mapping[bytes, bytes] = field(default_factory=dict)
    weight: int | None = None


@value
class Answer:
    """What goes back: the bytes, and which version gave them."""

    encoded: Encoded
    decision: Decision


@value
class _Turn:
    """A request that has been read: when it began, when it must have ended, and whether its body is large."""

    question: Question
    request: Request
    begun: float
    seconds: float
    heavy: bool

    @property
    def until(self) -> float:
        return self.begun + self.seconds


class Predictor:
    """Answers questions with the right version. For one event loop; ``observe`` must neither block nor raise."""

    def __init__(
        self,
        routes: Routes,
        pool: Pool,
        tables: TableReader,
        *,
        limits: Limits,
        observe: Callable[[Finished], None],
        shadows: Offers | None = None,
    ) -> None:
        self._routes = routes
        self._pool = pool
        self._tables = tables
        self._limits = limits
        self._observe = observe
        self._shadows = shadows or NoShadows()
        self._ejections = Ejections()
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="heavy")
        self._heavy = 0

    async def predict(self, question: Question, done: Finished) -> Answer:
        """Answer; raise the errors of ``choose``, the protocol, the pool and the runtime.

        ``done`` is written as the request goes on, and observed when it has ended.
        """
        begun = perf_counter()
        done.code = "internal"
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
        decision = choose(self._routes.table, question.ask, question.fields, question.request_id)
        done.follow(decision)
        if decision.stable is not None and not self._can_answer(decision, done):
            decision = self._fall_back(decision, done)
        limits, weight = self._limits, question.weight
        heavy = (len(question.body) if weight is None else weight) > HEAVY_BYTES
        if heavy:
            request = await self._aside(begun + question.seconds, partial(question.read, limits))
        else:
            request = question.read(limits)
        done.decode = perf_counter() - begun

        wanted = request.seconds
        seconds = question.seconds if wanted is None else min(wanted, question.seconds)
        turn = _Turn(question, request, begun, seconds, heavy)
        try:
            output = await self._run(decision, turn, done)
        except HeadgateError as error:
            if decision.stable is None:
                raise
            self._note_failure(decision, error, done)
            if not _stable_may_answer(error):
                raise
            decision = self._fall_back(decision, done)
            output = await self._run(decision, turn, done)
        if decision.stable is not None:
            self._ejections.note_success(decision)

        predicted, request_id = perf_counter(), question.request_id
        signature = decision.chosen.signature
        told = Told(decision.model, decision.version, request_id, decision.arm, decision.revision, signature)
        if request.encodes_aside or output.size > HEAVY_BYTES:
            encoded = await self._aside(turn.until, partial(request.encode, output, told, limits))
        else:
            encoded = request.encode(output, told, limits)
        done.encode = perf_counter() - predicted
        if decision.shadows:
            body, read = question.body, question.read
            answered = Answered(body, question.content_type, request_id, output, done.predict, read, done.protocol)
            self._shadows.offer(decision, answered)
        return Answer(encoded, decision)

    async def _run(self, decision: Decision, turn: _Turn, done: Finished) -> Output:
        question, request, begun, limits = turn.question, turn.request, turn.begun, self._limits
        signature = decision.chosen.signature
        asked = perf_counter()
        left = turn.seconds - (asked - begun)
        lease = await self._pool.lease(decision.model, decision.chosen.servable, left)
        try:
            leased = perf_counter()
            done.queue, done.settling = leased - asked, lease.settling
            inputs, table = lease.loaded.graph_inputs, request.table
            if table is not None:
                await in_task()
                left = _left(turn, leased)
                call = await self._tables.read(table, signature, inputs, seconds=left)
            elif turn.heavy:
                call = await self._aside(turn.until, partial(request.shape, signature, inputs, limits))
            else:
                call = request.shape(signature, inputs, limits)
            shaped = perf_counter()
            done.decode += shaped - leased
            wanted = request.priority
            priority = question.priority if wanted is None else wanted
            output = await lease.loaded.predict(call, _left(turn, shaped), priority)
            done.predict = perf_counter() - shaped
        finally:
            lease.release()
        done.rows, done.inputs, done.output = call.data.rows, call.data, output
        done.size, done.request_id = len(question.body), question.request_id
        return output

    # ---- a canary, or what a rule names, that cannot answer -------------------------------------------------------

    def _can_answer(self, decision: Decision, done: Finished) -> bool:
        """Tell whether the version may be asked, here and now; charge a canary where that is its own fault."""
        servable = decision.chosen.servable
        state = self._pool.state(servable)
        if state is State.READY or state is State.DRAINING:
            return not self._ejections.is_out(decision, perf_counter())
        slot = self._pool.find(servable)
        failure = None if slot is None else slot.failure
        if state is State.QUARANTINED or (state is State.FAILED and isinstance(failure, ModelFault)):
            _charge(decision, done)
        return False

    def _fall_back(self, decision: Decision, done: Finished) -> Decision:
        instead = decision.fallen_back()
        done.follow(instead)
        return instead

    def _note_failure(self, decision: Decision, error: HeadgateError, done: Finished) -> None:
        if not isinstance(error, ModelFault) and error.code != "model_quarantined":
            return
        if _stable_may_answer(error):
            _charge(decision, done)
        seconds = self._ejections.note_failure(decision, perf_counter())
        if seconds:
            model, version = decision.model, decision.version
            log.event("version_ejected", logging.WARNING, model=model, version=version, seconds=seconds)

    async def _aside(self, until: float, work: Callable[[], T]) -> T:
        await in_task()
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

    def retain(self) -> None:
        """Forget what is known of versions that are gone."""
        table = self._routes.table
        self._ejections.retain(lambda model, version: table.servable(model, version) is not None)

    def close(self) -> None:
        """End the threads; they are idle by then."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _left(turn: _Turn, now: float) -> float:
    left = turn.until - now
    if left <= 0:
        raise ModelFault("model_timeout", "the time for this request was over before the model could run")
    return left


def _charge(decision: Decision, done: Finished) -> None:
    """Hold against a canary that it could not answer. Who came by a rule is not drawn by lot: it compares nothing."""
    if decision.arm == CANARY:
        done.failed = decision.version


def _stable_may_answer(error: HeadgateError) -> bool:
    """Tell whether what a canary could not do is no answer of its model: it is not there, full, or its process died."""
    if isinstance(error, Unavailable):
        return error.code != "shutting_down"
    return isinstance(error, Refused) or (error.code == "model_error" and "started" in error.details)
