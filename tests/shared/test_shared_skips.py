"""What is not stored: counted by reason for all processes, and told once, at the caller's line."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import re
import sys
import threading
import typing
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import support
from children import Children

import warp_cache
from warp_cache import UncacheableWarning, cache, lru_cache


class Bare:
    """Compared by identity."""


class Refusing:
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Refusing)

    def __hash__(self) -> int:
        return 1

    def __reduce__(self) -> Any:
        raise ValueError("not me")


class Unloadable:
    def __reduce__(self) -> Any:
        return int, ("not a number",)


def compute(x: Any) -> Any:
    values = {"lock": threading.Lock(), "long": "v" * 500, "large": bytes(1 << 21)}
    return Unloadable() if x == "bad" else values.get(x, 1)


# Reason, options, argument, and what the warning must say.
CALLS: list[tuple[str, dict[str, Any], Callable[[], Any], str]] = [
    ("argument", {}, Bare, r"argument 'x' is of type Bare.*see that Bare has an __eq__"),
    ("argument", {}, Refusing, r"argument 'x' is of type Refusing.*ValueError: not me"),
    (
        "argument",
        {},
        lambda: (1, (Bare(),)),
        r"argument 'x' is of type tuple and holds one of type Bare",
    ),
    ("key_size", {"max_key_size": 50}, lambda: "k" * 90, r"max_key_size=50 bytes \(now 9\d\)"),
    (
        "value",
        {},
        lambda: "lock",
        r"are of type lock, which cannot be pickled: TypeError: cannot pickle",
    ),
    ("value_size", {"max_value_size": 99}, lambda: "long", r"max_value_size=99 bytes \(now 50\d"),
    ("file_size", {"max_bytes": 1 << 20}, lambda: "large", r"max_bytes=1048576.*raise max_bytes"),
]
IDS = [f"{reason}{number}" for number, (reason, *_) in enumerate(CALLS)]
each_call = pytest.mark.parametrize(("reason", "options", "argument", "words"), CALLS, ids=IDS)


def caught(function: Callable[..., Any], *arguments: Any) -> list[warnings.WarningMessage]:
    """What is told during a call."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        function(*arguments)
    return said


@each_call
def test_told_once_and_counted_each_time(
    reason: str, options: dict[str, Any], argument: Callable[[], Any], words: str
) -> None:
    function = cache(backend="shared", name=f"once-{reason}", **options)(compute)
    function("something else")
    assert function.cache_info().skips == {}
    said = caught(lambda: [function(argument()) for _ in range(3)])
    assert [one.category for one in said] == [UncacheableWarning]
    text = str(said[0].message)
    assert "test_shared_skips.compute()" in text
    assert re.search(words, str(said[0].message))
    info = function.cache_info()
    assert info.skips == {reason: 3} and info.oversize_skips == 3
    assert info.misses - info.currsize == sum(info.skips.values()) == 3
    # By hand, too.
    assert caught(function.set, compute(argument()) if reason == "argument" else 1, "by hand") == []
    value = {"value": compute("lock"), "value_size": "v" * 500, "file_size": bytes(1 << 21)}
    assert caught(function.set, value.get(reason, 1), argument()) == []
    assert function.cache_info().skips == {reason: 4}
    function.cache_clear()
    info = function.cache_info()
    assert info.skips == {} and info.oversize_skips == 0
    assert repr(info) == "SharedCacheInfo(hits=0, misses=0, maxsize=128, currsize=0)"


@each_call
def test_coroutine_functions(
    reason: str, options: dict[str, Any], argument: Callable[[], Any], words: str
) -> None:
    @cache(backend="shared", name=f"async-{reason}", **options)
    async def function(x: Any) -> Any:
        return compute(x)

    async def main() -> None:
        for _ in range(3):
            await function(argument())
        await asyncio.gather(function(argument()), function(argument()))

    said = caught(asyncio.run, main())
    assert len(said) == 1 and said[0].filename == __file__
    assert re.search(words, str(said[0].message))
    assert set(function.cache_info().skips) == {reason}
    assert function.cache_info().skips[reason] >= 4


def test_what_is_stored_and_cannot_be_read() -> None:
    function = cache(backend="shared", name="unreadable")(compute)
    assert caught(function, "bad") == []
    said = caught(lambda: [function("bad") for _ in range(3)])
    assert len(said) == 1 and "cannot be unpickled (ValueError: invalid literal" in str(
        said[0].message
    )
    assert function.cache_info().skips == {"unreadable": 3}

    @cache(backend="shared", name="unreadable-async")
    async def coroutine(x: Any) -> Any:
        return compute(x)

    async def main() -> None:
        for _ in range(3):
            await coroutine("bad")

    assert len(caught(asyncio.run, main())) == 1
    assert coroutine.cache_info().skips == {"unreadable": 2}


def test_a_hit_tells_nothing_and_a_miss_that_is_stored_neither() -> None:
    function = cache(backend="shared", name="quiet")(compute)
    assert caught(lambda: [function(x) for x in (1, 2, 1, 2)]) == []
    assert caught(function.get, Bare()) == []
    assert function.cache_info().skips == {}


NAMES = [
    ((Bare(),), {}, "argument 'a' is"),
    ((1,), {"b": Bare()}, "argument 'b' is"),
    ((1, 2, 3, Bare()), {}, "argument 2 of '*rest' is"),
    ((1, 2, 3), {"only": Bare()}, "argument 'only' is"),
    ((1, 2), {"more": 1, "last": Bare()}, "argument 'last' is"),
]


@pytest.mark.parametrize("decorate", [cache, lru_cache])
@pytest.mark.parametrize(("arguments", "keywords", "words"), NAMES)
def test_the_argument_is_named(
    decorate: Any, arguments: tuple[Any, ...], keywords: dict[str, Any], words: str
) -> None:
    @decorate(backend="shared")
    def function(a: int, b: int = 2, *rest: int, only: int = 3, **others: int) -> int:
        return 1

    with pytest.warns(UncacheableWarning) as said:
        function(*arguments, **keywords)
    assert words in str(said[0].message)
    assert said[0].filename == __file__


def test_a_method_names_self_and_the_line_is_the_callers() -> None:
    class Shop:
        @cache(backend="shared")
        def price(self) -> int:
            return 1

    with pytest.warns(UncacheableWarning, match="argument 'self' is of type Shop") as said:
        Shop().price()
    here = sys._getframe()
    assert (said[0].filename, said[0].lineno) == (here.f_code.co_filename, here.f_lineno - 2)


def test_as_an_error_it_reaches_the_caller_each_time_and_nobody_else(waits: support.Waits) -> None:
    held = support.Held(lambda x: threading.Lock())
    function = cache(backend="shared", name="error")(held)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        leader = support.start(function, 1)
        held.await_start()
        waiting = [support.start(function, 1) for _ in range(3)]
        waits.await_calls(3)
        held.release()
        assert isinstance(leader.exception(support.LIMIT), UncacheableWarning)
        assert len({id(lock) for lock in support.results(waiting)}) == 1
        # Leases and flights are settled: the next call computes at once, and is told again.
        for call in (lambda: function(1), lambda: function.set(threading.Lock(), 1)):
            with pytest.raises(UncacheableWarning):
                call()
    assert function.cache_info().skips == {"value": 3}
    function.set("old", 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UncacheableWarning):
            function.set(threading.Lock(), 1)
    assert function.get(1) is None, "what could not be stored leaves no older value"
    assert len(caught(function, 1)) == 1 and caught(function, 2) == []


def test_as_an_error_in_a_coroutine() -> None:
    @cache(backend="shared", name="error-async")
    async def function(x: int) -> Any:
        await asyncio.sleep(0.01)
        return threading.Lock()

    async def main() -> list[Any]:
        return await asyncio.gather(*(function(1) for _ in range(4)), return_exceptions=True)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = asyncio.run(main())
        assert sum(isinstance(one, UncacheableWarning) for one in found) == 1
        assert len({id(one) for one in found}) == 2
        with pytest.raises(UncacheableWarning):
            asyncio.run(function(2))


@pytest.mark.parametrize("single_flight", [True, False])
def test_of_many_threads_one_is_told(single_flight: bool) -> None:
    function = cache(backend="shared", name="threads", single_flight=single_flight)(compute)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        calls = [lambda: [function(Bare()) for _ in range(20)]] * 6
        support.results(support.start_together(calls))
    assert len(said) == 1
    assert function.cache_info().skips == {"argument": 120}


def test_what_others_have_done_meanwhile_is_counted_and_not_told() -> None:
    changes: list[Callable[[Any], object]] = [lambda f: f.set(5, 1), lambda f: f.cache_clear()]
    for number, change in enumerate(changes):
        held = support.Held(lambda x: x)
        function = cache(backend="shared", name=f"meanwhile-{number}")(held)
        future = support.start(function, 1)
        held.await_start()
        change(function)
        held.release()
        assert future.result(support.LIMIT) == 1
        assert function.cache_info().skips == {"superseded": 1}

    @cache(backend="shared", name="recursive")
    def recursive(x: int, depth: Any = None) -> int:
        stack.append(x)
        return recursive(x) if len(stack) < 3 else x

    stack: list[int] = []
    assert recursive(1) == 1
    info = recursive.cache_info()
    assert info.misses - info.currsize == sum(info.skips.values()) == info.skips["superseded"] == 2


class Lying:
    """Takes more than it says."""

    __signature__ = __import__("inspect").signature(lambda x: x)

    def __call__(self, *arguments: int) -> int:
        return len(arguments)


def test_a_signature_that_is_not_true() -> None:
    function = cache(backend="shared", name="lying")(Lying())
    said = caught(lambda: [function(1), function(1, 2), function(1, 2)])
    assert len(said) == 1 and "do not fit its signature" in str(said[0].message)
    assert function.cache_info() == (0, 3, 128, 1)
    assert function.cache_info().skips == {"argument": 2}


def test_the_mapping() -> None:
    function = cache(backend="shared", name="mapping")(compute)
    caught(function, "lock")
    info = function.cache_info()
    assert info == (0, 1, 128, 0) and len(info) == 4
    assert repr(info) == (
        "SharedCacheInfo(hits=0, misses=1, maxsize=128, currsize=0, oversize_skips=1,"
        " skips={'value': 1})"
    )
    skips: Any = info.skips
    assert skips["space"] == 0 and "space" not in skips and skips.get("space") is None
    assert set(skips) < set(typing.get_args(warp_cache.SkipReason))
    for change in (
        lambda: skips.update(value=2),
        lambda: skips.clear(),
        lambda: skips.pop("value"),
        lambda: skips.__setitem__("value", 2),
        lambda: skips.__delitem__("value"),
    ):
        with pytest.raises(TypeError, match="cannot be changed"):
            change()
    for again in (pickle.loads(pickle.dumps(info)), copy.deepcopy(info)):
        assert type(again) is type(info) and again == info and again.skips == {"value": 1}
    assert json.dumps(skips) == '{"value": 1}'
    with pytest.raises(AttributeError):
        warp_cache._info.Nothing  # noqa: B018


CHILD = """
import warnings
from warp_cache import cache
warnings.simplefilter("ignore")
function = cache(backend="shared", name="sum")(lambda x: x)
"""


def test_summed_over_processes_dead_ones_too(children: Children) -> None:
    one, two = children.start(CHILD, 2)
    for child in (one, two):
        child.ask("[function(object()) for _ in range(2)]")
    two.kill()
    assert one.ask("dict(function.cache_info().skips)") == "{'argument': 4}"
    [three] = children.start(CHILD)
    three.ask("function.cache_clear()")
    assert one.ask("dict(function.cache_info().skips)") == "{}"


# --- defaults that are left out ------------------------------------------------------------

MISSING = object()


@pytest.mark.parametrize("typed", [False, True])
def test_a_default_without_bytes_does_not_prevent_caching(typed: bool) -> None:
    calls = []

    @cache(backend="shared", name=f"defaults-{typed}", typed=typed)
    def function(x: int, options: Any = [], missing: Any = MISSING, *, other: Any = Bare()) -> int:  # noqa: B006, B008
        calls.append(x)
        return len(calls)

    assert [function(1), function(x=1), function(1, missing=MISSING), function(2)] == [1, 1, 1, 2]
    # The same object in another place is another call.
    with pytest.warns(UncacheableWarning, match="argument 'missing' is of type object"):
        function(1, missing=object())
    assert function(MISSING) == function(MISSING) == 4  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="unhashable"):
        function(1, [])
    info = function.cache_info()
    assert (info.hits, info.misses) == (3, 4) and info.skips == {"argument": 1}


def test_a_default_without_bytes_in_other_processes(children: Children) -> None:
    source = """
from warp_cache import cache
@cache(backend="shared", name="defaults")
def function(x, options={}, missing=object()):
    return [x]
"""
    one, two = children.start(source, 2)
    one.ask("function(1)")
    two.ask("function(1)")
    assert two.ask("tuple(function.cache_info())") == "(1, 1, 128, 1)"


class NotToBePickled(Exception):
    """Holds what has no bytes."""


@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_exception_that_is_to_be_stored_and_cannot_is_told(asynchronous: bool) -> None:
    def raising(x: int) -> None:
        raise NotToBePickled(threading.Lock())

    async def raising_later(x: int) -> None:
        raising(x)

    options: Any = {"cache_exceptions": NotToBePickled, "backend": "shared"}
    f: Any = cache(**options)(raising_later if asynchronous else raising)

    def call() -> None:
        with pytest.raises(NotToBePickled):
            asyncio.run(f(1)) if asynchronous else f(1)

    with pytest.warns(UncacheableWarning, match="NotToBePickled"):
        call()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        f.cache_clear()
    assert f.cache_info().skips["value"] >= 0


MOST = 1 << 26


@pytest.mark.parametrize("options", [{}, {"max_key_size": 1 << 30}])
def test_a_key_that_no_file_takes_is_told_with_the_true_bound(options: dict[str, Any]) -> None:
    function = cache(backend="shared", name="most", **options)(compute)
    [said] = caught(function, b"k" * MOST)
    assert re.search(rf"more than {MOST - 1} bytes .*the most that a shared", str(said.message))
    assert "raise" not in str(said.message)
    assert function.cache_info().skips == {"key_size": 1}


def test_a_key_of_too_many_parts_or_too_deep_is_told_with_the_bound() -> None:
    function = cache(backend="shared", name="parts")(compute)
    # What is there twice is spelled twice.
    parts = (bytes(MOST // 64),) * 65
    [said] = caught(function, parts)
    assert f"is of type tuple: spelled out it takes more than {MOST} bytes" in str(said.message)
    assert function.cache_info().skips == {"argument": 1}
    deep: Any = ()
    for _ in range(200):
        deep = (deep,)
    [said] = caught(cache(backend="shared", name="deep")(compute), deep)
    assert "nested more than 100 deep" in str(said.message)
