"""Random cancels, clears and failures among hundreds of tasks; and nothing that grows."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import sys
import weakref
from typing import Any

import pytest
from loops import run, turns
from support import Growth

from warp_cache import Strategy, cache, lru_cache

KINDS = {
    **{
        strategy.name.lower(): lambda strategy=strategy, **options: cache(strategy, **options)
        for strategy in Strategy
    },
    "lru_cache": lambda **options: lru_cache(**options),
    "alone": lambda **options: cache(single_flight=False, **options),
}


@pytest.mark.parametrize("ttl", [None, 0.002])
@pytest.mark.parametrize("max_size", [0, 1, 5, None])
@pytest.mark.parametrize("kind", KINDS)
def test_random_cancels_and_everything_else(
    kind: str, max_size: int | None, ttl: float | None
) -> None:
    dice = random.Random(f"{kind} {max_size} {ttl}")
    calls = 0
    inside = 0

    @KINDS[kind](max_size=max_size, ttl=ttl)
    async def f(i: int) -> tuple[int, str]:
        nonlocal inside
        inside += 1
        try:
            for _ in range(dice.randrange(4)):
                await asyncio.sleep(0)
            if i % 5 == 4:
                raise ValueError(i)
            if i > 20 and dice.random() < 0.5:
                await ask(i - 7)
            return (i, "computed")
        finally:
            inside -= 1

    async def ask(i: int) -> Any:
        nonlocal calls
        calls += 1
        return await f(i)

    async def one(i: int) -> None:
        try:
            value = await ask(i)
        except ValueError as error:
            assert error.args[0] % 5 == 4
        else:
            assert value[0] == i

    async def main() -> None:
        for _ in range(8):
            tasks = [asyncio.ensure_future(one(dice.randrange(30))) for _ in range(40)]
            for _ in range(10):
                await asyncio.sleep(0)
                what = dice.random()
                if what < 0.6:
                    dice.choice(tasks).cancel()
                elif what < 0.7:
                    i = dice.randrange(30)
                    f.set((i, "set"), i)
                else:
                    info = f.cache_info()
                    assert max_size is None or info.currsize <= max_size
            caught = await asyncio.gather(*tasks, return_exceptions=True)
            assert {type(error) for error in caught} <= {type(None), asyncio.CancelledError}
        await turns(10)
        assert inside == 0, "a computation was left running"

    run(main)
    info = f.cache_info()
    # A task that is cancelled before its first step has counted its call here, or not made it.
    assert info.hits + info.misses == calls
    f.cache_clear()
    assert tuple(f.cache_info()) == (0, 0, max_size, 0)


def test_random_clears() -> None:
    dice = random.Random(5)

    @cache(max_size=8)
    async def f(i: int) -> tuple[int, object]:
        for _ in range(dice.randrange(3)):
            await asyncio.sleep(0)
        return (i, object())

    async def main() -> None:
        for _ in range(60):
            tasks = [asyncio.ensure_future(f(dice.randrange(12))) for _ in range(20)]
            for _ in range(3):
                await asyncio.sleep(0)
                if dice.random() < 0.5:
                    f.cache_clear()
                if dice.random() < 0.3:
                    dice.choice(tasks).cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert f.cache_info().currsize <= 8

    run(main)


class Thing:
    pass


def test_references_are_unchanged_over_a_hundred_thousand_hits() -> None:
    key, value = Thing(), Thing()

    @cache
    async def f(key: object, word: object = None) -> Thing:
        return value

    async def main() -> None:
        async def hit(count: int) -> None:
            for _ in range(count):
                await f(key)
                await f(key, word=value)

        await hit(500)
        gc.collect()
        before = [sys.getrefcount(thing) for thing in (key, value, f, f.__wrapped__)]
        growth = Growth(blocks=200, objects=50)
        for _ in growth:
            await hit(50_000)
        assert [sys.getrefcount(thing) for thing in (key, value, f, f.__wrapped__)] == before
        growth.check()

    run(main, limit=100)
    assert f.cache_info().hits >= 100_998


async def _miss(f: Any, key: Thing) -> None:
    await f(key)
    f.cache_clear()


async def _fail(f: Any, key: Thing) -> None:
    for error in await asyncio.gather(f("fail"), f("fail"), return_exceptions=True):
        assert type(error) is ValueError


async def _cancel(f: Any, key: Thing) -> None:
    tasks = [asyncio.ensure_future(f("slow")) for _ in range(2)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _together(f: Any, key: Thing) -> None:
    await asyncio.gather(f(key), f(key), f(key))
    f.cache_clear()


async def _unhashable(f: Any, key: Thing) -> None:
    # A cache that stores nothing need not hash its arguments, and the function does not mind.
    with contextlib.suppress(TypeError):
        await f([])


async def _closed(f: Any, key: Thing) -> None:
    f(key).close()
    f.cache_clear()


TURNS = {
    turn.__name__[1:]: turn for turn in (_miss, _fail, _cancel, _together, _unhashable, _closed)
}


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("max_size", [0, 1, 128])
def test_references_are_unchanged_over_everything_else(turn: str, max_size: int) -> None:
    key, value = Thing(), Thing()

    @cache(max_size=max_size)
    async def f(key: object) -> Thing:
        if key == "fail":
            raise ValueError
        await asyncio.sleep(60 if key == "slow" else 0)
        return value

    async def main() -> None:
        async def repeat(count: int) -> None:
            for _ in range(count):
                await TURNS[turn](f, key)
            await turns(5)

        await repeat(300)
        gc.collect()
        before = [sys.getrefcount(thing) for thing in (key, value, f, f.__wrapped__)]
        growth = Growth(blocks=500, objects=50)
        for _ in growth:
            await repeat(3000)
        after = [sys.getrefcount(thing) for thing in (key, value, f, f.__wrapped__)]
        assert all(abs(a - b) <= 3 for a, b in zip(after, before, strict=True)), (before, after)
        growth.check()

    run(main, limit=100)


def test_exceptions_and_their_frames_die() -> None:
    class Trouble(Exception):
        pass

    @cache
    async def f(thing: Thing) -> None:
        await asyncio.sleep(0)
        raise Trouble

    died = []

    async def main() -> None:
        for _ in range(5):
            thing = Thing()
            died.append(weakref.ref(thing))
            caught = await asyncio.gather(*(f(thing) for _ in range(3)), return_exceptions=True)
            died.extend(map(weakref.ref, caught))
            del thing, caught

    run(main)
    gc.collect()
    assert len(died) == 20
    assert [ref() for ref in died if ref() is not None] == []


def test_values_die_when_they_are_evicted_or_cleared() -> None:
    died = []

    @cache(max_size=2)
    async def f(i: int) -> Thing:
        await asyncio.sleep(0)
        thing = Thing()
        died.append(weakref.ref(thing))
        return thing

    async def main() -> None:
        for i in range(30):
            await f(i)
            await f(i)
            gc.collect()
            assert sum(ref() is not None for ref in died) <= 2
        f.cache_clear()
        gc.collect()
        assert sum(ref() is not None for ref in died) == 0

    run(main)
