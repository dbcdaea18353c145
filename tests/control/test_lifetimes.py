"""Lifetimes, exactly (§3): when an entry is gone; idle times and jitter."""

from __future__ import annotations

import datetime
import math
import random
from typing import Any

import pytest
from control import Body, Kind, both, cache, lru_cache

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
