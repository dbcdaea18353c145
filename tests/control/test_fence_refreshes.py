"""The fence for refreshes: none that began before an invalidation is stored."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
import support
from control import Gate, both, cache, the_testing
from fencing import OPERATIONS, each_operation


@pytest.mark.parametrize("operation", [name for name in OPERATIONS if "tags" not in name])
@both
def test_an_explicit_refresh_is_fenced(decorate: Any, operation: str) -> None:
    body = Gate()
    f = decorate(lambda x: body(x))
    act, found = OPERATIONS[operation]
    f.set("before", 1)
    refresh = support.start(f.cache_refresh, 1)
    body.await_begun(1)
    act(f)
    body.open(1)
    assert refresh.result(support.LIMIT) == "old", "its caller gets what it computed"
    assert f.get(1) == found


def test_callers_meanwhile_get_the_old_value() -> None:
    body = Gate()
    f = cache(lambda x: body(x))
    f.set("before", 1)
    refresh = support.start(f.cache_refresh, 1)
    body.await_begun(1)
    assert f(1) == "before"
    body.source = "unused"
    body.open(1)
    assert refresh.result(support.LIMIT) == "old" and f(1) == "old"


def test_concurrent_refreshes_of_one_key_are_one() -> None:
    body = Gate()
    f = cache(lambda x: body(x))
    first = support.start(f.cache_refresh, 1)
    body.await_begun(1)
    others = [support.start(f.cache_refresh, 1) for _ in range(3)]
    time.sleep(support.PAUSE)
    assert body.began == 1
    body.open_all = True
    body.open(1)
    assert support.results([first, *others]) == ["old"] * 4


@pytest.mark.parametrize("operation", ["invalidate", "clear", "set", "put", "put_without_life"])
def test_a_refresh_after_the_fence_is_a_new_one(operation: str) -> None:
    body = Gate()
    f = cache(lambda x: body(x))
    first = support.start(f.cache_refresh, 1)
    body.await_begun(1)
    OPERATIONS[operation][0](f)
    body.source = "new"
    body.open(2)
    assert support.start(f.cache_refresh, 1).result(support.LIMIT) == "new"
    assert f(1) == "new"
    body.open(1)
    assert first.result(support.LIMIT) == "old"
    assert f(1) == "new"


@each_operation
def test_a_background_refresh_is_fenced(operation: str) -> None:
    body = Gate()
    act, found = OPERATIONS[operation]
    with the_testing().clock() as clock:
        f = cache(ttl=100, stale_while_revalidate=1000, tags=("all",))(lambda x: body(x))
        f.set("before", 1)
        clock.advance(200)
        assert f(1) == "before"
        body.await_begun(1)
        body.source = "new"
        act(f)
        loads = f.cache_info().loads
        body.open(1)
        support.eventually(lambda: f.cache_info().loads > loads)
        time.sleep(0.02)
        assert f.get(1) == found
        body.open_all = True
        assert f(1) == (found or "new")


def test_a_refresh_of_a_coroutine_function_is_fenced() -> None:
    async def main() -> None:
        gates = [asyncio.Event(), asyncio.Event()]
        began: list[str] = []
        source = ["old"]

        @cache
        async def f(x: int) -> str:
            value, number = source[0], len(began)
            began.append(value)
            await gates[number].wait()
            return value

        f.set("before", 1)
        first = asyncio.ensure_future(f.cache_refresh(1))
        same = asyncio.ensure_future(f.cache_refresh(1))
        await asyncio.sleep(0.01)
        assert began == ["old"]
        assert await f(1) == "before"
        source[0] = "new"
        await f.acache_invalidate(1)
        gates[1].set()
        assert await f.cache_refresh(1) == "new"
        gates[0].set()
        assert await first == await same == "old"
        assert await f(1) == "new"

    asyncio.run(main())
