"""Loops: several at once, closed ones, stopped ones, none at all."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import warnings
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from loops import Slow, run, turns
from support import LIMIT, check_clean, errors, results, run_python, start

from warp_cache import cache, lru_cache


@contextmanager
def quiet_logs() -> Iterator[None]:
    """For loops that are closed over unfinished tasks, of which asyncio itself complains."""
    hook = sys.unraisablehook
    sys.unraisablehook = lambda event: None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
            gc.collect()
    finally:
        sys.unraisablehook = hook


def abandon(coroutine: Any, steps: int = 5) -> Any:
    """Start a coroutine as a task in a new loop, and close the loop in the middle of it."""
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda loop, context: None)
    task = loop.create_task(coroutine)
    loop.run_until_complete(turns(steps))
    assert not task.done()
    # Without this asyncio logs that a pending task was destroyed.
    task._log_destroy_pending = False
    for other in asyncio.all_tasks(loop):
        other._log_destroy_pending = False
    loop.close()
    return weakref.ref(loop)


def test_two_loops_in_two_threads_have_computations_of_their_own() -> None:
    barrier = threading.Barrier(2)
    calls = []

    @cache
    async def f(key: str) -> object:
        calls.append(threading.get_ident())
        # Both are inside at once: neither may wait for the other's loop.
        await asyncio.get_running_loop().run_in_executor(None, barrier.wait, LIMIT)
        return object()

    async def main() -> list[object]:
        return await asyncio.gather(*(f("key") for _ in range(5)))

    first, second = results([start(asyncio.run, main()) for _ in range(2)])
    assert len(set(calls)) == len(calls) == 2
    assert len(set(map(id, first))) == len(set(map(id, second))) == 1
    info = f.cache_info()
    assert (info.hits + info.misses, info.currsize) == (10, 1)

    async def again() -> object:
        return await f("key")

    assert run(again) in (first[0], second[0])


def test_many_loops_in_many_threads() -> None:
    @cache(max_size=10)
    async def f(i: int) -> tuple[str, int]:
        await asyncio.sleep(0.0005 if i % 2 else 0)
        if i % 7 == 6:
            raise ValueError(i)
        return ("value", i)

    async def main(seed: int) -> None:
        for turn in range(15):
            keys = [(seed + turn + i * i) % 20 for i in range(12)]
            got = await asyncio.gather(*map(f, keys), return_exceptions=True)
            for key, value in zip(keys, got, strict=True):
                if key % 7 == 6:
                    assert type(value) is ValueError and value.args == (key,)
                else:
                    assert value == ("value", key)

    threads = [start(asyncio.run, main(seed)) for seed in range(5)]
    assert errors(threads) == [None] * 5
    info = f.cache_info()
    assert info.hits + info.misses == 5 * 15 * 12
    assert info.currsize <= 10


class Switch:
    """A body that never ends until it is told to return at once.

    It has no `finally` block: the loop under it goes away, and with it whoever could run one.
    """

    def __init__(self) -> None:
        self.endless = True

    async def __call__(self, key: str) -> str:
        while self.endless:
            await asyncio.sleep(60)
        return "value"


@pytest.mark.parametrize("decorator", [cache, lru_cache, cache(wait_timeout=None)])
def test_a_closed_loop_with_unfinished_work_is_forgotten(decorator: Any) -> None:
    body = Switch()

    @decorator
    async def f(key: str) -> Any:
        return await body(key)

    with quiet_logs():
        abandon(f("key"))
    body.endless = False
    assert asyncio.run(f("key")) == "value"
    assert f.cache_info().currsize == 1


def test_a_new_loop_at_the_address_of_a_closed_one() -> None:
    """The address of a loop says nothing: the next loop often gets the same one."""
    body = Switch()

    @cache(wait_timeout=None)
    async def f(key: str) -> Any:
        return await body(key)

    with quiet_logs():
        for _ in range(30):
            abandon(f("key"))
            gc.collect()
    body.endless = False
    assert asyncio.run(f("key")) == "value"


def test_a_loop_is_not_kept_alive() -> None:
    body = Switch()

    @cache
    async def f(key: str) -> Any:
        return await body(key) if key == "slow" else key

    def use() -> Any:
        loop = asyncio.new_event_loop()
        for i in range(10):
            loop.run_until_complete(f(str(i)))
        loop.close()
        return weakref.ref(loop)

    died = use()
    gc.collect()
    assert died() is None
    with quiet_logs():
        died = abandon(f("slow"))
    # The record of the unfinished work may live until the function is used again, no longer.
    body.endless = False
    asyncio.run(f("slow"))
    asyncio.run(f("another"))
    gc.collect()
    assert died() is None


async def _refreshed(f: Any) -> None:
    """A call that joins a refresh, and brings nothing of its own."""
    f.cache_invalidate(1)
    refresh = asyncio.ensure_future(f.cache_refresh(1))
    await asyncio.sleep(0)
    await asyncio.gather(f(1), refresh)


async def _computed(f: Any) -> None:
    f.cache_clear()
    await asyncio.gather(f(1), f(1), f(2))


async def _failed(f: Any) -> None:
    f.cache_clear()
    await asyncio.gather(f(-1), f(-1), return_exceptions=True)


async def _cleared(f: Any) -> None:
    call = asyncio.ensure_future(f(3))
    await asyncio.sleep(0)
    f.cache_clear()
    await call


@pytest.mark.parametrize("step", [_refreshed, _computed, _failed, _cleared])
@pytest.mark.parametrize("backend", ["memory", "shared"])
def test_a_thousand_loops_leave_nothing_behind(backend: Any, step: Any) -> None:
    @cache(backend=backend)
    async def f(n: int) -> int:
        await asyncio.sleep(0)
        if n < 0:
            raise ValueError(n)
        return n

    def run_many(loops: int) -> int:
        for _ in range(loops):
            asyncio.run(step(f))
        assert not f._flights  # type: ignore[attr-defined]  # ty: ignore[missing-attribute]
        gc.collect()
        return len(gc.get_objects())

    before = run_many(5)
    # (Far fewer objects than one a loop.)
    assert run_many(125) - before < 100
    f.cache_clear()


def test_asyncio_run_that_ends_in_the_middle_of_the_work() -> None:
    """`asyncio.run` cancels what is left; the next run starts from nothing."""
    ended = []

    @cache(wait_timeout=None)
    async def f(key: str) -> str:
        try:
            await asyncio.sleep(60 if not ended else 0)
        finally:
            ended.append(key)
        return "value"

    async def leave() -> None:
        for _ in range(3):
            asyncio.ensure_future(f("key"))
        await turns()

    asyncio.run(leave())
    assert ended == ["key"]
    assert asyncio.run(f("key")) == "value"
    assert asyncio.run(f("key")) == "value"
    assert ended == ["key", "key"]


def test_a_loop_that_is_stopped_and_goes_on() -> None:
    slow = Slow()

    @cache
    async def f(key: str) -> Any:
        return await slow(key)

    loop = asyncio.new_event_loop()
    try:
        tasks = [loop.create_task(f("key")) for _ in range(3)]
        loop.call_later(0.02, loop.stop)
        loop.run_forever()
        assert not any(task.done() for task in tasks)
        loop.call_soon(slow.gate.set)
        values = loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    finally:
        loop.close()
    assert len({id(value) for value in values}) == 1
    assert values[0][0] == "value"


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_work_that_ends_the_loop(error: type[BaseException]) -> None:
    """These pass through the loop to whoever runs it, and leave no record behind."""
    calls = []

    @cache(wait_timeout=None)
    async def f(key: str) -> str:
        calls.append(key)
        await asyncio.sleep(0)
        if len(calls) == 1:
            raise error("out")
        return "value"

    async def main() -> None:
        await asyncio.gather(*(f("key") for _ in range(3)), return_exceptions=True)

    with quiet_logs(), pytest.raises(error):
        asyncio.run(main())
    calls.append("more")
    assert asyncio.run(f("key")) == "value"


def test_without_a_running_loop_a_call_is_driven_by_hand() -> None:
    @cache
    async def f(i: int) -> int:
        return i * i

    for expected in ((0, 1), (1, 1)):
        with pytest.raises(StopIteration) as stop:
            f(3).send(None)
        assert stop.value.value == 9
        assert tuple(f.cache_info())[:2] == expected


class Pause:
    """Awaited, it hands its name to whoever drives the coroutine, and returns what it is sent."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __await__(self) -> Any:
        return (yield self.name)


def test_without_a_running_loop_the_steps_of_the_function_are_seen() -> None:
    """Another kind of event loop: what the function yields goes out, what is sent comes in."""

    @cache
    async def f(i: int) -> Any:
        first = await Pause("first")
        try:
            await Pause("second")
        except LookupError as error:
            return (first, str(error))

    call = f(1)
    assert call.send(None) == "first"
    assert call.send("sent") == "second"
    with pytest.raises(StopIteration) as stop:
        call.throw(LookupError("thrown"))
    assert stop.value.value == ("sent", "thrown")
    with pytest.raises(StopIteration) as stop:
        f(1).send(None)
    assert stop.value.value == ("sent", "thrown")


def test_without_a_running_loop_two_calls_of_one_key() -> None:
    @cache(wait_timeout=None)
    async def f(key: str) -> str:
        await Pause("pause")
        return "value"

    first, second = f("key"), f("key")
    assert first.send(None) == "pause"
    # There is nobody who could wake the second: it computes for itself.
    assert second.send(None) == "pause"
    for call in (second, first):
        with pytest.raises(StopIteration) as stop:
            call.send(None)
        assert stop.value.value == "value"
    third = f("key")
    with pytest.raises(StopIteration):
        third.send(None)
    assert f.cache_info().hits == 1


def test_without_a_running_loop_closing_leaves_no_record_behind() -> None:
    @cache(wait_timeout=None)
    async def f(key: str) -> str:
        await Pause("pause")
        return "value"

    call = f("key")
    call.send(None)
    call.close()
    abandoned = f("key")
    abandoned.send(None)
    del abandoned
    gc.collect()
    again = f("key")
    assert again.send(None) == "pause"
    with pytest.raises(StopIteration):
        again.send(None)

    async def main() -> str:
        return await f("key")

    assert run(main) == "value"


def test_a_process_that_ends_with_unfinished_work() -> None:
    script = """
import asyncio, logging
logging.disable(logging.CRITICAL)
from warp_cache import cache

@cache
async def f(key):
    await asyncio.sleep(60)

@cache
async def g(key):
    return key

loop = asyncio.new_event_loop()
tasks = [loop.create_task(f(i % 3)) for i in range(6)]
loop.run_until_complete(asyncio.sleep(0.01))
loop.run_until_complete(g(1))
kept = g(1)
kept.close()
print("done")
"""
    for _ in range(10):
        check_clean(run_python(script), out="done")
