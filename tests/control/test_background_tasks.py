"""Refreshes of coroutine functions in the background: in tasks, of one loop and another (§2.5)."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import threading
import time
import warnings
from typing import Any

import pytest
import support
from control import cache, stale

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="none")


def test_coroutine_functions_refresh_in_a_task_of_the_running_loop(clock: Any) -> None:
    seen = []

    async def function(x: int) -> str:
        seen.append((asyncio.get_running_loop(), asyncio.current_task(), VARIABLE.get()))
        VARIABLE.set("changed")
        return "new"

    f = stale(function, clock)

    async def main() -> None:
        VARIABLE.set("the caller's")
        assert await f(1) == "old"
        assert seen == [], "it has not run in the caller's own step"
        while f.get(1) == "old":
            await asyncio.sleep(0.001)
        (loop, task, variable) = seen[0]
        assert loop is asyncio.get_running_loop()
        assert task is not asyncio.current_task()
        assert variable == "the caller's" and VARIABLE.get() == "the caller's"
        assert len(seen) == 1

    asyncio.run(main())


def test_one_refresh_of_a_key_at_a_time_among_tasks(clock: Any) -> None:
    began = []
    gate: list[asyncio.Event] = []

    async def function(x: int) -> str:
        began.append(x)
        await gate[0].wait()
        return "new"

    f = stale(function, clock)

    async def main() -> None:
        gate.append(asyncio.Event())
        assert await asyncio.gather(*(f(1) for _ in range(10))) == ["old"] * 10
        await asyncio.sleep(0.01)
        assert await f(1) == "old" and began == [1]
        gate[0].set()
        while await f(1) == "old":
            await asyncio.sleep(0.001)
        assert began == [1]

    asyncio.run(main())


def test_one_refresh_of_a_key_at_a_time_among_loops(clock: Any) -> None:
    began = []
    gate = threading.Event()

    async def function(x: int) -> str:
        began.append(x)
        while not gate.is_set():
            await asyncio.sleep(0.001)
        return "new"

    f = stale(function, clock)

    async def main() -> Any:
        value = await f(1)
        while not gate.is_set():
            await asyncio.sleep(0.001)
        while f.get(1) == "old":
            await asyncio.sleep(0.001)
        return value

    threads = [support.start(asyncio.run, main()) for _ in range(3)]
    support.eventually(lambda: began)
    time.sleep(support.PAUSE)
    assert began == [1]
    gate.set()
    assert support.results(threads) == ["old"] * 3
    assert began == [1]


def test_a_cancelled_refresh_is_no_failure(clock: Any, caplog: pytest.LogCaptureFixture) -> None:
    tasks: list[Any] = []

    async def function(x: int) -> str:
        tasks.append(asyncio.current_task())
        if len(tasks) == 1:
            await asyncio.sleep(3600)
        return "new"

    f = stale(function, clock)

    async def main() -> None:
        assert await f(1) == "old"
        while not tasks:
            await asyncio.sleep(0.001)
        tasks[0].cancel()
        await asyncio.sleep(0.01)
        assert await f(1) == "old", "the next starts at once"
        while f.get(1) == "old":
            await asyncio.sleep(0.001)

    with caplog.at_level(logging.WARNING, logger="warp_cache"):
        asyncio.run(asyncio.wait_for(main(), support.LIMIT))
    assert [record for record in caplog.records if record.name.startswith("warp_cache")] == []


def test_a_loop_that_ends_leaves_its_refresh_to_the_next(clock: Any) -> None:
    began = []

    async def function(x: int) -> str:
        began.append(x)
        if len(began) == 1:
            await asyncio.sleep(3600)
        return "new"

    f = stale(function, clock)

    async def first() -> None:
        assert await f(1) == "old"
        while not began:
            await asyncio.sleep(0.001)

    asyncio.run(first())  # cancels the task of the refresh

    async def second() -> None:
        assert await f(1) == "old"
        while f.get(1) == "old":
            await asyncio.sleep(0.001)

    asyncio.run(asyncio.wait_for(second(), support.LIMIT))
    assert began == [1, 1]


@pytest.mark.parametrize("steps", range(4))
@pytest.mark.parametrize("backend", ["memory", "shared"])
def test_a_refresh_that_has_not_begun_is_left_to_the_next_loop(backend: str, steps: int) -> None:
    began = []

    async def function(x: int) -> str:
        began.append(x)
        if len(began) == 1 and not is_second:
            await asyncio.sleep(3600)
        return "new"

    is_second = False
    f = cache(ttl=100, stale_while_revalidate=10**7, backend=backend, name=f"begun {steps}")(
        function
    )
    f.cache_put("old", (1,), ttl=1e-6)
    support.eventually(lambda: f.cache_ttl(1) < 0)

    async def first() -> None:
        assert await f(1) == "old"
        for _ in range(steps):
            await asyncio.sleep(0)

    asyncio.run(first())  # cancels the task of the refresh, before its first step or later
    is_second = True
    before = len(began)

    async def second() -> str:
        others = asyncio.all_tasks()
        assert await f(1) == "old"
        tasks = asyncio.all_tasks() - others
        assert tasks, "the refresh begins at once"
        await asyncio.gather(*tasks)
        return str(await f(1))

    assert asyncio.run(asyncio.wait_for(second(), support.LIMIT)) == "new"
    assert len(began) == before + 1


def test_a_refresh_whose_loop_is_closed_before_it_begins_is_left_to_the_next(clock: Any) -> None:
    began = []

    async def function(x: int) -> str:
        began.append(x)
        return "new"

    f = stale(function, clock)

    async def first() -> None:
        assert await f(1) == "old"
        asyncio.get_running_loop().stop()

    loop = asyncio.new_event_loop()
    # It complains of the task that is destroyed with it.
    loop.set_exception_handler(lambda loop, context: None)
    task = loop.create_task(first())
    loop.run_forever()
    assert task.done() and began == []
    loop.close()
    del loop, task
    with warnings.catch_warnings():
        # Of what was never awaited.
        warnings.simplefilter("ignore")
        gc.collect()

    async def second() -> None:
        others = asyncio.all_tasks()
        assert await f(1) == "old"
        await asyncio.gather(*(asyncio.all_tasks() - others))

    asyncio.run(second())
    assert began == [1]


def test_outside_a_running_loop_a_stale_hit_returns_the_old_value_and_starts_nothing(
    clock: Any,
) -> None:
    began = []

    async def function(x: int) -> str:
        began.append(x)
        return "new"

    f = stale(function, clock)
    coroutine = f(1)
    with pytest.raises(StopIteration) as stopped:
        coroutine.send(None)
    assert stopped.value.value == "old"
    time.sleep(0.02)
    assert began == [] and f.cache_info().refreshes == 0
    assert f.get(1) == "old"


def test_a_failed_task_is_no_forgotten_exception(clock: Any) -> None:
    import gc

    async def function(x: int) -> str:
        raise ValueError("down")

    f = stale(function, clock)
    heard: list[Any] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: heard.append(1))
        assert await f(1) == "old"
        while f.cache_info().load_failures == 0:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)
        gc.collect()

    asyncio.run(asyncio.wait_for(main(), support.LIMIT))
    assert heard == []
