"""Heavy work beside the event loop: the collector rests meanwhile, but not for ever; and time that is over is told."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

import pytest

from registry.errors import ModelFault
from serving.aside import Aside
from tests.support.serving_fakes import eventually

pytestmark = pytest.mark.anyio


class Ring:
    """Something that holds itself, which only the collector can free."""

    def __init__(self) -> None:
        self.itself = self


@contextmanager
def busy(aside: Aside) -> Iterator[None]:
    """Keep one of the threads at work, so that heavy work is always under way."""
    free = threading.Event()
    running = aside._threads.submit(free.wait)
    aside._rest_collector()
    try:
        yield
    finally:
        free.set()
        running.result()
        aside._wake_collector(None)
        aside.close()


async def after_work(collect_seconds: float) -> bool:
    """Tell whether a cycle is still there once one of two works is done."""
    aside = Aside(collect_seconds)
    with busy(aside):
        alive = weakref.ref(Ring())
        await aside.do(perf_counter() + 5, lambda: None)
        assert not gc.isenabled()
        return alive() is not None


async def test_cycles_are_freed_though_heavy_work_never_ends() -> None:
    """Once the collector has rested for long enough; before that it stays at rest."""
    assert await after_work(60)
    assert not await after_work(0)
    assert gc.isenabled()


async def test_work_that_fails_is_let_go_at_once() -> None:
    """With what it held: bodies shall not wait for the collector."""

    class Body:
        def read(self) -> None:
            raise ValueError("it is no JSON")

    aside, body = Aside(), Body()
    alive = weakref.ref(body)
    gc.disable()
    try:
        with pytest.raises(ValueError, match="no JSON"):
            await aside.do(perf_counter() + 5, body.read)
        gc.disable()  # it was woken when the work was done
        del body
        await eventually(lambda: alive() is None)
    finally:
        gc.enable()
        aside.close()


async def test_work_that_finds_no_time_is_told_so_whatever_it_was() -> None:
    """Reading, fitting and writing are all done here."""
    aside = Aside()
    with busy(aside), pytest.raises(ModelFault, match="over before it was worked on"):
        await aside.do(perf_counter(), lambda: None)
