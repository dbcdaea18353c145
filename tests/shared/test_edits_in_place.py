"""An argument that is edited in place is another argument, also where the process has a value.

By identity and ``==`` it is the same one: what the decoded level knew it by.
"""

from __future__ import annotations

import asyncio
import enum
import gc
import json
import threading
import weakref
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import edit_zoo as zoo
import pytest
import support

from warp_cache import cache, lru_cache
from warp_cache._warp_cache_rs import _encode_key, _is_plain_key

SHAPES = pytest.mark.parametrize("shape", zoo.SHAPES)
EDITS = pytest.mark.parametrize("kind", zoo.EDITS)


@pytest.fixture(autouse=True)
def scope() -> Iterator[None]:
    """The zoo's module as it was."""
    before = dict(vars(zoo))
    yield
    vars(zoo).clear()
    vars(zoo).update(before)


@SHAPES
@EDITS
def test_an_edit_is_seen(kind: str, shape: str) -> None:
    holder, read, change = zoo.EDITS[kind]()
    passed, find = zoo.SHAPES[shape]
    arguments = passed(holder)

    @cache(backend="shared", name="edits", max_size=100)
    def function(*args: Any) -> Any:
        return read(find(*args))

    seen = []
    for value in (None, 1, 2):
        if value is not None:
            change(value)
        right = read(holder)
        assert right not in seen, "the edit changes nothing"
        seen.append(right)
        for _ in range(3):
            assert function(*arguments) == right
            assert function(*passed(holder)) == right
            assert function.get(*arguments) in (right, None)


@EDITS
def test_bytes_see_the_edit(kind: str) -> None:
    holder, _, change = zoo.EDITS[kind]()
    seen = [_encode_key((holder,))]
    for value in (1, 2):
        change(value)
        seen.append(_encode_key((holder,)))
    spelled = [one for one in seen if one is not None]
    assert len(set(spelled)) == len(spelled)


# --- the ways to a value


def editable() -> tuple[Any, Any]:
    """A function, and what edits it."""
    made = zoo.place(zoo.other(0), "priced")
    return made, lambda value: setattr(made, "__code__", zoo.other(value).__code__)


def apply(function: Any, x: int = 1, *, by: Any = None) -> Any:
    return function(x), by and by(x)


@pytest.mark.parametrize("decorate", [cache, lru_cache])
@pytest.mark.parametrize("options", [{}, {"typed": True}, {"single_flight": False}, {"ttl": 100}])
def test_however_it_is_decorated_and_passed(decorate: Any, options: dict[str, Any]) -> None:
    function, change = editable()
    cached = decorate(backend="shared", name="applied", max_size=100, **options)(apply)
    for value in (1, 2):
        change(value)
        right = (1, value, "code")
        for _ in range(2):
            assert cached(function) == cached(function, 1) == (right, None)
            assert cached(function=function) == (right, None)
            assert cached(str, by=function)[1] == right


def test_a_default_is_an_argument() -> None:
    by_name, change = editable()
    hidden = lambda x: ("hidden", x)  # noqa: E731

    @cache(backend="shared", name="defaults")
    def call(x: int, named: Any = by_name, unnamed: Any = hidden) -> Any:
        return named(x), unnamed(x)

    for value in (1, 2):
        change(value)
        hidden.__code__ = (lambda x: ("one", x)).__code__ if value == 1 else (lambda x: x).__code__
        right = (1, value, "code"), hidden(1)
        assert [call(1), call(1), call(1, by_name), call(x=1)] == [right] * 4


def test_methods_and_what_they_are_bound_to() -> None:
    class Model(zoo.Same):
        rate = 0

        @cache(backend="shared", name="of models")
        def price(self, x: int) -> Any:
            return self.rate, x

    zoo.place(Model, "Model")
    one, two = Model(), Model()
    assert [one.price(1), one.price(1), two.price(1)] == [(0, 1)] * 3
    assert Model.price.cache_info().hits == 2
    Model.rate = 1
    assert [one.price(1), one.price(1), two.price(1)] == [(1, 1)] * 3
    two.rate = 2
    assert [one.price(1), two.price(1), two.price(1)] == [(1, 1), (2, 1), (2, 1)]
    assert one == two and Model.price.get(one, 1) == (1, 1) and Model.price.get(two, 1) == (2, 1)


def test_get_and_set() -> None:
    function, change = editable()
    cached = cache(backend="shared", name="applied")(apply)
    assert cached.get(function) is None
    cached.set("set", function)
    assert cached.get(function) == cached(function) == "set"
    change(1)
    assert cached.get(function) is None
    assert cached(function) == cached.get(function) == ((1, 1, "code"), None)
    cached.set("again", function)
    assert cached.get(function) == cached(function) == "again"
    change(2)
    assert cached.get(function) is None
    cached.set([3], function)
    assert cached(function) == [3] and cached(function) is not cached(function)
    cached.cache_clear()
    assert cached.get(function) is None


def test_coroutine_functions() -> None:
    function, change = editable()

    @cache(backend="shared", name="awaited")
    async def awaited(function: Any) -> Any:
        await asyncio.sleep(0)
        return function(1)

    async def main() -> None:
        for value in (1, 2):
            change(value)
            right = (1, value, "code")
            found = await asyncio.gather(*(awaited(function) for _ in range(3)))
            assert found == [right] * 3
            assert await awaited(function) == awaited.get(function) == right
        info = awaited.cache_info()
        assert (info.misses, info.hits, info.skips) == (6, 2, {})
        # A computation under way is one of the function as it was.
        change(3)
        first = asyncio.create_task(awaited(function))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        change(4)
        assert await awaited(function) == (1, 4, "code")
        await first
        change(3)
        assert await awaited(function) == (1, 3, "code")

    asyncio.run(main())


@support.uncacheable
def test_a_coroutine_function_waits_for_nobody_where_there_is_no_key() -> None:
    function = lambda value: (value, 0)  # noqa: E731
    gate: asyncio.Event

    @cache(backend="shared", name="awaited")
    async def awaited(function: Any) -> Any:
        result = function(1)
        if result == (1, 0):
            await gate.wait()
        return result

    async def main() -> None:
        nonlocal gate
        gate = asyncio.Event()
        first = asyncio.create_task(awaited(function))
        await asyncio.sleep(0.01)
        function.__code__ = (lambda value: (value, 1)).__code__
        assert await asyncio.wait_for(awaited(function), support.LIMIT) == (1, 1)
        gate.set()
        assert await first == (1, 0)
        assert awaited.cache_info().skips == {"argument": 2}

    asyncio.run(main())


def test_instances_that_say_that_they_equal_what_is_plain() -> None:
    """They are another key in the file, and so they are in front of it."""

    class Text(str):
        rate = 0

        def __eq__(self, other: object) -> bool:
            return str(self) == other

        def __hash__(self) -> int:
            return hash(str(self))

        def __reduce__(self) -> Any:
            return Text, (str(self),)

    zoo.place(Text, "Text")
    text = Text("a")

    @cache(backend="shared", name="texts")
    def rate(text: Any) -> Any:
        return getattr(text, "rate", None)

    assert rate("a") is None and rate(text) == 0 and rate.get(text) == 0
    Text.rate = 1
    assert rate.get(text) is None
    assert rate("a") is None and rate(text) == 1 and rate(Text("a")) == 1


# --- what is edited while it is computed


@pytest.mark.parametrize("threads", [1, 2])
def test_an_edit_during_the_computation(threads: int) -> None:
    """What was begun with the old code and ended with the new one is nobody's result."""
    function, change = editable()
    began, edited = threading.Event(), threading.Event()

    @cache(backend="shared", name="slow")
    def slow(function: Any) -> Any:
        began.set()
        assert edited.wait(support.LIMIT)
        return function(1)

    change(1)
    workers = [support.start(slow, function) for _ in range(threads)]
    assert began.wait(support.LIMIT)
    change(2)
    edited.set()
    assert support.results(workers) == [(1, 2, "code")] * threads
    assert slow(function) == (1, 2, "code")
    change(1)
    assert slow(function) == (1, 1, "code"), "stored for the code that it had at first"
    assert slow.cache_info().skips["superseded"] >= 1


def test_who_comes_after_an_edit_waits_for_nobody() -> None:
    function, change = editable()
    begun, gate = threading.Event(), threading.Event()

    @cache(backend="shared", name="slow")
    def slow(function: Any) -> Any:
        result = function(1)
        if result[1] == 1:
            begun.set()
            gate.wait(support.LIMIT)
        return result

    change(1)
    worker = support.start(slow, function)
    # (The miss is counted before the function is called.)
    assert begun.wait(support.LIMIT)
    change(2)
    try:
        assert slow(function) == (1, 2, "code")
        assert slow(function) == (1, 2, "code")
    finally:
        gate.set()
    assert support.results([worker]) == [(1, 1, "code")]


def test_state_that_is_filled_by_the_computation_is_no_edit() -> None:
    @cache(backend="shared", name="lazy")
    def price(item: Any) -> Any:
        item.noted = 1
        return 5

    assert price(zoo.Same()) == 5 and price.cache_info().skips == {}
    assert price(zoo.Same()) == 5 and price.cache_info().hits == 1


def test_calls_that_call_each_other_with_functions() -> None:
    function, change = editable()

    @cache(backend="shared", name="recursive")
    def descend(function: Any, n: int) -> Any:
        return (function(n), descend(function, n - 1)) if n else ()

    change(1)
    first = descend(function, 3)
    assert descend(function, 3) == first and descend.cache_info().hits == 1
    change(2)
    assert descend(function, 3) != first


# --- what it costs


def test_plain_arguments_are_known_by_themselves() -> None:
    """A hit encodes nothing; the others let go of the objects that they came with."""
    plain = [
        *(1, -1, 2**70, 1.5, 2j, "a", b"a", None, True, ..., range(3), (1, ("a", None))),
        *(frozenset((1, "a")), (frozenset((1, (2,))),), Decimal("1.5"), date(2024, 1, 1)),
        *(datetime(2024, 1, 1), datetime(2024, 1, 1, tzinfo=timezone.utc), timedelta(1), time(1)),
        *(int, len, (int, len)),
    ]
    for value in plain:
        assert _is_plain_key((value,)), value
    other: list[Any] = [test_get_and_set, zoo.Same(), zoo.Same, zoo.Named(1), UUID(int=1)]
    other += [zoo.level().LOW, PurePosixPath("a"), Fraction(1, 3), zoo.Holding(1)]
    other += [Flag.ONE, Text("a"), json]
    other += [time(1, tzinfo=zoo.Zone()), datetime(2024, 1, 1, tzinfo=zoo.Zone())]
    for value in (*other, *((one,) for one in other), *(frozenset((one,)) for one in other)):
        assert not _is_plain_key((value,)), value


class Flag(enum.IntEnum):
    ONE = 1


class Text(str):
    pass


def test_what_is_known_by_its_bytes_is_not_kept() -> None:
    @cache(backend="shared", name="of models")
    def name(model: Any) -> str:
        return type(model).__name__

    one = zoo.Same()
    gone = weakref.ref(one)
    assert name(one) == name(one) == "Same"
    del one
    gc.collect()
    assert gone() is None
    assert name(zoo.Same()) == "Same" and name.cache_info().hits == 2


def test_a_value_is_decoded_once_for_equal_bytes() -> None:
    """Immutable values are handed out as they are."""

    @cache(backend="shared", name="of models")
    def letters(model: Any) -> Any:
        return "x" * 1000

    letters(zoo.Same())
    assert letters(zoo.Same()) is letters(zoo.Same())
    assert letters.get(zoo.Same()) is letters(zoo.Same())


def test_an_edited_zone() -> None:
    """A time of day is another instant, and stays what it is."""
    zone = zoo.Zone()
    noon = time(12, tzinfo=zone)

    @cache(backend="shared", name="times")
    def offset(noon: time) -> Any:
        return noon.utcoffset()

    for hours in (1, 2, 3):
        zone.hours = hours
        assert offset(noon) == offset(noon) == timedelta(hours=hours)
