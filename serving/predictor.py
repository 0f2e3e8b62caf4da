"""THE STORY: one predict, top to bottom.

    plan ── choose ── parse ── lease ── shape ── predict ── encode
               │        ▲                           │      (aside, with finished values: offer, observe)
               └────────┴── stable instead, where a canary cannot answer

A canary that is not loaded here, is broken or rests after failures falls back to stable, and so does a request whose
canary died under it. What a canary raises is its answer, and its caller's.

A streamed answer is the same story up to its first piece, which is the last place where stable may answer instead.

Not here: HTTP (``http/lane.py``), how bytes become arrays (``protocols``; tables: ``reader``), how a version is loaded
(``pool``).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from time import perf_counter
from typing import TypeVar

from registry import log
from registry.edge.errand import in_task
from registry.errors import HeadgateError, InvalidRequest, ModelFault, Refused, Unavailable
from serving.aside import Aside
from serving.exchange import Call, Output
from serving.pool.pool import Pool
from serving.pool.slot import Lease
from serving.pool.state import State
from serving.ports import LoadedVersion, Streaming
from serving.protocols.limits import HEAVY_BYTES, Limits
from serving.protocols.native import schema_for
from serving.protocols.request import Encoded, Told
from serving.question import Answer, Question, Turn
from serving.reader.reader import TableReader
from serving.routing.choose import choose
from serving.routing.ejection import Ejections
from serving.routing.split import CANARY, Decision
from serving.routing.table import Routes
from serving.shadows.backlog import Answered
from serving.shadows.shadows import NoShadows, Offers
from serving.streams import Streamed, code_of
from serving.telemetry.finished import Finished

T = TypeVar("T")


_Opened = tuple[Lease, AsyncGenerator[Output, None], Output | None]
Work = Callable[[Decision, Turn, Finished], Awaitable[T]]


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
        self._aside = Aside()
        self.when_heavy = self._aside.when_done

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

    async def streams(self, question: Question) -> bool:
        """Tell whether who would answer does so piece by piece; for that it is loaded, within the question's time.

        False where that cannot be told: ``predict`` says why.
        """
        try:
            decision = self._decide(question, Finished())
            servable = decision.chosen.servable
            slot = self._pool.find(servable)
            if slot is not None and slot.state is State.READY and slot.residence is not None:
                return _streams(slot.residence.loaded)
            lease = await self._pool.lease(decision.model, servable, question.seconds)
        except HeadgateError:
            return False
        try:
            return _streams(lease.loaded)
        finally:
            lease.release()

    async def stream(self, question: Question, done: Finished) -> Streamed:
        """Begin to answer piece by piece; return once there is a first piece, and raise as ``predict`` does until then.

        InvalidRequest ``not_servable`` where the model answers in one piece. ``done`` is observed when the stream has
        ended: close it in any case. Shadows get no copies.
        """
        await in_task()
        begun = perf_counter()
        done.settling = True  # how long it takes is up to its reader too: no evidence of how fast a version is
        try:
            decision, turn = self._decide(question, done), await self._read(question, begun, done)
            decision, (lease, pieces, first) = await self._with_stable(self._open, decision, turn, done)
        except BaseException as error:
            self._note_end(begun, done, error)
            raise

        def ended(error: BaseException | None) -> None:
            lease.release()
            if decision.stable is not None:
                if isinstance(error, ModelFault):
                    self._note_fault(decision)
                elif error is None:
                    self._ejections.note_success(decision)
            self._note_end(begun, done, error)

        async def encode(output: Output) -> Encoded:
            return await self._encode(output, decision, turn, perf_counter() + question.seconds)

        try:
            ready = None if first is None else await encode(first)
        except BaseException as error:
            try:
                await pieces.aclose()
            finally:
                ended(error)
            raise
        return Streamed(decision, ready, pieces, encode, most=self._limits.stream_seconds, ended=ended)

    def _note_end(self, begun: float, done: Finished, error: BaseException | None) -> None:
        done.code, done.seconds = code_of(error), perf_counter() - begun
        if isinstance(error, HeadgateError):
            done.reason = str(error.details.get("reason", ""))
        self._observe(done)

    async def _answer(self, question: Question, begun: float, done: Finished) -> Answer:
        decision, turn = self._decide(question, done), await self._read(question, begun, done)
        decision, output = await self._with_stable(self._run, decision, turn, done)
        if decision.stable is not None:
            self._ejections.note_success(decision)
        predicted = perf_counter()
        encoded = await self._encode(output, decision, turn, turn.until)
        done.encode = perf_counter() - predicted
        if decision.shadows:
            body, read, request_id, weight = question.body, question.read, question.request_id, question.weight or 0
            media, seconds = question.content_type, done.predict
            answered = Answered(body, media, request_id, output, seconds, read, done.protocol, weight)
            self._shadows.offer(decision, answered)
        return Answer(encoded, decision)

    def _decide(self, question: Question, done: Finished) -> Decision:
        decision = choose(self._routes.table, question.ask, question.fields, question.request_id)
        done.follow(decision)
        if decision.stable is not None and not self._can_answer(decision, done):
            decision = self._fall_back(decision, done)
        return decision

    async def _read(self, question: Question, begun: float, done: Finished) -> Turn:
        limits, weight = self._limits, question.weight
        heavy = (len(question.body) if weight is None else weight) > HEAVY_BYTES
        if heavy:
            request = await self._aside.do(begun + question.seconds, partial(question.read, limits))
        else:
            request = question.read(limits)
        done.decode = perf_counter() - begun
        wanted = request.seconds
        seconds = question.seconds if wanted is None else min(wanted, question.seconds)
        return Turn(question, request, begun, seconds, heavy)

    async def _with_stable(self, work: Work[T], decision: Decision, turn: Turn, done: Finished) -> tuple[Decision, T]:
        """Do ``work``; with stable, where the version chosen could not do it, else again where it never began. Return
        who did it, too."""
        try:
            return decision, await work(decision, turn, done)
        except HeadgateError as error:
            if decision.stable is None:
                if not _never_began(error):
                    raise
            else:
                self._note_failure(decision, error, done)
                if not _stable_may_answer(error):
                    raise
        if decision.stable is not None:
            decision = self._fall_back(decision, done)
            return decision, await work(decision, turn, done)
        return decision, await self._do_again(work, decision, turn, done)

    async def _do_again(self, work: Work[T], decision: Decision, turn: Turn, done: Finished) -> T:
        """Do ``work`` with the version's next process: the one that it waited for died of what another had asked.

        Each try takes a death, so there are few; the pool refuses a version that dies too often.
        """
        while True:
            try:
                return await work(decision, turn, done)
            except HeadgateError as error:
                if not _never_began(error) or turn.until <= perf_counter():
                    raise

    async def _run(self, decision: Decision, turn: Turn, done: Finished) -> Output:
        lease = await self._lease(decision, turn, done)
        try:
            call = await self._shape(lease, decision, turn, done)
            shaped = perf_counter()
            output = await lease.loaded.predict(call, turn.left(shaped), turn.priority)
            done.predict = perf_counter() - shaped
        finally:
            lease.release()
        done.rows, done.inputs, done.output = call.data.rows, call.data, output
        done.size, done.request_id = len(turn.question.body), turn.question.request_id
        return output

    async def _open(self, decision: Decision, turn: Turn, done: Finished) -> _Opened:
        lease, pieces = await self._lease(decision, turn, done), None
        try:
            loaded = lease.loaded
            if not isinstance(loaded, Streaming) or not loaded.streams:
                raise _in_one_piece(decision)
            call = await self._shape(lease, decision, turn, done)
            shaped = perf_counter()
            pieces = loaded.stream(call, turn.left(shaped), turn.priority)
            first = await anext(pieces, None)
            done.predict = perf_counter() - shaped
        except BaseException:
            try:
                if pieces is not None:
                    await pieces.aclose()
            finally:
                lease.release()
            raise
        done.rows = call.data.rows
        return lease, pieces, first

    async def _lease(self, decision: Decision, turn: Turn, done: Finished) -> Lease:
        asked = perf_counter()
        lease = await self._pool.lease(decision.model, decision.chosen.servable, turn.until - asked)
        done.queue, done.settling = perf_counter() - asked, lease.settling or done.settling
        return lease

    async def _shape(self, lease: Lease, decision: Decision, turn: Turn, done: Finished) -> Call:
        leased, request, limits = perf_counter(), turn.request, self._limits
        signature, inputs, table = decision.chosen.signature, lease.loaded.graph_inputs, request.table
        if table is not None and table.reads_apart(schema_for(signature, inputs)):
            await in_task()
            left = turn.left(leased)
            call = await self._tables.read(table, signature, inputs, seconds=left)
        elif turn.heavy:
            call = await self._aside.do(turn.until, partial(request.shape, signature, inputs, limits))
        else:
            call = request.shape(signature, inputs, limits)
        done.decode += perf_counter() - leased
        return call

    async def _encode(self, output: Output, decision: Decision, turn: Turn, until: float) -> Encoded:
        request, limits = turn.request, self._limits
        signature, request_id = decision.chosen.signature, turn.question.request_id
        told = Told(decision.model, decision.version, request_id, decision.arm, decision.revision, signature)
        if request.encodes_aside or output.size > HEAVY_BYTES:
            return await self._aside.do(until, partial(request.encode, output, told, limits))
        return request.encode(output, told, limits)

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
        self._note_fault(decision)

    def _note_fault(self, decision: Decision) -> None:
        seconds = self._ejections.note_failure(decision, perf_counter())
        if seconds:
            model, version = decision.model, decision.version
            log.event("version_ejected", logging.WARNING, model=model, version=version, seconds=seconds)

    def retain(self) -> None:
        """Forget what is known of versions that are gone."""
        table = self._routes.table
        self._ejections.retain(lambda model, version: table.servable(model, version) is not None)

    def close(self) -> None:
        """End what works beside the loop; it is idle by then."""
        self._aside.close()


def _streams(loaded: LoadedVersion) -> bool:
    return isinstance(loaded, Streaming) and loaded.streams


def _in_one_piece(decision: Decision) -> InvalidRequest:
    message = (
        f"version {decision.version} of {decision.model} answers in one piece, as its model has no predict_stream; "
        "ask its predict (or infer) route"
    )
    return InvalidRequest("not_servable", message, {"model": decision.model, "version": decision.version})


def _charge(decision: Decision, done: Finished) -> None:
    """Hold against a canary that it could not answer. Who came by a rule is not drawn by lot: it compares nothing."""
    if decision.arm == CANARY:
        done.failed = decision.version


def _never_began(error: HeadgateError) -> bool:
    """Tell whether the process that a request waited for ended before it was the request's turn."""
    return error.code == "model_error" and error.details.get("started") is False


def _stable_may_answer(error: HeadgateError) -> bool:
    """Tell whether what a canary could not do is no answer of its model: it is not there, full, or its process died."""
    if isinstance(error, Unavailable):
        return error.code != "shutting_down"
    return isinstance(error, Refused) or (error.code == "model_error" and "started" in error.details)
