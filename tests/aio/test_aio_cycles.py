"""Circles of waits among coroutines are refused: each of these ends, and quickly."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

import pytest
from loops import run, turns

from warp_cache import cache, lru_cache

# Computations that go round in a circle must stop somewhere: each counts how deep it is in.
depth: contextvars.ContextVar[int] = contextvars.ContextVar("depth", default=0)
AT_ONCE = 5.0


def direct(call: Any) -> Any:
    return call


async def through_gather(call: Any) -> Any:
    other = asyncio.sleep(0)
    return (await asyncio.gather(other, call))[1]


async def through_a_task(call: Any) -> Any:
    return await asyncio.create_task(call)


async def through_wait_for(call: Any) -> Any:
    return await asyncio.wait_for(call, 60)


async def through_tasks_of_tasks(call: Any) -> Any:
    return await asyncio.gather(asyncio.create_task(through_gather(call)))


async def through_shield(call: Any) -> Any:
    return await asyncio.shield(call)


WAYS = {
    way.__name__: way
    for way in (
        direct,
        through_gather,
        through_a_task,
        through_wait_for,
        through_tasks_of_tasks,
        through_shield,
    )
}


def ring(size: int, way: Any, decorate: Any) -> tuple[list[Any], list[int]]:
    """Functions of which each needs the next one, the last the first; and how often each ran."""
    functions: list[Any] = []
    ran = [0] * size

    def build(i: int) -> Any:
        @decorate
        async def f(key: str) -> str:
            ran[i] += 1
            deep = depth.get()
            if deep > size:
                return "end"
            token = depth.set(deep + 1)
            try:
                # All of them are under way before any of them asks the next.
                await turns(3)
                result = await way(functions[(i + 1) % size](key))
            finally:
                depth.reset(token)
            return "end" if "end" in str(result) else "?"

        return f

    functions.extend(build(i) for i in range(size))
    return functions, ran


@pytest.mark.parametrize("decorate", [cache(wait_timeout=None), lru_cache(wait_timeout=None)])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_a_ring_that_one_caller_enters(size: int, way: str, decorate: Any) -> None:
    functions, ran = ring(size, WAYS[way], decorate)

    async def main() -> None:
        assert await functions[0]("key") == "end"
        assert await functions[0]("key") == "end"

    run(main, limit=AT_ONCE)
    assert sum(ran) <= 3 * size + 3


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", [2, 3, 5])
def test_a_ring_that_is_entered_everywhere_at_once(size: int, way: str) -> None:
    functions, ran = ring(size, WAYS[way], cache(wait_timeout=None))

    async def main() -> None:
        calls = [f("key") for f in functions] * 1 + [f("key") for f in functions]
        assert await asyncio.gather(*calls) == ["end"] * (2 * size)

    run(main, limit=AT_ONCE)


@pytest.mark.parametrize("way", WAYS)
def test_a_ring_through_the_keys_of_one_function(way: str) -> None:
    @cache(wait_timeout=None)
    async def f(i: int) -> int:
        deep = depth.get()
        if deep > 4:
            return i
        token = depth.set(deep + 1)
        try:
            await turns(3)
            await WAYS[way](f((i + 1) % 4))
        finally:
            depth.reset(token)
        return i

    async def main() -> None:
        assert await asyncio.gather(*(f(i) for i in range(4))) == [0, 1, 2, 3]

    run(main, limit=AT_ONCE)


def test_waits_that_are_no_circle_are_waited_for() -> None:
    """A diamond and a long chain: everything is computed once, whoever asks first."""
    ran: list[Any] = []

    @cache(wait_timeout=None)
    async def f(i: int) -> int:
        ran.append(i)
        await turns(2)
        if i < 2:
            return i
        first, second = await asyncio.gather(f(i - 1), f(i - 2))
        return first + second

    async def main() -> None:
        assert (await asyncio.gather(f(30), f(20), f(29), f(30)))[0] == 832040
        assert sorted(ran) == list(range(31)), "computed twice, though no wait is a circle"

    run(main)


def test_two_waits_of_one_computation_for_the_same_key_are_no_circle() -> None:
    ran = []

    @cache(wait_timeout=None)
    async def inner(key: str) -> object:
        ran.append(key)
        await turns(3)
        return object()

    @cache(wait_timeout=None)
    async def outer(key: str) -> list[object]:
        return await asyncio.gather(inner(key), inner(key), inner(key))

    async def main() -> None:
        values, again = await asyncio.gather(outer("key"), inner("key"))
        assert {id(value) for value in values} == {id(again)}
        assert ran == ["key"]

    run(main)


def test_who_waits_outside_of_the_circle_gets_the_leaders_result() -> None:
    functions, _ = ring(2, direct, cache(wait_timeout=None))

    async def main() -> None:
        tasks = [asyncio.ensure_future(functions[i % 2]("key")) for i in range(8)]
        values = await asyncio.gather(*tasks)
        assert values == ["end"] * 8
        assert all(f.cache_info().currsize == 1 for f in functions)

    run(main, limit=AT_ONCE)


def test_an_exception_in_a_circle_reaches_everybody() -> None:
    @cache(wait_timeout=None)
    async def x(key: str) -> None:
        if depth.get():
            raise LookupError("inside")
        token = depth.set(1)
        try:
            await turns(2)
            await y(key)
        finally:
            depth.reset(token)

    @cache(wait_timeout=None)
    async def y(key: str) -> None:
        await turns(2)
        await x(key)

    async def main() -> None:
        caught = await asyncio.gather(x("key"), y("key"), x("key"), return_exceptions=True)
        assert [type(error) for error in caught] == [LookupError] * 3
        assert x.cache_info().currsize == y.cache_info().currsize == 0

    run(main, limit=AT_ONCE)


def test_cancelling_a_circle_ends_it() -> None:
    ended = []

    @cache(wait_timeout=None)
    async def x(key: str) -> None:
        try:
            if depth.get() > 2:
                await asyncio.sleep(60)
            token = depth.set(depth.get() + 1)
            try:
                await y(key)
            finally:
                depth.reset(token)
        finally:
            ended.append("x")

    @cache(wait_timeout=None)
    async def y(key: str) -> None:
        try:
            await x(key)
        finally:
            ended.append("y")

    async def main() -> None:
        tasks = [asyncio.ensure_future(call) for call in (x("key"), y("key"))]
        await turns(20)
        for task in tasks:
            task.cancel()
        caught = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(error) for error in caught] == [asyncio.CancelledError] * 2
        await turns(20)
        assert ended.count("x") >= 1 and ended.count("y") >= 1

    run(main, limit=AT_ONCE)


def test_a_background_task_of_the_work_may_ask_for_its_key() -> None:
    """The work does not wait for it, so it may wait for the work, or compute: it must end."""
    background: list[asyncio.Task[Any]] = []

    @cache(wait_timeout=None)
    async def f(key: str) -> str:
        if not background:
            background.append(asyncio.ensure_future(f(key)))
        await turns(5)
        return "value"

    async def main() -> None:
        assert await f("key") == "value"
        assert await background[0] == "value"
        later = asyncio.ensure_future(f("another"))
        assert await later == "value"

    run(main, limit=AT_ONCE)


def test_the_mark_of_a_finished_work_does_not_stick() -> None:
    """A task born in a work that is over asks for the work's key: a wait like any other's."""
    go = []
    ran = []
    children: list[asyncio.Task[Any]] = []

    @cache(wait_timeout=None)
    async def f(key: str) -> object:
        ran.append(key)
        if key == "parent":
            children.append(asyncio.ensure_future(child()))
        else:
            await turns(10)
        return object()

    async def child() -> object:
        while not go:
            await asyncio.sleep(0)
        return await f("parent later")

    async def main() -> None:
        await f("parent")
        leader = asyncio.ensure_future(f("parent later"))
        await turns(2)
        go.append(True)
        assert await children[0] is await leader
        assert ran == ["parent", "parent later"]

    run(main, limit=AT_ONCE)
