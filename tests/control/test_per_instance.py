"""`per_instance=True` (§2.4): each instance has a cache of its own, which dies with it."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
import support
from control import Body, Kind, cache, lru_cache
from instances import (
    USUAL,
    Frozen,
    Plain,
    Slots,
    Sub,
)

# --- a cache of its own -------------------------------------------------------------------------


def test_each_instance_has_its_own(kind: Kind) -> None:
    body = Body()

    class Shop:
        price = cache(per_instance=True)(kind.method(lambda self, x: body(x)))

    first, second = Shop(), Shop()
    assert kind.call(first.price, 1) == kind.call(first.price, 1) == (1, 1)
    assert kind.call(second.price, 1) == (1, 2)
    first.price.cache_clear()
    assert kind.call(second.price, 1) == (1, 2)
    assert kind.call(first.price, 1) == (1, 3)


@pytest.mark.parametrize("make", USUAL)
def test_it_works_with_any_class(make: Any) -> None:
    first, second = make(1), make(2)
    for _ in range(2):
        assert first.method(5) == (1, 5) and second.method(5) == (2, 5)
        assert first.method(x=5) == (1, 5)
    assert first.method.cache_info() == (3, 1, 128, 1)
    assert second.method.cache_info() == (1, 1, 128, 1)


def test_self_need_not_be_hashable_and_is_never_compared(kind: Kind) -> None:
    class Strange:
        __hash__ = None  # type: ignore[assignment]

        def __eq__(self, other: object) -> bool:
            raise AssertionError("compared")

        price = cache(per_instance=True)(kind.method(lambda self, x: id(self)))

    first, second = Strange(), Strange()
    assert kind.call(first.price, 1) == kind.call(first.price, 1) == id(first)
    assert kind.call(second.price, 1) == id(second)


def test_equal_instances_do_not_share() -> None:
    first, second = Frozen(1), Frozen(1)
    first.method(1)
    assert not second.method.cache_contains(1)


def test_max_size_is_that_of_each_instance(kind: Kind) -> None:
    class Shop:
        price = cache(per_instance=True, max_size=2)(kind.method(lambda self, x: x))

    first, second = Shop(), Shop()
    for shop in (first, second):
        for x in (1, 2, 3):
            kind.call(shop.price, x)
    for shop in (first, second):
        assert [shop.price.cache_contains(x) for x in (1, 2, 3)] == [False, True, True]


def test_several_methods_of_one_instance(kind: Kind) -> None:
    class Shop:
        price = cache(per_instance=True)(kind.method(lambda self, x: ("price", x)))
        stock = cache(per_instance=True)(kind.method(lambda self, x: ("stock", x)))

    shop = Shop()
    assert kind.call(shop.price, 1) == ("price", 1)
    assert kind.call(shop.stock, 1) == ("stock", 1)
    shop.price.cache_clear()
    assert shop.stock.cache_contains(1) and not shop.price.cache_contains(1)


def test_all_methods_work_bound_and_unbound(kind: Kind) -> None:
    class Shop:
        price = cache(per_instance=True, ttl=1000)(kind.method(lambda self, x: ("computed", x)))

    shop, other = Shop(), Shop()
    shop.price.set("set", 1)
    assert shop.price.get(1) == Shop.price.get(shop, 1) == "set"
    assert other.price.get(1) is None and Shop.price.get(other, 1) is None
    Shop.price.set("unbound", other, 2)
    assert other.price.get(2) == "unbound" and shop.price.get(2) is None
    assert kind.call(Shop.price, other, 2) == "unbound"
    shop.price.cache_put("put", (3,), ttl=500, tags=("t",))
    Shop.price.cache_put("put unbound", (other, 3))
    assert shop.price.cache_ttl(3) == pytest.approx(500, abs=50)
    assert Shop.price.cache_ttl(other, 3) == pytest.approx(1000, abs=50)
    assert Shop.price.cache_contains(shop, 3) and shop.price.cache_contains(3)
    shop.price.cache_invalidate_tags("t")
    assert not shop.price.cache_contains(3) and other.price.cache_contains(3)
    assert kind.call(shop.price.cache_refresh, 1) == ("computed", 1)
    assert kind.call(Shop.price.cache_refresh, other, 1) == ("computed", 1)
    assert Shop.price.cache_invalidate(shop, 1) is True
    assert other.price.cache_invalidate(1) is True
    assert shop.price.cache_options()["per_instance"] is True


def test_info_and_clear_of_an_instance_and_of_the_class(kind: Kind) -> None:
    class Shop:
        price = cache(per_instance=True)(kind.method(lambda self, x: x))

    first, second, never = Shop(), Shop(), Shop()
    for x in (1, 2, 1):
        kind.call(first.price, x)
    kind.call(second.price, 1)
    assert first.price.cache_info() == (1, 2, 128, 2)
    assert second.price.cache_info() == (0, 1, 128, 1)
    assert never.price.cache_info() == (0, 0, 128, 0)
    total = Shop.price.cache_info()
    assert (total.hits, total.misses, total.currsize) == (1, 3, 3), "the living, summed"
    assert total.loads == 3
    first.price.cache_clear()
    assert first.price.cache_info() == (0, 0, 128, 0)
    assert second.price.cache_contains(1)
    Shop.price.cache_clear()
    assert not second.price.cache_contains(1)
    assert Shop.price.cache_info().currsize == 0


def test_the_class_sums_the_living_only(kind: Kind) -> None:
    class Shop:
        price = cache(per_instance=True)(kind.method(lambda self, x: x))

    first, second = Shop(), Shop()
    kind.call(first.price, 1)
    kind.call(second.price, 1)
    del first
    support.merge_counts()
    assert Shop.price.cache_info().currsize == 1
    del second
    support.merge_counts()
    assert Shop.price.cache_info()[:2] + Shop.price.cache_info()[3:] == (0, 0, 0)


def test_subclass_overrides_and_super_calls_have_caches_of_their_own() -> None:
    instance = Sub(3)
    assert instance.method(1) == ("sub", (3, 1))
    assert instance.method(1) == ("sub", (3, 1))
    assert instance.method.cache_info() == (1, 1, 128, 1)
    assert Plain.method.__get__(instance, Sub).cache_info() == (0, 1, 128, 1)
    assert Plain.method(instance, 1) == (3, 1)
    instance.method.cache_clear()
    assert Plain.method.__get__(instance, Sub).cache_contains(1)


def test_a_subclass_without_an_override_uses_the_inherited_one() -> None:
    class Derived(Plain):
        pass

    first, second = Derived(1), Plain(2)
    assert first.method(1) == (1, 1) and second.method(1) == (2, 1)
    assert first.method.cache_info() == second.method.cache_info() == (0, 1, 128, 1)


def test_properties(kind: Kind) -> None:
    body = Body()

    class Shop:
        name = property(cache(per_instance=True)(lambda self: body()))

    first, second = Shop(), Shop()
    assert first.name == first.name == (1,)
    assert second.name == (2,)


def test_every_other_parameter_goes_with_it(kind: Kind, clock: Any) -> None:
    body = Body()

    class Shop:
        price = cache(
            per_instance=True,
            strategy="fifo",
            ttl=100,
            stale_if_error=100,
            cache_if=lambda value: value[0] != 5,
            cache_exceptions={KeyError: 50},
            ignore=("y",),
        )(_with_y(kind, body))

    shop = Shop()
    assert kind.call(shop.price, 1, []) == kind.call(shop.price, 1, y={}) == (1, 1)
    kind.call(shop.price, 5)
    assert not shop.price.cache_contains(5)
    clock.advance(150)
    body.fail = ValueError("down")
    assert kind.call(shop.price, 1) == (1, 1)
    body.fail = KeyError("no")
    for _ in range(2):
        with pytest.raises(KeyError):
            kind.call(shop.price, 2)
    assert shop.price.cache_contains(2)
    clock.advance(60)
    assert not shop.price.cache_contains(2)


def _with_y(kind: Kind, body: Body) -> Any:
    if kind.is_async:

        async def async_price(self: Any, x: int, y: Any = 0) -> Any:
            return body(x)

        return async_price

    def price(self: Any, x: int, y: Any = 0) -> Any:
        return body(x)

    return price


def test_key_gets_self(kind: Kind) -> None:
    seen = []

    def key(self: Any, x: int) -> int:
        seen.append(self)
        return x % 10

    class Shop:
        price = cache(per_instance=True, key=key)(kind.method(lambda self, x: x))

    shop = Shop()
    assert kind.call(shop.price, 1) == kind.call(shop.price, 11) == 1
    assert seen[0] is shop


# --- slots and limits ---------------------------------------------------------------------------


def test_slots_without_weakref_or_dict_are_a_type_error_at_the_first_call(kind: Kind) -> None:
    class Bare:
        __slots__ = ("number",)
        price = cache(per_instance=True)(kind.method(lambda self, x: x))

    instance = Bare()
    with pytest.raises(TypeError, match="__weakref__|__dict__"):
        kind.call(instance.price, 1)


def test_slots_with_weakref_but_no_dict_die_at_once() -> None:
    instance = Slots(1)
    instance.method(1)
    gone = weakref.ref(instance)
    del instance
    support.merge_counts()
    assert gone() is None


def test_it_needs_memory() -> None:
    with pytest.raises((TypeError, ValueError), match="per_instance.*memory"):
        cache(per_instance=True, backend="shared")(lambda self: 1)


def test_lru_cache_has_no_such_parameter() -> None:
    with pytest.raises(TypeError, match="per_instance"):
        lru_cache(per_instance=True)(Body())


# --- threads ------------------------------------------------------------------------------------


def test_first_calls_of_many_threads_make_one_cache() -> None:
    for _ in range(50):
        count = []

        class Shop:
            @cache(per_instance=True)
            def price(self, x: int, count: Any = count) -> object:
                count.append(x)
                return object()

        shop = Shop()
        found = support.results(support.start_together([lambda shop=shop: shop.price(1)] * 4))
        assert len({id(value) for value in found}) == 1
        assert len(count) == 1
        assert shop.price.cache_info()[1:][2] == 1


def test_instances_come_and_go_in_many_threads() -> None:
    class Shop:
        def __init__(self, number: int) -> None:
            self.number = number

        @cache(per_instance=True, max_size=4)
        def price(self, x: int) -> tuple[int, int]:
            return (self.number, x)

    def work(base: int) -> None:
        for number in range(base, base + 400):
            shop = Shop(number)
            for x in (1, 2, 1, 3, 4, 5, 1):
                assert shop.price(x) == (number, x)
            if number % 50 == 0:
                Shop.price.cache_info()
            if number % 97 == 0:
                Shop.price.cache_clear()

    support.results(support.start_together([lambda n=n: work(n * 1000) for n in range(4)]))
    gc.collect()
    assert Shop.price.cache_info().currsize == 0
