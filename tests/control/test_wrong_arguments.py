"""Wrong parameters are refused at decoration, by name, with the value and a remedy (§2, §2.7)."""

from __future__ import annotations

import datetime
import functools
import inspect
import math
from typing import Any

import pytest
from control import cache, lru_cache, warp


def one(*args: Any) -> Any:
    return 1


def function(x: Any, y: Any = 0) -> Any:
    return x


async def coroutine(x: Any, y: Any = 0) -> Any:
    return x


# Parameter, value, exception. Where both are given, either is right.
EITHER = (TypeError, ValueError)
SINGLE: list[tuple[str, Any, Any]] = [
    ("key", 5, TypeError),
    ("key", "x", TypeError),
    ("key", True, TypeError),
    ("ignore", ("z",), ValueError),
    ("ignore", ("x", "z"), ValueError),
    ("ignore", ["X"], ValueError),
    ("ignore", 5, TypeError),
    ("ignore", (5,), TypeError),
    ("ignore", (None,), TypeError),
    ("ttl", 0, ValueError),
    ("ttl", -1, ValueError),
    ("ttl", math.nan, ValueError),
    ("ttl", math.inf, ValueError),
    ("ttl", "60", TypeError),
    ("ttl", [60], TypeError),
    ("ttl", datetime.timedelta(0), ValueError),
    ("ttl", datetime.timedelta(seconds=-1), ValueError),
    ("tti", 0, ValueError),
    ("tti", -0.5, ValueError),
    ("tti", math.nan, ValueError),
    ("tti", math.inf, ValueError),
    ("tti", "60", TypeError),
    ("tti", one, TypeError),
    ("tti", datetime.timedelta(0), ValueError),
    ("jitter", -0.1, ValueError),
    ("jitter", 1, ValueError),
    ("jitter", 1.0, ValueError),
    ("jitter", 2, ValueError),
    ("jitter", math.nan, ValueError),
    ("jitter", "0.5", TypeError),
    ("jitter", None, TypeError),
    ("stale_while_revalidate", -1, ValueError),
    ("stale_while_revalidate", math.nan, ValueError),
    ("stale_while_revalidate", "60", TypeError),
    ("stale_while_revalidate", one, TypeError),
    ("stale_if_error", -1, ValueError),
    ("stale_if_error", math.nan, ValueError),
    ("stale_if_error", "60", TypeError),
    ("stale_if_error", [1], TypeError),
    ("cache_if", 5, TypeError),
    ("cache_if", True, TypeError),
    ("cache_exceptions", 5, TypeError),
    ("cache_exceptions", "KeyError", TypeError),
    ("cache_exceptions", KeyError("x"), TypeError),
    ("cache_exceptions", int, EITHER),
    ("cache_exceptions", BaseException, EITHER),
    ("cache_exceptions", KeyboardInterrupt, EITHER),
    ("cache_exceptions", (KeyError, SystemExit), EITHER),
    ("cache_exceptions", (KeyError, 5), EITHER),
    ("cache_exceptions", {KeyError: 0}, ValueError),
    ("cache_exceptions", {KeyError: -1}, ValueError),
    ("cache_exceptions", {KeyError: math.nan}, ValueError),
    ("cache_exceptions", {KeyError: "60"}, TypeError),
    ("cache_exceptions", {"KeyError": 60}, TypeError),
    ("tags", 5, TypeError),
    ("tags", (5,), TypeError),
    ("tags", (b"users",), TypeError),
    ("tags", [f"t{n}" for n in range(17)], ValueError),
    ("tags", ("{z}",), EITHER),
    ("tags", ("{x",), EITHER),
    ("per_instance", 1, TypeError),
    ("per_instance", "yes", TypeError),
    ("per_instance", None, TypeError),
    ("max_weight", -1, ValueError),
    ("max_weight", 1.5, TypeError),
    ("max_weight", "10", TypeError),
    ("weigher", 5, TypeError),
    ("weigher", "len", TypeError),
    ("on_removal", 5, TypeError),
    ("on_removal", "print", TypeError),
    ("copy", "deep", ValueError),
    ("copy", "", ValueError),
    ("copy", 5, TypeError),
    ("copy", b"pickle", TypeError),
    ("version", 5, TypeError),
    ("version", b"1", TypeError),
    ("namespace", 5, TypeError),
    ("namespace", b"n", TypeError),
    ("strategy", "lur", ValueError),
    ("strategy", "", ValueError),
    ("strategy", 7, ValueError),
    ("strategy", 1.5, TypeError),
]
# Without these the wrong parameter alone would already be a wrong combination.
COMPANIONS: dict[str, dict[str, Any]] = {
    "jitter": {"ttl": 60},
    "stale_while_revalidate": {"ttl": 60},
    "stale_if_error": {"ttl": 60},
    "max_weight": {"weigher": one},
    "weigher": {"max_weight": 10},
}


@pytest.mark.parametrize("decorated", [function, coroutine])
@pytest.mark.parametrize("number", range(len(SINGLE)))
def test_a_wrong_value_is_refused_by_name_at_decoration(number: int, decorated: Any) -> None:
    parameter, value, error = SINGLE[number]
    given = {**COMPANIONS.get(parameter, {}), parameter: value}
    with pytest.raises(error) as caught:
        cache(**given)(decorated)
    message = str(caught.value)
    assert parameter in message, f"it names the argument: {message}"
    assert len(message) > len(parameter) + 10, f"it says what would be right: {message}"


CALLED = ("key", "ttl", "cache_if", "tags", "weigher", "on_removal", "copy")


@pytest.mark.parametrize("parameter", CALLED)
@pytest.mark.parametrize("wrong", [coroutine, functools.partial(coroutine, 1)])
def test_a_coroutine_function_is_nothing_that_is_called(parameter: str, wrong: Any) -> None:
    given = {**COMPANIONS.get(parameter, {}), parameter: wrong}
    with pytest.raises(TypeError, match=f"{parameter} .*coroutine function.*give a function"):
        cache(**given)(function)


# What the message must hold of the value that it got.
VALUES: list[tuple[str, Any, str]] = [
    ("ttl", -1, "-1"),
    ("ttl", "60", "60"),
    ("tti", -0.5, "-0.5"),
    ("jitter", 1.5, "1.5"),
    ("stale_while_revalidate", -3, "-3"),
    ("stale_if_error", -3, "-3"),
    ("cache_if", 5, "5"),
    ("key", 5, "5"),
    ("ignore", ("sesion",), "sesion"),
    ("tags", (b"users",), "users"),
    ("max_weight", -7, "-7"),
    ("weigher", "len", "len"),
    ("on_removal", 5, "5"),
    ("copy", "deep", "deep"),
    ("version", 5, "5"),
    ("namespace", 5, "5"),
    ("strategy", "lur", "lur"),
    ("cache_exceptions", KeyboardInterrupt, "KeyboardInterrupt"),
    ("per_instance", "yes", "yes"),
]


@pytest.mark.parametrize(("parameter", "value", "word"), VALUES)
def test_the_message_tells_the_value_that_it_got(parameter: str, value: Any, word: str) -> None:
    given = {**COMPANIONS.get(parameter, {}), parameter: value}
    with pytest.raises(EITHER) as caught:
        cache(**given)(function)
    assert word in str(caught.value), caught.value


def test_unknown_names_to_ignore_come_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="z") as caught:
        cache(ignore=("z",))(function)
    assert "x" in str(caught.value) and "y" in str(caught.value), "the remedy"


def test_unknown_strategies_come_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="lur") as caught:
        cache(strategy="lur")(function)
    assert "lru" in str(caught.value).lower() and "sieve" in str(caught.value).lower()


# Parameters, and two words that the message must hold.
COMBINATIONS: list[tuple[dict[str, Any], tuple[str, ...], Any]] = [
    ({"key": one, "ignore": ("x",)}, ("key", "ignore"), EITHER),
    ({"jitter": 0.5}, ("jitter", "ttl"), ValueError),
    ({"stale_while_revalidate": 10}, ("stale_while_revalidate", "ttl"), ValueError),
    ({"stale_if_error": 10}, ("stale_if_error", "ttl"), ValueError),
    ({"stale_if_error": 10, "tti": 60}, ("stale_if_error", "ttl"), ValueError),
    ({"jitter": 0.5, "tti": 60}, ("jitter", "ttl"), ValueError),
    ({"max_weight": 10}, ("max_weight", "weigher"), ValueError),
    ({"weigher": one}, ("max_weight", "weigher"), ValueError),
    ({"per_instance": True, "backend": "shared"}, ("per_instance", "memory"), EITHER),
    ({"max_weight": 9, "weigher": one, "backend": "shared"}, ("max_weight", "memory"), EITHER),
    ({"on_removal": one, "backend": "shared"}, ("on_removal", "memory"), EITHER),
    ({"ttl": one, "cache_exceptions": KeyError}, ("cache_exceptions",), EITHER),
    ({"ttl": one, "cache_exceptions": {KeyError: None}}, ("cache_exceptions",), EITHER),
]


@pytest.mark.parametrize("decorated", [function, coroutine])
@pytest.mark.parametrize("number", range(len(COMBINATIONS)))
def test_a_combination_that_cannot_work_is_refused(number: int, decorated: Any) -> None:
    given, words, error = COMBINATIONS[number]
    with pytest.raises(error) as caught:
        cache(**given)(decorated)
    for word in words:
        assert word in str(caught.value), caught.value


RIGHT: list[dict[str, Any]] = [
    {"key": one},
    {"key": None, "ignore": ()},
    {"ignore": ("x",)},
    {"ignore": ["x", "y"]},
    {"ttl": one},
    {"ttl": datetime.timedelta(days=1)},
    {"ttl": 1e-9},
    {"tti": 1},
    {"tti": datetime.timedelta(hours=1), "ttl": one},
    {"ttl": 60, "jitter": 0},
    {"ttl": 60, "jitter": 0.999},
    {"ttl": one, "jitter": 0.5, "stale_if_error": 1, "stale_while_revalidate": 1},
    {"jitter": 0.0, "stale_if_error": 0, "stale_while_revalidate": 0},
    {"cache_if": None, "cache_exceptions": None},
    {"cache_exceptions": ()},
    {"cache_exceptions": {}},
    {"cache_exceptions": {KeyError: 1.5, OSError: None}},
    {"tags": ()},
    {"tags": "users"},
    {"tags": [f"t{n}" for n in range(16)]},
    {"tags": one},
    {"per_instance": False, "backend": "shared"},
    {"max_weight": None, "weigher": None},
    {"max_weight": 10, "weigher": one, "max_size": None},
    {"on_removal": None, "copy": None, "version": None, "namespace": None},
    {"copy": True},
    {"copy": True, "backend": "shared"},
    {"copy": one},
    {"version": "v1", "namespace": "tests", "backend": "shared"},
]


@pytest.mark.parametrize("decorated", [function, coroutine])
@pytest.mark.parametrize("number", range(len(RIGHT)))
def test_what_is_right_is_taken(number: int, decorated: Any) -> None:
    assert callable(cache(**RIGHT[number])(decorated))


NEW = [
    "key",
    "ignore",
    "tti",
    "jitter",
    "stale_while_revalidate",
    "stale_if_error",
    "cache_if",
    "cache_exceptions",
    "tags",
    "per_instance",
    "max_weight",
    "weigher",
    "on_removal",
    "copy",
    "version",
    "namespace",
]


@pytest.mark.parametrize("name", NEW)
def test_new_parameters_are_by_keyword_only(name: str) -> None:
    parameter = inspect.signature(cache).parameters[name]
    assert parameter.kind is inspect.Parameter.KEYWORD_ONLY


@pytest.mark.parametrize("name", NEW)
def test_lru_cache_gains_none_of_the_new_parameters(name: str) -> None:
    assert name not in inspect.signature(lru_cache).parameters
    with pytest.raises(TypeError, match=name):
        lru_cache(**{name: None})(function)


def test_lru_cache_keeps_functools_contract_for_ttl() -> None:
    assert lru_cache(ttl=datetime.timedelta(seconds=5))(function)(1) == 1
    with pytest.raises(TypeError, match="ttl"):
        lru_cache(ttl=one)(function)


def test_what_was_wrong_before_still_is() -> None:
    for given in ({"max_size": "1"}, {"typed": 1}, {"nothing": 1}, {"backend": 5}):
        with pytest.raises((TypeError, ValueError)):
            cache(**given)(function)


@pytest.mark.parametrize("name", NEW)
def test_the_types_know_the_new_parameters(name: str) -> None:
    types = warp.CacheOptions
    assert name in types.__optional_keys__ | types.__required_keys__
    types = warp.LruCacheOptions
    assert name not in types.__optional_keys__ | types.__required_keys__


def test_a_wrong_parameter_leaves_no_cache_behind() -> None:
    before = len(list(warp.caches()))
    for parameter, value, _ in SINGLE[:20]:
        with pytest.raises(EITHER):
            cache(**{parameter: value})(function)
    assert len(list(warp.caches())) <= before
