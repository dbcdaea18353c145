"""What type checkers must conclude about right uses of methods. Never run, but read as `right`."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

from typing_extensions import Self, assert_type

from warp_cache import (
    cache,
    lru_cache,
)

T = TypeVar("T")
U = TypeVar("U")
V = TypeVar("V")
Text = TypeVar("Text", bound=str)

# mypy takes this for true, and no other checker does.
MYPY = False


# --- methods ---------------------------------------------------------------------------------


class Shop(Generic[T]):
    def __init__(self, thing: T) -> None:
        self.thing = thing

    @cache
    def price(self, item: str, *, count: int = 1) -> float:
        return count

    @lru_cache(maxsize=16)
    def first(self, item: str) -> T:
        return self.thing

    @cache(ttl=1)
    async def order(self, item: str) -> int:
        return 1

    @property
    @cache
    def size(self) -> int:
        return 1

    @classmethod
    @cache
    def make(cls, name: str) -> bytes:
        return name.encode()

    @classmethod
    @lru_cache(maxsize=3)
    async def make_later(cls, name: str) -> bytes:
        return name.encode()

    @staticmethod
    @cache
    def tax(rate: float) -> str:
        return str(rate)

    @staticmethod
    @lru_cache
    async def tax_later(rate: float) -> str:
        return str(rate)

    @staticmethod
    @cache
    def key(x: Hashable) -> int:
        return hash(x)

    @staticmethod
    @cache
    def constant() -> int:
        return 1

    def check_within(self) -> None:
        assert_type(self.price("tea"), float)
        assert_type(self.first("tea"), T)
        assert_type(self.make("tea"), bytes)
        assert_type(self.tax(1), str)
        assert_type(self.constant(), int)
        assert_type(self.size, int)


class Corner(Shop[str]):
    @cache
    def super_price(self, item: str) -> float:
        return super().price(item)

    def check_inherited(self) -> None:
        assert_type(self.price("tea", count=2), float)
        assert_type(self.first("tea"), str)
        assert_type(super().make("tea"), bytes)


async def check_methods(shop: Shop[bytes], corner: Corner) -> None:
    assert_type(shop.price("tea"), float)
    assert_type(shop.price(item="tea", count=2), float)
    assert_type(shop.first("tea"), bytes)
    assert_type(corner.first("tea"), str)
    assert_type(await shop.order("tea"), int)
    assert_type(shop.size, int)
    assert_type(Corner.price(corner, "tea", count=2), float)
    bound: Callable[[str], float] = shop.price
    assert_type(list(map(shop.price, ["tea"])), list[float])
    del bound
    # A bound method passes its instance to whatever takes the call's arguments.
    assert_type(shop.price.get("tea", count=2), float | None)
    assert_type(shop.price.set(1.0, "tea"), None)
    assert_type(shop.order.get("tea"), int | None)
    assert_type(shop.price.cache_info().hits, int)
    assert_type(Corner.price.cache_info().hits, int)
    assert_type(Corner.price.get(corner, "tea"), float | None)
    assert_type(shop.price.cache_options(), dict[str, Any])
    assert_type(Corner.price.cache_options()["max_size"], Any)


async def check_class_and_static_methods(shop: Shop[bytes], corner: Corner) -> None:
    assert_type(Corner.make("tea"), bytes)
    assert_type(Corner.make(name="tea"), bytes)
    assert_type(shop.make("tea"), bytes)
    assert_type(await Corner.make_later("tea"), bytes)
    assert_type(await corner.make_later("tea"), bytes)
    assert_type(Corner.make.get(Corner, "tea"), bytes | None)
    assert_type(Corner.make.cache_info().hits, int)
    made: Callable[[str], bytes] = Corner.make
    del made
    assert_type(Corner.tax(0.1), str)
    assert_type(shop.tax(rate=0.1), str)
    assert_type(await Corner.tax_later(0.1), str)
    assert_type(Corner.key("tea"), int)
    assert_type(Corner.constant(), int)
    assert_type(shop.constant(), int)
    assert_type(Corner.tax.get(0.1), str | None)
    assert_type(shop.tax.cache_info().hits, int)


class Chained:
    @cache
    def following(self, x: int) -> Self:
        return self

    @lru_cache(maxsize=3)
    def several(self, x: int) -> list[Self]:
        return [self]

    @cache(ttl=1)
    async def later(self, x: int) -> Self:
        return self

    @cache
    def paired(self, x: T) -> tuple[Self, T]:
        return self, x

    @classmethod
    @cache
    def named(cls, name: str) -> Self:
        return cls()

    @classmethod
    @cache(ttl=1)
    async def named_later(cls, name: str) -> Self:
        return cls()

    @cache
    def following_twice(self, x: int) -> Self:
        return self.following(x).following(x)

    @classmethod
    @cache
    def named_twice(cls, name: str) -> Self:
        return cls.named(name).named(name)


class Derived(Chained):
    pass


async def check_self(derived: Derived, number: int) -> None:
    assert_type(derived.following(1), Derived)
    assert_type(derived.following(1).following_twice(2), Derived)
    assert_type(derived.several(1), list[Derived])
    assert_type(await derived.later(1), Derived)
    assert_type(derived.paired(number), tuple[Derived, int])
    assert_type(derived.named(""), Derived)
    assert_type(Derived.named(""), Derived)
    assert_type(Derived.named("").named_twice(""), Derived)
    assert_type(await derived.named_later(""), Derived)
    assert_type(await Derived.named_later(""), Derived)
    assert_type(Derived.following(derived, 1), Derived)
    assert_type(list(map(derived.following, [1])), list[Derived])
    assert_type(derived.several.get(1), list[Derived] | None)
    assert_type(derived.later.get(1), Derived | None)
    assert_type(await derived.later.aget(1), Derived | None)
    if not MYPY:  # it takes the operations of such a method, and no call, for those of a function
        assert_type(derived.following.get(1), Derived | None)
        assert_type(derived.following.set(derived, 1), None)


# --- type variables of a function's own ---------------------------------------------------------


@cache
def same(x: T) -> T:
    return x


@lru_cache(maxsize=3)
async def same_later(x: T) -> T:
    return x


@cache(backend="shared")
def lengths(x: list[T]) -> dict[T, int]:
    return {}


class Generous(Generic[U]):
    @cache
    def same(self, x: T) -> T:
        return x

    @cache(ttl=1, per_instance=True)
    def same_called(self, x: list[T], *, by: dict[T, V]) -> tuple[T, V]:
        return x[0], by[x[0]]

    @lru_cache
    def lru_same(self, x: T) -> T:
        return x

    @lru_cache(maxsize=3)
    def lru_same_called(self, x: list[T]) -> T:
        return x[0]

    @cache(backend="shared")
    def same_text(self, x: Text) -> Text:
        return x

    @cache(ttl=1)
    async def same_later(self, x: T) -> T:
        return x

    @cache
    def of_both(self, x: U, y: T) -> dict[U, T]:
        return {x: y}

    @classmethod
    @cache
    def same_of_class(cls, x: T) -> T:
        return x

    @staticmethod
    @cache
    def first(x: list[T]) -> T:
        return x[0]

    def check_within(self, number: int) -> None:
        assert_type(self.same(number), int)
        assert_type(self.same_called([number], by={number: ""}), tuple[int, str])


async def check_own_type_variables(
    generous: Generous[bytes], number: int, text: str, data: bytes
) -> None:
    assert_type(same(number), int)
    assert_type(await same_later(number), int)
    assert_type(lengths([text]), dict[str, int])
    assert_type(generous.same(number), int)
    assert_type(generous.same(x=text), str)
    assert_type(generous.same_called([number], by={number: text}), tuple[int, str])
    assert_type(generous.lru_same(number), int)
    assert_type(generous.lru_same_called([number]), int)
    assert_type(generous.same_text(text), str)
    assert_type(await generous.same_later(number), int)
    assert_type(generous.of_both(data, number), dict[bytes, int])
    assert_type(generous.same_of_class(number), int)
    assert_type(Generous.same_of_class(number), int)
    assert_type(generous.first([number]), int)
    assert_type(Generous.first([number]), int)
    as_callback: Callable[[int], int] = generous.same
    assert_type(list(map(generous.same, [number])), list[int])
    del as_callback


async def check_operations_of_own_type_variables(generous: Generous[bytes], number: int) -> None:
    assert_type(same.get(number), int | None)
    assert_type(same.set(number, number), None)
    assert_type(same.cache_put(number, (number,)), None)
    assert_type(await same_later.acache_put(number, (number,)), None)
    assert_type(generous.same.get(number), int | None)
    assert_type(generous.same.set(number, number), None)
    assert_type(generous.same.cache_put(number, (number,)), None)
    assert_type(generous.same.cache_invalidate(number), bool)
    assert_type(generous.same.cache_contains(number), bool)
    assert_type(generous.same.cache_refresh(number), int)
    assert_type(generous.same.cache_ttl(number), float | None)
    assert_type(await generous.same_later.aset(number, number), None)
    assert_type(await generous.same_later.acache_put(number, (number,)), None)
    assert_type(await generous.same_later.acache_contains(number), bool)
    assert_type(await generous.same_later.acache_invalidate(number), bool)
    assert_type(await generous.same_later.acache_ttl(number), float | None)


# --- operations to be awaited, and with arguments in a tuple ------------------------------------


async def check_values(shop: Shop[bytes], corner: Corner) -> None:
    assert_type(await shop.order.aget("tea"), int | None)
    assert_type(await shop.order.aset(1, "tea"), None)
    assert_type(await shop.order.acache_put(1, ("tea",)), None)
    assert_type(shop.order.cache_put(1, ("tea",)), None)
    assert_type(shop.price.cache_put(1.0, ("tea",)), None)
    assert_type(shop.first.cache_put(b"", ("tea",)), None)
    assert_type(await Corner.order.aget(corner, "tea"), int | None)
    assert_type(await Corner.tax_later.aget(0.1), str | None)
    assert_type(await Corner.make_later.aget(Corner, "tea"), bytes | None)
    assert_type(shop.price.__wrapped__(shop, "tea"), float)
