"""The collector: cycles through every part of a cached function die, and nothing else does."""

from __future__ import annotations

import contextlib
import functools
import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import support
from fighters import VARIANTS
from support import check_clean, run_python

from warp_cache import cache, lru_cache


class Node:
    """Can be referred to weakly, compared by identity, and hold anything."""

    held: Any = None


def through_value(decorate: Any) -> Any:
    f = decorate(lambda i: Node())
    f(1).held = f
    f(2).held = f
    return f


def through_key(decorate: Any) -> Any:
    f = decorate(lambda *args, **kwargs: None)
    for call in (lambda key: f(key), lambda key: f(1, key), lambda key: f(word=key)):
        key = Node()
        key.held = f
        call(key)
    return f


def through_key_in_tuple(decorate: Any) -> Any:
    f = decorate(lambda key: None)
    key = Node()
    key.held = f
    f((1, (2, key)))
    return f


def through_closure(decorate: Any) -> Any:
    @decorate
    def f(i: int) -> Any:
        return f if i < 0 else i

    f(1)
    f(-1)
    return f


def through_dict(decorate: Any) -> Any:
    f = decorate(lambda i: i)
    f.itself = f
    f.node = Node()
    f.node.held = f
    f(1)
    return f


def through_bound_method(decorate: Any) -> Any:
    class Owner:
        def __init__(self) -> None:
            self.method = decorate(self._method)

        def _method(self, i: int) -> Any:
            return self

    return Owner().method


def through_another_cache(decorate: Any) -> Any:
    f = decorate(lambda i: g)
    g = decorate(lambda i: f)
    f(1), g(1)
    return f


def through_wrapped(decorate: Any) -> Any:
    def plain(i: int) -> int:
        return i

    f = decorate(plain)
    plain.back = f
    return f


def through_partial(decorate: Any) -> Any:
    node = Node()
    f = decorate(functools.partial(lambda node, i: i, node))
    node.held = f
    f(1)
    return f


def through_default(decorate: Any) -> Any:
    node = Node()

    def plain(i: int, node: Any = node) -> Any:
        return i

    f = decorate(plain)
    node.held = f
    f(1)
    return f


def through_exception(decorate: Any) -> Any:
    @decorate
    def f(i: int) -> Any:
        raise ValueError(f)

    error = None
    try:
        f(1)
    except ValueError as caught:
        error = caught
    f.last_error = error
    return f


CYCLES = {
    build.__name__: build
    for build in (
        through_value,
        through_key,
        through_key_in_tuple,
        through_closure,
        through_dict,
        through_bound_method,
        through_another_cache,
        through_wrapped,
        through_partial,
        through_default,
        through_exception,
    )
}


@pytest.mark.parametrize("cycle", CYCLES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_cycle_with_the_cached_function_is_collected(variant: str, cycle: str) -> None:
    f = CYCLES[cycle](VARIANTS[variant](max_size=8))
    died = weakref.ref(f)
    wrapped = weakref.ref(f.__wrapped__)
    gc.collect()
    assert died() is not None, "it died while it was held"
    del f
    gc.collect()
    gc.collect()
    assert died() is None
    assert wrapped() is None


def test_an_async_function_in_a_cycle_is_collected() -> None:
    def build() -> Any:
        @cache
        async def f(i: int) -> Any:
            return f

        with contextlib.suppress(StopIteration):
            f(1).send(None)
        assert f.cache_info().currsize == 1
        f.itself = f
        return f

    f = build()
    died = weakref.ref(f)
    del f
    gc.collect()
    gc.collect()
    assert died() is None


CLASS = """
import gc, weakref
from warp_cache import cache, lru_cache

def build():
    class Owner:
        @lru_cache
        def first(self):
            return self

        @cache
        def second(self):
            return type(self)

    owner = Owner()
    owner.first(), owner.second()
    return weakref.ref(owner), weakref.ref(Owner)

died = build()
gc.collect()
gc.collect()
print([ref() for ref in died])
"""


def test_a_method_cache_does_not_outlive_its_class() -> None:
    # In a process without other threads: 3.13t makes every class immortal once a thread has run.
    check_clean(run_python(CLASS), out="[None, None]")


def _reachable(start: object, depth: int) -> set[int]:
    seen: set[int] = set()
    level = [start]
    for _ in range(depth):
        level = [o for o in gc.get_referents(*level) if id(o) not in seen]
        seen.update(map(id, level))
    return seen


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_collector_sees_keys_values_and_the_function(variant: str) -> None:
    f = VARIANTS[variant](max_size=8)(lambda *args, **kwargs: args[-1])
    keys = [Node() for _ in range(3)]
    values = [Node() for _ in range(3)]
    f.set(values[0], keys[0])
    f.set(values[1], 1, keys[1])
    f.set(values[2], 2, word=keys[2])
    assert gc.is_tracked(f)
    # The key of several arguments may be kept in a container of its own.
    seen = _reachable(f, 3)
    assert {id(o) for o in [*keys, *values, f.__wrapped__]} <= seen
    f.cache_clear()
    assert not {id(o) for o in [*keys, *values]} & _reachable(f, 3)


@pytest.mark.parametrize("variant", VARIANTS)
def test_values_die_when_they_are_evicted_replaced_or_cleared(variant: str) -> None:
    made: list[weakref.ref[Node]] = []

    def make(i: int) -> Node:
        node = Node()
        made.append(weakref.ref(node))
        return node

    f = VARIANTS[variant](max_size=3)(make)
    for i in range(50):
        f(i)
        assert sum(ref() is not None for ref in made) == min(i + 1, 3)
    f.cache_clear()
    assert all(ref() is None for ref in made)

    f(1)
    f.set("other", 1)
    assert made[-1]() is None
    f(2)
    del f
    gc.collect()
    assert made[-1]() is None


@pytest.mark.parametrize("variant", VARIANTS)
def test_keys_die_when_they_are_evicted_or_cleared(variant: str) -> None:
    f = VARIANTS[variant](max_size=3)(lambda *args, **kwargs: None)
    calls: list[Callable[[Node], Any]] = [
        lambda key: f(key),
        lambda key: f(1, key),
        lambda key: f(word=key),
        lambda key: f((key, 1)),
    ]
    for call in calls:
        made = []
        for _ in range(20):
            key = Node()
            made.append(weakref.ref(key))
            call(key)
            del key
            assert sum(ref() is not None for ref in made) <= 3
        f.cache_clear()
        assert all(ref() is None for ref in made)


def test_neither_a_failed_call_nor_a_zero_size_keeps_its_arguments() -> None:
    def fail(key: Node) -> None:
        raise ValueError

    for f in (cache(fail), lru_cache(fail), cache(max_size=0)(id), lru_cache(max_size=0)(id)):
        key = Node()
        died = weakref.ref(key)
        for _ in range(3):
            with contextlib.suppress(ValueError):
                f(key)
        del key
        assert died() is None


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_call_that_finds_its_key_by_equality_keeps_nothing_of_its_own(variant: str) -> None:
    class Equal(Node):
        def __hash__(self) -> int:
            return 1

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Equal)

    f = VARIANTS[variant](max_size=3)(lambda key: "value")
    first = Equal()
    f(first)
    probe = Equal()
    died = weakref.ref(probe)
    f(probe)
    f.get(probe)
    f.set("other", probe)
    del probe
    assert died() is None
    assert f.cache_info().currsize == 1


@pytest.mark.parametrize("variant", VARIANTS)
def test_collections_at_every_allocation(variant: str) -> None:
    """The collector traverses the cache in the middle of each of its operations."""

    @VARIANTS[variant](max_size=4)
    def f(*args: Any, **kwargs: Any) -> Any:
        gc.collect(0)
        node = Node()
        node.held = (f, args, kwargs)
        return node

    before = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    try:
        for round_ in range(support.examples(40)):
            i = round_ % 7
            key = Node()
            for value in (f(i), f(i), f(i, i + 1), f(i, word=key), f(key), f((i, key))):
                assert value.held[0] is f
            f.set(value, i)
            f.get(i)
            if round_ % 10 == 9:
                f.cache_clear()
            assert f.cache_info().currsize <= 4
    finally:
        gc.set_threshold(*before)


def test_a_cached_function_that_comes_back_to_life_still_works() -> None:
    """A finalizer in the cycle makes it reachable again: the collector may not have emptied it."""
    saved = []

    class Lazarus:
        held: Any = None

        def __del__(self) -> None:
            saved.append(self.held)

    f = cache(max_size=4)(lambda i: [i])
    value = f(1)
    lazarus = Lazarus()
    lazarus.held = f
    f.lazarus = lazarus
    del f, lazarus
    gc.collect()
    (again,) = saved
    assert again(1) is value
    assert again(2) == [2]
    assert tuple(again.cache_info()) == (1, 2, 4, 2)
    died = weakref.ref(again)
    del again.lazarus, again
    saved.clear()
    gc.collect()
    assert died() is None


def test_finalizers_in_a_dying_cycle_may_call_the_function() -> None:
    heard = []

    class Last:
        held: Any = None

        def __del__(self) -> None:
            heard.append((self.held(1), self.held("new"), self.held.cache_info().currsize))
            self.held.cache_clear()

    f = cache(max_size=4)(lambda i: i)
    f(1)
    last = Last()
    last.held = f
    f.set(last, "last")
    del f, last
    gc.collect()
    gc.collect()
    assert heard == [(1, "new", 3)]
