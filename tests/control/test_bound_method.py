"""What attribute access on an instance gives: it is a bound method in all that one can ask of it,
and has the cache's methods beside (§2.2, last paragraph).
"""

from __future__ import annotations

import asyncio
import copy
import functools
import inspect
import pickle
import sys
import types
import weakref
from typing import Any

import pytest
import support
from control import cache, lru_cache


class Base:
    """At module level, so that its methods pickle by name."""

    def __init__(self, number: int = 0) -> None:
        self.number = number

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.number == self.number  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash(self.number)


class WithCache(Base):
    @cache
    def method(self, x: int, y: int = 0) -> Any:
        "A documented method."
        return (self.number, x, y)

    @cache
    async def coroutine(self, x: int, y: int = 0) -> Any:
        "A documented method."
        return (self.number, x, y)

    method.mark = coroutine.mark = "marked"


class WithLru(Base):
    @lru_cache
    def method(self, x: int, y: int = 0) -> Any:
        "A documented method."
        return (self.number, x, y)

    @lru_cache
    async def coroutine(self, x: int, y: int = 0) -> Any:
        "A documented method."
        return (self.number, x, y)

    method.mark = coroutine.mark = "marked"


class WithInstance(Base):
    @cache(per_instance=True)
    def method(self, x: int, y: int = 0) -> Any:
        "A documented method."
        return (self.number, x, y)

    @cache(per_instance=True)
    async def coroutine(self, x: int, y: int = 0) -> Any:
        "A documented method."
        return (self.number, x, y)

    method.mark = coroutine.mark = "marked"


pytestmark = pytest.mark.parametrize(
    ("make", "name"),
    [
        (make, name)
        for make in (WithCache, WithLru, WithInstance)
        for name in ("method", "coroutine")
    ],
)


@pytest.fixture(autouse=True)
def empty(make: Any, name: str) -> None:
    getattr(make, name).cache_clear()


def call(name: str, function: Any, *args: Any, **kwargs: Any) -> Any:
    """Call a method of either kind."""

    async def main() -> Any:
        return await function(*args, **kwargs)

    return function(*args, **kwargs) if name == "method" else asyncio.run(main())


def test_it_has_self_and_func(make: Any, name: str) -> None:
    instance = make(1)
    bound = getattr(instance, name)
    assert bound.__self__ is instance
    assert bound.__func__ is getattr(make, name) is make.__dict__[name]


def test_it_is_a_method_by_its_class(make: Any, name: str) -> None:
    bound = getattr(make(1), name)
    assert isinstance(bound, types.MethodType)
    assert bound.__class__ is types.MethodType
    assert inspect.ismethod(bound) and inspect.isroutine(bound) and callable(bound)
    assert not inspect.isfunction(bound)


def test_it_is_called_as_the_function_with_self(make: Any, name: str) -> None:
    instance = make(1)
    bound = getattr(instance, name)
    assert call(name, bound, 2) == (1, 2, 0)
    assert call(name, bound, 2, 3) == (1, 2, 3)
    assert call(name, bound, x=2, y=4) == (1, 2, 4)
    assert call(name, bound, *(2,), **{"y": 5}) == (1, 2, 5)
    assert call(name, getattr(make, name), instance, 2) == (1, 2, 0)
    assert getattr(make, name).cache_info().misses == 4
    with pytest.raises(TypeError):
        call(name, bound)
    with pytest.raises(TypeError):
        call(name, bound, 1, 2, 3)


def test_it_compares_like_a_bound_method(make: Any, name: str) -> None:
    first, equal = make(1), make(1)
    assert getattr(first, name) == getattr(first, name)
    assert (getattr(first, name) != getattr(first, name)) is False
    assert first == equal
    assert getattr(first, name) != getattr(equal, name), "self is compared by identity"
    other = "coroutine" if name == "method" else "method"
    assert getattr(first, name) != getattr(first, other)
    assert getattr(first, name) != getattr(make, name)
    assert getattr(first, name) != 1
    with pytest.raises(TypeError):
        getattr(first, name) < getattr(first, name)  # noqa: B015


def test_it_hashes_like_a_bound_method(make: Any, name: str) -> None:
    instance = make(1)
    assert hash(getattr(instance, name)) == hash(getattr(instance, name))
    assert {getattr(instance, name): 1}[getattr(instance, name)] == 1
    assert len({getattr(instance, name), getattr(instance, name), getattr(make(1), name)}) == 2


def test_it_hashes_without_the_hash_of_self(make: Any, name: str) -> None:
    class Unhashable(make):  # type: ignore[misc]
        __hash__ = None

    bound = getattr(Unhashable(1), name)
    assert hash(bound) == hash(bound)


def test_it_is_made_again_by_its_type(make: Any, name: str) -> None:
    instance = make(1)
    bound = getattr(instance, name)
    again = type(bound)(getattr(make, name), instance)
    assert again == bound and hash(again) == hash(bound)
    assert again.__self__ is instance and again.__func__ is getattr(make, name)
    assert call(name, again, 2) == (1, 2, 0)
    assert again.cache_contains(2)
    other = type(bound)(bound.__func__, make(5))
    assert call(name, other, 2) == (5, 2, 0)


def test_it_pickles_by_name(make: Any, name: str) -> None:
    instance = make(1)
    bound = getattr(instance, name)
    call(name, bound, 2)
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(bound, protocol))
        assert again.__self__ == instance and again.__self__ is not instance
        assert again.__func__ is bound.__func__
        assert call(name, again, 2) == (1, 2, 0)


def test_it_is_copied_like_a_bound_method(make: Any, name: str) -> None:
    bound = getattr(make(1), name)
    deep = copy.deepcopy(bound)
    assert deep.__self__ == bound.__self__ and deep.__func__ is bound.__func__
    assert copy.copy(bound).__func__ is bound.__func__


def test_it_has_the_functions_other_attributes(make: Any, name: str) -> None:
    bound, function = getattr(make(1), name), getattr(make, name)
    assert bound.__name__ == name and bound.__qualname__ == f"{make.__qualname__}.{name}"
    assert bound.__module__ == __name__ and bound.__doc__ == "A documented method."
    assert inspect.getdoc(bound) == "A documented method."
    assert bound.__wrapped__ is function.__wrapped__
    assert bound.mark == "marked"
    assert inspect.get_annotations(bound) == inspect.get_annotations(function)
    assert bound.cache_parameters() == {"maxsize": 128, "typed": False}
    function.later = "later"
    try:
        assert bound.later == "later"
    finally:
        del function.later
    with pytest.raises(AttributeError):
        bound.nothing  # noqa: B018


def test_dir_has_what_a_method_and_the_function_have(make: Any, name: str) -> None:
    bound, function = getattr(make(1), name), getattr(make, name)
    shown = dir(bound)
    assert {"__self__", "__func__", "mark", "get", "set", "cache_put", "cache_info"} <= set(shown)
    assert set(dir(function)) <= set(shown)
    assert len(shown) == len(set(shown))
    assert ("aget" in shown) is (name == "coroutine")


def test_its_attributes_cannot_be_set_as_those_of_a_bound_method(make: Any, name: str) -> None:
    with pytest.raises(AttributeError):
        getattr(make(1), name).mark = 1


def test_it_works_with_weak_method(make: Any, name: str) -> None:
    instance = make(1)
    weak = weakref.WeakMethod(getattr(instance, name))
    again: Any = weak()
    assert again == getattr(instance, name)
    assert call(name, again, 2) == (1, 2, 0)
    if make is not WithInstance:
        getattr(make, name).cache_clear()  # whose keys hold the instance
    del again, instance
    support.merge_counts()
    import gc

    gc.collect()
    assert weak() is None


def test_it_works_with_partial(make: Any, name: str) -> None:
    instance = make(1)
    partial = functools.partial(getattr(instance, name), 2)
    assert call(name, partial, y=3) == (1, 2, 3)
    assert call(name, functools.partial(getattr(instance, name), y=4), 2) == (1, 2, 4)

    class Plain:
        async def coroutine(self, x: int) -> int:
            return x

    # Not every version looks through a partial into a method of Python's own.
    plain = inspect.iscoroutinefunction(functools.partial(Plain().coroutine, 2))
    assert inspect.iscoroutinefunction(partial) or not plain or name == "method"


def test_it_works_with_signature(make: Any, name: str) -> None:
    signature = inspect.signature(getattr(make(1), name))
    assert list(signature.parameters) == ["x", "y"]
    assert signature.parameters["y"].default == 0
    assert list(inspect.signature(getattr(make, name)).parameters) == ["self", "x", "y"]


def test_it_works_with_iscoroutinefunction(make: Any, name: str) -> None:
    expected = name == "coroutine"
    bound = getattr(make(1), name)
    assert inspect.iscoroutinefunction(bound) is expected
    if sys.version_info < (3, 14):
        assert asyncio.iscoroutinefunction(bound) is expected
    assert not inspect.isgeneratorfunction(bound)


def test_it_keeps_its_instance(make: Any, name: str) -> None:
    bound = getattr(make(9), name)
    import gc

    gc.collect()
    assert call(name, bound, 1) == (9, 1, 0)


def test_it_does_not_bind_again(make: Any, name: str) -> None:
    instance = make(1)
    bound = getattr(instance, name)
    assert bound.__get__(make(2), make) == bound

    class Other:
        method = bound

    assert call(name, Other().method, 2) == (1, 2, 0)


def test_the_function_binds_by_hand(make: Any, name: str) -> None:
    instance, function = make(1), getattr(make, name)
    assert function.__get__(instance) == function.__get__(instance, make)
    assert function.__get__(instance).__self__ is instance
    assert function.__get__(None, make) is function
    assert call(name, function.__get__(instance), 2) == (1, 2, 0)


def test_it_takes_weak_references_and_is_collected(make: Any, name: str) -> None:
    instance = make(1)
    bound = getattr(instance, name)
    weak = weakref.ref(bound)
    assert weak() is bound
    del bound
    support.merge_counts()
    assert weak() is None


def test_its_repr_tells_what_it_is(make: Any, name: str) -> None:
    assert name in repr(getattr(make(1), name))


def test_its_methods_bind(make: Any, name: str) -> None:
    instance, other = make(1), make(2)
    bound = getattr(instance, name)
    bound.set("set", 2)
    assert bound.get(2) == "set" and getattr(other, name).get(2) is None
    later = bound.cache_contains
    assert later(2) is True and later(3) is False
    assert bound.cache_invalidate(2) is True
    assert later(2) is False


def test_its_methods_may_be_kept_apart(make: Any, name: str) -> None:
    instance = make(1)
    invalidate, put = getattr(instance, name).cache_invalidate, getattr(instance, name).cache_put
    put("put", (2,))
    assert call(name, getattr(instance, name), 2) == "put"
    assert invalidate(2) is True and invalidate(2) is False


def test_subclasses_and_super(make: Any, name: str) -> None:
    class Derived(make):  # type: ignore[misc]
        pass

    derived = Derived(4)
    assert getattr(derived, name).__func__ is getattr(make, name)
    assert call(name, getattr(super(Derived, derived), name), 2) == (4, 2, 0)


def test_class_and_static_methods(make: Any, name: str) -> None:
    class Shop:
        @classmethod
        @cache
        def of_class(cls, x: int) -> Any:
            return (cls, x)

        @staticmethod
        @cache
        def static(x: int) -> Any:
            return x

    class Derived(Shop):
        pass

    assert Shop.of_class(1) == (Shop, 1) and Derived.of_class(1) == (Derived, 1)
    assert Shop().of_class(1) == (Shop, 1)
    assert Shop.static(1) == Shop().static(1) == 1
    assert Shop.static.cache_contains(1) and Shop.static.cache_invalidate(1) is True
    if sys.version_info < (3, 13):  # from then on the interpreter makes the bound method
        assert Shop.of_class.cache_contains(1)
        assert Derived.of_class.cache_invalidate(1) is True
        assert Shop.of_class.cache_contains(1) and not Derived.of_class.cache_contains(1)
    else:
        assert Shop.of_class.cache_contains(Shop, 1)
        assert Shop.of_class.cache_invalidate(Derived, 1) is True
        assert Shop.of_class.cache_contains(Shop, 1)
