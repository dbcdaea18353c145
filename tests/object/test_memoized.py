"""Memoized functions: whose entries are whose, and what attribute access on an instance gives."""

from __future__ import annotations

import asyncio
import copy
import inspect
import pickle
from collections.abc import Callable
from contextlib import nullcontext
from functools import lru_cache
from types import MethodType
from typing import Any
from weakref import WeakMethod

import pytest

from warp_cache import Cache, disabled

Make = Callable[..., Cache[Any, Any]]


def test_functions_made_one_after_the_other_have_entries_of_their_own(make: Make) -> None:
    """Each is freed before the next one is made, which the interpreter puts in its place."""
    cache = make(1000)

    def adder(n: int) -> Callable[[int], int]:
        @cache.memoize
        def add(x: int) -> int:
            return x + n

        return add

    assert [adder(n)(1) for n in range(10)] == list(range(1, 11))
    lambdas = [f"lambda x: x + {n}" for n in range(10)]
    assert [cache.memoize(eval(code))(1) for code in lambdas] == list(range(1, 11))


def test_types_are_told_apart_where_that_is_asked_for(make: Make) -> None:
    cache = make()

    @cache.memoize(typed=True)
    def types(*args: Any, **named: Any) -> list[str]:
        return [type(value).__name__ for value in (*args, *named.values())]

    assert [types(1), types(1.0), types(True), types(1)] == [["int"], ["float"], ["bool"], ["int"]]
    assert types(1, "x", a=2) == ["int", "str", "int"]
    assert types(1, "x", a=2.0) == ["int", "str", "float"]
    assert types.get(1) == ["int"]
    assert types.cache_invalidate(1.0)
    assert (types.cache_contains(1), types.cache_contains(1.0)) == (True, False)

    @cache.memoize(typed=True, key=lambda x: x)
    def of_key(x: Any) -> str:
        return type(x).__name__

    assert (of_key(1), of_key(True), of_key((1,)), of_key((True,))) == (
        "int",
        "bool",
        "tuple",
        "tuple",
    )


class Point:
    cache = Cache[Any, Any]()

    def __init__(self, x: int) -> None:
        self.x = x

    def __hash__(self) -> int:
        return hash(self.x)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and self.x == other.x

    @cache.memoize
    def plus(self, y: int) -> int:
        return self.x + y


@Point.cache.memoize
def doubled(x: int) -> int:
    return 2 * x


def test_methods_of_a_memoized_method_bind_the_instance() -> None:
    one, two = Point(1), Point(2)
    one.plus.set(10, 5)  # type: ignore[attr-defined]
    assert (one.plus(5), two.plus(5)) == (10, 7)
    one.plus.cache_put(20, (6,), ttl=100)  # type: ignore[attr-defined]
    assert (one.plus(6), two.plus(6)) == (20, 8)
    two.plus.cache_put(30, kwargs={"y": 7})  # type: ignore[attr-defined]
    assert (one.plus(7), two.plus(y=7)) == (8, 30)
    assert one.plus.cache_ttl(6) <= 100  # type: ignore[attr-defined]
    assert one.plus.cache_refresh(5) == one.plus.get(5) == 6  # type: ignore[attr-defined]
    assert one.plus.cache_invalidate(5)  # type: ignore[attr-defined]
    assert not one.plus.cache_contains(5)  # type: ignore[attr-defined]
    assert two.plus.cache_contains(5)  # type: ignore[attr-defined]


def test_a_memoized_method_is_like_a_bound_one() -> None:
    one, other = Point(1), Point(1)
    assert one.plus == one.plus
    assert hash(one.plus) == hash(one.plus)
    assert one.plus != other.plus
    assert one.plus != Point.plus
    assert one.plus.__self__ is one  # type: ignore[attr-defined]
    assert one.plus.__func__ is Point.plus  # type: ignore[attr-defined]
    assert isinstance(one.plus, MethodType) and inspect.ismethod(one.plus)
    assert one.plus.__doc__ == Point.plus.__doc__
    assert WeakMethod(one.plus)() == one.plus
    assert (one.plus.__name__, one.plus.__module__) == ("plus", __name__)
    assert repr(one.plus) == f"<bound method Point.plus of {one!r}>"
    assert {"cache_invalidate", "__self__"} <= {*dir(one.plus)}
    assert one.plus.__wrapped__(4) == 5  # type: ignore[attr-defined]
    assert list(inspect.signature(one.plus).parameters) == ["y"]
    assert pickle.loads(pickle.dumps(one.plus))(4) == 5


def test_memoized_functions_are_copied_and_pickled_by_name() -> None:
    assert pickle.loads(pickle.dumps(doubled)) is doubled
    assert copy.copy(doubled) is copy.deepcopy(doubled) is doubled


def test_tags_are_asked_for_where_something_is_computed(make_here: Make) -> None:
    asked = []

    def tags(x: int) -> list[str]:
        asked.append(x)
        return [f"tag {x}"]

    f: Any = make_here().memoize(tags=tags)(lambda x: [x])
    assert f(1) == f(1) == f(1) == [1]
    assert asked == [1]
    f.cache_invalidate_tags("tag 1")
    assert not f.cache_contains(1)
    wrong: Any = make_here().memoize(tags=lambda x: [f"{1 / x}"])(lambda x: [x])
    with pytest.raises(ZeroDivisionError):
        wrong(0)


@pytest.mark.parametrize("is_disabled", [False, True])
def test_a_refresh_stores_nothing_where_nothing_is_kept(make_here: Make, is_disabled: bool) -> None:
    cache: Any = make_here(max_size=8 if is_disabled else 0)

    async def later(x: int) -> int:
        return -x

    f, g = cache.memoize(abs), cache.memoize(later)
    with disabled() if is_disabled else nullcontext():
        assert f.cache_refresh(-1) == 1
        assert asyncio.run(_awaited(g.cache_refresh, 1)) == -1
        with pytest.raises(TypeError, match="bad operand"):
            f.cache_refresh("x")
    info = cache.info()
    assert (info.currsize, info.hits, info.misses) == (0, 0, 0)
    assert (info.refreshes, info.loads, info.load_failures) == (
        (0, 0, 0) if is_disabled else (3, 3, 1)
    )
    assert not f.cache_contains(-1)


def test_a_memoized_function_in_another_cache_is_in_both(make: Make, make_here: Make) -> None:
    near, far = make_here(), make()
    runs = []

    def f(x: int) -> list[int]:
        runs.append(x)
        return [x]

    both = near.memoize(far.memoize(f))
    assert (both(1), both(1)) == ([1], [1])
    assert (near.info().hits, near.info().misses, far.info().misses) == (1, 1, 1)
    both.cache_clear()
    assert both(1) == [1]
    assert (far.info().hits, runs) == (1, [1])

    async def later(x: int) -> list[int]:
        runs.append(x)
        return [x]

    twice = near.memoize(far.memoize(later))
    assert [asyncio.run(_awaited(twice, 2)) for _ in range(2)] == [[2], [2]]
    assert runs == [1, 2]
    assert (far.info().hits, far.info().misses) == (1, 2)


def test_attributes_of_a_function_stand_before_no_method(make_here: Make) -> None:
    def f(x: int) -> int:
        return x

    attributes: Any = f
    attributes.get = attributes.cache_clear = attributes._cache = attributes._ttl = "the function's"
    attributes.other = "kept"
    cached: Any = make_here(7).memoize(f)
    assert (cached(1), cached.get(1), cached.other) == (1, 1, "kept")
    cached.cache_clear()
    assert cached.get(1) is None
    assert make_here(7).memoize(lru_cache(f)).cache_parameters() == {"maxsize": 7, "typed": False}


async def _awaited(function: Any, *args: Any) -> Any:
    return await function(*args)
