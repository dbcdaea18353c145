"""The garbage collector sees through a cached function: no cycle through one stays alive."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from warp_cache import Strategy, cache, lru_cache

Decorate = Callable[..., Any]
DECORATORS: list[Any] = [
    pytest.param(cache, id="cache"),
    pytest.param(lru_cache, id="lru_cache"),
    pytest.param(cache(Strategy.LFU, max_size=None, ttl=3600, typed=True), id="lfu-ttl-typed"),
    pytest.param(cache(Strategy.FIFO, max_size=2), id="fifo-small"),
]
both = pytest.mark.parametrize("decorate", DECORATORS)


class Thing:
    """Something that can be weakly referenced and hold on to something."""

    other: Any = None


def classes_are_immortal() -> bool:
    """So they are on 3.13t as soon as a second thread has run, and all that they hold with them."""
    reference = weakref.ref(type("Plain", (), {}))
    gc.collect()
    return reference() is not None


def assert_collected(make: Callable[[], list[Any]]) -> None:
    """All objects that `make` returns are gone once nobody else holds them."""
    references = [weakref.ref(thing) for thing in make()]
    gc.collect()
    assert [reference() for reference in references] == [None] * len(references)


@both
def test_cycle_through_a_closure(decorate: Decorate) -> None:
    def make() -> list[Any]:
        thing = Thing()

        @decorate
        def cached(x: int) -> Any:
            return (cached.cache_info, thing, x)

        thing.other = cached
        cached(1)
        return [cached, thing, cached.__wrapped__]

    assert_collected(make)


@both
def test_cycle_through_a_cached_value(decorate: Decorate) -> None:
    def make() -> list[Any]:
        hub = Thing()

        @decorate
        def cached(x: int) -> Any:
            thing = Thing()
            thing.other = [hub]
            return thing

        hub.other = (cached,)
        return [cached, hub, *map(cached, range(3))]

    assert_collected(make)


@both
def test_cycle_through_a_key(decorate: Decorate) -> None:
    def make() -> list[Any]:
        cached = decorate(lambda *args, **kwargs: None)
        keys = [Thing() for _ in range(4)]
        for key in keys:
            key.other = cached
        cached(keys[0])
        cached(1, keys[1])
        cached(a=keys[2])
        cached((1, (keys[3],)))
        return [cached, *keys]

    assert_collected(make)


@both
def test_cycle_through_the_attributes(decorate: Decorate) -> None:
    def make() -> list[Any]:
        cached = decorate(lambda x: x)
        cached.myself = cached
        cached.thing = Thing()
        cached.thing.other = [cached]
        return [cached, cached.thing]

    assert_collected(make)


@both
def test_cycle_through_a_function_stored_by_set(decorate: Decorate) -> None:
    def make() -> list[Any]:
        first, second = decorate(lambda x: x), decorate(lambda x: x)
        first.set(second, 1)
        second.set(first, first)
        return [first, second]

    assert_collected(make)


@both
def test_class_with_cached_methods_and_its_instances(decorate: Decorate) -> None:
    """The instance is a key in the cache, which the class holds, which the instance holds."""
    if classes_are_immortal():
        pytest.skip("this interpreter has made all classes immortal")

    def make() -> list[Any]:
        class Local:
            @decorate
            def method(self, x: int) -> Any:
                return (self, x)

            @classmethod
            @decorate
            def of_class(cls) -> Any:
                return cls

        instance = Local()
        instance.method(1)
        Local.of_class()
        return [Local, instance, Local.method]

    assert_collected(make)


@both
def test_cycle_through_defaults(decorate: Decorate) -> None:
    def make() -> list[Any]:
        thing = Thing()
        cached = decorate(lambda x=thing, *, y=thing: x)
        thing.other = cached
        cached()
        return [thing, cached]

    assert_collected(make)


@both
def test_async(decorate: Decorate) -> None:
    def make() -> list[Any]:
        thing = Thing()

        @decorate
        async def cached(x: Any) -> Any:
            return (cached, thing, x)

        thing.other = cached
        asyncio.run(cached(1))
        asyncio.run(cached(thing))
        cached.myself = cached
        return [cached, thing]

    assert_collected(make)


@both
def test_after_an_exception(decorate: Decorate) -> None:
    """The exception's traceback knows the frame, the frame the arguments: nobody may keep it."""

    def make() -> list[Any]:
        thing = Thing()

        @decorate
        def cached(x: Any) -> Any:
            raise LookupError(x)

        with pytest.raises(LookupError):
            cached(thing)
        return [cached, thing]

    assert_collected(make)


@both
def test_clear_releases_everything_at_once(decorate: Decorate) -> None:
    cached = decorate(lambda *args, **kwargs: Thing())
    keys = [Thing(), Thing()]
    references = [weakref.ref(key) for key in keys]
    references += [weakref.ref(cached(keys[0])), weakref.ref(cached(x=keys[1]))]
    del keys
    assert all(reference() is not None for reference in references)
    cached.cache_clear()
    assert [reference() for reference in references] == [None] * 4


@pytest.mark.parametrize("strategy", list(Strategy), ids=lambda strategy: strategy.name)
def test_eviction_releases_key_and_value_at_once(strategy: Strategy) -> None:
    cached = cache(strategy, max_size=1)(lambda key: Thing())
    for _ in range(5):
        key = Thing()
        key_reference, value_reference = weakref.ref(key), weakref.ref(cached(key))
        del key
        assert key_reference() is not None and value_reference() is not None
        cached("another")
        assert key_reference() is None and value_reference() is None


@both
def test_arguments_of_a_hit_are_not_kept(decorate: Decorate) -> None:
    class Equal:
        def __eq__(self, other: object) -> bool:
            return isinstance(other, Equal)

        def __hash__(self) -> int:
            return 1

    cached = decorate(lambda *args, **kwargs: 1)
    first, second = Equal(), Equal()
    cached(first)
    reference = weakref.ref(second)
    cached(second)
    assert cached.cache_info().hits == 1
    del second
    assert reference() is None


@both
def test_collector_may_run_at_any_time(decorate: Decorate) -> None:
    """A collection at almost every allocation, also while entries come and go."""
    cached = decorate(lambda x: [Thing(), x])
    before = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    try:
        for x in range(300):
            key = (x % 7, (x % 5,))
            assert cached(key)[1] == key
            cached.set([Thing()], x % 3)
            if x % 100 == 99:
                cached.cache_clear()
    finally:
        gc.set_threshold(*before)


@both
def test_collector_finds_the_contents(decorate: Decorate) -> None:
    cached = decorate(lambda key: value)
    key, value = Thing(), Thing()
    cached(key)
    assert gc.is_tracked(cached)
    assert cached in gc.get_referrers(value)
    assert cached in gc.get_referrers(key)
    assert cached in gc.get_referrers(cached.__wrapped__)


@both
def test_dropping_a_large_cache_of_chained_values(decorate: Decorate) -> None:
    """Each value holds the next one: dropping the first drops all of them, one inside the other."""
    cached = decorate(lambda x: Thing())
    first = previous = Thing()
    for _ in range(100_000):
        thing = Thing()
        previous.other = thing
        previous = thing
    cached.set(first, 1)
    reference = weakref.ref(previous)
    del first, previous, thing
    cached.cache_clear()
    assert reference() is None
