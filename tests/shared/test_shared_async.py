"""Coroutine functions in the shared backend: one computation in a loop, and over processes."""

from __future__ import annotations

import asyncio
import gc
import inspect
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest
import support

from warp_cache import SharedCacheInfo, cache, lru_cache
from warp_cache._decorators import AsyncCachedFunction


def run(function: Callable[[], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        return await asyncio.wait_for(function(), support.LIMIT)

    return asyncio.run(main())


@pytest.mark.parametrize("decorate", [cache, lru_cache])
def test_a_hit_and_a_miss(decorate: Any) -> None:
    calls = []

    @decorate(backend="shared")
    async def function(x: int) -> dict[str, list[int]]:
        calls.append(x)
        await asyncio.sleep(0)
        return {"a": [x]}

    assert isinstance(function, AsyncCachedFunction)
    assert inspect.iscoroutinefunction(function)

    async def main() -> None:
        for _ in range(4):
            value = await function(1)
            assert value == {"a": [1]}
            value["a"].append(2)
        assert function.get(1) == {"a": [1]}
        function.set({"b": []}, 2)
        (await function(2))["b"].append(1)
        assert await function(2) == {"b": []}

    run(main)
    assert calls == [1]
    info = function.cache_info()
    assert type(info) is SharedCacheInfo and info == (5, 1, 128, 2)


def test_a_hit_does_not_suspend() -> None:
    @cache(backend="shared")
    async def function(x: int) -> int:
        return x

    run(lambda: function(1))
    coroutine = function(1)
    with pytest.raises(StopIteration) as stopped:
        coroutine.send(None)
    assert stopped.value.value == 1


def test_one_computation_in_a_loop() -> None:
    calls = []

    @cache(backend="shared")
    async def function(x: int) -> list[int]:
        calls.append(x)
        await asyncio.sleep(0.05)
        return [x]

    async def main() -> list[list[int]]:
        return await asyncio.gather(*(function(1) for _ in range(5)))

    found = run(main)
    assert found == [[1]] * 5 and calls == [1]
    assert len({id(one) for one in found}) == 5
    assert function.cache_info() == (0, 5, 128, 1)


@support.uncacheable
def test_what_cannot_be_stored() -> None:
    @cache(backend="shared", max_value_size=100)
    async def function(x: int) -> Any:
        await asyncio.sleep(0.01)
        return (lambda: x) if x < 5 else bytes(x)

    async def main() -> None:
        one, two = await asyncio.gather(function(1), function(1))
        assert one() == two() == 1
        assert await function(200) == await function(200) == bytes(200)

    run(main)
    info = function.cache_info()
    assert info == (0, 4, 128, 0) and info.oversize_skips == 3


@support.uncacheable
@pytest.mark.parametrize("why", ["expired", "too large", "cleared", "evicted", "set"])
@pytest.mark.parametrize("pickled", [False, True])
def test_what_is_not_there_any_more_is_each_callers_own(why: str, pickled: bool) -> None:
    calls = []
    options: dict[str, Any] = {"expired": {"ttl": 1e-6}, "too large": {"max_value_size": 9}}.get(
        why, {}
    )

    @cache(backend="shared", max_size=1, **options)
    async def function(x: int) -> list[Any]:
        calls.append(x)
        await asyncio.sleep(0.01)
        if why == "cleared":
            function.cache_clear()
        if why == "set":
            function.set(["set"], x)
            function.cache_clear()
        return [Decimal(x)] if pickled else [x]

    async def call(x: int) -> list[Any]:
        found = await function(x)
        if why == "evicted":
            function.set([], 100)
        found.append("seen")
        return found

    async def main() -> list[list[Any]]:
        return await asyncio.gather(*(call(1) for _ in range(5)))

    found = run(main)
    assert found == [[1, "seen"]] * 5 and calls == [1]
    assert len({id(one) for one in found}) == 5


@support.uncacheable
def test_a_key_that_cannot_be_stored() -> None:
    @cache(backend="shared")
    async def function(x: object) -> int:
        await asyncio.sleep(0.01)
        return 1

    async def main() -> None:
        key = object()
        assert await asyncio.gather(function(key), function(key)) == [1, 1]

    run(main)
    info = function.cache_info()
    assert info == (0, 2, 128, 0) and info.oversize_skips == 2


def test_exceptions() -> None:
    @cache(backend="shared")
    async def function(x: int) -> int:
        await asyncio.sleep(0.01)
        raise ValueError("no")

    async def main() -> list[Any]:
        return await asyncio.gather(*(function(1) for _ in range(3)), return_exceptions=True)

    found = run(main)
    assert [type(error) for error in found] == [ValueError] * 3
    assert len({id(error) for error in found}) == 3
    assert function.cache_info() == (0, 3, 128, 0)


def test_size_zero_and_ttl_and_clear() -> None:
    calls = []

    @cache(backend="shared", max_size=0)
    async def nothing(x: int) -> int:
        return x

    @cache(backend="shared", ttl=0.15)
    async def short(x: int) -> int:
        calls.append(x)
        return x

    @cache(backend="shared")
    async def clearing(x: int) -> int:
        clearing.cache_clear()
        return x

    async def main() -> None:
        assert await nothing(1) == await nothing(1) == 1
        await short(1)
        await short(1)
        await asyncio.sleep(0.2)
        await short(1)
        assert await clearing(1) == 1

    run(main)
    assert nothing.cache_info() == (0, 2, 0, 0)
    assert calls == [1, 1]
    assert clearing.get(1) is None


@support.uncacheable
def test_methods() -> None:
    class Shop:
        @cache(backend="shared", name="kind")
        async def price(self, x: int) -> int:
            return x

        @classmethod
        @cache(backend="shared")
        async def kind(cls, x: int) -> str:
            return f"{cls.__name__} {x}"

        def __reduce__(self) -> Any:
            return (Shop, ())

    async def main() -> None:
        assert await Shop().price(1) == 1
        assert await Shop.kind(1) == await Shop().kind(1) == "Shop 1"

    run(main)


def test_a_call_that_asks_for_itself() -> None:
    depth = 0

    @cache(backend="shared", wait_timeout=20)
    async def function(x: int) -> int:
        nonlocal depth
        depth += 1
        return await function(x) if depth < 3 else depth

    began = time.monotonic()
    assert run(lambda: function(1)) == 3
    assert time.monotonic() - began < 5


def test_the_last_waiter_cancelled_gives_the_lease_back() -> None:
    calls = []

    @cache(backend="shared")
    async def function(x: int) -> int:
        calls.append(x)
        if len(calls) == 1:
            await asyncio.sleep(60)
        return x

    async def main() -> None:
        task = asyncio.create_task(function(1))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await function(1) == 1

    began = time.monotonic()
    run(main)
    assert calls == [1, 1] and time.monotonic() - began < 5


def test_a_loop_that_is_closed_in_the_middle() -> None:
    calls = []

    @cache(backend="shared")
    async def function(x: int) -> int:
        calls.append(x)
        if len(calls) == 1:
            await asyncio.sleep(60)
        return x

    async def leave() -> None:
        asyncio.get_running_loop().create_task(function(1))  # type: ignore[arg-type] # noqa: RUF006
        await asyncio.sleep(0.05)

    run(leave)
    gc.collect()
    assert run(lambda: function(1)) == 1


@pytest.mark.parametrize("known", [False, True], ids=["a new loop", "a loop that was there"])
def test_a_closed_loop_leaves_no_lease_behind(known: bool) -> None:
    """Whoever comes later in this process does not wait for what will never end."""
    slow = [30.0]

    @cache(backend="shared", wait_timeout=None)
    async def function(x: int) -> int:
        await asyncio.sleep(slow[0])
        return x

    async def begin() -> asyncio.Task[int]:
        task = asyncio.ensure_future(function(1))
        await asyncio.sleep(0.05)
        return task

    async def bounded(x: int) -> int:
        return await asyncio.wait_for(function(x), 10)

    closed, other = asyncio.new_event_loop(), asyncio.new_event_loop()
    if known:
        slow[0] = 0
        assert other.run_until_complete(bounded(2)) == 2
        slow[0] = 30
    task = closed.run_until_complete(begin())
    closed.close()
    slow[0] = 0
    assert other.run_until_complete(bounded(1)) == 1
    other.close()
    assert not task.done()
    task._log_destroy_pending = False  # type: ignore[attr-defined]
