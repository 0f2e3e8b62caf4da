"""Shadows get copies, and whatever they do with them is counted and nothing else."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

from registry.errors import Internal, InvalidRequest, ModelFault, Refused, Unavailable
from registry.records import ModelName, VersionNumber
from registry.signature import Schema, Signature, parse_signature
from registry.snapshots import ServableVersion
from registry.windows import ShadowCounts
from serving.exchange import ArrayOutput, Call, Output, Priority, TensorInput
from serving.pool.slot import SETTLING, Lease, Residence
from serving.protocols.limits import HEAVY_BYTES, Limits
from serving.protocols.native import Parsed
from serving.routing.split import Decision, RoutedVersion
from serving.shadows.backlog import MOST_COPIES, Answered
from serving.shadows.pace import Pace
from serving.shadows.shadows import AT_ONCE, ShadowBounds, Shadows
from tests.support.protocols import native
from tests.support.serving_fakes import (
    SIGNATURE,
    FakeArtifactLease,
    FakeCache,
    FakeLoaded,
    digest_of,
    eventually,
    servable,
    settle,
)

pytestmark = pytest.mark.anyio
M, ONE, TWO = ModelName("m"), VersionNumber("1"), VersionNumber("2")
PRIMARY = RoutedVersion(servable("1"), parse_signature(SIGNATURE))
SHADOW = RoutedVersion(servable("2"), parse_signature(SIGNATURE))
BODY = b'{"inputs": {"a": [1.0], "b": [2.0]}}'


class Counted:
    """Remembers outcomes."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.differing = 0

    def count(self, outcome: str) -> None:
        """Remember."""
        self.outcomes[outcome] += 1

    def compared(self, *, differs: bool) -> None:
        """Remember."""
        self.differing += differs


class Reader:
    """Reads nothing: every large body is the same row."""

    def __init__(self) -> None:
        self.read_as: list[str] = []
        self.error: Exception | None = None

    async def read(self, parsed: Parsed, signature: Signature, graph_inputs: Schema | None, *, seconds: float) -> Call:
        """Read a table."""
        return self._row(parsed.form)

    async def read_json(
        self, body: bytes, signature: Signature, graph_inputs: Schema | None, *, seconds: float
    ) -> Call:
        """Read JSON."""
        return self._row("json")

    def _row(self, form: str) -> Call:
        self.read_as.append(form)
        if self.error is not None:
            raise self.error
        return Call(TensorInput(np.array([[1.0, 2.0]])))


class Copy(FakeLoaded):
    """A loaded version that remembers who asked, and how many do at once."""

    def __init__(self, version: ServableVersion) -> None:
        super().__init__(version)
        self.priorities: list[Priority] = []
        self.at_once = self.most_at_once = 0

    async def predict(self, call: Call, seconds: float, priority: Priority = Priority.NORMAL) -> Output:
        """Predict."""
        self.priorities.append(priority)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return await super().predict(call, seconds, priority)
        finally:
            self.at_once -= 1


class World:
    """Shadows, and the one version that they know, loaded or not."""

    def __init__(self, bounds: ShadowBounds) -> None:
        self.loaded, self.there, self.leases, self.lent = Copy(SHADOW.servable), True, 0, SETTLING
        self.counted, self.reader = Counted(), Reader()
        self.shadows = Shadows(self, self.reader, Limits(), tells=self, bounds=bounds, pace=Pace(saved=1e9))

    def shadow(self, model: str, version: str) -> Counted:
        """Return who counts."""
        return self.counted

    def counts_lost(self, reason: str, requests: int) -> None:
        """Lose nothing."""
        raise AssertionError(reason)

    def lease_at_hand(self, servable: ServableVersion) -> Lease | None:
        """Lend the version."""
        if not self.there:
            return None
        self.leases += 1
        self.lent += 1
        artifact = FakeArtifactLease(FakeCache(), digest_of("x"), FakeCache().directory)
        return Lease(Residence(self.loaded, artifact, lent=self.lent), self._take_back)

    def _take_back(self, residence: Residence) -> None:
        self.leases -= 1

    def offer(self, answer: Any = 3.0, body: bytes = BODY, media: str | None = None, name: str = "r") -> None:
        """Offer a request that the primary answered."""
        decision = Decision(M, ONE, PRIMARY, "stable", 7, shadows=(SHADOW,))
        self.shadows.offer(
            decision, Answered(body, media, name, ArrayOutput(np.array([answer])), 0.001, native(body, media))
        )

    async def done(self) -> ShadowCounts:
        """Wait until every copy is done; return what was counted."""
        async with asyncio.timeout(10):
            while self.shadows.waiting or self.shadows._tasks:
                await asyncio.sleep(0)
        (taken,) = self.shadows.take()
        window = taken.window()
        assert (window.model, window.revision, window.version) == (M, 7, TWO)
        assert dict(self.counted.outcomes) == window.counts.outcomes
        assert self.leases == 0
        return window.counts


@asynccontextmanager
async def world(**bounds: Any) -> AsyncIterator[World]:
    """Give a world; close it."""
    made = World(ShadowBounds(**bounds))
    yield made
    await made.shadows.close()


async def test_copies_are_asked_at_low_priority_and_compared() -> None:
    """One answer the same, one not: both are requests with times, one differs."""
    async with world() as here:
        here.offer(3.0)
        here.offer(4.0)
        found = await here.done()
        assert here.loaded.priorities == [Priority.LOW] * 2
        assert (found.outcomes, found.requests, found.differing) == ({"compared": 2}, 2, 1)
        assert sum(found.primary.values()) == sum(found.shadow.values()) == 2
        assert (found.outputs[""].compared, found.outputs[""].differed) == (2, 1)
        assert (here.counted.differing, found.examples) == (1, ())


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ModelFault("model_error", "it raised"), "error"),
        (ModelFault("model_error", "it died", {"started": True}), "error"),
        (ModelFault("model_error", "it died under another", {"started": False}), "not_loaded"),
        (ModelFault("model_output_invalid", "what is that"), "error"),
        (ModelFault("model_timeout", "too long"), "timeout"),
        (InvalidRequest("invalid_input", "no such column"), "error"),
        (InvalidRequest("invalid_argument", "too slow", {"reason": "too_slow"}), "dropped"),
        (Refused("overloaded", "full"), "dropped"),
        (Unavailable("shutting_down", "bye"), "not_loaded"),
        (Internal("internal", "ours"), "dropped"),
        (RuntimeError("nobody expected that"), "error"),
        (MemoryError(), "error"),
        (TimeoutError(), "timeout"),
    ],
)
async def test_whatever_a_shadow_raises_is_an_outcome(error: Exception, outcome: str) -> None:
    """Its own failures are requests that it failed; what it never saw is none."""
    async with world() as here:
        here.loaded.error = error
        here.offer()
        found = await here.done()
        assert found.outcomes == {outcome: 1}
        assert found.requests == (outcome in ("error", "timeout"))


async def test_another_shape_is_incomparable() -> None:
    """One number for one row is not what two numbers are."""
    async with world() as here:
        here.offer([3.0, 4.0])
        found = await here.done()
        assert (found.outcomes, found.requests, found.outputs) == ({"incomparable": 1}, 1, {})


async def test_a_shadow_that_does_not_take_the_input_has_failed() -> None:
    """Its signature asks for what the primary's callers do not send."""
    async with world() as here:
        here.offer(body=b'{"inputs": {"a": [1.0]}}')
        assert (await here.done()).outcomes == {"error": 1}


async def test_a_version_that_is_not_loaded_costs_nothing() -> None:
    """Copies for it are counted; once that is known, not even a task is made for them."""
    async with world() as here:
        here.there = False
        here.offer()
        await settle()
        for _ in range(100):
            here.offer()
        assert (here.shadows.waiting, len(here.shadows._tasks)) == (0, 0)
        assert (await here.done()).outcomes == {"not_loaded": 101}


async def test_a_hanging_shadow_has_two_copies_and_a_bounded_queue() -> None:
    """Behind it the newest copies wait, the oldest go; what runs too long is a timeout."""
    async with world(seconds=0.05) as here:
        here.loaded.hold = asyncio.Event()
        for n in range(AT_ONCE):
            here.offer(name=f"first {n}")
        await settle()
        for n in range(MOST_COPIES + 44):
            here.offer(name=str(n))
        assert here.shadows.waiting == MOST_COPIES
        assert here.counted.outcomes == {"dropped": 44}
        await eventually(lambda: here.counted.outcomes["timeout"] >= AT_ONCE)
        here.loaded.hold.set()
        found = await here.done()
        assert here.loaded.most_at_once == AT_ONCE
        assert found.outcomes["timeout"] >= AT_ONCE
        assert sum(found.outcomes.values()) == MOST_COPIES + 44 + AT_ONCE


async def test_nothing_is_taken_after_the_end() -> None:
    """Neither copies nor counts nor tasks, also of a version that had copies before."""
    async with world() as here:
        here.offer()
        await settle()
        await here.shadows.close()
        before = here.shadows.windows_waiting, sum(here.counted.outcomes.values())
        here.offer()
        assert (here.shadows.waiting, len(here.shadows._tasks)) == (0, 0)
        assert (here.shadows.windows_waiting, sum(here.counted.outcomes.values())) == before


async def test_an_offer_never_raises() -> None:
    """Whatever is wrong with it, the request was answered already."""
    async with world() as here:
        broken: Any = object()
        here.shadows.offer(broken, broken)
        decision = Decision(M, ONE, PRIMARY, "stable", 7, shadows=(broken,))
        here.shadows.offer(decision, broken)
        here.offer(body=b"\xff\xfe")
        here.offer(media="text/strange")
        assert (await here.done()).outcomes == {"error": 2}


@pytest.mark.parametrize(
    ("body", "media", "form"),
    [
        (BODY.ljust(HEAVY_BYTES + 1), None, "json"),
        (BODY.ljust(HEAVY_BYTES + 1), "Application/JSON; charset=utf-8", "json"),
        (b"a,b\n1,2\n", "text/csv", "csv"),
    ],
)
async def test_large_bodies_and_tables_are_read_by_another_process(body: bytes, media: str | None, form: str) -> None:
    """The loop never parses what would hold it up."""
    async with world() as here:
        here.offer(3.0, body, media)
        found = await here.done()
        assert (here.reader.read_as, found.outcomes, found.differing) == ([form], {"compared": 1}, 0)


@pytest.mark.parametrize(
    "error", [Refused("overloaded", "too many tables wait"), ModelFault("model_timeout", "the time was over")]
)
async def test_a_reader_that_has_no_time_blames_no_shadow(error: Exception) -> None:
    """The primary's reader could read it, so the body is right."""
    async with world() as here:
        here.reader.error = error
        here.offer(3.0, b"a,b\n1,2\n", "text/csv")
        assert (await here.done()).outcomes == {"dropped": 1}


async def test_the_first_answers_of_a_process_say_nothing_of_its_speed() -> None:
    """They are compared, and not timed."""
    async with world() as here:
        here.lent = 0
        here.offer()
        found = await here.done()
        assert (found.outcomes, dict(found.shadow)) == ({"compared": 1}, {})


async def test_examples_are_kept_where_inputs_may_be_stored() -> None:
    """Only of what differs."""
    async with world(store_inputs=True) as here:
        here.offer(3.0, name="same")
        here.offer(4.0, name="other")
        (example,) = (await here.done()).examples
        assert example == {"request_id": "other", "primary": [4.0], "shadow": [3.0], "inputs": json.loads(BODY)}


async def test_closing_gives_back_what_is_leased() -> None:
    """A copy under way does not keep a node from stopping, and none is taken afterwards."""
    async with world() as here:
        here.loaded.hold = asyncio.Event()
        here.offer()
        await settle()
        assert here.leases == 1
        await here.shadows.close()
        assert here.leases == 0


async def test_a_long_answer_is_compared_in_pieces() -> None:
    """Others have their turn between the pieces."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with world() as here:
        rows = json.dumps({"inputs": {"a": [1.0] * 5000, "b": [2.0] * 5000}}).encode()
        decision = Decision(M, ONE, PRIMARY, "stable", 7, shadows=(SHADOW,))
        counting = asyncio.create_task(count())
        here.shadows.offer(decision, Answered(rows, None, "r", ArrayOutput(np.full(5000, 3.0)), 0.001, native(rows)))
        found = await here.done()
        counting.cancel()
        assert (found.outputs[""].compared, found.differing) == (5000, 0)
        assert turns > 5000 / 256


class Picky(Copy):
    """Answers callers too: it has a lane in which somebody waits."""

    def __init__(self, version: ServableVersion, queued: Callable[[], int]) -> None:
        super().__init__(version)
        self.queued = queued

    @property
    def lane(self) -> Any:
        """The lane."""
        picky = self

        class Lane:
            watch = None
            queued_rows = picky.queued()

        return Lane


@pytest.mark.parametrize(("queued", "outcome"), [(0, "compared"), (1, "dropped")])
async def test_copies_do_not_stand_before_callers(queued: int, outcome: str) -> None:
    """A version that a rule names too gets a copy only where nobody waits for it."""
    async with world() as here:
        here.loaded = Picky(SHADOW.servable, lambda: queued)
        here.offer()
        assert (await here.done()).outcomes == {outcome: 1}
