"""One computation for all coroutines of a loop that ask; exceptions reach each as its own."""

from __future__ import annotations

import asyncio
import traceback
from typing import Any

import pytest
from loops import Slow, run, turns

from warp_cache import Strategy, cache, lru_cache

FLYING = {
    "cache": cache,
    "lru_cache": lru_cache,
    "with ttl": cache(ttl=60),
    "of one": cache(max_size=1),
    "unbounded": cache(max_size=None),
    "of two, with ttl": lru_cache(ttl=5, max_size=2),
    **{strategy.name.lower(): cache(strategy) for strategy in Strategy},
    "typed": cache(typed=True),
}


@pytest.fixture(params=FLYING)
def decorator(request: pytest.FixtureRequest) -> Any:
    return FLYING[request.param]


@pytest.mark.parametrize("debug", [False, True], ids=["", "debug mode"])
def test_one_computation_one_object(decorator: Any, debug: bool) -> None:
    slow = Slow()

    @decorator
    async def f(key: str) -> Any:
        return await slow(key)

    async def main() -> None:
        tasks = [asyncio.ensure_future(f("key")) for _ in range(50)]
        await turns()
        assert len(slow.calls) == 1
        assert f.cache_info().currsize == 0, "a computation in flight is no entry yet"
        assert f.get("key") is None
        slow.gate.set()
        values = await asyncio.gather(*tasks)
        assert all(value is values[0] for value in values)
        assert len(slow.calls) == 1
        info = f.cache_info()
        assert (info.hits, info.misses, info.currsize) == (0, 50, 1)
        assert await f("key") is values[0]
        assert f.cache_info().hits == 1

    run(main, debug=debug)


def test_other_keys_do_not_wait() -> None:
    slow = Slow()

    @cache
    async def f(key: object) -> Any:
        return await slow(key) if key == "slow" else key

    async def main() -> None:
        task = asyncio.ensure_future(f("slow"))
        await turns()
        assert [await f(i) for i in range(20)] == list(range(20))
        assert not task.done()
        slow.gate.set()
        await task

    run(main)


def test_every_spelling_of_a_call_waits_for_the_same_computation() -> None:
    slow = Slow()

    @cache
    async def f(a: int, b: int, c: int = 3) -> Any:
        return await slow(a, b, c)

    async def main() -> None:
        tasks = [
            asyncio.ensure_future(call)
            for call in (f(1, 2), f(1, b=2), f(b=2, a=1), f(1, 2, 3), f(c=3, b=2, a=1))
        ]
        await turns()
        slow.gate.set()
        assert len({id(value) for value in await asyncio.gather(*tasks)}) == 1
        assert slow.calls == [(1, 2, 3)]

    run(main)


def test_without_single_flight_each_caller_computes() -> None:
    slow = Slow()

    for decorator in (cache(single_flight=False), lru_cache(single_flight=False)):

        @decorator
        async def f(key: str) -> Any:
            return await slow(key)

        async def main(f: Any = f) -> None:
            tasks = [asyncio.ensure_future(f("key")) for _ in range(4)]
            await turns()
            slow.gate.set()
            assert len({id(value) for value in await asyncio.gather(*tasks)}) == 4
            assert tuple(f.cache_info())[:2] == (0, 4)

        slow.__init__()  # type: ignore[misc]
        run(main)
        assert len(slow.calls) == 4


@pytest.mark.parametrize("debug", [False, True], ids=["", "debug mode"])
def test_an_exception_reaches_every_waiter_as_its_own(decorator: Any, debug: bool) -> None:
    def fail(*args: Any) -> None:
        try:
            raise KeyError("cause")
        except KeyError as error:
            raise ValueError("no", 42) from error

    slow = Slow(fail)

    @decorator
    async def failing_function(key: str) -> Any:
        return await slow(key)

    async def main() -> None:
        tasks = [asyncio.ensure_future(failing_function("key")) for _ in range(6)]
        await turns()
        slow.gate.set()
        caught = await asyncio.gather(*tasks, return_exceptions=True)
        assert len(slow.calls) == 1
        assert len({id(error) for error in caught}) == 6
        for error in caught:
            assert type(error) is ValueError
            assert error.args == ("no", 42)
            assert isinstance(error.__cause__, KeyError)
            names = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
            assert "failing_function" in names, names
        info = failing_function.cache_info()
        assert (info.hits, info.misses, info.currsize) == (0, 6, 0)
        # Nothing of it is cached.
        slow.result = lambda key: "now it works"
        assert await failing_function("key") == "now it works"

    run(main, debug=debug)


def test_an_exception_that_cannot_be_copied_reaches_everybody() -> None:
    class Awkward(Exception):
        def __init__(self, first: int, second: int) -> None:
            super().__init__(f"{first} {second}")

        def __reduce__(self) -> Any:
            raise RuntimeError("no")

    def fail(*args: Any) -> None:
        raise Awkward(1, 2)

    slow = Slow(fail)
    f = cache(slow.__call__)

    async def main() -> None:
        tasks = [asyncio.ensure_future(f("key")) for _ in range(3)]
        await turns()
        slow.gate.set()
        for error in await asyncio.gather(*tasks, return_exceptions=True):
            assert type(error) is Awkward
            assert error.args == ("1 2",)

    run(main)


def test_stop_iteration_from_the_function_is_the_runtime_error_of_a_coroutine() -> None:
    @cache
    async def f(i: int) -> int:
        raise StopIteration(i)

    async def main() -> None:
        for _ in range(2):
            with pytest.raises(RuntimeError, match="StopIteration"):
                await f(1)

    run(main)


def test_an_exception_that_only_one_awaits_is_no_noise() -> None:
    """Others asked and went away: nobody may hear 'exception was never retrieved'."""

    def fail(*args: Any) -> None:
        raise ValueError("no")

    slow = Slow(fail)

    @cache
    async def f(key: str) -> Any:
        return await slow(key)

    async def main() -> None:
        tasks = [asyncio.ensure_future(f("key")) for _ in range(4)]
        await turns()
        for task in tasks[:3]:
            task.cancel()
        await turns()
        slow.gate.set()
        with pytest.raises(ValueError, match="no"):
            await tasks[3]
        for task in tasks[:3]:
            with pytest.raises(asyncio.CancelledError):
                await task

    run(main, debug=True)


def test_clearing_during_the_computation() -> None:
    slow = Slow()

    @cache
    async def f(key: str) -> Any:
        return await slow(key)

    async def main() -> None:
        before = [asyncio.ensure_future(f("key")) for _ in range(3)]
        await turns()
        f.cache_clear()
        assert tuple(f.cache_info()) == (0, 0, 128, 0)
        after = [asyncio.ensure_future(f("key")) for _ in range(3)]
        await turns()
        assert len(slow.calls) == 2, "who comes after the clearing begins anew, all together"
        slow.gate.set()
        old, new = await asyncio.gather(*before), await asyncio.gather(*after)
        assert len(set(map(id, old))) == len(set(map(id, new))) == 1
        assert old[0] is not new[0]
        assert await f("key") is new[0], "a result from before the clearing is not stored"
        assert len(slow.calls) == 2

    run(main)


def test_clearing_with_nobody_after_it_leaves_the_cache_empty() -> None:
    slow = Slow()

    @cache
    async def f(key: str) -> Any:
        return await slow(key)

    async def main() -> None:
        task = asyncio.ensure_future(f("key"))
        await turns()
        f.cache_clear()
        slow.gate.set()
        await task
        assert f.cache_info().currsize == 0
        assert f.get("key") is None

    run(main)


def test_set_during_the_computation() -> None:
    slow = Slow(lambda key: "computed")

    @cache
    async def f(key: str) -> Any:
        return await slow(key)

    async def main() -> None:
        tasks = [asyncio.ensure_future(f("key")) for _ in range(3)]
        await turns()
        f.set("set", "key")
        assert await f("key") == "set"
        slow.gate.set()
        assert await asyncio.gather(*tasks) == ["computed"] * 3
        assert await f("key") == "set"
        assert len(slow.calls) == 1

    run(main)


def test_many_keys_pending_in_a_cache_for_one() -> None:
    slow = Slow(lambda key: ("value of", key))

    @cache(max_size=1)
    async def f(key: int) -> Any:
        return await slow(key)

    async def main() -> None:
        tasks = [asyncio.ensure_future(f(i % 40)) for i in range(120)]
        await turns()
        assert len(slow.calls) == 40
        slow.gate.set()
        assert await asyncio.gather(*tasks) == [("value of", i % 40) for i in range(120)]
        info = f.cache_info()
        assert (info.hits, info.misses, info.currsize) == (0, 120, 1)

    run(main)


def test_a_zero_size_answers_everybody_and_stores_nothing() -> None:
    @cache(max_size=0)
    async def f(i: int) -> int:
        await asyncio.sleep(0)
        return i

    async def main() -> None:
        assert await asyncio.gather(*(f(i % 3) for i in range(9))) == [i % 3 for i in range(9)]

    run(main)
    assert tuple(f.cache_info()) == (0, 9, 0, 0)
