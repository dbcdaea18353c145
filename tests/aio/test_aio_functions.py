"""Everything about async functions that is not waiting: methods, attributes, time, context."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import functools
import inspect
import pickle
import sys
import time
import warnings
from typing import Any

import pytest
from loops import Slow, run, turns

from warp_cache import CacheInfo, Strategy, cache, lru_cache
from warp_cache._decorators import AsyncCachedFunction


@cache
async def module_level(i: int) -> int:
    """Says what it does."""
    return i * 2


@lru_cache(max_size=4)
async def module_level_lru(i: int) -> int:
    return i * 3


class Owner:
    def __init__(self, name: str) -> None:
        self.name = name

    @cache
    async def method(self, i: int) -> tuple[str, int]:
        await asyncio.sleep(0)
        return (self.name, i)

    @classmethod
    @cache
    async def of_class(cls, i: int) -> tuple[str, int]:
        return (cls.__name__, i)

    @staticmethod
    @cache
    async def free(i: int) -> int:
        return i


class Heir(Owner):
    pass


def test_the_type_of_an_async_function() -> None:
    assert isinstance(module_level, AsyncCachedFunction)
    assert isinstance(module_level_lru, AsyncCachedFunction)


def test_iscoroutinefunction_of_inspect() -> None:
    assert inspect.iscoroutinefunction(module_level)
    assert inspect.iscoroutinefunction(module_level_lru)
    assert inspect.iscoroutinefunction(Owner.method)
    assert inspect.iscoroutinefunction(Owner("x").method)
    assert inspect.iscoroutinefunction(Owner.of_class)
    assert inspect.iscoroutinefunction(Owner.free)
    assert inspect.iscoroutinefunction(functools.partial(module_level, 1))
    assert not inspect.iscoroutinefunction(cache(len))
    assert not inspect.iscoroutinefunction(cache(lambda i: i))


def test_iscoroutinefunction_of_asyncio() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # since 3.14, in favour of inspect's
        assert asyncio.iscoroutinefunction(module_level)
        assert asyncio.iscoroutinefunction(Owner.method)
        assert asyncio.iscoroutinefunction(Owner("x").method)
        assert asyncio.iscoroutinefunction(Owner.free)
        assert not asyncio.iscoroutinefunction(cache(lambda i: i))


def test_attributes_of_the_function_are_kept() -> None:
    assert module_level.__name__ == "module_level"
    assert module_level.__doc__ == "Says what it does."
    assert module_level.__module__ == __name__
    assert module_level.__qualname__ == "module_level"
    assert str(inspect.signature(module_level)) == str(inspect.signature(module_level.__wrapped__))
    assert inspect.iscoroutinefunction(module_level.__wrapped__)
    assert module_level_lru.cache_parameters() == {"maxsize": 4, "typed": False}


def test_methods_bind_and_instances_are_keys() -> None:
    first, second = Owner("first"), Owner("second")

    async def main() -> None:
        assert await asyncio.gather(first.method(1), second.method(1), first.method(1)) == [
            ("first", 1),
            ("second", 1),
            ("first", 1),
        ]
        assert await Owner.method(first, 1) == ("first", 1)
        assert await first.method(i=1) == ("first", 1)
        assert await Owner.of_class(1) == await Owner("x").of_class(1) == ("Owner", 1)
        assert await Heir.of_class(1) == ("Heir", 1)
        assert await Owner.free(1) == await Owner("x").free(1) == 1

    Owner.method.cache_clear()
    run(main)
    info = Owner.method.cache_info()
    assert (info.hits, info.misses, info.currsize) == (2, 3, 2)
    assert first.method.cache_info() == info


def test_pickling_and_copying_give_the_function_itself() -> None:
    for function in (module_level, module_level_lru):
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            assert pickle.loads(pickle.dumps(function, protocol)) is function
        assert copy.copy(function) is function
        assert copy.deepcopy(function) is function


def test_get_and_set_are_synchronous() -> None:
    @cache(max_size=2)
    async def f(i: int, j: int = 0) -> int:
        return i + j

    assert f.get(1) is None
    assert f.set("set", 1) is None
    assert f.get(1) == f.get(i=1, j=0) == "set"
    assert tuple(f.cache_info()) == (0, 0, 2, 1)

    async def main() -> None:
        assert await f(1) == "set"
        assert await f(5, j=1) == 6
        assert f.get(5, 1) == 6
        assert await f(9) == 9
        assert f.cache_info().currsize == 2

    run(main)


def test_a_lifetime_counts_from_the_end_of_the_work() -> None:
    calls = []

    @cache(ttl=0.25)
    async def f(i: int) -> int:
        calls.append(i)
        await asyncio.sleep(0.3 if len(calls) == 1 else 0)
        return i

    async def main() -> None:
        assert await f(1) == 1
        assert await f(1) == 1
        assert calls == [1], "a result that took longer than its lifetime is fresh when it is there"
        await asyncio.sleep(0.4)
        assert f.get(1) is None
        assert f.cache_info().currsize == 0
        assert await f(1) == 1
        assert calls == [1, 1]

    run(main)


@pytest.mark.parametrize("strategy", Strategy)
def test_victims_are_those_of_the_strategy(strategy: Strategy) -> None:
    @cache(strategy=strategy, max_size=3)
    async def f(i: int) -> int:
        return i

    async def main() -> None:
        for i in (1, 2, 3, 1, 1, 2):
            await f(i)
        await f(4)

    run(main)
    # S3-FIFO wants two uses beyond the first: 1 has had them, 2 has not. The others spare 2.
    gone = {Strategy.MRU: 2, Strategy.FIFO: 1, Strategy.S3FIFO: 2}.get(strategy, 3)
    assert [i for i in (1, 2, 3, 4) if f.get(i) is None] == [gone]


var: contextvars.ContextVar[str] = contextvars.ContextVar("var", default="none")


def test_the_work_sees_the_context_of_its_caller() -> None:
    @cache
    async def f(i: int) -> str:
        await asyncio.sleep(0)
        return var.get()

    async def main() -> None:
        var.set("of main")
        assert await f(1) == "of main"
        context = contextvars.copy_context()
        context.run(var.set, "of a copy")
        assert await context.run(asyncio.ensure_future, f(2)) == "of a copy"

        async def child() -> str:
            var.set("of the child")
            return await f(3)

        assert await asyncio.ensure_future(child()) == "of the child"
        assert var.get() == "of main"

    run(main)


def test_the_context_is_that_of_the_leader() -> None:
    slow = Slow(lambda key: var.get())

    @cache
    async def f(key: str) -> Any:
        return await slow(key)

    async def ask(name: str) -> Any:
        var.set(name)
        return await f("key")

    async def main() -> None:
        tasks = [asyncio.ensure_future(ask(name)) for name in ("first", "second")]
        await turns()
        slow.gate.set()
        assert await asyncio.gather(*tasks) == ["first", "first"]

    run(main)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks exist since 3.12")
@pytest.mark.parametrize("debug", [False, True], ids=["", "debug mode"])
def test_eager_tasks(debug: bool) -> None:
    """With eager tasks the work may be over before the call that started it has its record."""
    calls = []

    @cache(wait_timeout=None)
    async def at_once(i: int) -> int:
        calls.append(i)
        return i

    @cache(wait_timeout=None)
    async def later(i: int) -> int:
        calls.append(i)
        await asyncio.sleep(0)
        return i

    @cache(wait_timeout=None)
    async def fails(i: int) -> int:
        raise ValueError(i)

    @cache(wait_timeout=None)
    async def again(i: int) -> int:
        return await again(i - 1) if i else 0

    async def main() -> None:
        for f in (at_once, later):
            calls.clear()
            assert await asyncio.gather(*(f(i % 3) for i in range(9))) == [0, 1, 2] * 3
            assert sorted(calls) == [0, 1, 2]
            info = f.cache_info()
            assert (info.hits + info.misses, info.currsize) == (9, 3)
        caught = await asyncio.gather(*(fails(1) for _ in range(3)), return_exceptions=True)
        assert [error.args for error in caught] == [(1,)] * 3
        assert await again(30) == 0
        task = asyncio.create_task(later(9))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await later(9) == 9

    run(main, debug=debug, factory=asyncio.eager_task_factory)


def test_generators_and_callables_that_return_awaitables_are_left_alone() -> None:
    """Only a coroutine function is async; the rest returns objects that are cached as they are."""

    # `cache` refuses it: the first caller would use its result up.
    @lru_cache
    async def agen(i: int) -> Any:
        yield i

    assert not isinstance(agen, AsyncCachedFunction)

    class Callable:
        async def __call__(self, i: int) -> int:
            return i

    async def main() -> None:
        assert await cache(functools.partial(module_level.__wrapped__, 4))() == 8

    run(main)


def test_bare_and_called_decorators_take_async_functions() -> None:
    async def plain(i: int) -> int:
        return i

    for decorator in (
        cache,
        cache(),
        lru_cache,
        lru_cache(),
        lru_cache(maxsize=None),
        cache(ttl=1),
    ):
        f = decorator(plain)

        async def main(f: Any = f) -> None:
            assert await f(1) == await f(1) == 1
            assert isinstance(f.cache_info(), CacheInfo)
            assert tuple(f.cache_info())[:2] == (1, 1)

        run(main)


def test_many_hits_leave_room_for_others() -> None:
    """A loop of hits that never suspends is fast, but a deadline still works between them."""

    @cache
    async def f(i: int) -> int:
        return i

    async def main() -> None:
        end = time.monotonic() + 0.05
        count = 0
        while time.monotonic() < end:
            await f(1)
            count += 1
        assert count > 100

    run(main)
