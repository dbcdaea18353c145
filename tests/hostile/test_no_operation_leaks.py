"""Operations done many times leave behind neither objects nor bytes of the extension module."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import gc
import itertools
import pickle
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import support

from warp_cache import Cache, Strategy, cache, lru_cache

Turn = Callable[[], object]
Turns = dict[str, Turn]

ROUNDS = 800
# What may stay for a while, and what may stay of each round: a leak is one block, or 16 bytes.
BLOCKS = (1500 if support.FREE_THREADED else 100, 0.25)
BYTES = (1_000_000 if support.FREE_THREADED else 20_000, 8)

numbers = itertools.count()


class Boom(Exception):
    pass


class Unequal:
    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        raise Boom


def check(turn: Turn) -> None:
    """A leak goes on: what stays must be within the bounds after some rounds, or after more."""
    for _ in range(ROUNDS // 2):
        turn()
    gc.collect()
    blocks, size = sys.getallocatedblocks(), support.allocated()
    stayed = []
    for rounds in range(ROUNDS, 4 * ROUNDS, ROUNDS):
        for _ in range(ROUNDS):
            turn()
        gc.collect()
        grown = 0 if size is None else (support.allocated() or 0) - size
        stayed.append((sys.getallocatedblocks() - blocks, grown))
        limits = [some + each * rounds for some, each in (BLOCKS, BYTES)]
        if all(grown < limit for grown, limit in zip(stayed[-1], limits, strict=True)):
            return
    raise AssertionError(f"blocks and bytes that stayed after each {ROUNDS} rounds: {stayed}")


def tried(call: Turn, *, error: type[BaseException] = Exception) -> None:
    with contextlib.suppress(error):
        call()


def body(x: Any = 0, *rest: Any) -> list[Any]:
    return [x]


def fail(x: Any = 0, *rest: Any) -> Any:
    raise Boom


def fresh() -> int:
    return next(numbers)


DECORATORS: dict[str, Callable[..., Any]] = {
    "plain": cache(max_size=16),
    "lru_cache": lru_cache(max_size=16, single_flight=True),
    **{f"{strategy.name}": cache(strategy, max_size=16, ttl=1000) for strategy in Strategy},
    "size 0": cache(max_size=0),
    "controlled": cache(
        max_size=16,
        ttl=lambda value: 1000,
        tags=lambda *args: ["a", f"t{args and args[0]}"],
        cache_if=lambda value: value != [7],
        on_removal=lambda call, value, cause: None,
        cache_exceptions={Boom: 1000},
        copy=True,
    ),
    "weighed": cache(
        max_weight=50, weigher=lambda value: 3, stale_while_revalidate=9, ttl=1000, jitter=0.1
    ),
    "keyed": cache(max_size=16, key=lambda *args, **named: args, tti=1000, copy="pickle"),
    "expiring": cache(max_size=16, ttl=1e-6, stale_if_error=1e-6),
    "shared": cache(max_size=16, backend="shared", ttl=1000, tags="a"),
    "shared without a ttl": cache(max_size=16, backend="shared", cache_exceptions=Boom),
}


def of_functions(decorate: Callable[..., Any]) -> Turns:
    f, broken = decorate(body), decorate(fail)
    turns: Turns = {
        "hits": lambda: (f(1), f(x=1), f(), f(1)),
        "misses": lambda: (f(fresh()), f((fresh(), "text", (1.5,)))),
        "refused": lambda: (tried(lambda: f([])), tried(lambda: f(Unequal()))),
        "exceptions": lambda: (tried(lambda: broken(1)), tried(lambda: broken(fresh()))),
        "clear": lambda: (f(1), f.cache_clear()),
        "get and set": lambda: (f.get(fresh()), f.set([3], fresh())),
        "shown": lambda: (f.cache_info(), f.cache_parameters(), repr(f), f.cache_options()),
        "copies": lambda: (copy.copy(f), copy.deepcopy(f)),
        "bound": lambda: (f.__get__(1)(), f.__get__(1).__self__),
    }
    if hasattr(f, "cache_refresh"):
        turns |= {
            "entries": lambda: (f.cache_contains(1), f.cache_ttl(1), f.cache_invalidate(fresh())),
            "invalidated": lambda: (f(1), f.cache_invalidate(1), f.cache_invalidate_tags("a")),
            "refreshed": lambda: (f.cache_refresh(1), tried(lambda: broken.cache_refresh(1))),
            "put": lambda: (
                f.cache_put([5], (fresh() % 40,), ttl=1000, tags=["b"]),
                tried(lambda: f.cache_put(5, ([],))),
            ),
        }
    return turns


def of_objects(made: Any) -> Turns:
    memoized, broken = made.memoize(body), made.memoize(fail)

    def locks() -> None:
        with contextlib.suppress(Boom), made.lock("lock"):
            assert not made.lock("lock").acquire(blocking=False)
            raise Boom

    return {
        "items": lambda: (
            made.__setitem__(fresh() % 40, [1]),
            made.get(fresh() % 40),
            made.peek("none"),
            "none" in made,
            made.pop(fresh() % 40, None),
        ),
        "missing": lambda: (
            tried(lambda: made["none"]),
            tried(lambda: made.__delitem__("none")),
            tried(lambda: made.ttl("none")),
        ),
        "refused": lambda: (tried(lambda: made.get([])), tried(lambda: made.set([], 1))),
        "set": lambda: made.set(fresh() % 40, "value", ttl=1000, tags=["a", "b"]),
        "invalidated": lambda: (made.set(1, "value", tags=["a"]), made.invalidate_tags("a")),
        "get_or_set": lambda: (
            made.get_or_set(fresh() % 50, lambda: 3),
            tried(lambda: made.get_or_set("none", fail)),
        ),
        "compute": lambda: (
            made.compute("computed", lambda old: [1]),
            tried(lambda: made.compute("computed", fail)),
        ),
        "changed": lambda: (
            made.add("changed", 1),
            made.setdefault("changed", 2),
            made.incr("changed"),
            made.touch("changed", 1000),
            made.get("changed", renew=1000),
            made.replace("changed", 2, 3),
            made.discard("changed", 3),
            made.delete("changed"),
        ),
        "many": lambda: (
            made.set_many({1: 2, 3: 4}),
            made.get_many([1, 3, 5]),
            made.delete_many([1, 3]),
        ),
        "all": lambda: (
            *(list(each) for each in (made, made.items(), made.values(), reversed(made))),
            made | {1: 2},
            made == {},
            repr(made),
        ),
        "emptied": lambda: (made.set(("a", 1), 1), made.popitem(), made.clear(), made.purge()),
        "shown": lambda: (made.info(), made.options()),
        "locks": locks,
        "memoized": lambda: (
            memoized(1),
            memoized(fresh()),
            memoized.cache_refresh(1),
            memoized.cache_invalidate(1),
            tried(lambda: broken(1)),
        ),
        "copies": lambda: (copy.copy(made), tried(lambda: pickle.loads(pickle.dumps(made)))),
    }


class Awaited:
    """What coroutine functions do; each turn runs the loop until it is done."""

    def __init__(self, decorate: Callable[..., Any], loop: asyncio.AbstractEventLoop) -> None:
        self.run = loop.run_until_complete

        async def awaited(x: int) -> list[int]:
            await asyncio.sleep(0)
            return [x]

        async def broken(x: int) -> None:
            await asyncio.sleep(0)
            raise Boom

        async def own(x: int) -> None:
            raise asyncio.CancelledError("own")

        async def endless(x: int) -> None:
            await asyncio.sleep(1000)

        async def nested(x: int) -> int:
            return 0 if x < 1 else await self.nested(x - 1)

        self.awaited, self.broken = decorate(awaited), decorate(broken)
        self.own, self.endless = decorate(own), decorate(endless)
        self.nested = decorate(nested)

    async def calls(self) -> None:
        for key in (1, 1, fresh()):
            await self.awaited(key)
        self.awaited(fresh()).close()

    async def exceptions(self) -> None:
        for f in (self.broken, self.own):
            with contextlib.suppress(Boom, asyncio.CancelledError):
                await f(1)

    async def together(self, f: Any) -> None:
        key = fresh()
        await asyncio.gather(*(f(key) for _ in range(4)), return_exceptions=True)

    async def cancelled(self, f: Any, which: slice) -> None:
        key = fresh()
        tasks = [asyncio.ensure_future(f(key)) for _ in range(4)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for task in tasks[which]:
            task.cancel("outside")
        await asyncio.gather(*tasks, return_exceptions=True)

    async def recursion(self) -> None:
        await self.nested(4)
        self.nested.cache_clear()

    async def refreshed(self) -> None:
        await asyncio.gather(
            *(self.awaited.cache_refresh(1), self.awaited.cache_refresh(1), self.awaited(1)),
            self.broken.cache_refresh(1),
            return_exceptions=True,
        )
        task = asyncio.ensure_future(self.endless.cache_refresh(1))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    def turns(self) -> dict[str, Callable[[], Coroutine[Any, Any, None]]]:
        turns: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
            "calls": self.calls,
            "exceptions": self.exceptions,
            "together": lambda: self.together(self.awaited),
            "exceptions together": lambda: self.together(self.broken),
            "some cancelled": lambda: self.cancelled(self.awaited, slice(0, 2)),
            "all cancelled": lambda: self.cancelled(self.endless, slice(None)),
            "recursion": self.recursion,
        }
        if hasattr(self.awaited, "cache_refresh"):
            turns["refreshed"] = self.refreshed
        return turns


FUNCTION_TURNS = [*of_functions(cache(max_size=1))]
OBJECT_TURNS = [*of_objects(Cache())]
LOOP = asyncio.new_event_loop()
AWAITED_TURNS = [*Awaited(cache(max_size=1), LOOP).turns()]


@pytest.mark.parametrize("turn", FUNCTION_TURNS)
@pytest.mark.parametrize("kind", DECORATORS)
def test_functions(kind: str, turn: str) -> None:
    turns = of_functions(DECORATORS[kind])
    if turn in turns:
        check(turns[turn])


@pytest.mark.parametrize("turn", OBJECT_TURNS)
@pytest.mark.parametrize("kind", ["memory", "told", "shared"])
def test_objects(kind: str, turn: str) -> None:
    options: dict[str, Any] = {
        "memory": {},
        "told": {"ttl": 1000, "on_removal": lambda key, value, cause: None},
        "shared": {"backend": "shared", "name": "leaks"},
    }
    check(of_objects(Cache(max_size=64, **options[kind]))[turn])


@pytest.mark.parametrize("turn", AWAITED_TURNS)
@pytest.mark.parametrize("kind", ["plain", "lru_cache", "size 0", "controlled", "shared"])
def test_coroutine_functions(kind: str, turn: str) -> None:
    act = Awaited(DECORATORS[kind], LOOP).turns().get(turn)
    if act is not None:
        check(lambda: LOOP.run_until_complete(act()))


async def _operations(made: Any) -> None:
    async def load() -> int:
        await asyncio.sleep(0)
        return 1

    await made.aset("a", 1)
    await made.aget("a")
    await made.aincr("a")
    await made.aget_or_set(fresh() % 40, load)
    await made.aset_many({1: 2})
    await made.aget_many([1])
    await made.adelete_many([1, "a"])
    async with made.lock("lock"):
        waiting = asyncio.ensure_future(made.lock("lock").aacquire())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


@pytest.mark.parametrize("backend", ["memory", "shared"])
def test_awaited_operations_of_objects(backend: Any) -> None:
    made: Any = Cache(max_size=64, backend=backend, name="leaks")
    check(lambda: LOOP.run_until_complete(_operations(made)))


class Holder:
    @cache(per_instance=True, max_size=16)
    def method(self, x: int) -> list[int]:
        return [x]

    @cache(per_instance=True)
    async def awaited(self, x: int) -> list[int]:
        await asyncio.sleep(0)
        return [x]


class Slotted:
    __slots__ = ("__weakref__",)

    @cache(per_instance=True)
    def method(self, x: int) -> int:
        return x


HOLDER: Any = Holder()
INSTANCES: Turns = {
    "made": lambda: (Holder().method(1), Slotted().method(1)),
    "awaited": lambda: LOOP.run_until_complete(Holder().awaited(1)),
    "misses": lambda: HOLDER.method(fresh()),
    "invalidated": lambda: (HOLDER.method(1), HOLDER.method.cache_invalidate(1)),
    "cleared": lambda: (HOLDER.method(1), Holder.method.cache_clear(), Holder.method.cache_info()),
    "copies": lambda: (copy.copy(HOLDER).method(1), copy.deepcopy(HOLDER).method(1)),
}


@pytest.mark.parametrize("turn", INSTANCES)
def test_instances(turn: str) -> None:
    check(INSTANCES[turn])


def test_functions_that_are_called_and_raise() -> None:
    def raising(*arguments: Any) -> Any:
        raise Boom

    options: list[dict[str, Any]] = [
        *({name: raising} for name in ("key", "ttl", "tags", "cache_if", "copy")),
        {"weigher": raising, "max_weight": 20},
    ]
    functions = [cache(**each)(body) for each in options]
    check(lambda: [tried(lambda f=f: f(fresh())) for f in functions])  # type: ignore[misc]


REFUSED: list[dict[str, Any]] = [
    {"strategy": "none"},
    {"ttl": "soon"},
    {"max_size": int},
    {"ignore": ["none"]},
    {"tags": 4},
]


def test_refused_options() -> None:
    check(lambda: [tried(lambda o=o: cache(**o)(body)) for o in REFUSED])  # type: ignore[misc]
