"""`cache_put` and `cache_refresh`, in both decorators, plain and coroutine functions alike."""

from __future__ import annotations

import asyncio
import datetime
import math
from typing import Any

import pytest
from control import Body, Kind, both, cache

# --- cache_put ----------------------------------------------------------------------------------


@both
def test_put_stores_for_the_arguments(decorate: Any, kind: Kind) -> None:
    body = Body()
    f = decorate(kind.two(body))
    f.cache_put("a", (1,))
    f.cache_put("b", (1,), {"y": 2})
    f.cache_put("c", args=(3, 4))
    f.cache_put("d", kwargs={"x": 5, "y": 6})
    assert [kind.call(f, 1), kind.call(f, 1, y=2)] == ["a", "b"]
    assert [kind.call(f, 3, 4), kind.call(f, x=5, y=6)] == ["c", "d"]
    assert body.count == 0
    assert f.cache_info() == (4, 0, 128, 4)


@both
def test_put_without_more_is_set(decorate: Any, kind: Kind, clock: Any) -> None:
    f = decorate(ttl=100)(kind.one(Body()))
    f.cache_put("put", (1,))
    clock.advance(60)
    f.cache_put("again", (1,))
    clock.advance(60)
    assert f.get(1) == "again", "a new life began"
    clock.advance(60)
    assert f.get(1) is None


@both
@pytest.mark.parametrize("ttl", [50, 50.0, datetime.timedelta(seconds=50)])
def test_put_with_a_lifetime_of_its_own(decorate: Any, kind: Kind, clock: Any, ttl: Any) -> None:
    f = decorate(ttl=100)(kind.one(Body()))
    f.cache_put("short", (1,), ttl=ttl)
    f.cache_put("usual", (2,))
    assert 45 < f.cache_ttl(1) <= 50
    clock.advance(60)
    assert f.get(1) is None and f.get(2) == "usual"


@both
def test_put_with_a_lifetime_in_a_cache_without(decorate: Any, kind: Kind, clock: Any) -> None:
    f = decorate(kind.one(Body()))
    kind.call(f, 2)
    f.cache_put("short", (1,), ttl=50)
    assert f.cache_contains(1) and f.cache_ttl(2) == math.inf
    clock.advance(60)
    assert not f.cache_contains(1) and f.cache_contains(2)
    assert f.cache_info().currsize == 1


@both
def test_put_with_a_longer_lifetime_than_the_function_gives(
    decorate: Any, kind: Kind, clock: Any
) -> None:
    f = decorate(ttl=100)(kind.one(Body()))
    f.cache_put("long", (1,), ttl=1000)
    clock.advance(900)
    assert f.get(1) == "long"
    clock.advance(200)
    assert f.get(1) is None


@both
def test_put_with_no_limit(decorate: Any, kind: Kind, clock: Any) -> None:
    # `None` means "no limit" wherever a ttl is given (§2.1); to leave it out is the function's.
    f = decorate(ttl=100)(kind.one(Body()))
    f.cache_put("for ever", (1,), ttl=None)
    assert f.cache_ttl(1) == math.inf
    clock.advance(10**6)
    assert f.get(1) == "for ever"


@both
@pytest.mark.parametrize("ttl", [0, -1, 0.0, datetime.timedelta(0), datetime.timedelta(days=-1)])
def test_put_with_no_life_stores_nothing_and_drops_the_older(
    decorate: Any, kind: Kind, ttl: Any
) -> None:
    body = Body()
    f = decorate(kind.one(body))
    kind.call(f, 1)
    f.cache_put("put", (1,), ttl=ttl)
    assert not f.cache_contains(1) and f.get(1) is None
    assert kind.call(f, 1) == (1, 2)
    f.cache_put("put", (2,), ttl=ttl)
    assert not f.cache_contains(2)


@both
@pytest.mark.parametrize(
    ("ttl", "error"), [("60", TypeError), (math.nan, ValueError), (math.inf, ValueError)]
)
def test_put_with_a_wrong_lifetime(decorate: Any, kind: Kind, ttl: Any, error: Any) -> None:
    f = decorate(kind.one(Body()))
    kind.call(f, 1)
    with pytest.raises(error, match="ttl"):
        f.cache_put("put", (1,), ttl=ttl)
    assert f.get(1) == (1, 1)


def test_put_is_by_keyword_only_beyond_the_call() -> None:
    f = cache(Body())
    with pytest.raises(TypeError):
        f.cache_put("v", (1,), {}, 60)
    with pytest.raises(TypeError):
        f.cache_put("v", (1,), {}, lifetime=60)


def test_put_replaces_a_stored_exception(kind: Kind) -> None:
    body = Body()
    body.fail = KeyError("no")
    f = cache(cache_exceptions=KeyError)(kind.one(body))
    with pytest.raises(KeyError):
        kind.call(f, 1)
    f.cache_put("value", (1,))
    assert kind.call(f, 1) == "value"


# --- cache_refresh ------------------------------------------------------------------------------


@both
def test_refresh_computes_now_stores_and_returns_the_new_value(decorate: Any, kind: Kind) -> None:
    body = Body()
    f = decorate(kind.one(body))
    assert kind.call(f, 1) == (1, 1)
    assert kind.call(f.cache_refresh, 1) == (1, 2)
    assert kind.call(f, 1) == (1, 2)
    assert body.count == 2


@both
def test_refresh_of_an_absent_key(decorate: Any, kind: Kind) -> None:
    f = decorate(kind.one(Body()))
    assert kind.call(f.cache_refresh, 1) == (1, 1)
    assert f.get(1) == (1, 1)


@both
def test_refresh_is_neither_hit_nor_miss(decorate: Any, kind: Kind) -> None:
    f = decorate(kind.one(Body()))
    kind.call(f.cache_refresh, 1)
    kind.call(f.cache_refresh, 1)
    info = f.cache_info()
    assert info == (0, 0, 128, 1)
    assert info.refreshes == 2 and info.loads == 2


@both
def test_a_failed_refresh_raises_and_leaves_what_was_there(decorate: Any, kind: Kind) -> None:
    body = Body()
    f = decorate(kind.one(body))
    kind.call(f, 1)
    body.fail = ValueError("down")
    with pytest.raises(ValueError, match="down"):
        kind.call(f.cache_refresh, 1)
    assert kind.call(f, 1) == (1, 1)
    with pytest.raises(ValueError, match="down"):
        kind.call(f.cache_refresh, 2)
    assert not f.cache_contains(2)
    info = f.cache_info()
    assert info.refreshes == 2 and info.load_failures == 2


@both
def test_refresh_begins_a_new_life(decorate: Any, kind: Kind, clock: Any) -> None:
    f = decorate(ttl=100)(kind.one(Body()))
    kind.call(f, 1)
    clock.advance(60)
    kind.call(f.cache_refresh, 1)
    clock.advance(60)
    assert f.get(1) == (1, 2)


def test_refresh_of_a_coroutine_function_is_a_coroutine() -> None:
    @cache
    async def f(x: int) -> int:
        return x

    coroutine = f.cache_refresh(1)
    assert asyncio.iscoroutine(coroutine)
    assert asyncio.run(coroutine) == 1 and f.get(1) == 1


def test_refresh_that_is_not_stored_drops_the_old_entry(kind: Kind) -> None:
    """A recomputed value that is not stored drops the old entry (§2.7)."""
    body = Body()
    f = cache(cache_if=lambda value: value[-1] != 2)(kind.one(body))
    kind.call(f, 1)
    assert kind.call(f.cache_refresh, 1) == (1, 2), "the caller still gets it"
    assert not f.cache_contains(1)


@both
def test_refresh_with_wrong_arguments_reaches_the_function(decorate: Any, kind: Kind) -> None:
    f = decorate(kind.one(Body()))
    with pytest.raises(TypeError):
        kind.call(f.cache_refresh)
    with pytest.raises(TypeError):
        kind.call(f.cache_refresh, 1, 2, 3)
