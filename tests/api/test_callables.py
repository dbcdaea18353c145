"""What can be decorated besides a plain function, and what its keys are then."""

from __future__ import annotations

import functools
import operator
import types
from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import pytest

from warp_cache import cache, lru_cache

Decorate = Callable[..., Any]
both = pytest.mark.parametrize("decorate", [cache, lru_cache])


def function(a: Any, b: Any = 2, *, c: Any = 3) -> tuple[Any, ...]:
    return (a, b, c)


def check(cached: Any, *calls: tuple[Any, ...], entries: int | None) -> None:
    """Each call (positional arguments, last the keywords) gives what the original gives."""
    for _ in range(2):
        for *args, kwargs in calls:
            expected = cached.__wrapped__(*args, **kwargs)
            assert cached(*args, **kwargs) == expected, (args, kwargs)
    hits, misses, _, size = cached.cache_info()
    assert hits + misses == 2 * len(calls)
    if entries is not None:
        assert (misses, size) == (entries, entries)


def refused(cached: Any, *args: Any, **kwargs: Any) -> None:
    with pytest.raises(TypeError) as own:
        cached.__wrapped__(*args, **kwargs)
    with pytest.raises(TypeError) as ours:
        cached(*args, **kwargs)
    assert str(ours.value) == str(own.value)


def test_partial_of_a_positional_argument() -> None:
    cached = cache(functools.partial(function, 1))
    check(cached, ({},), (2, {}), ({"b": 2},), ({"b": 2, "c": 3},), ({"c": 3},), entries=1)
    refused(cached, a=1)
    refused(cached, 1, 2)
    refused(cached, 1, b=2)


def test_partial_of_keywords() -> None:
    cached = cache(functools.partial(function, c=9))
    assert cached(1) == cached(1, c=9) == cached(a=1, c=9) == cached(c=9, b=2, a=1) == (1, 2, 9)
    assert cached(1, c=3) == cached(1, 2, c=3) == (1, 2, 3)
    assert cached.cache_info()[:2] == (4, 2)
    # b becomes keyword-only, because a positional one would meet the stored one.
    cached = cache(functools.partial(function, b=5))
    assert cached(1) == cached(1, b=5) == (1, 5, 3)
    assert cached(1, b=6) == (1, 6, 3)
    refused(cached, 1, 5)
    refused(cached, 1, 6)


def test_partial_of_partial_and_of_cached() -> None:
    cached = cache(functools.partial(functools.partial(function, 1), c=4))
    assert cached() == cached(2) == cached(b=2) == cached(c=4) == (1, 2, 4)
    assert cached.cache_info()[:2] == (3, 1)
    inner = cache(function)
    outer = cache(functools.partial(inner, 1))
    assert outer() == outer(2) == outer(c=3) == (1, 2, 3)
    assert sum(outer.cache_info()[:2]) == 3
    assert sum(inner.cache_info()[:2]) == outer.cache_info().misses


@pytest.mark.skipif(not hasattr(functools, "Placeholder"), reason="since 3.14")
def test_partial_with_a_placeholder() -> None:
    cached = cache(functools.partial(function, functools.Placeholder, 5))  # type: ignore[attr-defined]
    check(cached, (1, {}), (2, {}), (1, {"c": 3}), (1, {"c": 4}), entries=3)
    refused(cached)
    refused(cached, 1, 2)


def test_bound_method() -> None:
    class Shop:
        def price(self, item: str, count: int = 1) -> tuple[Any, ...]:
            return (self, item, count)

        @classmethod
        def make(cls, x: int) -> tuple[Any, ...]:
            return (cls, x)

    cached = cache(Shop().price)
    check(cached, ("tea", {}), ({"item": "tea"},), ("tea", 1, {}), ("milk", {}), entries=2)
    refused(cached)
    refused(cached, "tea", 1, 2)
    refused(cached, "tea", item="tea")
    made = cache(Shop.make)
    check(made, (1, {}), ({"x": 1},), entries=1)


def test_class() -> None:
    class Point:
        def __init__(self, x: int, y: int = 0) -> None:
            self.x, self.y = x, y

    cached = cache(Point)
    assert cached(1) is cached(x=1) is cached(1, 0) is cached(y=0, x=1)
    assert isinstance(cached(1), Point) and cached(2) is not cached(1)
    assert not isinstance(cached, type)
    refused(cached)
    refused(cached, 1, 2, 3)


def test_class_with_new_and_init_that_differ() -> None:
    class Odd:
        def __new__(cls, *args: Any, **kwargs: Any) -> Any:
            made = super().__new__(cls)
            made.seen = (args, kwargs)
            return made

        def __init__(self, a: int, b: int = 2) -> None:
            self.pair = (a, b)

    class Strange(type):
        def __call__(cls, *args: Any, swap: bool = False) -> Any:
            return args[::-1] if swap else args

    class WithMeta(metaclass=Strange):
        def __init__(self, a: int) -> None: ...

    cached = cache(Odd)
    for args, kwargs in (((1,), {}), ((1, 2), {}), ((), {"a": 1}), ((1,), {"b": 3})):
        made = cached(*args, **kwargs)
        assert made.pair == (kwargs.get("a", 1), kwargs.get("b", 2))
    meta = cache(WithMeta)
    assert meta(1, 2) == (1, 2) and meta(1, 2, swap=True) == (2, 1) and meta() == ()


def test_dataclass_namedtuple_and_builtin_classes() -> None:
    @dataclass(frozen=True)
    class Data:
        x: int
        y: int = 0

    pair = namedtuple("pair", ["x", "y"], defaults=[0])
    for made in (cache(Data), cache(pair)):
        assert made(1) is made(x=1) is made(1, 0) is made(y=0, x=1)
        refused(made, 1, 2, 3)
    # Whether these can be read differs between versions.
    check(cache(int), ("10", {}), ("10", {"base": 2}), ("10", 2, {}), ({},), entries=None)
    check(cache(complex), (1, {}), (1, 2, {}), ({"imag": 2, "real": 1},), entries=None)
    check(cache(dict), ({},), ({"a": 1},), ((("a", 1),), {}), ({"b": 2, "a": 1},), entries=4)
    check(cache(Fraction), ("1/3", {}), (1, 3, {}), entries=2)
    refused(cache(int), "x", 1, 2)


@both
def test_builtins(decorate: Decorate) -> None:
    check(decorate(len), ("abc", {}), ((1, 2), {}), entries=2)
    check(decorate(max), (1, 2, {}), (2, 1, {}), ((3, 4), {}), ((), {"default": 5}), entries=4)
    keys: list[dict[str, Any]] = [{"key": str.lower}, {}, {"key": str.upper}]
    check(decorate(max), *(("aB", key) for key in keys), entries=3)
    check(decorate(divmod), (7, 3, {}), (7, 2, {}), (7.5, 2, {}), entries=3)
    check(decorate(pow), (2, 3, {}), (2, 3, 5, {}), (3, 2, {}), entries=3)
    check(decorate(sorted), ((2, 1), {}), ((2, 1), {"reverse": True}), entries=2)
    check(decorate("-".join), (("a", "b"), {}), ("ab", {}), entries=2)
    check(decorate(operator.itemgetter(1)), ((1, 2), {}), ("ab", {}), entries=2)
    check(decorate(str.upper), ("a", {}), ("b", {}), entries=2)
    check(decorate(getattr), ("a", "real", None, {}), (1, "real", {}), entries=2)
    for wrong in (decorate(len), decorate(divmod)):
        refused(wrong)
        refused(wrong, 1, 2, 3)
        refused(wrong, x=1)
        assert wrong.cache_info().currsize == 0
    check(decorate(types.SimpleNamespace), ({"a": 1},), ({"a": 2},), entries=2)


def test_keyword_arguments_of_builtins() -> None:
    """pow(base, exp, mod=None) can be read, and takes keywords."""
    cached = cache(pow)
    assert cached(2, 5) == cached(base=2, exp=5) == cached(2, exp=5, mod=None) == 32
    assert cached(2, 5, 3) == cached(2, 5, mod=3) == 2
    assert cached.cache_info()[:2] == (3, 2)


@both
def test_callable_instance(decorate: Decorate) -> None:
    class Adder:
        def __init__(self, base: int) -> None:
            self.base = base

        def __call__(self, x: int, y: int = 0) -> int:
            return self.base + x + y

    adder = Adder(100)
    adder.__dict__["__call__"] = lambda z: "never"  # calls look it up on the type
    cached = decorate(adder)
    assert cached(1) == cached(1) == cached(x=1) == cached(1, 0) == cached(y=0, x=1) == 101
    assert cached.cache_info()[:2] == ((4, 1) if decorate is cache else (1, 4))
    refused(cached)
    refused(cached, 1, 2, 3)
    refused(cached, z=1)


@both
def test_callable_without_hash_or_truth(decorate: Decorate) -> None:
    """The function is called, never compared, hashed or asked whether it is true."""

    class Awkward:
        __hash__ = None  # type: ignore[assignment]

        def __eq__(self, other: object) -> bool:
            raise RuntimeError("compared")

        def __bool__(self) -> bool:
            raise RuntimeError("asked for truth")

        def __len__(self) -> int:
            raise RuntimeError("asked for length")

        def __call__(self, x: int) -> int:
            return x

    cached = decorate(Awkward())
    assert cached(1) == cached(1) == 1
    assert decorate()(Awkward())(1) == 1


@both
def test_generic_function(decorate: Decorate) -> None:
    @functools.singledispatch
    def kind(x: object, note: str = "") -> str:
        return "object" + note

    @kind.register
    def _(x: str, note: str = "") -> str:
        return "str" + note

    cached = decorate(kind)
    assert [cached("a"), cached(b"a"), cached("a", note="!")] == ["str", "object", "str!"]
    with pytest.raises(TypeError):
        cached(x="a")  # needs a positional one


@both
def test_lambda(decorate: Decorate) -> None:
    assert decorate(lambda: 5)() == 5
    assert decorate(lambda *a, **k: (a, k))(1, b=2) == ((1,), {"b": 2})
