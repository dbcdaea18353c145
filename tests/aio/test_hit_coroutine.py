"""What a call of an async function returns is a coroutine like any other; a hit never suspends."""

from __future__ import annotations

import asyncio
import collections.abc
import gc
import inspect
import warnings
import weakref
from typing import Any

import pytest
from loops import run

from warp_cache import Strategy, cache, lru_cache

DECORATORS = {
    "cache": cache,
    "lru_cache": lru_cache,
    "with ttl": cache(ttl=60),
    **{strategy.name.lower(): cache(strategy) for strategy in Strategy},
    "alone": cache(single_flight=False),
}


def filled(decorator: Any, *values: Any) -> Any:
    """An async function with its values already in the cache: all calls 0, 1, … are hits."""

    @decorator
    async def f(i: int) -> Any:
        raise AssertionError("this is no hit")

    for i, value in enumerate(values):
        f.set(value, i)
    return f


@pytest.fixture(params=DECORATORS)
def decorator(request: pytest.FixtureRequest) -> Any:
    return DECORATORS[request.param]


def test_a_hit_is_a_coroutine_of_the_abc(decorator: Any) -> None:
    f = filled(decorator, "value")
    hit = f(0)
    assert isinstance(hit, collections.abc.Coroutine)
    assert isinstance(hit, collections.abc.Awaitable)
    assert asyncio.iscoroutine(hit)
    assert inspect.isawaitable(hit)
    for name in ("send", "throw", "close", "__await__"):
        assert callable(getattr(hit, name))
    hit.close()


def test_a_miss_is_a_coroutine_of_the_abc(decorator: Any) -> None:
    @decorator
    async def f(i: int) -> int:
        return i

    miss = f(0)
    assert isinstance(miss, collections.abc.Coroutine)
    assert asyncio.iscoroutine(miss)
    miss.close()


def test_a_hit_never_suspends(decorator: Any) -> None:
    value = object()
    f = filled(decorator, value)
    with pytest.raises(StopIteration) as stop:
        f(0).send(None)
    assert stop.value.value is value

    async def main() -> int:
        turned = 0

        def turn() -> None:
            nonlocal turned
            turned += 1
            loop.call_soon(turn)

        loop = asyncio.get_running_loop()
        handle = loop.call_soon(turn)
        for _ in range(1000):
            assert await f(0) is value
        handle.cancel()
        return turned

    assert asyncio.run(main()) == 0, "the loop ran between hits"


AWKWARD_VALUES = {
    "None": None,
    "a tuple": (1, 2),
    "an empty tuple": (),
    "an exception": ValueError("as a value"),
    "an exception class": ValueError,
    "StopIteration": StopIteration(5),
    "StopIteration class": StopIteration,
    "StopAsyncIteration": StopAsyncIteration(5),
    "GeneratorExit": GeneratorExit(),
    "a function": len,
    "NotImplemented": NotImplemented,
}


@pytest.mark.parametrize("value", AWKWARD_VALUES)
def test_a_hit_returns_the_very_object_whatever_it_is(decorator: Any, value: str) -> None:
    """StopIteration makes something else of a tuple or an exception if one is not careful."""
    expected = AWKWARD_VALUES[value]

    @decorator
    async def f(i: int) -> Any:
        return expected

    async def main() -> None:
        assert await f(0) is expected
        assert await f(0) is expected
        assert await asyncio.ensure_future(f(0)) is expected
        assert f.cache_info().hits == 2

    run(main)


def test_awaiting_twice_is_the_error_of_a_native_coroutine(decorator: Any) -> None:
    f = filled(decorator, "value")

    async def native() -> str:
        return "value"

    def error(coroutine: Any) -> str:
        with pytest.raises(StopIteration):
            coroutine.send(None)
        with pytest.raises(RuntimeError) as caught:
            coroutine.send(None)
        with pytest.raises(RuntimeError):
            coroutine.throw(ValueError())
        return str(caught.value)

    assert error(f(0)) == error(native())

    async def main() -> None:
        hit = f(0)
        assert await hit == "value"
        with pytest.raises(RuntimeError, match="already awaited"):
            await hit

    run(main)


def test_send_of_a_value_to_a_fresh_hit_is_a_type_error(decorator: Any) -> None:
    hit = filled(decorator, "value")(0)
    with pytest.raises(TypeError, match="just-started"):
        hit.send("something")
    hit.close()


def test_throw_into_a_fresh_hit_comes_out_again(decorator: Any) -> None:
    f = filled(decorator, "value")
    trouble = LookupError("thrown")
    hit = f(0)
    with pytest.raises(LookupError) as caught:
        hit.throw(trouble)
    assert caught.value is trouble
    with pytest.raises(RuntimeError, match="already awaited"):
        hit.send(None)
    assert f.get(0) == "value"


def test_close_ends_a_hit(decorator: Any) -> None:
    hit = filled(decorator, "value")(0)
    hit.close()
    hit.close()
    with pytest.raises(RuntimeError):
        hit.send(None)


def test_the_iterator_of_await_is_one_of_a_coroutine(decorator: Any) -> None:
    f = filled(decorator, "value")
    steps = f(0).__await__()
    with pytest.raises(StopIteration) as stop:
        next(steps)
    assert stop.value.value == "value"

    async def through_yield_from() -> str:
        class Wrapper:
            def __await__(self) -> Any:
                return (yield from f(0).__await__())

        return await Wrapper()

    assert run(through_yield_from) == "value"


def test_every_way_of_asyncio_takes_a_hit_and_a_miss(decorator: Any) -> None:
    @decorator
    async def f(i: int) -> int:
        await asyncio.sleep(0)
        return i

    async def main() -> None:
        for _ in range(2):
            assert await asyncio.create_task(f(1)) == 1
            assert await asyncio.gather(f(1), f(2), f(1)) == [1, 2, 1]
            assert await asyncio.wait_for(f(3), 5) == 3
            assert await asyncio.ensure_future(f(4)) == 4
            assert await asyncio.shield(f(5)) == 5
            done, pending = await asyncio.wait([asyncio.ensure_future(f(i)) for i in (6, 7)])
            assert sorted(task.result() for task in done) == [6, 7] and not pending
            assert [await step for step in asyncio.as_completed([f(8), f(8)])] == [8, 8]

    run(main)
    run(main, debug=True)
    assert asyncio.run(f(9)) == 9
    assert asyncio.run(f(9)) == 9
    loop = asyncio.new_event_loop()
    try:
        assert loop.run_until_complete(f(9)) == 9
    finally:
        loop.close()


def test_run_coroutine_threadsafe_takes_a_hit_and_a_miss() -> None:
    @cache
    async def f(i: int) -> int:
        await asyncio.sleep(0)
        return i

    async def main() -> None:
        loop = asyncio.get_running_loop()

        def other_thread() -> list[int]:
            futures = [asyncio.run_coroutine_threadsafe(f(i % 2), loop) for i in range(6)]
            return [future.result(10) for future in futures]

        assert await loop.run_in_executor(None, other_thread) == [0, 1] * 3

    run(main)


def test_a_hit_that_nobody_awaits_is_harmless(decorator: Any) -> None:
    f = filled(decorator, "value")
    with warnings.catch_warnings():
        # As with any coroutine, Python may warn that it was never awaited.
        warnings.simplefilter("ignore", RuntimeWarning)
        for _ in range(1000):
            f(0)
        gc.collect()
    with pytest.raises(StopIteration):
        f(0).send(None)
    assert f.cache_info().hits == 1001


def test_a_miss_that_nobody_awaits_computes_nothing_and_blocks_nobody(decorator: Any) -> None:
    calls = []

    @decorator
    async def f(i: int) -> int:
        calls.append(i)
        return i

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        f(1)
        gc.collect()
    closed = f(1)
    closed.close()

    async def main() -> None:
        assert await f(1) == 1

    run(main)
    assert calls == [1]


def test_hit_or_miss_is_decided_when_called(decorator: Any) -> None:
    f = filled(decorator, "value")
    hit = f(0)
    assert f.cache_info().hits == 1
    f.cache_clear()
    with pytest.raises(StopIteration) as stop:
        hit.send(None)
    assert stop.value.value == "value", "the hit holds what it found"

    @decorator
    async def g(i: int) -> int:
        return i

    async def main() -> None:
        misses = [g(1), g(1)]
        assert tuple(g.cache_info())[:2] == (0, 2)
        for miss in misses:
            assert await miss == 1
        assert tuple(g.cache_info())[:2] == (0, 2)
        assert await g(1) == 1
        assert tuple(g.cache_info())[:2] == (1, 2)

    run(main)


def test_arguments_are_checked_when_called(decorator: Any) -> None:
    @decorator
    async def f(i: int) -> int:
        return i

    with pytest.raises(TypeError, match="unhashable"):
        f([])

    async def main() -> None:
        for wrong in (lambda: f(), lambda: f(1, 2), lambda: f(other=1)):
            with pytest.raises(TypeError, match="f\\(\\)"):
                await wrong()

    run(main)
    assert f.cache_info().currsize == 0


def test_a_hit_keeps_its_value_alive_and_nothing_afterwards() -> None:
    class Value:
        pass

    f = filled(cache, Value())
    died = weakref.ref(f.get(0))
    hit = f(0)
    f.cache_clear()
    assert died() is not None
    hit.close()
    del hit
    gc.collect()
    assert died() is None
