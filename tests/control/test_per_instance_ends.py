"""The end of an instance is that of its cache, and neither keeps the other alive."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import pytest
import support
from control import cache
from instances import (
    Data,
    Frozen,
    Own,
    Plain,
    Slots,
    SlotsWithDict,
)


class Value:
    pass


@pytest.mark.parametrize("make", [Plain, Data, Frozen, Slots, SlotsWithDict, Own])
def test_an_instance_dies_at_once(make: Any) -> None:
    gc.collect()
    gc.disable()
    try:
        instance = make(1)
        value = Value()
        instance.method(1)
        instance.method.set(value, 2)
        instance.method.cache_info()
        gone = weakref.ref(value)
        gone_too = None if make is SlotsWithDict else weakref.ref(instance)
        del value, instance
        if support.FREE_THREADED:
            gc.collect()
        assert gone() is None
        assert gone_too is None or gone_too() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("make", [Plain, Data, Frozen, SlotsWithDict, Own])
def test_an_instance_that_its_values_refer_to_is_freed_by_the_collector(make: Any) -> None:
    instance = make(1)
    instance.method(1)
    value = Value()
    value.back = instance  # type: ignore[attr-defined]
    instance.method.set(value, 2)
    gone = weakref.ref(value)
    del instance, value
    gc.collect()
    gc.collect()
    assert gone() is None


def test_an_instance_that_its_arguments_refer_to_is_freed_by_the_collector() -> None:
    class Shop:
        @cache(per_instance=True)
        def price(self, x: Any) -> int:
            return 1

    shop, argument = Shop(), Value()
    argument.back = shop  # type: ignore[attr-defined]
    shop.price(argument)
    shop.price(shop)
    gone = weakref.ref(shop)
    del shop, argument
    gc.collect()
    assert gone() is None


def test_a_coroutine_method_keeps_no_instance_alive() -> None:
    import asyncio

    class Shop:
        @cache(per_instance=True, ttl=60)
        async def price(self, x: int) -> int:
            await asyncio.sleep(0)
            return x

    async def main() -> Any:
        shop = Shop()
        await asyncio.gather(*(shop.price(x) for x in (1, 1, 2)))
        return weakref.ref(shop)

    gone = asyncio.run(main())
    gc.collect()
    assert gone() is None


def test_the_class_can_be_collected() -> None:
    def plain() -> Any:
        class Shop:
            def __init__(self) -> None:
                self.own = (self, Shop)

        Shop()
        return weakref.ref(Shop)

    def cached() -> Any:
        class Shop:
            @cache(per_instance=True)
            def price(self, x: int) -> Any:
                return (self, Shop)

        Shop().price(1)
        return weakref.ref(Shop)

    gone = [make() for make in (plain, cached)]
    support.merge_counts()
    gc.collect()
    if gone[0]() is not None:
        # CPython 3.13 without a GIL makes classes immortal once a thread has been started.
        pytest.skip("no class is collected here")
    assert gone[1]() is None


def test_a_new_instance_at_an_old_address_has_no_old_results() -> None:
    class Shop:
        def __init__(self, number: int) -> None:
            self.number = number

        @cache(per_instance=True)
        def price(self, x: int) -> int:
            return self.number

    for number in range(5000):
        assert Shop(number).price(1) == number


def test_a_bound_method_keeps_its_instance() -> None:
    bound = Plain(7).method
    gc.collect()
    assert bound(1) == bound(1) == (7, 1)
    assert bound.cache_info().hits == 1


def test_an_instance_that_dies_during_its_computation() -> None:
    begun, goes_on = threading.Event(), threading.Event()

    class Shop:
        @cache(per_instance=True)
        def price(self, x: int) -> int:
            begun.set()
            assert goes_on.wait(support.LIMIT)
            return x

    shop = Shop()
    gone = weakref.ref(shop)
    running = support.start(shop.price, 1)
    assert begun.wait(support.LIMIT)
    del shop
    goes_on.set()
    assert running.result(support.LIMIT) == 1
    support.eventually(lambda: gc.collect() is None or gone() is None)
