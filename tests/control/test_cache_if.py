"""`cache_if`: whether a result is to be stored (§2.1, §2.7)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import support
from control import Body, Gate, Kind, cache, lru_cache


def test_only_what_cache_if_accepts_is_stored(kind: Kind) -> None:
    body = Body()
    body.make = lambda x: None if x < 0 else x
    f = cache(cache_if=lambda value: value is not None)(kind.one(body))
    assert [kind.call(f, x) for x in (1, 1, -1, -1)] == [1, 1, None, None]
    assert body.calls == [(1,), (-1,), (-1,)]
    assert f.cache_info() == (1, 3, 128, 1)
    assert f.cache_contains(1) and not f.cache_contains(-1)


def test_it_is_asked_with_the_value_once_a_computation_and_never_at_hits(kind: Kind) -> None:
    asked = []

    def accepts(value: Any) -> bool:
        asked.append(value)
        return True

    f = cache(cache_if=accepts)(kind.one(Body()))
    for x in (1, 1, 2, 1):
        kind.call(f, x)
    assert asked == [(1, 1), (2, 2)]
    kind.call(f.cache_refresh, 1)
    assert asked[2:] == [(1, 3)]


def test_set_and_put_do_not_ask_it(kind: Kind) -> None:
    def accepts(value: Any) -> bool:
        raise AssertionError("asked")

    f = cache(cache_if=accepts)(kind.one(Body()))
    f.set("set", 1)
    f.cache_put("put", (2,))
    assert kind.call(f, 1) == "set" and kind.call(f, 2) == "put"


def test_the_caller_and_all_who_waited_get_it_all_the_same() -> None:
    body = Gate()
    f = cache(cache_if=lambda value: False)(lambda x: body(x))
    assert support.results(body.crowd(f, 4)) == ["old"] * 4
    assert body.began == 1, "one computation for all of them"
    assert not f.cache_contains(1)
    assert f.cache_info()[:2] == (0, 4)


def test_tasks_that_waited_get_it_all_the_same() -> None:
    calls = []

    async def main() -> None:
        @cache(cache_if=lambda value: False)
        async def f(x: int) -> int:
            calls.append(x)
            await asyncio.sleep(0.01)
            return x

        assert await asyncio.gather(*(f(1) for _ in range(4))) == [1] * 4
        assert calls == [1] and not f.cache_contains(1)

    asyncio.run(main())


def test_what_it_raises_reaches_the_caller_and_nothing_is_stored(kind: Kind) -> None:
    def accepts(value: Any) -> bool:
        raise LookupError("undecided")

    body = Body()
    f = cache(cache_if=accepts)(kind.one(body))
    for number in (1, 2):
        with pytest.raises(LookupError, match="undecided"):
            kind.call(f, 1)
        assert body.count == number
    assert f.cache_info().currsize == 0


def test_what_it_raises_reaches_those_who_wait_like_an_exception_of_the_function() -> None:
    body = Gate()

    def accepts(value: Any) -> bool:
        raise LookupError("undecided")

    f = cache(cache_if=accepts)(lambda x: body(x))
    errors = support.errors(body.crowd(f, 3))
    assert [type(error) for error in errors] == [LookupError] * 3
    assert len({id(error) for error in errors}) == 3


def test_it_may_call_the_cache(kind: Kind) -> None:
    def accepts(value: Any) -> bool:
        f.set("from inside", 2)
        f.cache_info()
        return not f.cache_contains(1)

    f = cache(cache_if=accepts)(kind.one(Body()))
    assert kind.call(f, 1) == (1, 1)
    assert f.get(1) == (1, 1) and f.get(2) == "from inside"


def test_it_is_not_asked_when_the_function_raises(kind: Kind) -> None:
    asked: list[Any] = []
    body = Body()
    body.fail = ValueError("down")
    f = cache(cache_if=lambda value: not asked.append(value))(kind.one(body))
    with pytest.raises(ValueError, match="down"):
        kind.call(f, 1)
    assert asked == []


def test_a_refused_recomputation_drops_the_expired_entry(kind: Kind, clock: Any) -> None:
    f = cache(ttl=100, cache_if=lambda value: value[1] != 2)(kind.one(Body()))
    kind.call(f, 1)
    clock.advance(150)
    assert kind.call(f, 1) == (1, 2)
    assert not f.cache_contains(1) and f.cache_info().currsize == 0


def test_a_refused_value_evicts_nothing(kind: Kind) -> None:
    f = cache(max_size=1, cache_if=lambda value: value[0] != 2)(kind.one(Body()))
    kind.call(f, 1)
    kind.call(f, 2)
    assert f.cache_contains(1) and f.cache_info().evictions == 0


def test_a_refused_value_is_the_very_object(kind: Kind) -> None:
    value = [1]
    f = cache(cache_if=lambda value: False)(kind.one(lambda x: value))
    assert kind.call(f, 1) is value


def test_lru_cache_has_no_such_parameter() -> None:
    with pytest.raises(TypeError, match="cache_if"):
        lru_cache(cache_if=bool)(Body())


@pytest.mark.parametrize("wrong", [True, 1, "bool", [bool]])
def test_what_is_not_callable(wrong: Any) -> None:
    with pytest.raises(TypeError, match="cache_if"):
        cache(cache_if=wrong)(Body())
