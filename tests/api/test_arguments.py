"""Wrong arguments: each raises an error that names the argument, its value and what is right."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from support import name_of

from warp_cache import Backend, CacheOptions, LruCacheOptions, Strategy, cache, lru_cache
from warp_cache._warp_cache_rs import CachedFunction, SharedCachedFunction

Decorate = Callable[..., Any]
both = pytest.mark.parametrize("decorate", [cache, lru_cache])


def identity(x: Any) -> Any:
    return x


class Odd:
    """A value of a type that no argument takes."""

    def __repr__(self) -> str:
        return "<an odd value>"


SIZE = "an integer or None"
SECONDS = "a positive, finite number of seconds, a timedelta or None"

Wrong = tuple[str, Any, type[Exception], str]


def wrong(argument: str, error: type[Exception], right: str, *values: Any) -> list[Any]:
    """One case for each value: argument, value, exception, a part of "what would be right"."""
    return [
        pytest.param(argument, value, error, right, id=f"{argument}={value!r:.30}")
        for value in values
    ]


WRONG = [
    *wrong("max_size", TypeError, SIZE, "ten", "10", b"1", 1.5, 128.0, [], (1,), Decimal(1), Odd()),
    *wrong("maxsize", TypeError, SIZE, "ten", 1.5, [], {}),
    *wrong("ttl", TypeError, SECONDS, "1", b"1", [], (1,), 1j, Decimal(1), Odd()),
    *wrong("ttl", ValueError, SECONDS, 0, -1, 0.0, -0.0, -0.5, -1e-300, -(10**400)),
    *wrong("ttl", ValueError, SECONDS, math.nan, math.inf, -math.inf, 10**400),
    *wrong(
        "backend",
        ValueError,
        "memory",
        "disk",
        "",
        "MEMORY",
        "Memory",
        "redis",
        max(Backend) + 1,
        -1,
    ),
    *wrong("backend", TypeError, "memory", None, 1.5, [], b"memory", Odd()),
    *wrong("typed", TypeError, "bool", 1, 0, None, "yes", [], 1.0),
    *wrong("single_flight", TypeError, "bool", 1, 0, "yes", [], 1.0),
    *wrong("name", TypeError, "str", 5, b"name", [], True, 1.5),
    *wrong("name", ValueError, "str", "", "\udc80", "a\ud800b"),
    *wrong("max_key_size", ValueError, "positive", 0, -1, -(10**30)),
    *wrong("max_value_size", ValueError, "positive", 0, -1, -(10**30)),
    *wrong("max_key_size", TypeError, "integer or None", "512", 1.5, [], b""),
    *wrong("max_value_size", TypeError, "integer or None", "512", 1.5, [], b""),
    *wrong("max_bytes", ValueError, "positive", 0, -1, -(10**30)),
    *wrong("max_bytes", TypeError, "integer or None", "512", 1.5, [], b""),
    *wrong("wait_timeout", ValueError, "positive", 0, -1, 0.0, -0.5, math.nan, -math.inf),
    *wrong("wait_timeout", TypeError, "None", "10", [], b"", 1j),
]
WRONG_FOR_CACHE = [
    *wrong("strategy", TypeError, "Strategy", b"LRU", None, 1.0, []),
    *wrong("strategy", ValueError, "tinylfu", "", "LRUX", "0", "Strategy.LRU"),
    *wrong("strategy", ValueError, "Strategy", len(Strategy), -1, 99, 10**30),
]


def check(
    error: BaseException, argument: str, value: Any, expected: type[Exception], right: str
) -> None:
    assert type(error) is expected
    message = str(error)
    names = ("max_size", "maxsize") if argument == "maxsize" else (argument,)
    assert any(name in message for name in names), message
    assert repr(value) in message, message
    # Words that mean the same to a reader.
    for long, short in (("integer", "int"), ("non-empty string", "str")):
        message, right = message.replace(long, short), right.replace(long, short)
    assert right in message, message


@both
@pytest.mark.parametrize(("argument", "value", "expected", "right"), WRONG)
def test_wrong_value(
    decorate: Decorate, argument: str, value: Any, expected: type[Exception], right: str
) -> None:
    with pytest.raises(expected) as caught:
        decorate(**{argument: value})(identity)
    check(caught.value, argument, value, expected, right)


@pytest.mark.parametrize(("argument", "value", "expected", "right"), WRONG_FOR_CACHE)
def test_wrong_strategy(argument: str, value: Any, expected: type[Exception], right: str) -> None:
    with pytest.raises(expected) as caught:
        cache(**{argument: value})(identity)
    check(caught.value, argument, value, expected, right)


@pytest.mark.parametrize("value", [True, False])
def test_a_bool_is_no_lifetime(value: bool) -> None:
    with pytest.raises(TypeError) as caught:
        cache(ttl=value)(identity)
    check(caught.value, "ttl", value, TypeError, SECONDS)


def test_two_messages_word_for_word() -> None:
    with pytest.raises(ValueError) as caught:
        cache(ttl=-1)(identity)
    assert str(caught.value) == (
        "ttl must be a positive, finite number of seconds, a timedelta or None (for cache also a "
        "callable that is given the result), got -1"
    )
    with pytest.raises(TypeError) as refused:
        cache(max_size="ten")(identity)  # type: ignore[call-overload]
    assert str(refused.value) == "max_size must be an integer or None, got 'ten'"


# Options that take callables.
CALLED = {"key", "ttl", "cache_if", "tags", "weigher", "on_removal", "copy"}


@pytest.mark.parametrize("wrong", [int, identity, Odd, classmethod(identity), Odd()], ids=name_of)
@pytest.mark.parametrize("argument", sorted(CacheOptions.__optional_keys__ - CALLED))
def test_a_function_or_a_class_is_no_option(argument: str, wrong: Any) -> None:
    others: dict[str, Any] = {"weigher": len} if argument == "max_weight" else {}
    if argument in ("remote", "jitter", "stale_while_revalidate", "stale_if_error"):
        others["ttl"] = 5
    decorators: dict[Any, Any] = {cache: CacheOptions, lru_cache: LruCacheOptions}
    for decorate, known in decorators.items():
        if argument not in known.__optional_keys__:
            continue
        if argument == "maxsize" and decorate is lru_cache and callable(wrong):
            # That is functools' way to give it a function.
            assert lru_cache(maxsize=wrong).cache_parameters()["maxsize"] == 128
        elif argument != "maxsize" or decorate is cache or isinstance(wrong, Odd):
            with pytest.raises((TypeError, ValueError), match=f"^{argument} must be"):
                decorate(**{argument: wrong}, **others)


@both
@pytest.mark.parametrize("arguments", [(1, 1), (None, None), (1, None), (0, 128)])
def test_both_spellings_of_the_size_at_once(decorate: Decorate, arguments: Any) -> None:
    max_size, maxsize = arguments
    with pytest.raises(TypeError) as caught:
        decorate(max_size=max_size, maxsize=maxsize)(identity)
    assert "max_size" in str(caught.value) and "maxsize" in str(caught.value)


def test_positional_size_and_keyword_at_once() -> None:
    with pytest.raises(TypeError, match="maxsize"):
        lru_cache(128, maxsize=128)(identity)  # type: ignore[call-overload]


@both
@pytest.mark.parametrize("value", [5, None, "f", [], Odd()], ids=repr)
def test_not_callable(decorate: Decorate, value: Any) -> None:
    with pytest.raises(TypeError) as caught:
        decorate()(value)
    assert repr(value) in str(caught.value)
    assert "callable" in str(caught.value)


@both
@pytest.mark.parametrize("wrapper", [classmethod, staticmethod])
@pytest.mark.parametrize("bare", [True, False])
def test_decorator_above_classmethod_or_staticmethod(
    decorate: Decorate, wrapper: Any, bare: bool
) -> None:
    with pytest.raises(TypeError) as caught:
        (decorate if bare else decorate())(wrapper(identity))
    assert wrapper.__name__ in str(caught.value)
    assert "below" in str(caught.value)


@both
def test_unknown_and_superfluous_arguments(decorate: Decorate) -> None:
    with pytest.raises(TypeError, match="max_sise"):
        decorate(max_sise=5)
    with pytest.raises(TypeError):
        decorate(*[None] * 20)
    with pytest.raises(TypeError):
        decorate()()
    with pytest.raises(TypeError):
        decorate()(identity, identity)


def test_a_number_or_a_word_in_the_place_of_a_function() -> None:
    with pytest.raises(ValueError) as caught:
        cache(128)(identity)  # type: ignore[call-overload]
    check(caught.value, "strategy", 128, ValueError, "Strategy")
    with pytest.raises(TypeError) as refused:
        lru_cache("128")(identity)  # type: ignore[call-overload]
    check(refused.value, "max_size", "128", TypeError, SIZE)


@both
@pytest.mark.parametrize("backend", ["shared", Backend.SHARED, 1])
def test_spellings_of_the_shared_backend(decorate: Decorate, backend: Any) -> None:
    assert type(decorate(backend=backend)(identity)) is SharedCachedFunction


@both
@pytest.mark.parametrize("backend", ["memory", Backend.MEMORY, 0])
def test_the_memory_backend_has_many_names(decorate: Decorate, backend: Any) -> None:
    assert decorate(backend=backend)(identity)(1) == 1


GOOD: list[dict[str, Any]] = [
    {"ttl": 1},
    {"ttl": 0.001},
    {"ttl": 5e-324},
    {"ttl": 1e-9},
    {"ttl": 1e9},
    {"ttl": 1e18},
    {"ttl": 1.7e308},
    {"ttl": 2**62},
    {"ttl": 10**300},
    {"ttl": None},
    {"max_size": 0},
    {"max_size": 2**70},
    {"max_key_size": 1, "max_value_size": 10**12},
    {"max_key_size": None, "max_value_size": None, "max_bytes": None},
    {"name": "a name with ünïcödé / and .. in it"},
    {"name": "x" * 10_000},
    {"name": None},
    {"single_flight": True},
    {"single_flight": False},
    {"wait_timeout": None},
    {"wait_timeout": 0.001},
    {"wait_timeout": 1e300},
    {"wait_timeout": 10**300},
    {"typed": True, "ttl": 5, "max_size": 5, "single_flight": True, "name": "n"},
]


@both
@pytest.mark.parametrize("parameters", GOOD, ids=lambda parameters: str(parameters)[:60])
def test_right_values_and_their_limits(decorate: Decorate, parameters: dict[str, Any]) -> None:
    try:
        cached = decorate(**parameters)(identity)
    except (ValueError, OverflowError) as error:
        # Beyond what functools takes too, a refusal is as good; it must say what is wrong.
        assert parameters.get("max_size", 0) >= 2**63, error
        assert "max_size" in str(error) and str(2**70) in str(error)
        return
    assert [cached(1), cached(2), cached(1)] == [1, 2, 1]
    assert sum(cached.cache_info()[:2]) == 3


def test_positions_of_the_parameters() -> None:
    cached = cache(Strategy.FIFO, 5, 60.0, "memory", None, None, True, False, "name", 1.0)(identity)
    assert cached.cache_parameters() == {"maxsize": 5, "typed": True}
    cached = lru_cache(5, 60.0, "memory", None, None, True, True, "name", 1.0)(identity)
    assert cached.cache_parameters() == {"maxsize": 5, "typed": True}


@pytest.mark.parametrize("typed", [True, False])
def test_the_second_position_of_functools(typed: bool) -> None:
    cached = lru_cache(7, typed)(identity)
    assert cached.cache_parameters() == {"maxsize": 7, "typed": typed}
    assert lru_cache(None, typed)(identity).cache_parameters() == {"maxsize": None, "typed": typed}


@pytest.mark.parametrize("typed", [True, False])
def test_function_and_typed_at_once(typed: bool) -> None:
    """functools.lru_cache(function, True) is typed."""
    for decorate in (functools.lru_cache, lru_cache):
        for cached in (decorate(identity, typed=typed), decorate(identity, typed)):
            assert cached.cache_parameters() == {"maxsize": 128, "typed": typed}
            assert cached(1) == 1


@both
def test_options_beside_the_function_are_not_ignored(decorate: Decorate) -> None:
    """`cache(function, ttl=…)`: applied or refused, but not dropped without a word."""
    for option, value in {"ttl": -1, "typed": "x", "wait_timeout": -1, "backend": "disk"}.items():
        with pytest.raises((TypeError, ValueError)):
            decorate(identity, **{option: value})
    for size in ("max_size", "maxsize"):
        try:
            cached = decorate(identity, **{size: 5})
        except TypeError:
            continue
        assert cached.cache_parameters()["maxsize"] == 5


# --- the extension's own constructors -----------------------------------------------------


def test_constructor() -> None:
    for arguments in ((identity, 0, 2), (identity, Strategy.LFU, 2, 60), (identity, 1, None, None)):
        cached = CachedFunction(*arguments)
        assert [cached(1), cached(2), cached(1)] == [1, 2, 1]
        assert cached.cache_info() == (1, 2, arguments[2], 2)
    cached = CachedFunction(fn=identity, strategy=2, max_size=1, ttl=0.5)
    assert cached(3) == 3


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), TypeError),
        ((identity,), TypeError),
        ((5, 0, 128), TypeError),
        ((None, 0, 128), TypeError),
        ((identity, len(Strategy), 128), ValueError),
        ((identity, -1, 128), ValueError),
        ((identity, 10**30, 128), ValueError),
        ((identity, "LRU", 128), TypeError),
        ((identity, None, 128), TypeError),
        ((identity, 0, "128"), TypeError),
        ((identity, 0, 1.5), TypeError),
        ((identity, 0, 128, -1), ValueError),
        ((identity, 0, 128, math.nan), ValueError),
        ((identity, 0, 128, math.inf), ValueError),
        ((identity, 0, 128, "1"), TypeError),
    ],
)
def test_constructor_with_wrong_arguments(arguments: Any, expected: type[Exception]) -> None:
    with pytest.raises(expected):
        CachedFunction(*arguments)


def test_constructor_without_its_arguments() -> None:
    for make in (CachedFunction.__new__, object.__new__):
        with pytest.raises(TypeError):
            make(CachedFunction)  # type: ignore[call-arg]


def test_shared_constructor() -> None:
    cached = SharedCachedFunction(identity, 0, 128, None, 512, 4096, "a_name")
    assert isinstance(cached, CachedFunction)
    assert cached("x") == cached("x") == "x"
    assert cached.cache_info() == (1, 1, 128, 1)


@pytest.mark.parametrize("make", [CachedFunction, SharedCachedFunction])
def test_a_constructor_says_what_is_left_out(make: Any) -> None:
    """Its signature, which a table of text makes, and what the options are without arguments."""
    shown = inspect.signature(make).parameters
    made = make(identity, 0, 128)._recipe()[1]
    for name, value in made.items():
        if name in shown and shown[name].default is not inspect.Parameter.empty:
            assert shown[name].default == value, name
    assert {*shown} - {*made} <= {"fn", "shm_name"}


@pytest.mark.parametrize("make", [CachedFunction, SharedCachedFunction])
@pytest.mark.parametrize(
    "option", ["ttl", "wait_timeout", "max_key_size", "max_value_size", "max_bytes"]
)
def test_none_is_no_limit_to_a_constructor_as_to_the_decorators(make: Any, option: str) -> None:
    if option not in inspect.signature(make).parameters:
        return
    backend = "shared" if make is SharedCachedFunction else "memory"
    theirs = cache(backend=backend, **{option: None})(identity)
    assert make(identity, 0, 128, **{option: None})._recipe()[1][option] is None
    assert theirs._recipe()[1][option] is None  # type: ignore[attr-defined]


def test_a_constructor_with_no_limit_waits_as_long_as_it_takes() -> None:
    options = {"wait_timeout": None, "by_signature": None, "typed": None, "single_flight": None}
    assert CachedFunction(identity, 0, 128, **options)._recipe()[1] == {
        **CachedFunction(identity, 0, 128)._recipe()[1],
        "wait_timeout": None,
    }, "None stands for the default where it is no value: of a flag"


@pytest.mark.parametrize("argument", ["max_key_size", "max_value_size", "max_bytes"])
@pytest.mark.parametrize(
    ("value", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), ("5", TypeError)]
)
def test_wrong_limits_of_the_shared_constructor(
    argument: str, value: Any, error: type[Exception]
) -> None:
    with pytest.raises(error) as caught:
        SharedCachedFunction(identity, 0, 128, **{argument: value})
    check(caught.value, argument, value, error, "a positive int or None (bytes)")


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("", ValueError),
        ("\udc80", ValueError),
        ("a\ud800b", ValueError),
        (5, TypeError),
        (b"x", TypeError),
    ],
)
def test_wrong_names_of_the_shared_constructor(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        SharedCachedFunction(identity, 0, 128, shm_name=value)
    check(
        caught.value,
        "shm_name",
        value,
        error,
        "a non-empty string without lone surrogates, or None",
    )
