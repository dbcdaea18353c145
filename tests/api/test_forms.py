"""The forms in which a function is given to the decorators, and what it looks like afterwards."""

from __future__ import annotations

import asyncio
import functools
import inspect
import pickle
import sys
from collections.abc import Callable
from enum import Enum
from types import FrameType
from typing import Any, NamedTuple

import pytest
from support import run_python

from warp_cache import Strategy, cache, lru_cache

Decorate = Callable[..., Any]
both = pytest.mark.parametrize("decorate", [cache, lru_cache])


def double(x: int) -> int:
    return 2 * x


def test_a_function_with_any_options_beside_it() -> None:
    for cached in (
        cache(double, strategy=Strategy.FIFO),
        cache(double, strategy=Strategy.LFU, max_size=128),
        cache(double, 128, strategy=1),
        cache(double, 128, None, "memory"),
        cache()(double),
        lru_cache()(double),
        lru_cache(double, max_size=128),
        lru_cache(double, maxsize=128),
        lru_cache(maxsize=double),
        lru_cache(double, 3600.0),
        lru_cache(double, ttl=3600, max_size=128),
    ):
        assert cached(4) == cached(4) == 8
        assert cached.cache_info() == (1, 1, 128, 1)
        assert cached.__wrapped__ is double
    for cached in (cache(double, max_size=3), cache(max_size=3)(double), cache(double, 3)):
        assert cached.cache_parameters() == {"maxsize": 3, "typed": False}
    for cached in (lru_cache(double, True), lru_cache(double, True, max_size=128)):
        assert cached.cache_parameters() == {"maxsize": 128, "typed": True}
    assert lru_cache(double, max_size=None).cache_info().maxsize is None
    first = cache(double, max_size=2, strategy=Strategy.FIFO)
    for x in (1, 2, 1, 3):
        first(x)
    assert first.get(1) is None and first.get(2) == 4


def test_who_looks_at_the_frames_while_a_function_is_decorated_changes_nothing() -> None:
    """A debugger reads the locals of all frames, which before 3.13 writes them back to a dict."""

    def look(frame: FrameType, event: str, arg: object) -> Any:
        above: FrameType | None = frame
        while above is not None:
            assert above.f_locals is not None
            above = above.f_back
        return look

    decorated = []
    before = sys.gettrace()
    sys.settrace(look)
    try:
        for decorate in (cache, lru_cache):
            decorated.append(decorate(max_size=3, single_flight=True)(double))
    finally:
        sys.settrace(before)
    for cached in decorated:
        assert cached(2) == 4 and cached.cache_info().maxsize == 3


def test_wrong_arguments_beside_a_function_are_named() -> None:
    for call, name in (
        (lambda: cache(double, strategy="LRUX"), "strategy"),
        (lambda: cache(double, strategy=double), "strategy"),
        (lambda: cache(double, max_size="3"), "max_size"),
        (lambda: cache(double, max_size=1, maxsize=1), "max_size or maxsize"),
        (lambda: cache(double, 1, max_size=1), "multiple values for argument 'max_size'"),
        (lambda: cache(double, size=1), r"cache\(\) got an unexpected keyword argument 'size'"),
        (lambda: lru_cache(double, max_size="3"), "max_size"),
        (lambda: lru_cache(double, True, typed=False), "typed"),
        (lambda: lru_cache(double, strategy=1), r"lru_cache\(\) got an unexpected .* 'strategy'"),
        (lambda: cache("double"), "strategy"),
        (lambda: cache()("double"), "fn must be a callable, got 'double'"),
        (lambda: lru_cache(max_size=3)(None), "fn must be a callable, got None"),
        (lambda: lru_cache("double"), "max_size"),
    ):
        with pytest.raises((TypeError, ValueError), match=name):
            call()
    assert list(inspect.signature(cache).parameters)[:2] == ["strategy", "max_size"]
    assert list(inspect.signature(lru_cache).parameters)[:2] == ["max_size", "ttl"]


@both
def test_attributes_are_those_that_functools_would_copy(decorate: Decorate) -> None:
    async def fetch(x: int, y: str = "a") -> int:
        return x

    class Plain:
        def __call__(self, x: int) -> int:
            return x

    class Async:
        async def __call__(self, x: int) -> int:
            return x

    reference = functools.lru_cache
    for function in (
        double,
        fetch,
        functools.partial(double, 1),
        functools.partial(fetch, y="b"),
        Plain(),
        Async(),
        len,
        "".join,
        Plain,
    ):
        ours, theirs = decorate(function), reference(function)
        for name in {*functools.WRAPPER_ASSIGNMENTS, "__annotations__"}:
            if (
                name == "__name__"
                and sys.version_info < (3, 12)
                and inspect.iscoroutinefunction(ours)
            ):
                continue  # inspect would not know it for a coroutine function without a name
            assert getattr(ours, name, None) == getattr(theirs, name, None), (function, name)
        assert ours.__wrapped__ is function


# --- class factories that tell methods from fields ---------------------------------------------


class Fields(type):
    """As pydantic does it: what is no method has to be annotated."""

    def __new__(mcs, name: str, bases: tuple[type, ...], space: dict[str, Any]) -> Any:
        for key, value in space.items():
            if key.startswith("__") or isinstance(
                value, (type(double), property, classmethod, staticmethod)
            ):
                continue
            if value.__class__.__module__ != "functools" and not inspect.isroutine(value):
                raise TypeError(f"{key} is not annotated")
        return super().__new__(mcs, name, bases, space)


@both
def test_methods_in_the_body_of_a_class_with_fields(decorate: Decorate) -> None:
    class Model(metaclass=Fields):
        @decorate
        def method(self, x: int) -> int:
            return 2 * x

        @decorate
        async def later(self, x: int) -> int:
            return 2 * x

        @decorate(backend="shared", name="method of a model")
        def shared(self, x: int) -> int:
            return 2 * x

        @classmethod
        @decorate
        def of_class(cls, x: int) -> int:
            return 2 * x

    model = Model()
    assert model.method(4) == model.method(4) == Model.of_class(4) == 8
    assert asyncio.run(model.later(4)) == 8
    assert Model.method.cache_info()[:2] == (1, 1)


@both
def test_enums_and_named_tuples(decorate: Decorate) -> None:
    class Color(Enum):
        RED = 1

        @decorate
        def shade(self, x: int) -> tuple[str, int]:
            return (self.name, x)

    class Point(NamedTuple):
        x: int

        @decorate
        def scaled(self, by: int) -> int:
            return self.x * by

    assert list(Color) == [Color.RED]
    assert Color.RED.shade(1) is Color.RED.shade(1)
    assert Point._fields == ("x",)
    assert Point(3).scaled(2) == Point(3).scaled(2) == 6


@both
def test_it_says_to_be_of_functools_class(decorate: Decorate) -> None:
    theirs = type(functools.lru_cache(double))

    async def later(x: int) -> int:
        return x

    for cached in (decorate(double), decorate(later), decorate(double, backend="shared", name="k")):
        kind = type(cached)
        assert isinstance(cached, (theirs,)) and isinstance(cached, kind)
        assert cached.__class__ is theirs and kind is not theirs
        assert kind.__name__ in repr(cached)
        assert not inspect.isfunction(cached) and inspect.isroutine(cached)

        class Derived(kind):  # type: ignore[misc, valid-type]
            pass

        assert issubclass(Derived, kind)


def test_in_a_model_of_pydantic() -> None:
    pydantic: Any = pytest.importorskip("pydantic")
    for decorate in (cache, lru_cache):

        class Order(pydantic.BaseModel, frozen=True):  # type: ignore[misc, name-defined]
            amount: int = 40

            @decorate
            def with_tax(self, percent: int) -> float:
                return self.amount * (100 + percent) / 100

            @decorate(max_size=3)
            async def later(self, percent: int) -> float:
                return self.amount * (100 + percent) / 100

            @decorate
            def _hidden(self) -> int:
                return self.amount

            @staticmethod
            @decorate
            def free(x: int) -> int:
                return x

        order = Order()
        assert order.with_tax(25) == order.with_tax(25) == 50 == asyncio.run(order.later(25))
        assert Order(amount=80).with_tax(25) == 100 and order._hidden() == 40 and Order.free(1) == 1
        assert list(Order.model_fields) == ["amount"]
        assert Order.with_tax.cache_info()[:2] == (1, 2)


# --- dill --------------------------------------------------------------------------------------

# Just what dill is here: a pickler in Python that has a class of this name. (pickle's own goes by
# name in the same process.)
BY_VALUE = """
import functools, io, pickle, sys, types
from warp_cache import Strategy, cache, lru_cache

dill = types.ModuleType("dill")

class Pickler(pickle._Pickler):
    # Of functions, too, dill keeps what they are made of.
    def save(self, obj, *args, **kwargs):
        if type(obj) is types.FunctionType and obj.__name__ == "double":
            return self.save_reduce(make_double, (), obj=obj)
        return super().save(obj, *args, **kwargs)

dill.Pickler = Pickler

def make_double():
    def double(x):
        return 2 * x
    return double

def by_value(obj):
    sys.modules["dill"] = dill
    file = io.BytesIO()
    Pickler(file, 4).dump(obj)
    made = pickle.loads(file.getvalue())
    assert made is not obj and made(4) == made(4) == 8 and type(made) is type(obj)
    return made

double = make_double()
made = by_value(cache(double, strategy=Strategy.FIFO, max_size=2, ttl=0.1, wait_timeout=None))
assert made._recipe()[1:] == cache(strategy=Strategy.FIFO, max_size=2, ttl=0.1, wait_timeout=None)(
    double)._recipe()[1:]
for x in (1, 2, 1, 3):
    made(x)
assert made.cache_parameters() == {"maxsize": 2, "typed": False}
made = by_value(lru_cache(double, maxsize=None, typed=True))
assert made.cache_parameters() == {"maxsize": None, "typed": True}
for ttl in (0.1, 1e-9, 1/3, 12345.678901234567, 2e9/7):
    cached = cache(double, ttl=ttl)
    assert by_value(cached)._recipe()[1]["ttl"] == cached._recipe()[1]["ttl"]
    shared = cache(double, ttl=ttl + 10, backend="shared", name="by value")
    shared(4)
    assert by_value(shared).cache_info().hits >= 2   # the same file

# Older pickles say whether all processes share the cache.
from warp_cache._by_value import restore

for backend, shared in (("memory", False), ("shared", True)):
    recipe = cache(double, backend=backend, name="by value")._recipe()
    made = restore(*recipe[:2], shared, recipe[3])
    assert made._recipe()[2] == shared and made.cache_options()["backend"] == backend

@cache
def named(x):
    return x

# pickle itself, and others, go by name, whether dill is there or not.
assert pickle.loads(pickle.dumps(named)) is named
assert pickle.loads(pickle._dumps(named)) is named
print("done")
"""


def test_by_value_for_dill_and_by_name_for_others() -> None:
    result = run_python(BY_VALUE)
    assert (result.returncode, result.stdout) == (0, "done\n"), result


@both
def test_with_dill_itself(decorate: Decorate) -> None:
    dill: Any = pytest.importorskip("dill")
    cached = decorate(lambda x: 2 * x)
    made = dill.loads(dill.dumps(cached))
    assert made is not cached and made(4) == made(4) == 8 and made.cache_info()[:2] == (1, 1)
    with pytest.raises((AttributeError, pickle.PicklingError)):
        pickle.dumps(cached)
