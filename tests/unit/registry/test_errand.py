"""Errands: a request's first step at once, the rest as a task, and nobody can tell the difference."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from registry.edge.errand import SPARED, Errands, in_task

pytestmark = pytest.mark.anyio


def begin(work: Coroutine[Any, Any, None], errands: Errands | None = None) -> list[asyncio.Task[None] | None]:
    """Begin ``work`` as a connection does, outside of any task; return the list that will have what ``begin`` says."""
    loop, begun = asyncio.get_running_loop(), list[asyncio.Task[None] | None]()
    loop.call_soon(lambda: begun.append((errands or Errands()).begin(work, loop)))
    return begun


async def test_what_need_not_wait_ends_at_once_and_without_a_task() -> None:
    """Its only step is taken where it is begun."""
    seen = []

    async def work() -> None:
        seen.append(asyncio.current_task())

    begun = begin(work())
    await asyncio.sleep(0)
    assert (seen, begun) == ([None], [None])


async def test_what_waits_goes_on_as_a_task_with_what_it_waited_for() -> None:
    """Results and errors of what it waits for arrive, in a task that can be waited for."""
    answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    fault: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    seen: list[object] = []

    async def work() -> None:
        seen.append(await answer)
        with pytest.raises(ValueError, match="broken"):
            await fault
        await asyncio.sleep(0)
        async with asyncio.timeout(60):
            seen.append(asyncio.current_task())

    begun = begin(work())
    await asyncio.sleep(0)
    answer.set_result(7)
    fault.set_exception(ValueError("broken"))
    (task,) = begun
    assert task is not None
    await task
    assert seen == [7, task]


async def test_who_asks_for_a_task_has_one_from_there_on() -> None:
    """Timeouts work after ``in_task``, and in a task it does nothing."""
    seen: list[object] = []

    async def work() -> None:
        await in_task()
        async with asyncio.timeout(60):
            await in_task()
            seen.append(asyncio.current_task())

    begun = begin(work())
    await asyncio.sleep(0)
    (task,) = begun
    assert task is not None
    await task
    assert seen == [task]


async def test_a_cancellation_arrives_where_it_waits_and_may_be_taken_back() -> None:
    """The task's cancellation is raised in the work, cancels what it waited for, and need not be its end."""
    waited: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    seen: list[str] = []

    async def work() -> None:
        try:
            await waited
        except asyncio.CancelledError:
            seen.append("cancelled")
        await asyncio.sleep(0)
        seen.append("went on")

    begun = begin(work())
    await asyncio.sleep(0)
    (task,) = begun
    assert task is not None
    await asyncio.sleep(0)
    task.cancel()
    await task
    assert (seen, waited.cancelled()) == (["cancelled", "went on"], True)


async def test_an_error_is_the_tasks() -> None:
    """What is raised after a wait is what the task raises."""

    async def work() -> None:
        await asyncio.sleep(0)
        raise ValueError("broken")

    begun = begin(work())
    await asyncio.sleep(0)
    (task,) = begun
    assert task is not None
    with pytest.raises(ValueError, match="broken"):
        await task


async def test_while_requests_wait_only_some_are_tried_at_once() -> None:
    """After one that had to wait the next few are tasks from the start; then one is tried again."""
    errands, at_once = Errands(), list[bool]()

    async def work(waits: bool) -> None:
        at_once.append(asyncio.current_task() is None)
        if waits:
            await asyncio.sleep(0)

    for waits in (True, *[False] * (SPARED + 2)):
        begin(work(waits), errands)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert at_once == [True, *[False] * SPARED, True, True]
