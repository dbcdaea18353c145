"""The decorated object itself: what inspection, pickling, copying and weak references see."""

from __future__ import annotations

import copy
import functools
import gc
import inspect
import pickle
import pydoc
import typing
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from warp_cache import Strategy, cache, lru_cache
from warp_cache._decorators import AsyncCachedFunction
from warp_cache._warp_cache_rs import CachedFunction

Decorate = Callable[..., Any]
DECORATORS: list[Any] = [
    pytest.param(cache, id="cache"),
    pytest.param(lru_cache, id="lru_cache"),
    pytest.param(cache(Strategy.LFU, max_size=2, ttl=60, typed=True), id="cache-lfu-ttl-typed"),
    pytest.param(lru_cache(maxsize=None), id="lru_cache-unbounded"),
]
both = pytest.mark.parametrize("decorate", DECORATORS)


def documented(a: int, /, b: str = "x", *args: int, c: float = 1.0, **kwargs: bytes) -> list[str]:
    """Says what it does."""
    return [str(a), b]


async def documented_async(a: int, b: str = "x") -> list[str]:
    """Says what it awaits."""
    return [str(a), b]


def fresh(function: Any) -> Any:
    """A function of its own with everything that `function` has."""
    copied = type(function)(function.__code__, function.__globals__, closure=function.__closure__)
    functools.update_wrapper(copied, function)
    del copied.__wrapped__
    copied.__defaults__, copied.__kwdefaults__ = function.__defaults__, function.__kwdefaults__
    return copied


@cache
def cached_at_module_level(x: int) -> int:
    return x


@lru_cache
def lru_cached_at_module_level(x: int) -> int:
    return x


@cache
async def async_cached_at_module_level(x: int) -> int:
    return x


class Holder:
    @cache
    def method(self, x: int) -> int:
        return x

    @staticmethod
    @lru_cache
    def static(x: int) -> int:
        return x

    class Inner:
        @cache
        async def method(self, x: int) -> int:
            return x


PICKLABLE = [
    cached_at_module_level,
    lru_cached_at_module_level,
    async_cached_at_module_level,
    Holder.method,
    Holder.static,
    Holder.Inner.method,
]


@both
@pytest.mark.parametrize("function", [documented, documented_async])
def test_looks_like_the_function(decorate: Decorate, function: Any) -> None:
    cached = decorate(function)
    assert cached.__wrapped__ is function
    for name in functools.WRAPPER_ASSIGNMENTS:
        if hasattr(function, name):
            assert getattr(cached, name) == getattr(function, name), name
    assert cached.__name__ == function.__name__
    assert cached.__qualname__ == function.__qualname__
    assert cached.__doc__ == function.__doc__
    assert inspect.signature(cached) == inspect.signature(function)
    assert inspect.unwrap(cached) is function
    assert inspect.getdoc(cached) == inspect.getdoc(function)
    assert inspect.getsource(cached) == inspect.getsource(function)
    assert inspect.getmodule(cached) is inspect.getmodule(function)
    assert typing.get_type_hints(cached) == typing.get_type_hints(function)
    assert callable(cached)
    assert function.__doc__ in pydoc.render_doc(cached)


@both
def test_types_and_coroutine_functions(decorate: Decorate) -> None:
    sync, coroutine = decorate(fresh(documented)), decorate(fresh(documented_async))
    assert type(sync) is CachedFunction
    assert type(coroutine) is AsyncCachedFunction
    assert not inspect.iscoroutinefunction(sync)
    assert inspect.iscoroutinefunction(coroutine)


def test_coroutine_method_is_a_coroutine_function() -> None:
    assert inspect.iscoroutinefunction(Holder.Inner.method)
    assert inspect.iscoroutinefunction(Holder.Inner().method)
    assert not inspect.iscoroutinefunction(Holder().method)


@both
@pytest.mark.parametrize("function", [documented, documented_async])
def test_repr_tells_what_it_is(decorate: Decorate, function: Any) -> None:
    text = repr(decorate(fresh(function)))
    assert "CachedFunction" in text or function.__qualname__ in text


@both
@pytest.mark.parametrize("function", [documented, documented_async])
def test_attributes(decorate: Decorate, function: Any) -> None:
    function = fresh(function)
    function.given = ["before"]
    cached = decorate(function)
    assert cached.given is function.given  # as functools.update_wrapper does
    cached.own = 1
    assert cached.own == 1
    assert not hasattr(function, "own")
    del cached.own
    assert not hasattr(cached, "own")
    with pytest.raises(AttributeError):
        cached.own  # noqa: B018
    cached.__doc__ = "another"
    assert cached.__doc__ == "another"
    cached.__name__ = "renamed"
    assert cached.__name__ == "renamed"
    assert isinstance(cached.__dict__, dict)
    assert cached.__dict__["given"] is function.given


@both
@pytest.mark.parametrize("name", ["cache_info", "cache_clear", "cache_parameters", "get", "set"])
def test_operations_are_documented(decorate: Decorate, name: str) -> None:
    operation = getattr(decorate(fresh(documented)), name)
    assert callable(operation)
    assert inspect.getdoc(operation)
    assert inspect.signature(operation)


@both
def test_signature_of_what_is_callable_but_no_function(decorate: Decorate) -> None:
    partial = functools.partial(documented, 1, c=2.0)
    cached = decorate(partial)
    assert cached.__wrapped__ is partial
    assert inspect.signature(cached) == inspect.signature(partial)
    assert not hasattr(cached, "__name__")
    assert cached("y") == ["1", "y"]
    assert inspect.signature(decorate(len)) == inspect.signature(len)


@both
def test_of_a_cached_function(decorate: Decorate) -> None:
    """Two caches, one on the other: each has its own entries and counters."""
    inner = decorate(fresh(documented))
    outer = decorate(inner)
    assert outer.__wrapped__ is inner
    assert outer(1) == outer(1) == ["1", "x"]
    assert outer.cache_info()[:2] == (1, 1)
    assert inner.cache_info()[:2] == (0, 1)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("cached", PICKLABLE, ids=lambda cached: cached.__qualname__)
def test_pickles_by_qualified_name(cached: Any, protocol: int) -> None:
    assert pickle.loads(pickle.dumps(cached, protocol)) is cached


def test_a_local_function_cannot_be_pickled() -> None:
    cached = cache(lambda x: x)
    with pytest.raises((pickle.PicklingError, AttributeError), match="<lambda>|<locals>"):
        pickle.dumps(cached)
    nameless = cache(functools.partial(documented, 1))
    with pytest.raises((pickle.PicklingError, AttributeError, TypeError)):
        pickle.dumps(nameless)


@pytest.mark.parametrize("cached", [*PICKLABLE, cache(functools.partial(documented, 1))])
def test_copies_are_the_same_object(cached: Any) -> None:
    assert copy.copy(cached) is cached
    assert copy.deepcopy(cached) is cached
    nested = {"list": [cached], "again": cached}
    copied = copy.deepcopy(nested)
    assert copied["list"][0] is cached and copied["again"] is cached


@both
def test_identity_and_hash(decorate: Decorate) -> None:
    function = fresh(documented)
    first, second = decorate(function), decorate(function)
    assert first == first and first != second and first != function
    assert hash(first) == hash(first)
    assert {first: 1, second: 2}[first] == 1
    identity = decorate(lambda x: x)
    assert identity(identity) is identity(identity) is identity
    assert identity.cache_info()[:2] == (1, 1)


def nested() -> Any:
    """A function that CPython does not make immortal, as 3.13t does with those of modules."""

    def function(x: int) -> int:
        return x

    return function


def nested_async() -> Any:
    async def function(x: int) -> int:
        return x

    return function


@both
@pytest.mark.parametrize("make", [nested, nested_async])
def test_weak_references(decorate: Decorate, make: Callable[[], Any]) -> None:
    cached = decorate(make())
    gone: list[Any] = []
    reference = weakref.ref(cached, gone.append)
    table = weakref.WeakKeyDictionary({cached: 1})
    assert reference() is cached and weakref.getweakrefcount(cached) >= 1
    assert weakref.proxy(cached).__name__ == "function"
    del cached
    gc.collect()
    assert reference() is None
    assert gone == [reference]
    assert not table


def test_entries_are_per_decorated_object() -> None:
    function = fresh(documented)
    first, second = cache(function), cache(function)
    first(1)
    assert (first.cache_info().currsize, second.cache_info().currsize) == (1, 0)


@pytest.mark.parametrize("decorate", [cache, lru_cache])
def test_dir_lists_what_the_function_has(decorate: Any) -> None:
    @decorate
    def f(x: int) -> int:
        return x

    f.mark = 1
    listed = dir(f)
    assert listed == sorted(set(listed))
    assert {"mark", "__wrapped__", "__call__", "get", "set", "cache_parameters"} <= set(listed)
    assert set(dir(functools.lru_cache(len))) <= set(listed)
    assert all(hasattr(f, name) for name in listed if not name.startswith("__abstract"))
    assert not [name for name in listed if name.startswith("_") and not name.startswith("__")]
