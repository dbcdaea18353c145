"""`cache`: one entry however a call is spelled, and a wrong call stays a wrong call."""

from __future__ import annotations

import functools
import inspect
import itertools
import math
import operator
import os
from collections.abc import Callable
from typing import Any

import pytest

from warp_cache import cache, lru_cache

Call = tuple[tuple[Any, ...], dict[str, Any]]


def call(*args: Any, **kwargs: Any) -> Call:
    return (args, kwargs)


def assert_one_entry(function: Callable[..., Any], *spellings: Call, typed: bool = False) -> None:
    """All spellings give the function's own answer, from one computation, in whatever order."""
    args, kwargs = spellings[0]
    expected = function(*args, **kwargs)
    for first in spellings:
        cached = cache(typed=typed)(function)
        for args, kwargs in (first, *spellings):
            assert cached(*args, **kwargs) == expected
        assert cached.cache_info()[:2] == (len(spellings), 1), first


def assert_own_entries(function: Callable[..., Any], *calls: Call) -> None:
    """Every call gives the function's own answer and has an entry of its own."""
    cached = cache(max_size=None)(function)
    for _ in range(2):
        for args, kwargs in calls:
            assert cached(*args, **kwargs) == function(*args, **kwargs), (args, kwargs)
    assert cached.cache_info() == (len(calls), len(calls), None, len(calls))


def assert_refused(function: Callable[..., Any], *right: Call, wrong: list[Call]) -> None:
    """Wrong calls raise the function's own TypeError, before and after right ones are cached."""
    cached = cache(function)
    for round_number in range(2):
        for args, kwargs in wrong:
            with pytest.raises(TypeError) as own:
                function(*args, **kwargs)
            with pytest.raises(TypeError) as ours:
                cached(*args, **kwargs)
            assert str(ours.value) == str(own.value), (args, kwargs)
            assert ours.value.__context__ is None
        assert cached.cache_info().currsize == (len(right) if round_number else 0)
        for args, kwargs in right:
            assert cached(*args, **kwargs) == function(*args, **kwargs)
    hits, misses, _, currsize = cached.cache_info()
    assert (hits, misses, currsize) == (len(right), len(right) + 2 * len(wrong), len(right))


def plain(a: Any, b: Any, c: Any = 3, d: Any = 4) -> tuple[Any, ...]:
    return (a, b, c, d)


def every_kind(a: Any, /, b: Any, c: Any = 3, *, d: Any, e: Any = 5) -> tuple[Any, ...]:
    return (a, b, c, d, e)


def gathering(a: Any, b: Any = 2, *args: Any, k: Any = 0, **kwargs: Any) -> tuple[Any, ...]:
    return (a, b, args, k, list(kwargs.items()))


def posonly_and_kwargs(a: Any, /, b: Any = 2, **kwargs: Any) -> tuple[Any, ...]:
    return (a, b, list(kwargs.items()))


def test_positional_or_keyword_in_any_order() -> None:
    names = dict(zip("abcd", (1, 2, 3, 4), strict=True))
    spellings = [call(1, 2), call(1, 2, 3), call(1, 2, 3, 4), call(1, 2, d=4), call(1, c=3, b=2)]
    for order in itertools.permutations(names):
        spellings.append(call(**{name: names[name] for name in order}))
    assert_one_entry(plain, *spellings)
    assert_one_entry(plain, *spellings, typed=True)


def test_every_kind_of_parameter() -> None:
    assert_one_entry(
        every_kind,
        call(1, 2, d=4),
        call(1, 2, 3, d=4),
        call(1, b=2, d=4),
        call(1, d=4, b=2),
        call(1, e=5, d=4, c=3, b=2),
        call(1, 2, 3, e=5, d=4),
    )
    assert_own_entries(
        every_kind,
        call(1, 2, d=4),
        call(2, 2, d=4),
        call(1, 3, d=4),
        call(1, 2, 4, d=4),
        call(1, 2, d=5),
        call(1, 2, d=4, e=4),
        call(1, 2, e=4, d=5),
    )


def test_names_made_at_run_time() -> None:
    """Keyword names are usually interned and identical; equal ones must do as well."""
    parameters = {"".join(list("alpha")): 1, "".join(list("beta")): 2}

    class Name(str):
        pass

    def function(alpha: int, beta: int) -> tuple[int, int]:
        return (alpha, beta)

    assert_one_entry(
        function,
        call(1, 2),
        ((), parameters),
        ((1,), {"".join(list("beta")): 2}),
        ((), {Name("beta"): 2, Name("alpha"): 1}),
    )


def test_parameters_with_names_of_the_machinery() -> None:
    def function(self: Any, fn: Any, args: Any, kwargs: Any, key: Any = 1) -> tuple[Any, ...]:
        return (self, fn, args, kwargs, key)

    assert_one_entry(
        function,
        call(1, 2, 3, 4),
        call(self=1, fn=2, args=3, kwargs=4, key=1),
        ((1,), {"kwargs": 4, "args": 3, "fn": 2}),
    )


def test_gathered_arguments() -> None:
    assert_one_entry(gathering, call(1), call(a=1), call(1, 2), call(b=2, a=1), call(1, k=0))
    assert_one_entry(gathering, call(1, x=5), call(x=5, a=1), call(1, x=5, b=2), call(1, 2, x=5))
    assert_one_entry(gathering, call(1, k=0, x=5), call(x=5, k=0, a=1), call(1, x=5, k=0))
    assert_one_entry(gathering, call(1, 2, 3, 4), call(1, 2, 3, 4, k=0))
    assert_own_entries(
        gathering,
        call(1),
        call(1, 2, ()),
        call(1, 2, 3),
        call(1, 2, 3, 3),
        call(1, 2, (3,)),
        call(1, x=3),
        call(1, x=3, y=4),
        call(1, y=4, x=3),  # the function sees the order of what it gathers
        call(1, 2, "x", 3),
        call(1, 2, ("x", 3)),
        call(1, k=3),
        call(1, args=3),
        call(1, kwargs=3),
    )


def test_a_gathered_name_may_repeat_a_positional_only_one() -> None:
    assert_one_entry(posonly_and_kwargs, call(1, a=5), call(1, 2, a=5), call(1, a=5, b=2))
    assert_own_entries(posonly_and_kwargs, call(1), call(1, a=1), call(1, a=2), call(2, a=1))


def test_wrong_calls() -> None:
    assert_refused(
        plain,
        call(1, 2),
        call(b=1, a=2),
        wrong=[
            call(),
            call(1),
            call(b=2),
            call(1, 2, 3, 4, 5),
            call(1, 2, a=1),
            call(1, 2, b=2),
            call(1, 2, e=5),
            call(1, 2, 3, c=3),
            call(1, a=1, b=2),
            call(a=1, c=3, d=4),
        ],
    )
    assert_refused(
        every_kind,
        call(1, 2, d=4),
        wrong=[call(1, 2), call(a=1, b=2, d=4), call(1, 2, 3, 4), call(1, 2, 3, 4, d=4), call(d=4)],
    )
    assert_refused(gathering, call(1), call(1, 2, 3), wrong=[call(), call(1, a=1), call(b=1)])
    assert_refused(posonly_and_kwargs, call(1), wrong=[call(), call(a=1), call(1, 2, b=2)])
    assert_refused(lambda: 1, call(), wrong=[call(1), call(None), call(a=1)])


def test_unhashable_defaults() -> None:
    def function(a: int, b: Any = [], c: Any = {}) -> tuple[Any, ...]:  # noqa: B006 - the point
        return (a, b, c)

    assert_one_entry(function, call(1), call(a=1))
    cached = cache(function)
    for args, kwargs in (call(1, []), call(1, b=[]), call(1, c={}), call(c={}, a=1)):
        with pytest.raises(TypeError, match="unhashable type"):
            cached(*args, **kwargs)
    assert cached(1) == (1, [], {})
    assert cached(1, 2) == cached(1, b=2) == (1, 2, {})
    assert cached.cache_info() == (1, 2, 128, 2)


def test_defaults_of_every_sort() -> None:
    nan, sentinel = math.nan, object()
    for default in (None, sentinel, nan, (), "", 0.0, -1, (nan, sentinel), "x" * 1000, 10**50):

        def function(a: int, b: Any = default, *, c: Any = default) -> tuple[Any, ...]:
            return (a, b, c)

        assert_one_entry(
            function,
            call(1),
            call(1, default),
            call(1, b=default),
            call(c=default, a=1),
            call(1, default, c=default),
        )


def test_typed_sees_the_types_of_defaults() -> None:
    def function(a: int, b: float = 1) -> tuple[type, type]:
        return (type(a), type(b))

    cached = cache(typed=True)(function)
    assert cached(1) == cached(1, 1) == cached(1, b=1) == (int, int)
    assert cached(1, 1.0) == cached(b=1.0, a=1) == (int, float)
    assert cached(1, True) == (int, bool)
    assert cached.cache_info()[:2] == (3, 3)


def test_a_wrapper_counts_as_what_it_is_not_as_what_it_wraps() -> None:
    def inner(a: int, b: int = 2) -> None: ...

    @functools.wraps(inner)
    def gathers(*args: Any, **kwargs: Any) -> Any:
        return (args, kwargs)

    @functools.wraps(inner)
    def other(x: int, *, y: int = 5) -> Any:
        return (x, y)

    @functools.wraps(inner)
    def swapped(b: int, a: int = 2) -> Any:
        return (b, a)

    assert_own_entries(gathers, call(1), call(a=1), call(1, 2), call(b=2, a=1), call(a=1, b=2))
    assert_one_entry(other, call(1), call(x=1), call(1, y=5))
    assert_refused(other, call(1), wrong=[call(a=1), call(1, 5), call(1, b=2)])
    assert_one_entry(swapped, call(1, 2), call(1), call(b=1, a=2), call(a=2, b=1))


def test_built_in_functions() -> None:
    path = cache(os.fspath)
    assert path("x") == path(path="x") == "x"
    assert path.cache_info() == (1, 1, 128, 1)

    add = cache(operator.add)
    assert add(1, 2) == add(1, 2) == 3
    with pytest.raises(TypeError):
        add(a=1, b=2)
    with pytest.raises(TypeError):
        add(1)
    assert add.cache_info() == (1, 3, 128, 1)

    close = cache(math.isclose)
    assert close(1, 1) and close(a=1, b=1, rel_tol=1e-9) and close(1, b=1, abs_tol=0.0)
    assert close.cache_info() == (2, 1, 128, 1)

    items = [1]
    append = cache(items.append)
    assert append(2) is append(2) is None and items == [1, 2]
    first = cache(items.__len__)
    assert first() == first() == 2
    assert first.cache_info() == (1, 1, 128, 1)

    # What has no signature: by the pattern of the call.
    largest = cache(max)
    assert largest(1, 2) == largest(1, 2) == 2
    assert largest((1,), default=2) == 1
    assert largest.cache_info() == (1, 2, 128, 2)


def test_a_signature_that_lies_does_no_harm() -> None:
    def function(*args: Any, **kwargs: Any) -> Any:
        return (args, kwargs)

    function.__signature__ = inspect.signature(plain)  # type: ignore[attr-defined]
    assert_own_entries(function, call(1, 2), call(1, b=2), call(b=2, a=1), call(1, 2, 3), call())

    def two(a: int, b: int = 2) -> tuple[int, int]:
        return (a, b)

    two.__signature__ = "not even a signature"  # type: ignore[attr-defined]
    assert_own_entries(two, call(1), call(1, 3), call(2))


def test_annotations_are_not_evaluated() -> None:
    def function(a: NoSuchName, b: 1 / 0 = 2) -> no.such.name:  # type: ignore # noqa: F821
        return (a, b)

    assert_one_entry(function, call(1), call(a=1), call(1, 2))


def test_each_argument_is_hashed_once_a_call() -> None:
    class Counted:
        hashed = 0

        def __hash__(self) -> int:
            Counted.hashed += 1
            return 7

    key = Counted()
    for decorate in (cache, lru_cache):
        cached = decorate(max_size=2)(plain)
        for number, (args, kwargs) in enumerate(
            [call(key, 1), call(key, 1), call(b=1, a=key), call(2, key), call(2, c=0, b=key)]
        ):
            Counted.hashed = 0
            cached(*args, **kwargs)
            assert Counted.hashed == 1, (decorate, number)


@pytest.mark.parametrize("count", [1, 31, 32, 33, 63, 64, 65, 127, 128, 129, 200, 300])
def test_many_named_parameters(count: int) -> None:
    names = [f"p{n}" for n in range(count)]
    scope: dict[str, Any] = {}
    parameters = ", ".join(f"{name}={number}" for number, name in enumerate(names))
    exec(f"def f({parameters}): return ({names[0]}, {names[-1]})", scope)
    function = scope["f"]
    values = list(range(count))
    backwards = dict(zip(reversed(names), reversed(values), strict=True))
    half = count // 2
    assert_one_entry(
        function,
        call(),
        tuple([tuple(values), {}]),  # type: ignore[arg-type]
        ((), backwards),
        (tuple(values[:half]), {n: backwards[n] for n in reversed(names[half:])}),
        ((), {names[-1]: count - 1}),
        ((), {names[0]: 0}),
    )
    assert_own_entries(function, call(), *(((), {name: -1}) for name in names))
    assert_refused(
        function,
        call(),
        wrong=[((0,), {names[0]: 0}), (tuple(values), {names[-1]: 0}), ((), {"zz": 1})],
    )
