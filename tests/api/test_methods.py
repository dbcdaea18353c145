"""Decorated functions inside classes: they bind, and are called, as plain functions are."""

from __future__ import annotations

import abc
import functools
import operator
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from warp_cache import cache, lru_cache

pytestmark = pytest.mark.parametrize("decorate", [cache, lru_cache])
Decorate = Callable[..., Any]


def test_method_of_an_instance(decorate: Decorate) -> None:
    class Shop:
        @decorate
        def price(self, item: str, count: int = 1) -> tuple[Any, ...]:
            return (self, item, count)

    first, second = Shop(), Shop()
    assert first.price("tea") == (first, "tea", 1)
    assert first.price("tea") == (first, "tea", 1)
    assert second.price("tea") == (second, "tea", 1)
    assert first.price("tea", 2) == (first, "tea", 2)
    assert Shop.price(first, "tea") == (first, "tea", 1)
    assert Shop.price.cache_info()[:2] == (2, 3)


def test_bound_method_is_a_method_of_the_same_cache(decorate: Decorate) -> None:
    class Shop:
        @decorate
        def price(self, item: str) -> str:
            return item

    shop = Shop()
    bound = shop.price
    assert isinstance(bound, types.MethodType)
    assert bound.__self__ is shop
    assert bound.__func__ is Shop.price is Shop.__dict__["price"]
    assert bound == shop.price
    assert bound("tea") == shop.price("tea") == "tea"
    assert bound.cache_info() == Shop.price.cache_info() == (1, 1, 128, 1)
    bound.cache_clear()
    assert shop.price.cache_info() == (0, 0, 128, 0)


def test_descriptor_called_by_hand(decorate: Decorate) -> None:
    @decorate
    def pair(self: object, x: object) -> tuple[object, object]:
        return (self, x)

    assert pair.__get__("me")("you") == ("me", "you")
    assert pair.__get__("me", str)("you") == ("me", "you")
    assert pair.__get__(None, str) is pair
    assert pair.cache_info()[:2] == (1, 1)


def test_call_through_every_door(decorate: Decorate) -> None:
    @decorate
    def pair(x: int, y: int = 0) -> tuple[int, int]:
        return (x, y)

    doors: list[Callable[..., Any]] = [
        pair,
        pair.__call__,
        functools.partial(pair),
        functools.partial(type(pair).__call__, pair),
        lambda *args, **kwargs: pair(*args, **kwargs),
        operator.methodcaller("__call__", 1, y=2).__call__,
    ]
    for door in doors[:-1]:
        assert door(1, y=2) == (1, 2)
    assert doors[-1](pair) == (1, 2)
    assert pair.cache_info()[:2] == (5, 1)
    assert list(map(pair, [1, 1], [3, 3])) == [(1, 3), (1, 3)]
    assert functools.reduce(pair, [1, 2, 3]) == ((1, 2), 3)
    assert sorted([3, 1, 2], key=pair) == [1, 2, 3]


def test_classmethod(decorate: Decorate) -> None:
    class Base:
        @classmethod
        @decorate
        def make(cls, x: int) -> tuple[type, int]:
            return (cls, x)

    class Derived(Base):
        pass

    assert Base.make(1) == (Base, 1)
    assert Derived.make(1) == (Derived, 1)
    assert Base().make(1) == (Base, 1)
    assert Base.make.cache_info()[:2] == (1, 2)


def test_staticmethod(decorate: Decorate) -> None:
    class Tools:
        @staticmethod
        @decorate
        def double(x: int) -> int:
            return 2 * x

    assert Tools.double(2) == Tools().double(2) == 4
    assert Tools.double.cache_info()[:2] == (1, 1)
    assert Tools.double is Tools().double


def test_property(decorate: Decorate) -> None:
    class Circle:
        calls = 0

        @property
        @decorate
        def area(self) -> int:
            type(self).calls += 1
            return 42

    circle = Circle()
    assert (circle.area, circle.area, Circle.calls) == (42, 42, 1)
    with pytest.raises(AttributeError):
        circle.area = 1  # type: ignore[misc]


def test_inherited_overridden_and_super(decorate: Decorate) -> None:
    class Base:
        @decorate
        def name(self) -> str:
            return "base"

        @decorate
        def kind(self) -> type:
            return type(self)

    class Derived(Base):
        @decorate
        def name(self) -> str:
            return "derived " + super().name()

    thing = Derived()
    assert thing.name() == thing.name() == "derived base"
    assert Base.name.cache_info()[:2] == (0, 1)
    assert Derived.name.cache_info()[:2] == (1, 1)
    assert (thing.kind(), Base().kind()) == (Derived, Base)


def test_slots_without_weakref(decorate: Decorate) -> None:
    class Point:
        __slots__ = ("x",)

        def __init__(self, x: int) -> None:
            self.x = x

        @decorate
        def twice(self) -> int:
            return 2 * self.x

    points = [Point(x) for x in range(5)]
    assert [p.twice() for p in points] == [p.twice() for p in points] == [0, 2, 4, 6, 8]
    assert Point.twice.cache_info()[:2] == (5, 5)


def test_equal_instances_share_an_entry(decorate: Decorate) -> None:
    @dataclass(frozen=True)
    class Point:
        x: int

        @decorate
        def norm(self) -> int:
            return abs(self.x)

    assert Point(-3).norm() == Point(-3).norm() == 3
    assert Point.norm.cache_info()[:2] == (1, 1)


def test_unhashable_instance(decorate: Decorate) -> None:
    @dataclass
    class Point:
        x: int

        @decorate
        def norm(self) -> int:
            return abs(self.x)

    with pytest.raises(TypeError, match="unhashable type: 'Point'"):
        Point(1).norm()
    with pytest.raises(TypeError, match="unhashable type: 'Point'"):
        Point.norm(Point(1))
    assert Point.norm.cache_info() == (0, 0, 128, 0)


def test_special_methods(decorate: Decorate) -> None:
    """The interpreter looks these up on the type and calls them through the type's slots."""

    class Table:
        __getitem__ = decorate(lambda self, key: ("item", key))
        __call__ = decorate(lambda self, *args, **kwargs: (args, kwargs))
        __len__ = decorate(lambda self: 3)
        __add__ = decorate(lambda self, other: ("sum", other))
        __contains__ = decorate(lambda self, key: key == 1)

    table = Table()
    for _ in range(2):
        assert table["a"] == ("item", "a")
        assert table(1, x=2) == ((1,), {"x": 2})
        assert len(table) == 3
        assert table + 1 == ("sum", 1)
        assert 1 in table and 2 not in table
    assert Table.__getitem__.cache_info()[:2] == (1, 1)
    assert Table.__call__.cache_info()[:2] == (1, 1)
    assert Table.__len__.cache_info()[:2] == (1, 1)


def test_method_added_to_a_class_later_and_to_an_instance(decorate: Decorate) -> None:
    class Thing:
        pass

    thing = Thing()
    Thing.late = decorate(lambda self, x: (self, x))  # type: ignore[attr-defined]
    assert thing.late(1) == (thing, 1)  # type: ignore[attr-defined]
    thing.own = decorate(lambda x: x)  # type: ignore[attr-defined]
    assert thing.own(1) == 1  # type: ignore[attr-defined]


def test_partialmethod(decorate: Decorate) -> None:
    class Light:
        @decorate
        def set(self, level: int, color: str = "white") -> tuple[Any, ...]:
            return (self, level, color)

        off = functools.partialmethod(set, 0, color="black")

    light = Light()
    assert light.off() == light.off() == (light, 0, "black")
    assert Light.set.cache_info()[:2] == (1, 1)


def test_abstract_method_stays_abstract(decorate: Decorate) -> None:
    class Base(abc.ABC):
        @decorate
        @abc.abstractmethod
        def run(self) -> int: ...

    class Done(Base):
        def run(self) -> int:
            return 1

    with pytest.raises(TypeError, match="abstract"):
        Base()  # type: ignore[abstract]
    assert Done().run() == 1


def test_method_with_mutual_recursion(decorate: Decorate) -> None:
    class Parity:
        @decorate
        def even(self, n: int) -> bool:
            return n == 0 or self.odd(n - 1)

        @decorate
        def odd(self, n: int) -> bool:
            return n != 0 and self.even(n - 1)

    parity = Parity()
    assert parity.even(20) is True
    assert parity.even(20) is True
    assert Parity.even.cache_info()[:2] == (1, 11)
    assert Parity.odd.cache_info()[:2] == (0, 10)


def test_spellings_of_a_method_call(decorate: Decorate) -> None:
    class Shop:
        @decorate
        def price(self, item: str, count: int = 1) -> tuple[Any, ...]:
            return (self, item, count)

    shop = Shop()
    expected = (shop, "tea", 1)
    results = [
        shop.price("tea"),
        shop.price(item="tea"),
        shop.price("tea", 1),
        shop.price(count=1, item="tea"),
        shop.price(item="tea", count=1),
        Shop.price(shop, "tea"),
        Shop.price(self=shop, item="tea"),
    ]
    assert results == [expected] * 7
    # lru_cache: only `Shop.price(shop, "tea")` is spelled like an earlier one.
    assert Shop.price.cache_info()[:2] == ((6, 1) if decorate is cache else (1, 6))


def test_wrong_method_calls(decorate: Decorate) -> None:
    class Shop:
        @decorate
        def price(self, item: str) -> str:
            return item

    shop = Shop()
    assert shop.price("tea") == "tea"
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'item'"):
        shop.price()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="takes 2 positional arguments but 3 were given"):
        shop.price("tea", "cake")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="multiple values for argument 'self'"):
        shop.price("tea", self=shop)  # type: ignore[call-arg]
    assert Shop.price.cache_info() == (0, 4, 128, 1)
