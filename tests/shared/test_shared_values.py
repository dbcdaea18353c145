"""What the shared backend gives back: the same value and type, and to each caller his own."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, namedtuple
from decimal import Decimal
from typing import Any

import pytest
import support

from warp_cache import cache

Point = namedtuple("Point", "x y")


class Custom:
    def __init__(self, x: int) -> None:
        self.x = x

    def __eq__(self, other: object) -> bool:
        return type(other) is Custom and other.x == self.x


VALUES: list[Any] = [
    None,
    True,
    0,
    -(10**50),
    1.5,
    "",
    "ünï",
    "x" * 10_000,
    b"bytes",
    (),
    (1, ("a", None)),
    frozenset({1, 2}),
    [],
    [1, [2, {"a": {3}}]],
    {"a": [1], 2: {"b": ()}},
    {1, 2},
    ([1], [2]),
    Point(1, 2),
    OrderedDict(a=1),
    Decimal("1.5"),
    Custom(3),
    [Custom(1), Custom(2)],
    bytearray(b"x"),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:30])
def test_a_hit_has_the_type_and_value_of_the_miss(value: Any) -> None:
    @cache(backend="shared", name="values")
    def function() -> Any:
        return value

    @cache(backend="shared", name="values")
    def other() -> Any:
        raise AssertionError("it is there")

    first = function()
    assert first is value
    for found in (function(), other(), other(), function.get(), other.get()):
        assert found == value and type(found) is type(value)


@pytest.mark.parametrize("value", [[1, [2]], {"a": [1]}, ([1],), {1}, Custom(1), bytearray(b"1")])
def test_nobody_shares_what_can_be_changed(value: Any) -> None:
    @cache(backend="shared", name="own")
    def function() -> Any:
        return value

    @cache(backend="shared", name="own")
    def other() -> Any:
        raise AssertionError("it is there")

    found = [function(), function(), function(), other(), other(), function.get(), other.get()]
    assert len({id(one) for one in found}) == len(found)
    inner = [
        next(iter(one.values()) if isinstance(one, dict) else iter(one), None)
        for one in found
        if isinstance(one, (list, dict, tuple))
    ]
    containers = [one for one in inner if isinstance(one, list)]
    assert len({id(one) for one in containers}) == len(containers)


def test_changes_reach_nobody() -> None:
    @cache(backend="shared")
    def function(x: int) -> dict[str, list[int]]:
        return {"a": [x]}

    function(1)["a"].append(2)  # the leader's own
    for _ in range(3):
        value = function(1)
        assert value == {"a": [1]}
        value["a"].append(3)
        value["b"] = []


def test_an_immutable_value_is_one_object() -> None:
    @cache(backend="shared")
    def function(x: int) -> str:
        return "v" * x

    assert function(100) is function(100)


def test_threads_that_waited_have_their_own(waits: support.Waits) -> None:
    held = support.Held(lambda x: {"a": [x]})
    function = cache(backend="shared", name="waited")(held)
    futures = [support.start(function, 1)]
    held.await_start()
    futures += [support.start(function, 1) for _ in range(5)]
    waits.await_calls(5)
    held.release()
    found = support.results(futures)
    assert found == [{"a": [1]}] * 6 and held.calls == [(1,)]
    assert len({id(one["a"]) for one in found}) == 6
    assert function.cache_info() == (0, 6, 128, 1)


@support.uncacheable
def test_threads_that_waited_for_what_cannot_be_stored(waits: support.Waits) -> None:
    lock = threading.Lock()
    held = support.Held(lambda x: lock)
    function = cache(backend="shared", name="lock")(held)
    futures = [support.start(function, 1)]
    held.await_start()
    futures += [support.start(function, 1) for _ in range(3)]
    waits.await_calls(3)
    held.release()
    assert support.results(futures) == [lock] * 4
    assert len(held.calls) == 1
    info = function.cache_info()
    assert info == (0, 4, 128, 0) and info.oversize_skips == 1


@support.uncacheable
def test_what_cannot_be_pickled_is_returned_and_counted() -> None:
    calls = []

    @cache(backend="shared")
    def function(x: int) -> Any:
        calls.append(x)
        return lambda: x

    assert [function(1)(), function(1)()] == [1, 1]
    assert calls == [1, 1]
    info = function.cache_info()
    assert info == (0, 2, 128, 0) and info.oversize_skips == 2
    function.set(lambda: 5, 1)  # raises nothing
    assert function.get(1) is None
    assert function.cache_info().oversize_skips == 3


@support.uncacheable
def test_what_is_over_a_limit_is_returned_and_counted() -> None:
    @cache(backend="shared", max_key_size=100, max_value_size=100)
    def function(x: str, y: int = 1) -> str:
        return x * y

    assert function("a", 50) == function("a", 50)
    assert function("a", 500) == function("a", 500) == "a" * 500
    assert function("a" * 500, 0) == function("a" * 500, 0) == ""
    info = function.cache_info()
    assert info == (1, 5, 128, 1) and info.oversize_skips == 4
    function.set("b" * 500, "c")
    function.set("b", "c" * 500)
    assert function.get("c") is function.get("c" * 500) is None
    assert function.cache_info().oversize_skips == 6


@support.uncacheable
def test_a_value_larger_than_the_whole_file() -> None:
    @cache(backend="shared", max_bytes=1 << 20)
    def function(x: int) -> bytes:
        return bytes(x)

    assert len(function(1 << 21)) == len(function(1 << 21)) == 1 << 21
    assert function.cache_info() == (0, 2, 128, 0)
    assert function.cache_info().oversize_skips == 2


@support.uncacheable
def test_set_over_a_limit_leaves_no_older_value() -> None:
    @cache(backend="shared", max_value_size=100)
    def function(x: int) -> str:
        return "computed"

    function.set("old", 1)
    function.set("new" * 100, 1)
    assert function(1) == "computed"


@support.uncacheable
def test_keys_that_are_equal_by_identity_only() -> None:
    @cache(backend="shared")
    def function(x: object) -> int:
        return id(x)

    one, two = object(), object()
    assert function(one) == id(one) and function(two) == id(two)
    info = function.cache_info()
    assert info == (0, 2, 128, 0) and info.oversize_skips == 2


def test_an_argument_that_cannot_be_hashed() -> None:
    @cache(backend="shared")
    def function(x: Any) -> int:
        return 1

    with pytest.raises(TypeError, match="unhashable"):
        function([])
    assert function.cache_info() == (0, 0, 128, 0)


def test_exceptions_are_not_cached() -> None:
    calls = []

    @cache(backend="shared")
    def function(x: int) -> int:
        calls.append(x)
        raise ValueError(f"no {x}")

    for _ in range(3):
        with pytest.raises(ValueError, match="no 1"):
            function(1)
    assert calls == [1, 1, 1]
    assert function.cache_info() == (0, 3, 128, 0)


def test_an_exception_reaches_every_thread_as_its_own(waits: support.Waits) -> None:
    def fail(x: int) -> int:
        raise ValueError("no")

    held = support.Held(fail)
    function = cache(backend="shared", name="raising")(held)
    futures = [support.start(function, 1)]
    held.await_start()
    futures += [support.start(function, 1) for _ in range(3)]
    waits.await_calls(3)
    held.release()
    raised = support.errors(futures)
    assert [type(error) for error in raised] == [ValueError] * 4
    assert len({id(error) for error in raised}) == 4
    assert held.calls == [(1,)]


class Interrupts:
    def __reduce__(self) -> Any:
        raise KeyboardInterrupt


def test_an_interrupt_while_a_value_is_pickled() -> None:
    @cache(backend="shared")
    def function(x: int) -> Any:
        return Interrupts() if x else 0

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            function(1)
    assert function(0) == 0


class Unreadable:
    """Pickled as something that raises when it is unpickled."""

    def __reduce__(self) -> Any:
        return (int, ("not a number",))


@support.uncacheable
def test_a_value_that_cannot_be_unpickled_is_a_miss() -> None:
    calls = []

    @cache(backend="shared", name="unreadable")
    def function(x: int) -> Any:
        calls.append(x)
        return Unreadable()

    for _ in range(3):
        assert type(function(1)) is Unreadable
    assert calls == [1, 1, 1]
    assert function.cache_info()[:2] == (0, 3)
    assert function.get(1) is None


def test_ttl() -> None:
    calls = []

    @cache(backend="shared", ttl=0.2)
    def function(x: int) -> int:
        calls.append(x)
        return x

    assert function(1) == function(1) == 1
    assert len(calls) == 1
    time.sleep(0.25)
    assert function.get(1) is None
    assert function.cache_info().currsize == 0
    assert function(1) == function(1) == 1
    assert len(calls) == 2
    assert function.cache_info()[:2] == (2, 2)


def test_age_counts_from_when_the_result_is_there() -> None:
    done = 0.0

    @cache(backend="shared", name="age", ttl=0.3)
    def function(x: int) -> int:
        nonlocal done
        time.sleep(0.4)
        done = time.monotonic()
        return x

    for x in range(20):
        function(x)
        value = function.get(x)
        # Else this process had to wait for its turn, and the look tells nothing.
        if time.monotonic() - done < 0.3:
            assert value == x
            return
    pytest.skip("this machine is too busy")
