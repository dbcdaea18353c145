"""Cancelling: one waiter leaves the others, the last one takes the work with it to its end."""

from __future__ import annotations

import asyncio
import gc
import sys
from typing import Any

import pytest
from loops import Slow, run, turns

from warp_cache import cache, lru_cache


def flight(waiters: int, decorator: Any = cache, **options: Any) -> tuple[Any, Slow, Any]:
    """A cached function over a slow body, and a coroutine that starts some calls of it."""
    slow = Slow(**options)

    @decorator
    async def f(key: str) -> Any:
        return await slow(key)

    async def begin() -> list[asyncio.Task[Any]]:
        tasks = [asyncio.ensure_future(f("key")) for _ in range(waiters)]
        await turns()
        assert len(slow.calls) == 1
        return tasks

    return f, slow, begin


async def expect_cancelled(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.mark.parametrize("decorator", [cache, lru_cache, cache(ttl=60)])
@pytest.mark.parametrize("which", [0, 1, 4], ids=["the first", "one in between", "the last"])
def test_cancelling_one_leaves_the_others(which: int, decorator: Any) -> None:
    f, slow, begin = flight(5, decorator)

    async def main() -> None:
        tasks = await begin()
        tasks[which].cancel()
        await expect_cancelled(tasks[which])
        others = [task for i, task in enumerate(tasks) if i != which]
        assert not any(task.done() for task in others)
        slow.gate.set()
        values = await asyncio.gather(*others)
        assert len({id(value) for value in values}) == 1
        assert (len(slow.calls), slow.cancelled) == (1, 0)
        assert await f("key") is values[0]
        assert tuple(f.cache_info())[:2] == (1, 5)

    run(main)


def test_all_but_one_cancelled_one_after_another() -> None:
    f, slow, begin = flight(10)

    async def main() -> None:
        tasks = await begin()
        for task in tasks[:-1]:
            task.cancel()
            await turns(2)
        await expect_cancelled(*tasks[:-1])
        slow.gate.set()
        assert (await tasks[-1])[0] == "value"
        assert (len(slow.calls), slow.cancelled) == (1, 0)

    run(main)


@pytest.mark.parametrize("waiters", [1, 2, 7])
@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "one by one"])
def test_cancelling_all_cancels_the_work_and_waits_for_its_end(waiters: int, at_once: bool) -> None:
    f, slow, begin = flight(waiters)

    async def main() -> None:
        tasks = await begin()
        for task in tasks:
            task.cancel()
            if not at_once:
                await turns(2)
        await expect_cancelled(*tasks)
        assert slow.cancelled == 1
        assert slow.cleaned == 1, "the finally block of the work had not ended"
        assert f.cache_info().currsize == 0
        # And the next caller starts from nothing.
        slow.gate.set()
        assert (await f("key"))[0] == "value"
        assert len(slow.calls) == 2

    run(main)


def test_a_new_caller_while_the_cancelled_work_is_ending() -> None:
    f, slow, begin = flight(2)

    async def main() -> None:
        tasks = await begin()
        for task in tasks:
            task.cancel()
        late = asyncio.ensure_future(f("key"))
        await turns(3)
        later = asyncio.ensure_future(f("key"))
        await expect_cancelled(*tasks)
        slow.gate.set()
        first, second = await asyncio.gather(late, later)
        assert first[0] == second[0] == "value", "who came later may not be cancelled with them"
        assert await f("key") in (first, second)

    run(main)


def test_cancelling_before_the_first_step() -> None:
    """A task that is cancelled before it ran never began: nothing is computed or left behind."""
    f, slow, _ = flight(1)

    async def main() -> None:
        task = asyncio.ensure_future(f("key"))
        task.cancel()
        await expect_cancelled(task)
        assert slow.calls == []
        slow.gate.set()
        assert (await f("key"))[0] == "value"

    run(main)


def test_cancelling_after_the_result_is_there() -> None:
    f, slow, begin = flight(3)

    async def main() -> None:
        tasks = await begin()
        slow.gate.set()
        while not slow.finished:
            await asyncio.sleep(0)
        tasks[0].cancel()
        values = await asyncio.gather(*tasks, return_exceptions=True)
        assert values[1][0] == values[2][0] == "value"
        assert slow.cancelled == 0
        assert len(slow.calls) == 1
        assert await f("key") is values[1]

    run(main)


@pytest.mark.parametrize("waiters", [1, 3])
def test_wait_for_times_out(waiters: int) -> None:
    f, slow, _ = flight(waiters)

    async def main() -> None:
        calls = [asyncio.wait_for(f("key"), 0.03) for _ in range(waiters)]
        caught = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(error) for error in caught] == [asyncio.TimeoutError] * waiters
        assert (slow.cancelled, slow.cleaned) == (1, 1)
        slow.gate.set()
        assert (await asyncio.wait_for(f("key"), 5))[0] == "value"

    run(main)


def test_wait_for_of_one_leaves_the_patient_ones() -> None:
    f, slow, _ = flight(1)

    async def main() -> None:
        patient = asyncio.ensure_future(f("key"))
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(f("key"), 0.03)
        assert slow.cancelled == 0
        slow.gate.set()
        assert (await patient)[0] == "value"

    run(main)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.timeout exists since 3.11")
def test_asyncio_timeout() -> None:
    f, slow, _ = flight(1)

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.03):
                await f("key")
        task = asyncio.current_task()
        assert task is not None and task.cancelling() == 0
        assert (slow.cancelled, slow.cleaned) == (1, 1)
        slow.gate.set()
        async with asyncio.timeout(5):
            assert (await f("key"))[0] == "value"

    run(main)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.TaskGroup exists since 3.11")
def test_a_task_group_that_fails_cancels_its_waiters_only() -> None:
    f, slow, _ = flight(1)

    async def main() -> None:
        outside = asyncio.ensure_future(f("key"))
        await turns()
        with pytest.raises(ExceptionGroup):  # noqa: F821 - since 3.11
            async with asyncio.TaskGroup() as group:
                inside = [group.create_task(f("key")) for _ in range(3)]
                await turns()
                raise ValueError
        assert all(task.cancelled() for task in inside)
        assert slow.cancelled == 0
        slow.gate.set()
        assert (await outside)[0] == "value"

    run(main)


def test_work_that_ignores_its_cancellation_ends_all_the_same() -> None:
    """Whether the waiter then gets the value or its cancellation: it gets it, and soon."""
    stubborn = 0

    @cache
    async def f(key: str) -> str:
        nonlocal stubborn
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            stubborn += 1
            await asyncio.sleep(0.01)
        return "value"

    async def main() -> None:
        task = asyncio.ensure_future(f("key"))
        await turns()
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=5)
        assert done and stubborn == 1
        assert task.cancelled() or task.result() == "value"

    run(main)


def test_work_that_fails_in_its_cancellation_makes_no_noise() -> None:
    @cache
    async def f(key: str) -> str:
        try:
            await asyncio.sleep(60)
        finally:
            raise ValueError("while cleaning up")

    async def main() -> None:
        tasks = [asyncio.ensure_future(f("key")) for _ in range(2)]
        await turns()
        for task in tasks:
            task.cancel()
        caught = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(error) for error in caught} <= {asyncio.CancelledError, ValueError}
        gc.collect()
        await turns()

    run(main, debug=True)


def test_cancelling_twice_does_not_wait_for_ever() -> None:
    """The waiter is cancelled again while it waits for the end of the work."""
    f, slow, begin = flight(1)

    async def main() -> None:
        (task,) = await begin()
        task.cancel()
        await turns(2)
        task.cancel()
        await expect_cancelled(task)
        await turns(10)
        # As in any await, the second one may cut the clean-up short; `run` looks for left-overs.
        assert slow.cancelled == 1
        slow.gate.set()
        assert (await f("key"))[0] == "value"

    run(main)


def test_the_function_cancels_its_own_caller() -> None:
    callers: list[asyncio.Task[Any]] = []

    @cache
    async def f(key: str) -> str:
        callers[0].cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return "value"

    async def main() -> None:
        callers.append(asyncio.ensure_future(f("key")))
        second = asyncio.ensure_future(f("key"))
        await expect_cancelled(callers[0])
        assert await second == "value"

    run(main)


def test_work_that_raises_cancelled_error_by_itself() -> None:
    """No waiter was cancelled: nobody may hang, and the next caller computes again."""
    calls = []

    @cache
    async def f(key: str) -> str:
        calls.append(key)
        await asyncio.sleep(0)
        if len(calls) <= 1:
            raise asyncio.CancelledError
        return "value"

    async def main() -> None:
        tasks = [asyncio.ensure_future(f("key")) for _ in range(3)]
        caught = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(result) for result in caught} <= {asyncio.CancelledError, str}
        assert await f("key") == "value"

    run(main)


def test_a_cancelled_gather_cancels_the_work() -> None:
    f, slow, _ = flight(1)

    async def main() -> None:
        together = asyncio.gather(f("key"), f("key"), f("key"))
        await turns()
        together.cancel()
        await expect_cancelled(together)  # type: ignore[arg-type]
        await turns(10)
        assert (slow.cancelled, slow.cleaned) == (1, 1)

    run(main)


def test_a_shielded_waiter_keeps_the_work_alive() -> None:
    f, slow, _ = flight(1)

    async def main() -> None:
        inner = asyncio.ensure_future(f("key"))
        outer = asyncio.shield(inner)
        await turns()
        outer.cancel()
        await expect_cancelled(outer)  # type: ignore[arg-type]
        assert slow.cancelled == 0
        slow.gate.set()
        assert (await inner)[0] == "value"

    run(main)


def test_closing_a_suspended_call_lets_the_work_go_or_ends_it() -> None:
    """A coroutine that is closed by hand in the middle: no noise, no record that blocks others."""
    f, slow, _ = flight(1)

    async def main() -> None:
        call = f("key")
        call.send(None)
        await turns()
        call.close()
        await turns(10)
        slow.gate.set()
        assert (await f("key"))[0] == "value"

    run(main)
