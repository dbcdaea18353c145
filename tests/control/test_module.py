"""The module (§2.6): caches, clear_all, invalidate_tags, disabled."""

from __future__ import annotations

import asyncio
import gc
import os
import time
from typing import Any

import pytest
import support
from control import Body, Kind, both, cache, lru_cache, warp

# --- caches, clear_all --------------------------------------------------------------------------


def listed(f: Any) -> bool:
    return any(one is f for one in warp.caches())


@both
@pytest.mark.parametrize("backend", ["memory", "shared"])
def test_caches_lists_the_decorated_functions_alive(
    decorate: Any, kind: Kind, backend: str
) -> None:
    f = decorate(backend=backend)(kind.one(Body()))
    g = decorate(backend=backend, ttl=60)(kind.one(Body()))
    assert listed(f) and listed(g)
    assert sum(one is f for one in warp.caches()) == 1
    gc.collect()  # what earlier tests have left
    number = len(list(warp.caches()))
    del g
    gc.collect()
    assert listed(f) and len(list(warp.caches())) == number - 1


def test_caches_keeps_nothing_alive() -> None:
    import weakref

    f = cache(lambda x: x)
    gone = weakref.ref(f)
    list(warp.caches())
    del f
    gc.collect()
    assert gone() is None


def test_caches_lists_methods() -> None:
    class Shop:
        @cache
        def price(self, x: int) -> int:
            return x

        @cache(per_instance=True)
        def own(self, x: int) -> int:
            return x

    assert listed(Shop.price) and listed(Shop.own)


def test_caches_may_be_asked_while_functions_come_and_go() -> None:
    def work() -> None:
        for _ in range(200):
            f = cache(lambda x: x)
            f(1)
            del f

    def ask() -> None:
        for _ in range(100):
            for one in warp.caches():  # what other tests have made, too
                assert one.info() if isinstance(one, warp.Cache) else one.cache_info()

    support.results(support.start_together([work, work, ask, ask]))


@both
def test_clear_all_empties_them(decorate: Any, kind: Kind) -> None:
    functions = [
        decorate(kind.one(Body())),
        decorate(ttl=60)(kind.one(Body())),
        decorate(backend="shared")(kind.one(Body())),
        cache(tags=("t",))(kind.one(Body())),
    ]

    class Shop:
        own = cache(per_instance=True)(kind.method(lambda self, x: x))

    shop = Shop()
    for f in [*functions, shop.own]:
        kind.call(f, 1)
        kind.call(f, 1)
    warp.clear_all()
    for f in [*functions, shop.own]:
        assert f.cache_info().currsize == 0
        assert not f.cache_contains(1)


def test_invalidate_tags_reaches_every_cache(kind: Kind) -> None:
    functions = [cache(tags=("t{x}",))(kind.one(Body())) for _ in range(3)]
    for f in functions:
        kind.call(f, 1)
        kind.call(f, 2)
    warp.invalidate_tags("t1", "t3")
    assert [f.cache_contains(1) for f in functions] == [False] * 3
    assert [f.cache_contains(2) for f in functions] == [True] * 3


# --- disabled -----------------------------------------------------------------------------------


@both
def test_within_disabled_every_call_computes_and_stores_nothing(decorate: Any, kind: Kind) -> None:
    body = Body()
    f = decorate(kind.one(body))
    assert kind.call(f, 1) == (1, 1)
    with warp.disabled():
        assert kind.call(f, 1) == (1, 2)
        assert kind.call(f, 1) == (1, 3)
        assert kind.call(f, 2) == (2, 4)
    assert kind.call(f, 1) == (1, 1), "what was there before is there again"
    assert not f.cache_contains(2)
    assert kind.call(f, 2) == (2, 5)


@both
def test_within_disabled_get_is_none_set_does_nothing_invalidations_work(
    decorate: Any, kind: Kind
) -> None:
    f = decorate(kind.one(Body()))
    for x in (1, 2, 3):
        f.set("before", x)
    f.cache_put("tagged", (4,), tags=("t",))
    with warp.disabled():
        assert f.get(1) is None
        f.set("within", 1)
        f.cache_put("within", (5,))
        f.cache_invalidate(2)
        f.cache_invalidate_tags("t")
    assert f.get(1) == "before" and f.get(3) == "before"
    assert f.get(2) is None and f.get(4) is None and f.get(5) is None
    with warp.disabled():
        f.cache_clear()
    assert f.cache_info().currsize == 0


def test_disabled_may_be_nested(kind: Kind) -> None:
    body = Body()
    f = cache(kind.one(body))
    kind.call(f, 1)
    with warp.disabled():
        with warp.disabled():
            assert kind.call(f, 1) == (1, 2)
        assert kind.call(f, 1) == (1, 3), "the outer one still holds"
    assert kind.call(f, 1) == (1, 1)


def test_disabled_ends_with_an_exception(kind: Kind) -> None:
    f = cache(kind.one(Body()))
    kind.call(f, 1)
    with pytest.raises(ValueError, match="inside"), warp.disabled():
        raise ValueError("inside")
    assert kind.call(f, 1) == (1, 1)


def test_one_disabled_may_be_used_again(kind: Kind) -> None:
    f = cache(kind.one(Body()))
    kind.call(f, 1)
    for number in (2, 3):
        with warp.disabled():
            assert kind.call(f, 1) == (1, number)
    assert kind.call(f, 1) == (1, 1)


def test_disabled_holds_for_the_whole_process() -> None:
    body = Body()
    f = cache(body)
    f(1)
    with warp.disabled():
        assert support.start(f, 1).result(support.LIMIT) == (1, 2)
    assert support.start(f, 1).result(support.LIMIT) == (1, 1)


@pytest.mark.parametrize("backend", ["memory", "shared"])
def test_disabled_concerns_every_backend_and_instances(kind: Kind, backend: str) -> None:
    body = Body()
    f = cache(backend=backend)(kind.one(body))
    kind.call(f, 1)
    with warp.disabled():
        assert kind.call(f, 1) == (1, 2)
    assert kind.call(f, 1) == (1, 1)

    class Shop:
        own = cache(per_instance=True)(kind.method(lambda self, x: body(x)))

    shop = Shop()
    first = kind.call(shop.own, 1)
    with warp.disabled():
        assert kind.call(shop.own, 1) != first
    assert kind.call(shop.own, 1) == first


def test_disabled_calls_take_what_cannot_be_a_key(kind: Kind) -> None:
    # Nothing is looked up, as in a cache of size 0.
    f = cache(kind.one(lambda x: len(x)))
    with warp.disabled():
        assert kind.call(f, [1, 2]) == 2


def test_disabled_computations_are_not_shared() -> None:
    body = Body()
    entered = support.Held()
    f = cache(lambda x: (body(x), entered(x))[0])
    with warp.disabled():
        running = [support.start(f, 1) for _ in range(3)]
        entered.await_start(3)
        entered.release()
        support.results(running)
    assert body.count == 3


def test_the_environment_disables_a_process() -> None:
    source = """
import asyncio, warp_cache
calls = []

@warp_cache.cache
def f(x):
    calls.append(x)
    return len(calls)

@warp_cache.lru_cache
async def g(x):
    calls.append(x)
    return len(calls)

f.set("set", 1)
print(f(1), f(1), f.get(1), asyncio.run(g(1)), asyncio.run(g(1)), f.cache_contains(1))
with warp_cache.disabled():
    print(f(1))
print(f(1))
"""
    done = support.run_python(source, environment={"WARP_CACHE_DISABLED": "1"})
    support.check_clean(done, out="1 2 None 3 4 False\n5\n6")
    done = support.run_python(source, environment={"WARP_CACHE_DISABLED": "0"})
    assert done.returncode == 0, done.stderr


@both
def test_everything_in_memory_works_without_a_directory(
    decorate: Any, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WARP_CACHE_DIR", os.devnull)
    f = decorate(ttl=60)(kind.one(Body()))
    kind.call(f, 1)
    warp.invalidate_tags("t")
    assert f.cache_invalidate(1) is True


def test_disabled_in_async_code() -> None:
    async def main() -> None:
        calls = []

        @lru_cache
        async def f(x: int) -> int:
            calls.append(x)
            await asyncio.sleep(0)
            return len(calls)

        assert await f(1) == 1
        with warp.disabled():
            assert await f(1) == 2
            assert await f.aget(1) is None
            await f.aset("set", 2)
            await asyncio.gather(f(3), f(3))
            assert calls == [1, 1, 3, 3]
        assert await f(1) == 1 and f.get(2) is None and f.get(3) is None

    asyncio.run(main())


def test_a_refresh_in_the_background_is_not_started_within_disabled(clock: Any) -> None:
    body = Body()
    f = cache(ttl=100, stale_while_revalidate=1000)(body)
    f.set("old", 1)
    clock.advance(150)
    with warp.disabled():
        assert f(1) == (1, 1)
        time.sleep(0.02)
        assert body.count == 1
    assert f(1) == "old"
    support.eventually(lambda: f.get(1) == (1, 2))


def test_dir_lists_what_is_public() -> None:
    assert set(warp.__all__) | {"testing", "__version__"} <= set(dir(warp))
