"""Lifetimes, exactly (§3): fresh, revalidating, spare, gone; idle times and jitter."""

from __future__ import annotations

import asyncio
import datetime
import math
import random
import threading
import time
from typing import Any

import pytest
import support
from control import Body, Gate, Kind, both, cache, lru_cache

# --- ttl ----------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("ttl", [100, 100.0, datetime.timedelta(minutes=1, seconds=40)])
def test_ttl_is_seconds_or_a_timedelta(decorate: Any, kind: Kind, clock: Any, ttl: Any) -> None:
    body = Body()
    f = decorate(ttl=ttl)(kind.one(body))
    kind.call(f, 1)
    clock.advance(99)
    assert kind.call(f, 1) == (1, 1)
    clock.advance(2)
    assert kind.call(f, 1) == (1, 2)
    assert f.cache_info()[:2] == (1, 2)


def test_the_clock_takes_a_timedelta(clock: Any) -> None:
    f = cache(ttl=100)(Body())
    f(1)
    clock.advance(datetime.timedelta(seconds=99))
    assert f.cache_contains(1)
    clock.advance(datetime.timedelta(seconds=2))
    assert not f.cache_contains(1)


@both
def test_an_entry_lives_from_when_its_result_was_there(decorate: Any, clock: Any) -> None:
    @decorate(ttl=100)
    def f(x: int) -> int:
        clock.advance(90)
        return x

    f(1)
    assert f.cache_ttl(1) == pytest.approx(100, abs=5)
    clock.advance(95)
    assert f.cache_contains(1)


@both
def test_a_hit_does_not_prolong_ttl(decorate: Any, kind: Kind, clock: Any) -> None:
    f = decorate(ttl=100)(kind.one(Body()))
    kind.call(f, 1)
    for _ in range(4):
        clock.advance(24)
        assert kind.call(f, 1) == (1, 1)
    clock.advance(10)
    assert kind.call(f, 1) == (1, 2)


def test_ttl_may_be_worked_out_from_the_value(kind: Kind, clock: Any) -> None:
    lifetimes = {1: 100, 2: 200.5, 3: datetime.timedelta(seconds=300), 4: None}
    asked = []

    def ttl(value: Any) -> Any:
        asked.append(value)
        return lifetimes[value]

    f = cache(ttl=ttl)(kind.one(lambda x: x))
    for x in lifetimes:
        kind.call(f, x)
        kind.call(f, x)
    assert asked == [1, 2, 3, 4], "once for each value, not at hits"
    assert [f.cache_ttl(x) for x in (1, 2, 3)] == pytest.approx([100, 200.5, 300], abs=5)
    assert f.cache_ttl(4) == math.inf
    alive = []
    for _ in range(4):
        clock.advance(90)
        alive.append([x for x in lifetimes if f.cache_contains(x)])
    assert alive == [[1, 2, 3, 4], [2, 3, 4], [3, 4], [4]]
    clock.advance(10**7)
    assert f.cache_contains(4)


@pytest.mark.parametrize("nothing", [0, -1, 0.0, -math.inf, datetime.timedelta(seconds=-1)])
def test_a_value_with_no_life_is_not_stored(kind: Kind, nothing: Any) -> None:
    body = Body()
    f = cache(ttl=lambda value: nothing)(kind.one(body))
    assert kind.call(f, 1) == (1, 1)
    assert kind.call(f, 1) == (1, 2)
    assert f.cache_info() == (0, 2, 128, 0)


@pytest.mark.parametrize("wrong", [math.inf, math.nan])
def test_a_life_without_limit_is_none_and_not_inf(kind: Kind, wrong: float) -> None:
    f = cache(ttl=lambda value: wrong)(kind.one(lambda x: x))
    with pytest.raises(ValueError, match=f"ttl must be .*None for no limit, got {wrong}"):
        kind.call(f, 1)
    with pytest.raises(ValueError, match=f"ttl must be .*None for no limit, got {wrong}"):
        f.cache_put(1, (1,), ttl=wrong)
    assert f.cache_info().currsize == 0


def test_a_value_with_no_life_drops_the_older_entry(kind: Kind) -> None:
    f = cache(ttl=lambda value: 100 if value == "good" else 0)(kind.one(lambda x: "computed"))
    f.set("good", 1)
    f.set("bad", 1)
    assert not f.cache_contains(1)
    f.set("good", 2)
    assert kind.call(f.cache_refresh, 2) == "computed"
    assert not f.cache_contains(2)


def test_ttl_of_the_value_is_asked_by_set_and_put(kind: Kind) -> None:
    f = cache(ttl=lambda value: value)(kind.one(lambda x: x))
    f.set(100, 1)
    f.cache_put(200, (2,))
    f.cache_put(200, (3,), ttl=50)
    assert [f.cache_ttl(x) for x in (1, 2, 3)] == pytest.approx([100, 200, 50], abs=5)


@pytest.mark.parametrize("wrong", ["60", b"", [1], object()])
def test_a_lifetime_of_a_wrong_type_is_a_type_error_that_names_ttl(kind: Kind, wrong: Any) -> None:
    f = cache(ttl=lambda value: wrong)(kind.one(Body()))
    with pytest.raises(TypeError, match="ttl"):
        kind.call(f, 1)
    assert f.cache_info().currsize == 0


def test_what_ttl_raises_reaches_the_caller(kind: Kind) -> None:
    def ttl(value: Any) -> float:
        raise LookupError("no lifetime")

    f = cache(ttl=ttl)(kind.one(Body()))
    with pytest.raises(LookupError, match="no lifetime"):
        kind.call(f, 1)
    with pytest.raises(LookupError, match="no lifetime"):
        f.set("value", 1)
    assert not f.cache_contains(1) and f.cache_info().currsize == 0


def test_ttl_may_call_the_cache(kind: Kind) -> None:
    def ttl(value: Any) -> float:
        if value != "inner":
            f.set("inner", 2)
            f.cache_contains(1)
            f.cache_info()
        return 100

    f = cache(ttl=ttl)(kind.one(Body()))
    assert kind.call(f, 1) == (1, 1)
    assert f.get(1) == (1, 1) and f.get(2) == "inner"


def test_lru_cache_takes_no_callable_ttl() -> None:
    with pytest.raises(TypeError, match="ttl"):
        lru_cache(ttl=lambda value: 60)(Body())


@both
def test_the_gone_are_not_counted_and_released(decorate: Any, kind: Kind, clock: Any) -> None:
    f = decorate(ttl=100)(kind.one(Body()))
    for x in range(10):
        kind.call(f, x)
    clock.advance(50)
    for x in range(10, 15):
        kind.call(f, x)
    assert f.cache_info().currsize == 15
    clock.advance(60)
    assert f.cache_info().currsize == 5
    assert f.cache_info().expirations == 10
    clock.advance(60)
    assert f.cache_info().currsize == 0


def test_those_that_are_gone_leave_first(kind: Kind, clock: Any) -> None:
    f = cache(max_size=3)(kind.one(Body()))
    f.cache_put("long", (1,))
    f.cache_put("long", (2,))
    f.cache_put("short", (3,), ttl=10)
    f.get(3)
    clock.advance(20)
    kind.call(f, 4)
    assert [f.cache_contains(x) for x in (1, 2, 3, 4)] == [True, True, False, True]
    assert f.cache_info().evictions == 0


def test_capacity_knows_stale_entries_like_any_other(kind: Kind, clock: Any) -> None:
    f = cache(max_size=2, ttl=100, stale_while_revalidate=1000)(kind.one(Body()))
    kind.call(f, 1)
    clock.advance(150)
    kind.call(f, 2)
    assert f.cache_info().currsize == 2, "a stale entry is still there"
    kind.call(f, 3)
    assert [f.cache_contains(x) for x in (1, 2, 3)] == [False, True, True]
    assert f.cache_info().evictions == 1


def test_entries_of_very_different_lifetimes(clock: Any) -> None:
    rng = random.Random(1)
    f = cache(max_size=None)(lambda x: x)
    ends = {}
    for x in range(5000):
        ttl = 2 ** rng.uniform(0, 30)
        ends[x] = ttl
        f.cache_put(x, (x,), ttl=ttl)
    now = 0.0
    for exponent in (3, 9, 12, 18, 24, 29, 31):
        clock.advance(2**exponent - now)
        now = 2**exponent
        # Those near the end are in doubt, as long as the test itself may take.
        sure_gone = [x for x, end in ends.items() if end < now - 0.001]
        sure_there = [x for x, end in ends.items() if end > now + 120]
        sample = rng.sample(sure_there, min(50, len(sure_there)))
        assert all(f.cache_contains(x) for x in sample)
        sample = rng.sample(sure_gone, min(50, len(sure_gone)))
        assert not any(f.cache_contains(x) for x in sample)
        size = f.cache_info().currsize
        assert len(sure_there) <= size <= len(ends) - len(sure_gone)
    assert f.cache_info().currsize == 0


# --- tti ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("tti", [100, datetime.timedelta(seconds=100)])
def test_what_is_not_used_for_tti_is_gone(kind: Kind, clock: Any, tti: Any) -> None:
    body = Body()
    f = cache(tti=tti)(kind.one(body))
    kind.call(f, 1)
    clock.advance(99)
    assert f.cache_contains(1)
    clock.advance(2)
    assert not f.cache_contains(1) and f.get(1) is None
    assert kind.call(f, 1) == (1, 2)
    assert f.cache_info().currsize == 1


@pytest.mark.parametrize("use", ["call", "get", "set", "put"])
def test_a_use_begins_the_idle_time_anew(kind: Kind, clock: Any, use: str) -> None:
    f = cache(tti=100)(kind.one(Body()))
    kind.call(f, 1)
    for _ in range(5):
        clock.advance(80)
        if use == "call":
            assert kind.call(f, 1) == (1, 1)
        elif use == "get":
            assert f.get(1) == (1, 1)
        elif use == "set":
            f.set((1, 1), 1)
        else:
            f.cache_put((1, 1), (1,))
    clock.advance(102)
    assert f.get(1) is None


def test_contains_and_ttl_are_no_use_for_tti(kind: Kind, clock: Any) -> None:
    f = cache(tti=100)(kind.one(Body()))
    kind.call(f, 1)
    clock.advance(80)
    assert f.cache_contains(1) and f.cache_ttl(1) == pytest.approx(20, abs=5)
    f.cache_info()
    clock.advance(30)
    assert not f.cache_contains(1)


def test_with_ttl_and_tti_whichever_comes_first(kind: Kind, clock: Any) -> None:
    f = cache(ttl=300, tti=100)(kind.one(Body()))
    kind.call(f, 1)
    kind.call(f, 2)
    for _ in range(3):
        clock.advance(90)
        assert kind.call(f, 1) == (1, 1)
    assert not f.cache_contains(2), "idle"
    clock.advance(40)
    assert not f.cache_contains(1), "used, but too old"


def test_ttl_with_only_tti_says_when_it_will_have_been_idle(kind: Kind, clock: Any) -> None:
    f = cache(tti=100)(kind.one(Body()))
    kind.call(f, 1)
    assert f.cache_ttl(1) == pytest.approx(100, abs=5)
    clock.advance(60)
    assert f.cache_ttl(1) == pytest.approx(40, abs=5)
    kind.call(f, 1)
    assert f.cache_ttl(1) == pytest.approx(100, abs=5)


def test_ttl_with_both_says_the_earlier(kind: Kind, clock: Any) -> None:
    f = cache(ttl=300, tti=100)(kind.one(Body()))
    kind.call(f, 1)
    assert f.cache_ttl(1) == pytest.approx(100, abs=5)
    for _ in range(3):
        clock.advance(80)
        kind.call(f, 1)
    assert f.cache_ttl(1) == pytest.approx(60, abs=5)


def test_a_stale_entry_too_is_gone_when_idle(kind: Kind, clock: Any) -> None:
    f = cache(ttl=100, tti=150, stale_if_error=10_000)(kind.one(Body()))
    kind.call(f, 1)
    clock.advance(140)
    assert f.cache_ttl(1) is not None
    clock.advance(20)
    assert f.cache_ttl(1) is None and f.cache_info().currsize == 0


def test_a_value_returned_by_stale_if_error_is_a_use_for_tti(kind: Kind, clock: Any) -> None:
    body = Body()
    f = cache(ttl=100, tti=150, stale_if_error=10_000)(kind.one(body))
    kind.call(f, 1)
    body.fail = ValueError("down")
    for _ in range(4):
        clock.advance(120)
        assert kind.call(f, 1) == (1, 1)
    clock.advance(160)
    with pytest.raises(ValueError):
        kind.call(f, 1)


def test_tti_is_exact_to_a_thousandth(kind: Kind, clock: Any) -> None:
    f = cache(tti=100_000)(kind.one(Body()))
    kind.call(f, 1)
    for _ in range(10):
        clock.advance(99_800)
        assert kind.call(f, 1) == (1, 1)
    clock.advance(100_101)
    assert f.get(1) is None


def test_the_idle_leave_first(kind: Kind, clock: Any) -> None:
    f = cache(tti=100, max_size=3, strategy="fifo")(kind.one(Body()))
    kind.call(f, 1)
    kind.call(f, 2)
    clock.advance(60)
    kind.call(f, 1)
    kind.call(f, 3)
    clock.advance(60)
    kind.call(f, 4)
    assert [f.cache_contains(x) for x in (1, 2, 3, 4)] == [True, False, True, True]


# --- jitter -------------------------------------------------------------------------------------


def test_jitter_shortens_each_lifetime_by_a_random_part(kind: Kind, clock: Any) -> None:
    f = cache(ttl=10_000, jitter=0.5, max_size=None)(kind.one(Body()))
    for x in range(300):
        f.set(x, x)
    lifetimes = [f.cache_ttl(x) for x in range(300)]
    assert all(4_990 < ttl <= 10_000 for ttl in lifetimes)
    assert len(set(lifetimes)) > 250, "each its own"
    # Uniform: the probability of fewer than 30 of 300 in a quarter of the range is below 1e-9.
    for quarter in range(4):
        low = 5_000 + 1_250 * quarter
        assert sum(low - 5 <= ttl <= low + 1_255 for ttl in lifetimes) > 30


def test_jitter_is_decided_when_the_entry_is_stored(kind: Kind, clock: Any) -> None:
    f = cache(ttl=10_000, jitter=0.9)(kind.one(Body()))
    kind.call(f, 1)
    first = f.cache_ttl(1)
    assert f.cache_ttl(1) == pytest.approx(first, abs=5)
    clock.advance(first / 2)
    assert f.cache_ttl(1) == pytest.approx(first / 2, abs=5)
    clock.advance(first / 2 + 6)
    assert f.cache_ttl(1) is None


def test_jitter_belongs_to_the_lifetime_of_the_value_and_of_put(clock: Any) -> None:
    f = cache(ttl=lambda value: value, jitter=0.5, max_size=None)(lambda x: 10_000)
    for x in range(100):
        f(x)
        f.cache_put(0.5, (1000 + x,), ttl=20_000)
    assert len({f.cache_ttl(x) for x in range(100)}) > 80
    assert all(4_990 < f.cache_ttl(x) <= 10_000 for x in range(100))
    assert all(9_990 < f.cache_ttl(1000 + x) <= 20_000 for x in range(100))


def test_stale_windows_begin_when_the_jittered_lifetime_ends(kind: Kind, clock: Any) -> None:
    f = cache(ttl=10_000, jitter=0.9, stale_while_revalidate=1000)(kind.one(Body()))
    kind.call(f, 1)
    clock.advance(f.cache_ttl(1) + 500)
    assert f.cache_contains(1) and f.cache_ttl(1) == pytest.approx(-500, abs=10)
    clock.advance(600)
    assert not f.cache_contains(1)


def test_no_jitter_is_the_default(clock: Any) -> None:
    f = cache(ttl=10_000)(Body())
    for x in range(20):
        f(x)
    assert [f.cache_ttl(x) for x in range(20)] == pytest.approx([10_000] * 20, abs=5)


# --- stale_while_revalidate ---------------------------------------------------------------------


def test_while_revalidating_the_old_value_comes_at_once_and_a_refresh_runs(
    kind: Kind, clock: Any
) -> None:
    body = Body()
    f = cache(ttl=100, stale_while_revalidate=100)(kind.one(body))
    assert kind.call(f, 1) == (1, 1)
    clock.advance(150)
    assert kind.call(f, 1) == (1, 1), "the old value"
    kind.eventually(lambda: f.get(1) == (1, 2))
    assert kind.call(f, 1) == (1, 2)
    assert f.cache_ttl(1) == pytest.approx(100, abs=5)
    assert body.count == 2


def test_a_revalidating_call_is_a_hit_and_a_stale_hit(kind: Kind, clock: Any) -> None:
    f = cache(ttl=100, stale_while_revalidate=100)(kind.one(Body()))
    kind.call(f, 1)
    kind.call(f, 1)
    assert f.cache_info().stale_hits == 0
    clock.advance(150)
    kind.call(f, 1)
    info = f.cache_info()
    assert info[:2] == (2, 1) and info.stale_hits == 1
    kind.eventually(lambda: f.cache_info().refreshes == 1 and f.get(1) == (1, 2))
    assert f.cache_info()[:2] == (2, 1), "the refresh is neither"


def test_get_and_contains_answer_while_revalidating_and_start_nothing(
    kind: Kind, clock: Any
) -> None:
    body = Body()
    f = cache(ttl=100, stale_while_revalidate=100)(kind.one(body))
    kind.call(f, 1)
    clock.advance(150)
    assert f.get(1) == (1, 1) and f.cache_contains(1)
    kind.pause()
    info = f.cache_info()
    assert body.count == 1 and info.refreshes == 0
    assert info[:2] == (0, 1) and info.stale_hits == 0


def test_after_the_window_it_is_absent(kind: Kind, clock: Any) -> None:
    f = cache(ttl=100, stale_while_revalidate=100)(kind.one(Body()))
    kind.call(f, 1)
    clock.advance(201)
    assert f.cache_info().currsize == 0
    assert kind.call(f, 1) == (1, 2)
    assert f.cache_info()[:2] == (0, 2) and f.cache_info().stale_hits == 0


def test_a_fresh_call_starts_no_refresh(kind: Kind, clock: Any) -> None:
    body = Body()
    f = cache(ttl=100, stale_while_revalidate=100)(kind.one(body))
    kind.call(f, 1)
    clock.advance(90)
    kind.call(f, 1)
    kind.pause()
    assert body.count == 1


def test_a_refreshed_value_that_is_not_stored_drops_the_old_entry(kind: Kind, clock: Any) -> None:
    body = Body()
    f = cache(ttl=100, stale_while_revalidate=1000, cache_if=lambda value: value[1] != 2)(
        kind.one(body)
    )
    kind.call(f, 1)
    clock.advance(150)
    assert kind.call(f, 1) == (1, 1)
    kind.eventually(lambda: not f.cache_contains(1))
    assert kind.call(f, 1) == (1, 3)


def test_an_entry_without_limit_is_never_stale(kind: Kind, clock: Any) -> None:
    body = Body()
    f = cache(ttl=lambda value: None, stale_while_revalidate=100, stale_if_error=100)(
        kind.one(body)
    )
    kind.call(f, 1)
    clock.advance(10**7)
    assert kind.call(f, 1) == (1, 1)
    kind.pause()
    assert body.count == 1 and f.cache_info().stale_hits == 0


def test_windows_hold_for_set_and_put(kind: Kind, clock: Any) -> None:
    f = cache(ttl=100, stale_while_revalidate=100)(kind.one(Body()))
    f.set("set", 1)
    f.cache_put("put", (2,), ttl=50)
    clock.advance(120)
    assert f.get(1) == "set" and f.get(2) == "put"
    clock.advance(40)
    assert f.get(1) == "set" and f.get(2) is None


# --- stale_if_error -----------------------------------------------------------------------------


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
    waiting = [support.start(g, 1) for _ in range(4)]
    body.await_begun(1)
    time.sleep(support.PAUSE)
    body.open_all = True
    body.open(1)
    assert support.results(waiting) == ["before"] * 4


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


def test_both_windows_begin_when_freshness_ends(kind: Kind, clock: Any) -> None:
    body = Body()
    f = cache(ttl=100, stale_while_revalidate=100, stale_if_error=300)(kind.one(body))
    f.set("old", 1)
    body.fail = ValueError("down")
    clock.advance(250)
    assert not f.cache_contains(1), "revalidating ended at 200"
    assert kind.call(f, 1) == "old", "spare until 400"
    clock.advance(160)
    with pytest.raises(ValueError):
        kind.call(f, 1)


def test_revalidating_may_last_longer_than_spare(kind: Kind, clock: Any) -> None:
    body = Body()
    f = cache(ttl=100, stale_while_revalidate=300, stale_if_error=50)(kind.one(body))
    f.set("old", 1)
    body.fail = ValueError("down")
    clock.advance(350)
    assert kind.call(f, 1) == "old"
    assert f.cache_info()[:2] == (1, 0), "a hit"
    clock.advance(60)
    with pytest.raises(ValueError):
        kind.call(f, 1)
    kind.pause()


def test_it_is_there_until_the_last_window_ends(kind: Kind, clock: Any) -> None:
    f = cache(ttl=100, stale_while_revalidate=50, stale_if_error=200)(kind.one(Body()))
    kind.call(f, 1)
    clock.advance(290)
    assert f.cache_info().currsize == 1 and f.cache_ttl(1) == pytest.approx(-190, abs=5)
    clock.advance(20)
    assert f.cache_info().currsize == 0 and f.cache_ttl(1) is None


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


@pytest.mark.parametrize("drop", ["cache_if", "ttl"])
def test_a_recomputed_value_that_is_not_stored_drops_the_old_entry(
    kind: Kind, clock: Any, drop: str
) -> None:
    body = Body()
    given: dict[str, Any] = {"ttl": 100, "stale_if_error": 1000}
    if drop == "cache_if":
        given["cache_if"] = lambda value: value[1] == 1
    else:
        given["ttl"] = lambda value: 100 if value[1] == 1 else 0
    f = cache(**given)(kind.one(body))
    kind.call(f, 1)
    clock.advance(150)
    assert kind.call(f, 1) == (1, 2)
    body.fail = ValueError("down")
    with pytest.raises(ValueError):
        kind.call(f, 1)


def test_set_and_invalidate_end_what_is_spare(kind: Kind, clock: Any) -> None:
    body = Body()
    f = cache(ttl=100, stale_if_error=1000)(kind.one(body))
    kind.call(f, 1)
    clock.advance(150)
    body.fail = ValueError("down")
    f.cache_invalidate(1)
    with pytest.raises(ValueError):
        kind.call(f, 1)
    f.set("set", 1)
    assert kind.call(f, 1) == "set"


def test_an_invalidation_during_the_failing_computation_leaves_nothing_to_return(
    clock: Any,
) -> None:
    """Who calls after it must not get the old value; who called before may get either."""
    body = Gate()

    @cache(ttl=100, stale_if_error=1000)
    def f(x: int) -> Any:
        body(x)
        raise ValueError("down")

    f.set("old", 1)
    clock.advance(150)
    before = support.start(f, 1)
    body.await_begun(1)
    f.cache_invalidate(1)
    body.open(2)
    with pytest.raises(ValueError):
        support.start(f, 1).result(support.LIMIT)
    body.open(1)
    before.exception(support.LIMIT)
    assert not f.cache_contains(1) and f.cache_ttl(1) is None


def test_a_mixed_cache_of_all_windows_counts_what_is_there(clock: Any) -> None:
    f = cache(max_size=None, ttl=100, tti=900, stale_while_revalidate=100, stale_if_error=300)(
        lambda x: x
    )
    for x in range(100):
        f(x)
        clock.advance(10)
    # Those of the last 400 s are there: as stored at 10·x, now 1000.
    sizes = f.cache_info().currsize
    assert sizes == sum(1 for x in range(100) if f.cache_ttl(x) is not None)
    assert 39 <= sizes <= 41
    assert 19 <= sum(f.cache_contains(x) for x in range(100)) <= 21


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
