"""Lifetimes: what expires, when, what it counts as, and how soon its memory is given back.

Tests that depend on an entry being still alive measure how long they took; if the machine was too
busy for a verdict they start again with longer lifetimes.
"""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from warp_cache import Strategy, cache, lru_cache

Decorate = Callable[..., Any]
both = pytest.mark.parametrize("decorate", [cache, lru_cache])
each_strategy = pytest.mark.parametrize("strategy", list(Strategy), ids=lambda s: s.name)

SHORT = 0.02
# Well beyond SHORT and the tick of any clock.
AFTER_SHORT = 0.1


class Value:
    """Something that can be weakly referenced."""


class TooSlow(Exception):
    """The machine took so long that an entry may or may not have expired."""


class Timeline:
    """Moments in units of the lifetime, and the proof that they were kept."""

    def __init__(self, ttl: float) -> None:
        self.ttl = ttl
        self.begin = time.monotonic()

    def until(self, moment: float) -> None:
        """Sleep until `moment` lifetimes after the beginning."""
        time.sleep(max(0.0, self.begin + moment * self.ttl - time.monotonic()))

    def still_before(self, moment: float) -> None:
        """To be called after the last look at an entry that was to be alive."""
        if time.monotonic() > self.begin + moment * self.ttl:
            raise TooSlow


def with_lifetimes(test: Callable[[Timeline], None]) -> None:
    for ttl in (0.3, 1.0, 4.0):
        try:
            test(Timeline(ttl))
        except TooSlow:
            continue
        return
    pytest.skip("this machine is too busy to tell alive from expired")


def numbered() -> Callable[..., Any]:
    """A function whose results count its computations."""
    count = 0

    def function(x: Any = None) -> int:
        nonlocal count
        count += 1
        return count

    return function


@both
@pytest.mark.parametrize("max_size", [2, None])
def test_expires(decorate: Decorate, max_size: int | None) -> None:
    cached = decorate(max_size=max_size, ttl=SHORT)(numbered())
    assert cached("a") == 1
    assert cached.cache_info() == (0, 1, max_size, 1)
    time.sleep(AFTER_SHORT)
    assert cached.cache_info() == (0, 1, max_size, 0)
    assert cached.get("a") is None
    assert cached("a") == 2
    assert cached.cache_info() == (0, 2, max_size, 1)


@both
def test_alive_before_its_time(decorate: Decorate) -> None:
    def test(timeline: Timeline) -> None:
        cached = decorate(ttl=timeline.ttl)(numbered())
        results = [cached("a")]
        timeline.until(0.7)
        results += [cached("a"), cached.get("a")]
        info = cached.cache_info()
        timeline.still_before(0.9)
        assert results == [1, 1, 1] and info == (1, 1, 128, 1)

    with_lifetimes(test)


@both
@pytest.mark.parametrize("ttl", [60, 3600.0, 1e6, 1e18, 1e300, 2**40])
def test_long_lifetimes(decorate: Decorate, ttl: float) -> None:
    cached = decorate(ttl=ttl)(numbered())
    assert [cached("a") for _ in range(1000)] == [1] * 1000
    assert cached.cache_info() == (999, 1, 128, 1)


@both
@pytest.mark.parametrize("ttl", [5e-324, 1e-12, 1e-9, 1e-6])
def test_tiny_lifetimes(decorate: Decorate, ttl: float) -> None:
    cached = decorate(ttl=ttl)(numbered())
    assert cached("a") == 1
    time.sleep(AFTER_SHORT)
    assert cached.get("a") is None
    assert cached("a") > 1
    hits, misses, _, _ = cached.cache_info()
    assert hits + misses == 2


@both
def test_a_lifetime_of_milliseconds_is_kept(decorate: Decorate) -> None:
    """Also one that is shorter than the tick of a coarse clock: hardly anything may be late."""
    cached = decorate(ttl=0.002)(numbered())
    late = 0
    for _ in range(20):
        before = cached("a")
        time.sleep(0.008)
        late += cached("a") == before
    assert late <= 2


@both
def test_a_hit_does_not_prolong(decorate: Decorate) -> None:
    def test(timeline: Timeline) -> None:
        cached = decorate(ttl=timeline.ttl)(numbered())
        early = [cached("a")]
        for moment in (0.2, 0.4, 0.6, 0.8):
            timeline.until(moment)
            early += [cached("a"), cached.get("a")]
        timeline.still_before(0.95)
        timeline.until(1.2)
        assert early == [1] * 9
        assert cached.get("a") is None and cached("a") == 2

    with_lifetimes(test)


@both
def test_set_begins_a_new_life(decorate: Decorate) -> None:
    def test(timeline: Timeline) -> None:
        cached = decorate(ttl=timeline.ttl)(numbered())
        cached("a")
        timeline.until(0.6)
        cached.set("new", "a")
        timeline.until(1.3)  # the first life has ended, the second is 0.7 old
        result = cached("a")
        timeline.still_before(1.5)
        assert result == "new"
        timeline.until(2.0)
        assert cached("a") == 2

    with_lifetimes(test)


@both
def test_a_recomputed_entry_has_a_life_of_its_own(decorate: Decorate) -> None:
    def test(timeline: Timeline) -> None:
        cached = decorate(ttl=timeline.ttl)(numbered())
        results = [cached("a")]
        timeline.until(1.3)
        results.append(cached("a"))
        timeline.until(1.9)
        results.append(cached("a"))
        timeline.still_before(2.2)
        assert results == [1, 2, 2]

    with_lifetimes(test)


@both
def test_age_counts_from_the_result(decorate: Decorate) -> None:
    """A computation that takes longer than the lifetime leaves an entry that lives in full."""

    def test(timeline: Timeline) -> None:
        calls = []

        @decorate(ttl=timeline.ttl)
        def cached(x: str) -> str:
            calls.append(x)
            timeline.until(1.5)
            return x

        cached("a")
        done = time.monotonic()
        timeline.until(2.1)
        cached("a")
        if time.monotonic() > done + 0.9 * timeline.ttl:
            raise TooSlow
        assert calls == ["a"]

    with_lifetimes(test)


@each_strategy
def test_expired_entries_give_way_first(strategy: Strategy) -> None:
    """Whatever the order of the strategy says: here it would choose the live one each time."""

    def test(timeline: Timeline) -> None:
        # When `new` comes, `old` has expired and `live` has not.
        live_last = strategy is Strategy.MRU
        cached = cache(strategy, max_size=2, ttl=timeline.ttl)(numbered())
        cached("old")
        timeline.until(0.6)
        cached("live")
        if not live_last:  # FIFO's victim is the oldest anyway: it cannot be deceived
            for _ in range(3):
                cached("old")
        timeline.still_before(0.9)
        timeline.until(1.2)
        cached("new")
        alive = cached.get("live") is not None, cached.get("new") is not None
        size = cached.cache_info().currsize
        timeline.still_before(1.5)
        assert alive == (True, True) and size == 2

    with_lifetimes(test)


@each_strategy
def test_many_expired_entries_make_room_without_a_live_victim(strategy: Strategy) -> None:
    def test(timeline: Timeline) -> None:
        cached = cache(strategy, max_size=10, ttl=timeline.ttl)(numbered())
        for x in range(7):
            cached(x)
        timeline.until(0.6)
        for x in range(100, 103):
            cached(x)
        timeline.until(1.2)
        for x in range(200, 207):
            cached(x)
        sizes = cached.cache_info().currsize
        alive = [x for x in (*range(7), *range(100, 103), *range(200, 207)) if cached.get(x)]
        timeline.still_before(1.5)
        assert alive == [*range(100, 103), *range(200, 207)] and sizes == 10

    with_lifetimes(test)


@both
@pytest.mark.parametrize("max_size", [3, None])
def test_an_expired_value_is_released_by_the_next_write(
    decorate: Decorate, max_size: int | None
) -> None:
    cached = decorate(max_size=max_size, ttl=SHORT)(lambda x: Value())
    reference = weakref.ref(cached("a"))
    assert reference() is not None
    time.sleep(AFTER_SHORT)
    cached("b")
    assert reference() is None


@both
@pytest.mark.parametrize("max_size", [1000, None])
def test_expired_values_are_released_as_others_come(
    decorate: Decorate, max_size: int | None
) -> None:
    """Although nobody asks for them again and nothing is full: no slow leak."""
    cached = decorate(max_size=max_size, ttl=SHORT)(lambda x: Value())
    references = [weakref.ref(cached(x)) for x in range(200)]
    time.sleep(AFTER_SHORT)
    for x in range(1000, 1200):
        cached(x)
    assert sum(reference() is not None for reference in references) == 0


@both
def test_an_expired_value_is_released_when_its_key_is_asked_again(decorate: Decorate) -> None:
    cached = decorate(ttl=SHORT)(lambda x: Value())
    reference = weakref.ref(cached("a"))
    time.sleep(AFTER_SHORT)
    assert cached("a") is not reference()
    assert reference() is None


@both
def test_a_failed_computation_does_not_bring_an_expired_value_back(decorate: Decorate) -> None:
    fail = False

    @decorate(ttl=SHORT)
    def cached(x: str) -> str:
        if fail:
            raise LookupError(x)
        return x

    cached("a")
    time.sleep(AFTER_SHORT)
    fail = True
    for _ in range(2):
        with pytest.raises(LookupError):
            cached("a")
        assert cached.get("a") is None
    assert cached.cache_info() == (0, 3, 128, 0)


@both
def test_clear(decorate: Decorate) -> None:
    cached = decorate(ttl=SHORT)(numbered())
    cached("a")
    time.sleep(AFTER_SHORT)
    cached("b")
    cached.cache_clear()
    assert cached.cache_info() == (0, 0, 128, 0)
    assert cached("a") == 3


@both
def test_size_zero(decorate: Decorate) -> None:
    cached = decorate(max_size=0, ttl=60)(numbered())
    assert [cached("a"), cached("a")] == [1, 2]
    assert cached.cache_info() == (0, 2, 0, 0)


@both
def test_expired_keys_of_every_kind(decorate: Decorate) -> None:
    cached = decorate(ttl=SHORT, typed=True)(lambda *args, **kwargs: Value())
    calls: list[tuple[Any, Any]] = [
        ((), {}),
        ((1,), {}),
        ((1.0,), {}),
        (("a", (1, 2)), {}),
        ((), {"x": 1}),
    ]
    first = [cached(*args, **kwargs) for args, kwargs in calls]
    time.sleep(AFTER_SHORT)
    second = [cached(*args, **kwargs) for args, kwargs in calls]
    assert not set(first) & set(second)
    assert cached.cache_info().misses == 10


@both
def test_async(decorate: Decorate) -> None:
    count = 0

    @decorate(ttl=SHORT)
    async def cached(x: str) -> int:
        nonlocal count
        count += 1
        return count

    async def main() -> None:
        assert await cached("a") == 1
        await asyncio.sleep(AFTER_SHORT)
        assert cached.cache_info().currsize == 0
        assert cached.get("a") is None
        assert await cached("a") == 2

    asyncio.run(main())
    assert cached.cache_info()[:2] == (0, 2)
