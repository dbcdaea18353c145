"""get and set: looking at an entry and putting one in without a call."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from warp_cache import Strategy, cache, lru_cache

Decorate = Callable[..., Any]
both = pytest.mark.parametrize("decorate", [cache, lru_cache])
each_strategy = pytest.mark.parametrize("strategy", list(Strategy), ids=lambda s: s.name)


class Value:
    """Something that can be weakly referenced."""


def counting(calls: list[Any]) -> Callable[..., Any]:
    def function(x: Any, y: Any = 0) -> Any:
        calls.append((x, y))
        return ("computed", x, y)

    return function


@both
def test_get_never_computes_and_counts_nothing(decorate: Decorate) -> None:
    calls: list[Any] = []
    cached = decorate(counting(calls))
    assert cached.get(1) is None and calls == []
    cached(1)
    assert cached.get(1) == ("computed", 1, 0) and cached.get(2) is None
    assert calls == [(1, 0)]
    assert cached.cache_info() == (0, 1, 128, 1)


@both
def test_set_then_call_is_a_hit(decorate: Decorate) -> None:
    calls: list[Any] = []
    cached = decorate(counting(calls))
    value = Value()
    assert cached.set(value, 1) is None
    assert cached.get(1) is value and cached(1) is value
    assert calls == []
    assert cached.cache_info() == (1, 0, 128, 1)
    cached.set("other", 1)
    assert cached(1) == "other"
    assert cached.cache_info() == (2, 0, 128, 1)


@both
def test_a_stored_none_is_a_value(decorate: Decorate) -> None:
    calls: list[Any] = []
    cached = decorate(counting(calls))
    cached.set(None, 1)
    assert cached(1) is None and calls == []
    assert cached.cache_info() == (1, 0, 128, 1)


@both
def test_a_replaced_value_is_released(decorate: Decorate) -> None:
    cached = decorate(counting([]))
    value = Value()
    reference = weakref.ref(value)
    cached.set(value, 1)
    del value
    assert reference() is not None
    cached.set(2, 1)
    assert reference() is None


def test_spellings() -> None:
    calls: list[Any] = []
    cached = cache(counting(calls))
    cached.set("a", x=1)
    assert cached.get(1) == cached.get(1, 0) == cached.get(y=0, x=1) == cached(1, y=0) == "a"
    literal = lru_cache(counting(calls))
    literal.set("a", x=1)
    assert literal.get(x=1) == literal(x=1) == "a"
    assert literal.get(1) is literal.get(1, 0) is literal.get(x=1, y=0) is None
    assert calls == []


@both
def test_typed(decorate: Decorate) -> None:
    cached = decorate(typed=True)(counting([]))
    cached.set("int", 1)
    cached.set("float", 1.0)
    assert (cached.get(1), cached.get(1.0), cached.get(True)) == ("int", "float", None)


@both
def test_parameters_named_like_those_of_set(decorate: Decorate) -> None:
    @decorate
    def cached(value: int, self: int = 0, args: int = 0) -> tuple[int, ...]:
        return (value, self, args)

    cached.set("stored", value=1, self=2, args=3)
    assert cached.get(value=1, self=2, args=3) == "stored"
    assert cached(value=1, self=2, args=3) == "stored"
    assert cached(value=1, self=2, args=4) == (1, 2, 4)


@both
def test_misuse(decorate: Decorate) -> None:
    cached = decorate(counting([]))
    cached(1)
    with pytest.raises(TypeError):
        cached.set()
    for refused in (lambda: cached.get([]), lambda: cached.set("value", [])):
        with pytest.raises(TypeError, match="unhashable type: 'list'"):
            refused()
    assert cached.cache_info() == (0, 1, 128, 1)
    assert cached.get(1) == ("computed", 1, 0)


@both
def test_on_a_method_the_instance_is_an_argument(decorate: Decorate) -> None:
    class Shop:
        @decorate
        def price(self, item: str) -> str:
            return "computed " + item

    shop = Shop()
    assert Shop.price.get(shop, "tea") is None
    Shop.price.set("free", shop, "tea")
    assert shop.price("tea") == Shop.price.get(shop, "tea") == "free"
    assert shop.price("milk") == "computed milk"


def survivors(cached: Any, keys: range) -> list[int]:
    """Which keys are stored; asks in order, once, and so is the last thing to do with a cache."""
    return [key for key in keys if cached.get(key) is not None]


@pytest.mark.parametrize(
    ("strategy", "victims"),
    [
        (Strategy.LRU, {1}),
        (Strategy.MRU, {0}),
        (Strategy.FIFO, {0}),
        (Strategy.LFU, {1}),
        (Strategy.SIEVE, {1}),
        (Strategy.S3FIFO, {1}),
        (Strategy.TINYLFU, {1, 2}),  # equals
    ],
    ids=lambda value: getattr(value, "name", None),
)
@pytest.mark.parametrize("use", ["get", "set", "call"])
def test_get_and_set_are_uses(strategy: Strategy, victims: set[int], use: str) -> None:
    cached = cache(strategy, max_size=3)(counting([]))
    for key in range(3):
        cached(key)
    for _ in range(2):  # S3-FIFO wants two
        {"get": cached.get, "set": lambda x: cached.set("new", x), "call": cached}[use](0)
    cached(3)
    (gone,) = set(range(4)) - set(survivors(cached, range(4)))
    assert gone in victims


@each_strategy
def test_set_into_a_full_cache_evicts_one(strategy: Strategy) -> None:
    cached = cache(strategy, max_size=3)(counting([]))
    for key in range(10):
        cached.set(key, key)
        assert cached.cache_info().currsize == min(key + 1, 3)
        assert cached.get(key) == key
    left = survivors(cached, range(10))
    if strategy is Strategy.MRU:  # gives up the newest before each new one
        assert left == [0, 1, 9]
    elif strategy is Strategy.TINYLFU:  # may keep any of equals, but takes in the newest
        assert len(left) == 3 and left[-1] == 9
    else:  # where all are equal, the oldest goes
        assert left == [7, 8, 9]


@each_strategy
def test_replacing_in_a_full_cache_evicts_none(strategy: Strategy) -> None:
    cached = cache(strategy, max_size=3)(counting([]))
    for key in range(3):
        cached.set(key, key)
    for key in range(3):
        cached.set(("new", key), key)
    assert [cached.get(key) for key in range(3)] == [("new", key) for key in range(3)]
    assert cached.cache_info().currsize == 3


def test_lfu_counts_every_use() -> None:
    cached = cache(Strategy.LFU, max_size=3)(counting([]))
    for key, uses in ((0, 3), (1, 2), (2, 4)):
        for _ in range(uses):
            cached(key)
    cached.get(1)
    cached.set("one more", 1)  # counts now 3, 4, 4
    cached(3)  # evicts 0
    assert survivors(cached, range(4)) == [1, 2, 3]
    # After these looks: 1 has 5, 2 has 5, 3 has 2.
    cached(4)
    assert survivors(cached, range(5)) == [1, 2, 4]


def test_lfu_breaks_ties_by_least_recent_use() -> None:
    cached = cache(Strategy.LFU, max_size=3)(counting([]))
    for key in (0, 1, 2, 2, 1, 0):
        cached(key)
    cached(3)  # all counts are 2, the use of 2 is the oldest
    assert survivors(cached, range(4)) == [0, 1, 3]


@both
def test_async_functions_have_them_synchronous(decorate: Decorate) -> None:
    calls: list[Any] = []

    @decorate
    async def cached(x: int) -> Any:
        calls.append(x)
        return ("computed", x)

    assert cached.get(1) is None
    assert cached.set("stored", 1) is None
    assert cached.get(1) == "stored"
    assert asyncio.run(cached(1)) == "stored"
    assert asyncio.run(cached(2)) == ("computed", 2)
    assert cached.get(2) == ("computed", 2)
    assert calls == [2]
    assert cached.cache_info() == (1, 1, 128, 2)
    cached.cache_clear()
    assert cached.get(1) is None
