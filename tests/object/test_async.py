"""The cache object in coroutines, and memoized functions."""

from __future__ import annotations

import asyncio
import contextvars
import gc
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from warp_cache import Cache
from warp_cache._object import operations
from warp_cache._object.loading import Request

Make = Callable[..., Cache[Any, Any]]


def test_one_computation_for_a_loop(make: Make) -> None:
    async def main() -> None:
        cache = make()
        calls: list[int] = []

        async def compute() -> int:
            calls.append(1)
            await asyncio.sleep(0.01)
            return 7

        assert await asyncio.gather(*(cache.get_or_set("a", compute) for _ in range(5))) == [7] * 5
        assert calls == [1]
        assert await cache.get_or_set("a", compute) == 7
        assert await cache.aget_or_set("b", lambda: 8) == 8
        assert await cache.aget_or_set("c", lambda: compute()) == 7  # noqa: PLW0108
        assert await cache.aget("b") == 8

    asyncio.run(main())


def test_twins(make: Make) -> None:
    async def main() -> None:
        cache = make()
        assert await cache.aset("a", 1, ttl=100)
        assert not await cache.aadd("a", 2)
        assert await cache.aincr("a") == 2
        assert await cache.areplace("a", 2, 3)
        assert await cache.atouch("a", 50)
        assert 49 < await cache.attl("a") <= 50

        async def double(old: Any) -> Any:
            await asyncio.sleep(0)
            return old * 2

        assert await cache.acompute("a", double) == 6
        assert await cache.apop("a") == 6
        assert await cache.aset_many({"b": 1, "c": 2}) == []
        assert await cache.aget_many(["b", "c", "d"]) == {"b": 1, "c": 2}
        assert await cache.adelete("b")
        assert await cache.adelete_many(["c", "d"]) == 1
        async with cache.lock("x"):
            assert cache.lock("x").locked()
            assert not await cache.lock("x").aacquire(blocking=False)

    asyncio.run(main())


def test_memoized_functions_share_a_cache(make: Make) -> None:
    cache = make()
    calls: list[Any] = []

    @cache.memoize
    def square(x: int, y: int = 0) -> int:
        calls.append(x)
        return x * x + y

    @cache.memoize(ttl=100, tags="t{x}", ignore=("other",))
    def cube(x: int, other: object = None) -> int:
        calls.append(x)
        return x**3

    assert square(3) == square(x=3) == square(3, y=0) == 9
    assert cube(3, []) == cube(3, {}) == 27
    assert calls == [3, 3]
    assert len(cache) == 0
    assert list(cache) == []
    assert not cache
    assert cache == {}
    with pytest.raises(KeyError):
        cache.popitem()
    if not cache.options()["remote"]:
        assert cache.info().currsize == 2
    assert square.get(3) == 9
    assert square.cache_contains(3)
    assert 99 < (cube.cache_ttl(3) or 0) <= 100
    cube.cache_invalidate_tags("t3")
    assert not cube.cache_contains(3)
    square.cache_put(10, (4,))
    assert square(4) == 10
    assert square.cache_refresh(4) == 16
    assert square(4) == 16
    assert square.cache_invalidate(4)
    cube(3)
    square.cache_clear()
    assert square.get(3) is None
    assert cube.get(3) == 27
    cache.clear()
    assert cube.get(3) is None


def test_tags_of_memoized_functions_leave_room_for_their_own(make: Make) -> None:
    cache = make()
    many = [f"tag {n}" for n in range(16)]
    with pytest.raises(ValueError, match="at most 7"):
        cache.memoize(tags=many)(abs)

    @cache.memoize(tags=lambda x: many[:x])
    def function(x: int) -> int:
        return -x

    assert function(7) == -7
    with pytest.raises(ValueError, match="at most 7"):
        function(8)
    with pytest.raises(ValueError, match="at most 7"):
        function.cache_put(1, (2,), tags=many)
    function.cache_put(1, (2,), tags=many[:7])
    function.cache_clear()
    assert not function.cache_contains(7)
    assert not function.cache_contains(2)


@pytest.mark.filterwarnings("ignore:.*iscoroutinefunction:DeprecationWarning")
def test_memoized_methods_and_coroutine_functions(make: Make) -> None:
    cache = make()
    calls: list[int] = []

    @cache.memoize
    async def load(x: int) -> int:
        calls.append(x)
        await asyncio.sleep(0)
        return x + 1

    async def main() -> None:
        assert await asyncio.gather(load(1), load(1)) == [2, 2]
        assert await load(1) == 2

    asyncio.run(main())
    assert calls == [1]
    assert asyncio.iscoroutinefunction(load)
    if cache.options()["backend"] == "memory" and not cache.options()["remote"]:

        class Thing:
            @cache.memoize
            def method(self, x: int) -> int:
                return x

        thing = Thing()
        assert thing.method(5) == 5
        assert thing.method.cache_contains(5)
        assert not Thing().method.cache_contains(5)


def _elsewhere(coroutine: Coroutine[Any, Any, Any], how: str) -> None:
    """Close a coroutine, or let it be collected, in another context than this one."""
    if how == "close":
        contextvars.Context().run(coroutine.close)
        return
    kept = [coroutine]
    del coroutine
    contextvars.Context().run(kept.clear)


@pytest.mark.parametrize("how", ["close", "collect"])
@pytest.mark.parametrize("what", ["get_or_set", "aget_or_set", "memoize", "refresh"])
def test_closed_in_another_context(
    make: Make, what: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, unraisable = make(), list[object]()
    monkeypatch.setattr("sys.unraisablehook", unraisable.append)

    async def main() -> None:
        ready = asyncio.get_running_loop().create_future()

        async def compute(*_: object) -> int:
            await ready
            return 7

        memoized = cache.memoize(compute)
        asked = {
            "get_or_set": lambda: cache.get_or_set("a", compute),
            "aget_or_set": lambda: cache.aget_or_set("a", compute),
            "memoize": lambda: memoized(1),
            "refresh": lambda: memoized.cache_refresh(1),
        }[what]
        coroutine = asked()
        # Driven by hand in this context, until it waits.
        coroutine.send(None)
        kept = [coroutine]
        del coroutine
        _elsewhere(kept.pop(), how)
        ready.set_result(None)
        for _ in range(10):
            await asyncio.sleep(0)
        # What it was asked for is nobody else's.
        assert cache.get_or_set("b", lambda: 8) == 8
        assert await asked() == 7

    asyncio.run(main())
    gc.collect()
    assert unraisable == []


@pytest.mark.parametrize("how", ["get_or_set", "aget_or_set"])
def test_a_plain_call_waits_for_no_task_of_its_own_thread(make: Make, how: str) -> None:
    """The task goes on only once the thread is back in the loop."""
    # (Whoever waits hangs: there is no bound.)
    cache = make(wait_timeout=None)

    async def main() -> None:
        began, go_on = asyncio.Event(), asyncio.Event()

        async def compute() -> str:
            began.set()
            await go_on.wait()
            return "of the task"

        task = asyncio.ensure_future(getattr(cache, how)("a", compute))
        # (With a server, it is asked before that.)
        await began.wait()
        assert not task.done()
        assert cache.get_or_set("a", lambda: "of the call") == "of the call"
        assert cache.get_or_set("b", lambda: "another") == "another"
        go_on.set()
        assert await task == "of the task"
        # As where there is no task: what is there is a hit.
        assert cache.get_or_set("a", lambda: "anew") in ("of the call", "of the task")

    asyncio.run(main())


def test_a_plain_call_waits_for_no_refresh_of_its_own_thread(make: Make) -> None:
    cache = make(wait_timeout=None)
    go_on: list[asyncio.Event] = []

    async def compute(n: int) -> str:
        await go_on[0].wait()
        return "of the task"

    memoized = cache.memoize(compute)

    async def main() -> None:
        go_on.append(asyncio.Event())
        task = asyncio.ensure_future(memoized.cache_refresh(1))
        await asyncio.sleep(0.05)
        assert not task.done()
        # The loader that the refresh is of, as a plain `get_or_set` calls it.
        asked = Request(lambda: "of the call", ..., (), awaits=False)
        assert operations.load(cache, memoized._key((1,), {}), asked) == "of the call"
        go_on[0].set()
        assert await task == "of the task"

    asyncio.run(main())
