"""`cache_info()` (§2.2, §2.7): a tuple of four that equals functools', and more as attributes."""

from __future__ import annotations

import functools
import pickle
import random
import time
from typing import Any

import pytest
import support
from control import Body, Kind, both, cache, lru_cache

MORE = [
    "evictions",
    "expirations",
    "loads",
    "load_failures",
    "load_seconds",
    "stale_hits",
    "refreshes",
    "weight",
]


@both
def test_the_info_is_a_tuple_of_four_that_equals_functools(decorate: Any) -> None:
    theirs, ours = functools.lru_cache(2)(lambda x: x), decorate(max_size=2)(Body())
    for x in (1, 2, 1, 3, 1):
        theirs(x)
        ours(x)
    info = ours.cache_info()
    assert info == theirs.cache_info() and theirs.cache_info() == info
    assert isinstance(info, tuple) and len(info) == 4 and tuple(info) == (2, 3, 2, 2)
    hits, misses, maxsize, currsize = info
    assert (info.hits, info.misses, info.maxsize, info.currsize) == (2, 3, 2, 2)
    assert (info.max_size, info.current_size) == (2, 2)
    assert hash(info) == hash(theirs.cache_info())


@both
def test_all_attributes_are_there_from_the_beginning(decorate: Any, kind: Kind) -> None:
    info = decorate(kind.one(Body())).cache_info()
    for name in MORE:
        assert getattr(info, name) == 0, name


@both
def test_the_attributes_are_no_part_of_the_comparison(decorate: Any, kind: Kind) -> None:
    f, g = decorate(kind.one(Body())), decorate(kind.one(Body()))
    kind.call(f, 1)
    kind.call(g, 1)
    kind.call(g.cache_refresh, 1)
    assert f.cache_info() == g.cache_info()
    assert f.cache_info().loads != g.cache_info().loads


@both
def test_evictions_are_those_that_size_drove_out(decorate: Any, kind: Kind) -> None:
    f = decorate(max_size=3)(kind.one(Body()))
    for x in range(10):
        kind.call(f, x)
    assert f.cache_info().evictions == 7
    f.cache_invalidate(9)
    f.set("set", 8)
    assert f.cache_info().evictions == 7, "neither invalidated nor replaced ones"
    f.cache_clear()
    assert f.cache_info().evictions == 0


@both
def test_expirations_are_those_whose_time_ended(decorate: Any, kind: Kind, clock: Any) -> None:
    f = decorate(ttl=100)(kind.one(Body()))
    for x in range(5):
        kind.call(f, x)
    f.cache_invalidate(0)
    clock.advance(150)
    assert f.cache_info().expirations == 4
    kind.call(f, 1)
    clock.advance(150)
    kind.call(f, 1)
    assert f.cache_info().expirations == 5
    assert f.cache_info().evictions == 0


def test_idle_ones_are_expirations(kind: Kind, clock: Any) -> None:
    f = cache(tti=100)(kind.one(Body()))
    kind.call(f, 1)
    clock.advance(150)
    assert f.cache_info().expirations == 1


@both
def test_loads_are_ended_computations_failed_ones_included(decorate: Any, kind: Kind) -> None:
    body = Body()
    f = decorate(kind.one(body))
    kind.call(f, 1)
    kind.call(f, 1)
    kind.call(f, 2)
    body.fail = ValueError("down")
    for _ in range(2):
        with pytest.raises(ValueError):
            kind.call(f, 3)
    info = f.cache_info()
    assert info.loads == 4 and info.load_failures == 2
    assert info[:2] == (1, 4)


@both
def test_set_put_and_get_are_no_loads(decorate: Any, kind: Kind) -> None:
    f = decorate(kind.one(Body()))
    f.set("set", 1)
    f.cache_put("put", (2,))
    f.get(1), f.get(3), f.cache_contains(1), f.cache_ttl(1)
    assert f.cache_info() == (0, 0, 128, 2)
    assert f.cache_info().loads == 0 and f.cache_info().refreshes == 0


@both
def test_load_seconds_are_the_time_that_computations_took(decorate: Any) -> None:
    f = decorate(lambda x: time.sleep(0.05))
    f(1)
    f(1)
    f(2)
    seconds = f.cache_info().load_seconds
    assert isinstance(seconds, float) and 0.09 < seconds < 20
    g = decorate(lambda x: (time.sleep(0.05), 1 / 0))
    with pytest.raises(ZeroDivisionError):
        g(1)
    assert g.cache_info().load_seconds > 0.04, "failed ones included"


def test_load_seconds_of_coroutine_functions() -> None:
    import asyncio

    @cache
    async def f(x: int) -> int:
        await asyncio.sleep(0.05)
        return x

    asyncio.run(f(1))
    assert 0.04 < f.cache_info().load_seconds < 20
    assert f.cache_info().loads == 1


def test_who_waits_is_a_miss_but_no_load() -> None:
    held = support.Held()
    f = cache(held)
    running = [support.start(f, 1) for _ in range(4)]
    held.await_start()
    time.sleep(support.PAUSE)
    held.release()
    support.results(running)
    info = f.cache_info()
    assert info.misses + info.hits == 4 and info.loads == 1 == len(held.calls)


def test_refreshes_are_those_begun_explicit_ones_included(kind: Kind, clock: Any) -> None:
    body = Body()
    f = cache(ttl=100, stale_while_revalidate=1000)(kind.one(body))
    kind.call(f, 1)
    kind.call(f.cache_refresh, 1)
    assert f.cache_info().refreshes == 1
    clock.advance(150)
    kind.call(f, 1)
    kind.eventually(lambda: f.get(1) == (1, 3))
    info = f.cache_info()
    assert info.refreshes == 2 and info.loads == 3 and info.stale_hits == 1
    assert info[:2] == (1, 1), "cache_refresh is neither hit nor miss"
    body.fail = ValueError("down")
    with pytest.raises(ValueError):
        kind.call(f.cache_refresh, 1)
    info = f.cache_info()
    assert info.refreshes == 3 and info.loads == 4 and info.load_failures == 1


def test_weight_is_that_of_the_entries_there(kind: Kind) -> None:
    f = cache(max_weight=100, weigher=lambda value: 7)(kind.one(Body()))
    for x in range(3):
        kind.call(f, x)
    assert f.cache_info().weight == 21
    f.cache_invalidate(0)
    assert f.cache_info().weight == 14


@both
def test_clear_sets_all_of_them_to_zero(decorate: Any, kind: Kind, clock: Any) -> None:
    body = Body()
    f = decorate(max_size=2, ttl=100)(kind.one(body))
    for x in range(5):
        kind.call(f, x)
    kind.call(f.cache_refresh, 4)
    clock.advance(150)
    f.cache_info()
    body.fail = ValueError("down")
    with pytest.raises(ValueError):
        kind.call(f, 1)
    assert f.cache_info().loads == 7
    f.cache_clear()
    info = f.cache_info()
    assert info == (0, 0, 2, 0)
    assert [getattr(info, name) for name in MORE] == [0] * len(MORE)


# --- reprs --------------------------------------------------------------------------------------


def test_the_repr_adds_what_is_not_zero_but_never_loads(kind: Kind, clock: Any) -> None:
    body = Body()
    f = cache(max_size=2, ttl=100, stale_if_error=1000)(kind.one(body))
    assert repr(f.cache_info()) == "CacheInfo(hits=0, misses=0, maxsize=2, currsize=0)"
    kind.call(f, 1)
    kind.call(f, 1)
    assert repr(f.cache_info()) == "CacheInfo(hits=1, misses=1, maxsize=2, currsize=1)"
    kind.call(f, 2)
    kind.call(f, 3)
    text = repr(f.cache_info())
    assert text.startswith("CacheInfo(hits=1, misses=3, maxsize=2, currsize=2, ")
    assert "evictions=1" in text and "expirations" not in text
    body.fail = ValueError("down")
    clock.advance(150)
    kind.call(f, 3)
    text = repr(f.cache_info())
    assert "stale_hits=1" in text and "load_failures=1" in text
    assert "loads=" not in text and "load_seconds" not in text and "weight" not in text
    clock.advance(2000)
    text = repr(f.cache_info())
    assert "expirations=2" in text
    g = cache(max_weight=10, weigher=lambda value: 3)(kind.one(Body()))
    kind.call(g, 1)
    kind.call(g.cache_refresh, 1)
    assert "weight=3" in repr(g.cache_info()) and "refreshes=1" in repr(g.cache_info())


def test_that_of_lru_cache_in_memory_is_functools_own(kind: Kind, clock: Any) -> None:
    f = lru_cache(maxsize=2, ttl=100)(kind.one(Body()))
    for x in (1, 2, 3, 3):
        kind.call(f, x)
    kind.call(f.cache_refresh, 3)
    assert repr(f.cache_info()) == "CacheInfo(hits=1, misses=3, maxsize=2, currsize=2)"
    clock.advance(150)
    assert repr(f.cache_info()) == "CacheInfo(hits=1, misses=3, maxsize=2, currsize=0)"
    assert f.cache_info().evictions == 1 and f.cache_info().expirations == 2


@both
def test_an_info_is_a_moments_picture(decorate: Any, kind: Kind) -> None:
    f = decorate(kind.one(Body()))
    before = f.cache_info()
    kind.call(f, 1)
    assert before == (0, 0, 128, 0) and before.loads == 0
    with pytest.raises(AttributeError):
        before.loads = 5


@both
def test_an_info_can_be_pickled(decorate: Any, kind: Kind) -> None:
    f = decorate(max_size=1)(kind.one(Body()))
    kind.call(f, 1)
    kind.call(f, 2)
    info = f.cache_info()
    again = pickle.loads(pickle.dumps(info))
    assert again == info and again.evictions == 1 and again.loads == 2


# --- exactness ----------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", range(7))
def test_counters_are_exact_whatever_happens(strategy: int, clock: Any) -> None:
    rng = random.Random(strategy)
    body = Body()
    f = cache(strategy=strategy, max_size=10, ttl=100)(body)
    hits = misses = replaced = invalidated = failures = refreshes = came_in = 0
    for _ in range(3000):
        x, what = rng.randrange(20), rng.randrange(12)
        there = f.cache_contains(x)
        if what == 0:
            invalidated += f.cache_invalidate(x)
        elif what == 1:
            f.set("set", x)
            came_in += 1
            replaced += there
        elif what == 2:
            clock.advance(rng.randrange(40))
        elif what == 3:
            f.cache_refresh(x)
            refreshes += 1
            came_in += 1
            replaced += there
        elif what == 4:
            body.fail = ValueError("down")
            try:
                f(x)
                hits += 1
            except ValueError:
                misses += 1
                failures += 1
            body.fail = None
        else:
            f(x)
            hits += there
            misses += not there
            came_in += not there
    info = f.cache_info()
    assert (info.hits, info.misses) == (hits, misses)
    assert info.loads == body.count and info.load_failures == failures
    assert info.refreshes == refreshes
    assert came_in == info.currsize + info.evictions + info.expirations + replaced + invalidated


def test_counters_are_exact_among_threads() -> None:
    body = Body()
    f = cache(max_size=8)(lambda x: body(x))

    def work(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(1500):
            f(rng.randrange(12))

    support.results(support.start_together([lambda n=n: work(n) for n in range(4)]))
    info = f.cache_info()
    assert info.hits + info.misses == 6000
    assert info.loads == len(body.calls) <= info.misses
    assert info.loads >= info.currsize + info.evictions


# --- shared -------------------------------------------------------------------------------------


@both
def test_the_shared_one_has_skips_and_repairs_too(decorate: Any, kind: Kind) -> None:
    f = decorate(backend="shared", max_size=2)(kind.one(lambda x: x))
    for x in (1, 1, 2, 3):
        kind.call(f, x)
    info = f.cache_info()
    assert info == (1, 3, 2, 2)
    assert info.loads == 3 and info.evictions == 1 and info.load_failures == 0
    assert dict(info.skips) == {} and info.repairs == 0
    text = repr(info)
    assert text.startswith("SharedCacheInfo(hits=1, misses=3, maxsize=2, currsize=2")
    assert "evictions=1" in text and "loads" not in text and "load_seconds" not in text
