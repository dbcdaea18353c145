"""Which callables are coroutine functions: those that inspect and asyncio take for one."""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
import types
import warnings
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest

from warp_cache import cache, lru_cache
from warp_cache._decorators import AsyncCachedFunction

Decorate = Callable[..., Any]
both = pytest.mark.parametrize("decorate", [cache, lru_cache])

since_3_12 = pytest.mark.skipif(
    not hasattr(inspect, "markcoroutinefunction"), reason="marks came with 3.12"
)


async def double(x: int) -> int:
    return 2 * x


class Async:
    async def __call__(self, x: int) -> int:
        return 2 * x

    async def method(self, x: int) -> int:
        return 2 * x

    async def two(self, y: int, x: int) -> int:
        return y * x

    twice = functools.partialmethod(two, 2)


class OfOtherKinds:
    class ByStatic:
        __call__ = staticmethod(double)

    class ByPartial:
        __call__ = functools.partialmethod(Async.two, 2)

    class ByInstance:
        __call__ = Async()


def twice(cached: Any, x: int = 4) -> list[Any]:
    async def main() -> list[Any]:
        return [await cached(x), await cached(x)]

    return asyncio.run(main())


SPECIFIED: dict[str, Callable[[], Any]] = {
    "AsyncMock": lambda: mock.AsyncMock(return_value=8),
    "create_autospec": lambda: mock.create_autospec(double, return_value=8),
    "create_autospec of a method": lambda: mock.create_autospec(Async().method, return_value=8),
    "Mock with a spec": lambda: mock.Mock(spec=double, return_value=8),
    "MagicMock with a spec": lambda: mock.MagicMock(spec=double, return_value=8),
}
PLAIN_MOCKS: dict[str, Callable[[], Any]] = {
    "Mock": lambda: mock.Mock(return_value=8),
    "MagicMock": lambda: mock.MagicMock(return_value=8),
    "Mock with a spec": lambda: mock.Mock(spec=len, return_value=8),
    "MagicMock with a plain spec": lambda: mock.MagicMock(spec=lambda x: 1, return_value=8),
    "MagicMock with a method's spec": lambda: mock.MagicMock(spec="".join, return_value=8),
    "Mock with a bound method's spec": lambda: mock.Mock(spec=Plain().method, return_value=8),
    "Mock with a partial's spec": lambda: mock.Mock(spec=functools.partial(len), return_value=8),
    "create_autospec": lambda: mock.create_autospec(lambda x: 1, return_value=8),
}


class Plain:
    def method(self, x: int) -> int:
        return x


@both
@pytest.mark.parametrize("name", SPECIFIED)
def test_a_mock_specified_as_a_coroutine_function_is_one(decorate: Decorate, name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stand_in = SPECIFIED[name]()
        cached = decorate(stand_in)
        assert twice(cached) == [8, 8]
        assert stand_in.await_count == 1
        assert asyncio.iscoroutinefunction(cached)
        assert inspect.iscoroutinefunction(cached)


@both
@pytest.mark.parametrize("name", PLAIN_MOCKS)
def test_any_other_mock_is_a_plain_callable(decorate: Decorate, name: str) -> None:
    function = PLAIN_MOCKS[name]()
    cached = decorate(function)
    assert cached(3) == cached(3) == 8
    assert function.call_count == 1
    assert not isinstance(cached, AsyncCachedFunction)


@both
def test_wrapped_coroutine_functions(decorate: Decorate) -> None:
    for function in (
        double,
        functools.partial(double),
        functools.partial(Async().two, 2),
        Async(),
        functools.partial(Async()),
        Async().method,
        Async().twice,
        OfOtherKinds.ByStatic(),
        OfOtherKinds.ByPartial(),
        OfOtherKinds.ByInstance(),
        lru_cache(double),
    ):
        cached = decorate(function)
        assert twice(cached) == [8, 8], function
        assert inspect.iscoroutinefunction(cached), function
    cached = decorate(Async.twice)  # of the class: the instance is an argument
    instance = Async()

    async def main() -> None:
        assert await cached(instance, 4) == await cached(instance, 4) == 8

    asyncio.run(main())


@both
def test_what_only_wraps_a_coroutine_function_is_plain(decorate: Decorate) -> None:
    @functools.wraps(double)
    def blocking(x: int) -> Any:
        return asyncio.run(double(x))

    class OfClass:
        """Its instances are coroutine functions; calling it is plain."""

        async def __call__(self) -> None: ...

    cached = decorate(blocking)
    assert cached(4) == cached(4) == 8
    assert not inspect.iscoroutinefunction(cached)
    assert isinstance(decorate(OfClass)(), OfClass)


@both
@since_3_12
def test_marked_functions(decorate: Decorate) -> None:
    def make() -> Any:
        @inspect.markcoroutinefunction  # type: ignore[attr-defined]
        def marked(x: int) -> Any:
            return double(x)

        return marked

    class Marked:
        def __init__(self) -> None:
            inspect.markcoroutinefunction(self)  # type: ignore[attr-defined]

        def __call__(self, x: int) -> Any:
            return double(x)

    class Method:
        method = staticmethod(make())
        __call__ = staticmethod(make())

    class MarkedAsAClass:
        """The mark of its instances: an instance is what a call of the class gives."""

        _is_coroutine_marker = vars(make())["_is_coroutine_marker"]

        def __call__(self, x: int) -> Any:
            return double(x)

    for function in (
        make(),
        functools.partial(make()),
        types.MethodType(make(), 4),
        Marked(),
        Method().method,
        Method(),
        MarkedAsAClass(),
    ):
        cached = decorate(function)
        arguments = () if isinstance(function, types.MethodType) else (4,)

        async def main(cached: Any = cached, arguments: Any = arguments) -> list[int]:
            return [await cached(*arguments), await cached(*arguments)]

        assert asyncio.run(main()) == [8, 8], function
        assert inspect.iscoroutinefunction(cached), function
    assert isinstance(decorate(MarkedAsAClass)(), MarkedAsAClass)


@both
def test_marked_for_asyncio(decorate: Decorate) -> None:
    mark = getattr(asyncio.coroutines, "_is_coroutine", None)
    if mark is None:
        pytest.skip("this version has no such mark")

    def marked(x: int) -> Any:
        return double(x)

    marked._is_coroutine = mark  # type: ignore[attr-defined]
    for function in (marked, functools.partial(marked)):
        cached = decorate(function)
        assert twice(cached) == [8, 8]
        assert inspect.iscoroutinefunction(cached)
    marked._is_coroutine = None  # type: ignore[attr-defined]
    assert not isinstance(decorate(marked), AsyncCachedFunction)


# --- objects that answer to any name ---------------------------------------------------------


class Proxy:
    """Answers to any name with another of its kind, and counts."""

    asked = 0

    def __getattr__(self, name: str) -> Any:
        if name in ("__signature__", "__dict__"):
            raise AttributeError(name)
        type(self).asked += 1
        return type(self)()

    def __call__(self, x: Any) -> Any:
        return [x]


class Circle(Proxy):
    """Answers to any name with itself, and says that it is a method and a partial object."""

    @property
    def __class__(self) -> Any:
        return Pretended

    def __getattr__(self, name: str) -> Any:
        super().__getattr__(name)
        return self


class Pretended(functools.partial):  # type: ignore[type-arg]
    pass


class Failing(Proxy):
    """Fails, and not by an AttributeError, for any name that functools does not ask for."""

    def __getattr__(self, name: str) -> Any:
        if name in functools.WRAPPER_ASSIGNMENTS or name == "__signature__":
            raise AttributeError(name)
        type(self).asked += 1
        raise ConnectionError(name)


class OfCalls:
    """``__call__`` is another object with a ``__call__`` …"""

    def __call__(self, x: Any) -> Any:
        return [x]


OfCalls.__call__ = OfCalls()  # type: ignore[method-assign, assignment]


@both
@pytest.mark.parametrize("kind", [Proxy, Circle, Failing])
def test_objects_that_answer_to_any_name(decorate: Decorate, kind: type[Proxy]) -> None:
    kind.asked = 0
    cached = decorate(kind())
    assert cached(1) is cached(1) and cached(1) == [1]
    # functools asks for six; a proxy of another machine would send a message for each.
    assert kind.asked < 400
    if kind is not Circle:
        assert kind.asked < 40


@both
def test_mock_call(decorate: Decorate) -> None:
    cached = decorate(mock.call)
    assert cached(1) is cached(1)
    assert cached(1) == mock.call(1)
    assert cached.cache_info()[:2] == (2, 1)


@both
def test_calls_that_lead_in_a_circle(decorate: Decorate) -> None:
    decorate(OfCalls())

    class Wrapped:
        def __call__(self, x: Any) -> Any:
            return [x]

    ring = Wrapped()
    ring.__wrapped__ = ring  # type: ignore[attr-defined]
    ring.__func__ = ring.func = ring  # type: ignore[attr-defined]
    cached = decorate(ring)
    assert cached(1) is cached(1)


# --- what is read once -------------------------------------------------------------------------


def squares(n: int) -> Any:
    for i in range(n):
        yield i * i


async def ticks(n: int) -> Any:
    for i in range(n):
        yield i


class Generating:
    def __call__(self, n: int) -> Any:
        yield n

    def method(self, n: int) -> Any:
        yield n

    async def stream(self, n: int) -> Any:
        yield n

    part = functools.partialmethod(method, 3)


class GeneratingByPartial:
    __call__ = functools.partialmethod(Generating.method, 3)


def contexts() -> list[Any]:
    from contextlib import asynccontextmanager, contextmanager

    return [contextmanager(squares), asynccontextmanager(ticks)]


SINGLE_USE = [
    squares,
    ticks,
    functools.partial(squares, 3),
    functools.partial(functools.partial(ticks), 3),
    Generating(),
    Generating().method,
    Generating().stream,
    Generating().part,
    Generating.part,
    functools.partial(Generating()),
    GeneratingByPartial(),
    staticmethod(squares),
    classmethod(squares),
    lru_cache(squares),
    functools.lru_cache(ticks),
    types.coroutine(squares),
    *contexts(),
]


@pytest.mark.parametrize("function", SINGLE_USE)
def test_cache_refuses_what_is_read_once(function: Any) -> None:
    for decorate in (cache, cache(max_size=10), cache(max_size=0), cache(single_flight=False)):
        with pytest.raises(TypeError, match=r"(?s)^fn must return .*generator.*list or a tuple"):
            decorate(function)
    with pytest.raises(TypeError, match="generator"):
        cache(function, ttl=1)


def test_lru_cache_keeps_generators_as_functools_does() -> None:
    for function in SINGLE_USE:
        if not callable(function) or isinstance(function, staticmethod):
            continue
        assert not isinstance(lru_cache(function), AsyncCachedFunction)
    kept = lru_cache(squares)
    assert kept(3) is kept(3)
    assert list(kept(3)) == [0, 1, 4]
    assert list(kept(3)) == []


def test_what_collects_a_generator_is_cached() -> None:
    @functools.wraps(squares)
    def collected(n: int) -> Any:
        return tuple(squares(n))

    assert cache(collected)(3) == (0, 1, 4)
    assert cache(mock.Mock(spec=squares, return_value=8))(1) == 8
    assert cache(mock.MagicMock(spec=squares, return_value=8))(1) == 8
    assert list(cache(lambda n: squares(n))(2)) == [0, 1]  # nobody can know


@both
def test_wrong_order_of_decorators_is_told(decorate: Decorate) -> None:
    for kind in (staticmethod, classmethod, property):
        for apply in (decorate, decorate(max_size=3)):
            with pytest.raises(TypeError, match=f"below @{kind.__name__}"):
                apply(kind(lambda self: 1))  # type: ignore[operator]


def test_python_version_of_marks() -> None:
    """The mark is found where this version's inspect has it."""
    assert hasattr(inspect, "markcoroutinefunction") is (sys.version_info >= (3, 12))
