"""Keys whose comparison changes the cache every time: no operation begins anew for ever."""

from __future__ import annotations

import asyncio
import gc
import itertools
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fighters import VARIANTS
from support import LIMIT, results, start

from warp_cache import cache, lru_cache

# What a lookup may ask at most here: some hundreds of new beginnings, twice (to look, to store).
PATIENCE = 10_000


class Restless:
    """All collide; while `action` is set, it runs at each comparison (but not inside itself)."""

    action: Callable[[], Any] | None = None
    inside = 0
    depth = 1
    comparisons = 0

    def __init__(self, number: object) -> None:
        self.number = number

    def __hash__(self) -> int:
        return 7

    def __eq__(self, other: object) -> bool:
        kind = Restless
        kind.comparisons += 1
        if kind.action is not None and kind.inside < kind.depth:
            kind.inside += 1
            try:
                kind.action()
            finally:
                kind.inside -= 1
        return isinstance(other, Restless) and self.number == other.number


@pytest.fixture(autouse=True)
def at_rest() -> Iterator[None]:
    Restless.action, Restless.inside, Restless.depth, Restless.comparisons = None, 0, 1, 0
    yield
    Restless.action = None


def value_of(key: Any) -> str:
    return f"value of {key.number}"


def actions(f: Any) -> dict[str, Callable[[], Any]]:
    fresh = (Restless(f"fresh {n}") for n in itertools.count())
    turn = itertools.count()

    def alternate() -> None:
        if next(turn) % 2:
            f.cache_clear()
        else:
            f(next(fresh))

    def refill() -> None:
        f.cache_clear()
        for _ in range(3):
            f(next(fresh))

    def put() -> None:
        key = next(fresh)
        f.set(value_of(key), key)

    return {
        "call": lambda: f(next(fresh)),
        "call three": lambda: [f(next(fresh)) for _ in range(3)],
        "set": put,
        "get and call": lambda: (f.get(next(fresh)), f(next(fresh))),
        "clear": f.cache_clear,
        "clear and refill": refill,
        "call and clear by turns": alternate,
        "the sought key": lambda: (f.cache_clear(), f(Restless("sought"))),
    }


ACTIONS = list(actions(cache(value_of)))


@pytest.mark.parametrize("name", ACTIONS)
@pytest.mark.parametrize(
    ("variant", "max_size"), [("lru", 1), ("typed", 4), ("no-single-flight", 4), ("lru_cache", 4)]
)
def test_every_operation_ends(variant: str, max_size: int, name: str) -> None:
    f = VARIANTS[variant](max_size=max_size)(value_of)
    for number in range(3):
        f(Restless(number))
    Restless.action = actions(f)[name]
    for _ in range(2):
        for operation in (f, f.get, lambda key: f.set(value_of(key), key)):
            before = Restless.comparisons
            sought = Restless("sought")
            try:
                result = operation(sought)
            except RuntimeError as error:  # of `set`: it must not seem to have stored anything
                assert operation not in (f, f.get) and "compared" in str(error)
            else:
                assert result in (value_of(sought), None)
                assert operation is not f or result is not None
            assert Restless.comparisons - before < PATIENCE
    Restless.action = None
    assert f.cache_info().currsize <= max_size
    f.cache_clear()
    assert f(Restless(1)) == f(Restless(1)) == value_of(Restless(1))
    assert f.cache_info()[:2] == (1, 1)


def test_such_a_call_is_a_miss_that_stores_nothing() -> None:
    for decorate in (cache, lru_cache):
        f = decorate(max_size=4)(value_of)
        f(Restless(0))
        fresh = itertools.count(100)
        made = 0

        def more(f: Any = f, fresh: Any = fresh) -> None:
            nonlocal made
            made += 1
            f(Restless(next(fresh)))

        Restless.action = more
        assert f(Restless(1)) == "value of 1"
        Restless.action = None
        hits, misses, _, size = f.cache_info()
        assert (hits, misses, size) == (0, made + 2, 4)
        assert f.get(Restless(1)) is None
        assert 100 < made < PATIENCE


def test_a_cache_without_a_bound() -> None:
    """Each key that comes in is compared with all before it, which is as long as it takes."""
    f = cache(max_size=None)(value_of)
    f(Restless(0))
    fresh = itertools.count(100)
    Restless.action = lambda: f(Restless(next(fresh)))
    assert f(Restless(1)) == "value of 1"
    Restless.action = None
    assert 100 < next(fresh) < 1000
    assert f.get(Restless(1)) is None and f.get(Restless(100)) == "value of 100"


def test_set_says_that_it_cannot_store() -> None:
    f = cache(max_size=4)(value_of)
    f(Restless(0))
    fresh = itertools.count(100)
    Restless.action = lambda: f(Restless(next(fresh)))
    with pytest.raises(RuntimeError, match=r"cannot be stored.*compared"):
        f.set("other", Restless(1))
    Restless.action = None
    assert f.get(Restless(1)) is None


@pytest.mark.parametrize("depth", [2, 4])
def test_comparisons_inside_comparisons_do_not_multiply(depth: int) -> None:
    f = cache(max_size=4)(value_of)
    f(Restless(0))
    fresh = itertools.count(100)
    Restless.depth = depth
    Restless.action = lambda: f(Restless(next(fresh)))
    assert f(Restless(1)) == "value of 1"
    Restless.action = None
    assert Restless.comparisons < 300_000


def test_what_was_compared_is_let_go() -> None:
    f = cache(max_size=2)(value_of)
    f(Restless(0))
    fresh = itertools.count(100)
    seen: list[weakref.ref[Restless]] = []

    def more() -> None:
        key = Restless(next(fresh))
        seen.append(weakref.ref(key))
        f(key)

    Restless.action = more
    f(Restless(1))
    Restless.action = None
    f.cache_clear()
    gc.collect()
    assert len(seen) > 100
    assert not [reference for reference in seen if reference() is not None]


def test_many_keys_that_collide_are_all_found() -> None:
    """Comparing with many keys is no new beginning: nothing has come in meanwhile."""
    f = lru_cache(max_size=None)(value_of)
    keys = [Restless(number) for number in range(100)]
    for key in keys:
        f(key)
    for number in (0, 99):
        assert f(Restless(number)) == f"value of {number}"
    assert f.cache_info()[:2] == (2, 100)


def test_a_cache_that_another_thread_keeps_busy() -> None:
    f = cache(max_size=4)(value_of)
    for number in range(4):
        f(Restless(number))
    stop = threading.Event()
    running = threading.Event()

    def store() -> None:
        for number in itertools.count(100):
            key = Restless(number)
            f.set(value_of(key), key)
            running.set()
            if stop.is_set():
                return

    other = start(store)
    assert running.wait(LIMIT)
    try:
        for number in range(20):
            assert f(Restless(-number)) == f"value of {-number}"
    finally:
        stop.set()
    results([other])


def test_coroutine_functions() -> None:
    for decorate in (cache, lru_cache):

        @decorate(max_size=4)
        async def f(key: Any) -> str:
            return value_of(key)

        fresh = itertools.count(100)

        def more(f: Any = f, fresh: Any = fresh) -> None:
            key = Restless(next(fresh))
            f.set(value_of(key), key)
            # A computation that is under way is compared, too.
            pending = f(Restless(next(fresh)))
            try:
                pending.send(None)
            except StopIteration:
                pass
            finally:
                pending.close()

        async def main(f: Any = f, more: Any = more) -> None:
            await f(Restless(0))
            Restless.action = more
            assert await f(Restless(1)) == "value of 1"
            Restless.action = None
            assert await f(Restless(2)) == await f(Restless(2)) == "value of 2"

        asyncio.run(main())
