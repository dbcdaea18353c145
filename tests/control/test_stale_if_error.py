"""`stale_if_error`: which failures an old value stands in for, and what ends it."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest
import support
from control import Body, Gate, Kind, cache


def test_spare_a_call_computes(kind: Kind, clock: Any) -> None:
    f = cache(ttl=100, stale_if_error=100)(kind.one(Body()))
    kind.call(f, 1)
    clock.advance(150)
    assert kind.call(f, 1) == (1, 2)
    info = f.cache_info()
    assert info[:2] == (0, 2) and info.stale_hits == 0


def test_spare_the_old_value_is_returned_if_the_computation_raises(kind: Kind, clock: Any) -> None:
    body = Body()
    f = cache(ttl=100, stale_if_error=100)(kind.one(body))
    kind.call(f, 1)
    clock.advance(150)
    body.fail = ValueError("down")
    assert kind.call(f, 1) == (1, 1)
    assert kind.call(f, 1) == (1, 1)
    assert body.count == 3, "each call tries again"
    info = f.cache_info()
    assert info[:2] == (0, 3), "misses"
    assert info.stale_hits == 2 and info.load_failures == 2
    body.fail = None
    assert kind.call(f, 1) == (1, 4)
    assert f.cache_ttl(1) == pytest.approx(100, abs=5)


def test_after_the_window_the_error_is_raised(kind: Kind, clock: Any) -> None:
    body = Body()
    f = cache(ttl=100, stale_if_error=100)(kind.one(body))
    kind.call(f, 1)
    clock.advance(201)
    body.fail = ValueError("down")
    with pytest.raises(ValueError, match="down"):
        kind.call(f, 1)


def test_an_absent_key_has_no_old_value(kind: Kind, clock: Any) -> None:
    body = Body()
    body.fail = ValueError("down")
    f = cache(ttl=100, stale_if_error=100)(kind.one(body))
    with pytest.raises(ValueError, match="down"):
        kind.call(f, 1)


def test_what_is_no_exception_is_raised_all_the_same(clock: Any) -> None:
    class Stop(BaseException):
        pass

    body = Body()
    f = cache(ttl=100, stale_if_error=100)(body)
    f(1)
    clock.advance(150)
    body.fail = Stop()
    with pytest.raises(Stop):
        f(1)
    body.fail = None
    assert f(1) == (1, 3)


def test_a_cancelled_computation_is_raised_all_the_same(clock: Any) -> None:
    async def main() -> None:
        cancelled = [False]

        @cache(ttl=100, stale_if_error=100)
        async def f(x: int) -> int:
            if cancelled[0]:
                raise asyncio.CancelledError
            return x

        await f(1)
        clock.advance(150)
        cancelled[0] = True
        with pytest.raises(asyncio.CancelledError):
            await f(1)

    asyncio.run(main())


def test_while_spare_all_who_wait_get_the_old_value(clock: Any) -> None:
    body = Gate()

    @cache(ttl=100, stale_if_error=100)
    def g(x: int) -> Any:
        body(x)
        raise ValueError("down")

    g.set("before", 1)
    clock.advance(150)
    assert support.results(body.crowd(g, 4)) == ["before"] * 4


def test_while_spare_all_tasks_that_wait_get_the_old_value(clock: Any) -> None:
    async def main() -> None:
        @cache(ttl=100, stale_if_error=100)
        async def f(x: int) -> str:
            await asyncio.sleep(0.01)
            raise ValueError("down")

        f.set("before", 1)
        clock.advance(150)
        assert await asyncio.gather(*(f(1) for _ in range(5))) == ["before"] * 5

    asyncio.run(main())


def test_stale_if_error_goes_before_cache_exceptions(kind: Kind, clock: Any) -> None:
    body = Body()
    f = cache(ttl=100, stale_if_error=100, cache_exceptions={KeyError: 1000})(kind.one(body))
    kind.call(f, 1)
    clock.advance(150)
    body.fail = KeyError("no")
    assert kind.call(f, 1) == (1, 1)
    assert kind.call(f, 1) == (1, 1)
    assert body.count == 3, "the exception was not stored"
    clock.advance(100)
    with pytest.raises(KeyError):
        kind.call(f, 1)
    with pytest.raises(KeyError):
        kind.call(f, 1)
    assert body.count == 4, "now it was"


# --- what does not end a spare --------------------------------------------------------------------


class Interrupted(BaseException):
    """No Exception, as KeyboardInterrupt."""


@pytest.mark.parametrize("ends", ["interruption", "cache_if", "tags", "ttl"])
def test_an_old_value_outlasts_what_is_no_failure_of_the_function(
    kind: Kind, clock: Any, ends: str
) -> None:
    body, wrong = Body(), [False]

    def asked(*_: Any) -> Any:
        if wrong[0]:
            raise LookupError(ends)
        return {"cache_if": True, "tags": ("group",), "ttl": 100}[ends]

    options = {} if ends == "interruption" else {ends: asked}
    f = cache(**{"ttl": 100, "stale_if_error": 500, **options})(kind.one(body))
    assert kind.call(f, 1) == (1, 1)
    clock.advance(200)
    wrong[0] = ends != "interruption"
    if not wrong[0]:
        body.fail = Interrupted()
    with pytest.raises((Interrupted, LookupError)):
        kind.call(f, 1)
    wrong[0], body.fail = False, ValueError("down")
    assert kind.call(f, 1) == (1, 1), "the old value, as the function fails now"
    assert -500 < f.cache_ttl(1) < 0
    body.fail = None
    assert kind.call(f, 1) == (1, body.count)


def test_each_call_that_waits_for_an_old_value_counts(kind: Kind, clock: Any) -> None:
    body = Body()
    body.fail = ValueError("down")
    gate = threading.Event()

    def failing(x: Any) -> Any:
        assert gate.wait(support.LIMIT)
        return body(x)

    async def failing_later(x: Any) -> Any:
        while not gate.is_set():
            await asyncio.sleep(0.001)
        return body(x)

    f = cache(ttl=100, stale_if_error=500)(failing_later if kind.is_async else failing)
    f.set("old", 1)
    clock.advance(200)

    async def together() -> list[Any]:
        tasks = [asyncio.ensure_future(f(1)) for _ in range(4)]
        await asyncio.sleep(0.01)
        gate.set()
        return await asyncio.gather(*tasks)

    if kind.loop is not None:
        values = kind.loop.run_until_complete(together())
    else:
        waits = [support.start(f, 1) for _ in range(4)]
        support.eventually(lambda: f.cache_info().misses == 4)
        time.sleep(support.PAUSE)
        gate.set()
        values = support.results(waits)
    assert values == ["old"] * 4
    assert f.cache_info().stale_hits == 4
