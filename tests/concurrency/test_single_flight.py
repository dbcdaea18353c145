"""One computation however many threads ask; who waited counts a miss and gets the same object."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Any

import pytest
from support import LIMIT, PAUSE, Arriving, Held, Waits, results, start, start_together

from warp_cache import Strategy, cache, lru_cache

FLYING = {
    "cache": lambda **options: cache(**options),
    "cache, no bound of time": lambda **options: cache(wait_timeout=None, **options),
    "cache with ttl": lambda **options: cache(ttl=60, **options),
    "cache, typed": lambda **options: cache(typed=True, **options),
    **{
        strategy.name.lower(): lambda strategy=strategy, **options: cache(strategy, **options)
        for strategy in Strategy
    },
    "lru_cache": lambda **options: lru_cache(single_flight=True, **options),
}


@pytest.mark.parametrize("max_size", [1, 128, None])
@pytest.mark.parametrize("flying", FLYING)
def test_one_computation_one_object(flying: str, max_size: int | None) -> None:
    held = Held()
    key = Arriving()

    @FLYING[flying](max_size=max_size)
    def f(key: object) -> Any:
        return held(key)

    threads = [start(f, key) for _ in range(8)]
    held.await_start()
    key.await_calls(8)
    assert len(held.calls) == 1, "somebody did not wait"
    assert f.cache_info().currsize == 0, "a computation in flight is no entry yet"
    assert f.get(key) is None
    held.release()
    values = results(threads)
    assert len(held.calls) == 1
    assert all(value is values[0] for value in values)
    assert tuple(f.cache_info()) == (0, 8, max_size, 1)
    assert f(key) is values[0]
    assert tuple(f.cache_info()) == (1, 8, max_size, 1)


def test_every_spelling_of_a_call_waits_for_the_same_computation() -> None:
    held = Held()
    first, second = Arriving("a"), Arriving("b")

    @cache
    def f(a: object, b: object, c: int = 3) -> Any:
        return held(a, b, c)

    calls = [
        lambda: f(first, second),
        lambda: f(first, b=second),
        lambda: f(b=second, a=first),
        lambda: f(first, second, 3),
        lambda: f(c=3, a=first, b=second),
    ]
    threads = [start(call) for call in calls]
    held.await_start()
    first.await_calls(len(calls))
    held.release()
    values = results(threads)
    assert len(held.calls) == 1
    assert all(value is values[0] for value in values)


def test_equal_keys_that_are_other_objects_wait_too(waits: Waits) -> None:
    class Key:
        def __init__(self, name: str) -> None:
            self.name = name

        def __hash__(self) -> int:
            return 7

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Key) and self.name == other.name

    held = Held()
    f = cache(lambda key: held(key.name))
    threads = [start(f, Key("one")) for _ in range(5)]
    threads += [start(f, Key("two")) for _ in range(5)]
    held.await_start(2)
    waits.await_calls(8)
    held.release()
    values = results(threads)
    assert sorted(held.calls) == [("one",), ("two",)]
    assert len({id(value) for value in values}) == 2
    assert f.cache_info().misses == 10


def test_other_keys_do_not_wait() -> None:
    held = Held()
    f = cache(lambda key: held(key) if key == "slow" else key)
    slow = start(f, "slow")
    held.await_start()
    assert results([start(lambda: [f(i) for i in range(100)])], 10) == [list(range(100))]
    assert not slow.done()
    held.release()
    results([slow])


def test_methods_and_their_owners_are_keys_like_any_other() -> None:
    held = Held(lambda owner, i: (owner.name, i, object()))

    class Owner:
        def __init__(self, name: str) -> None:
            self.name = name

        @cache
        def method(self, i: int) -> Any:
            return held(self, i)

    first, second = Owner("first"), Owner("second")
    threads = [start(owner.method, 1) for owner in (first, second) for _ in range(4)]
    held.await_start(2)
    time.sleep(PAUSE)
    held.release()
    values = results(threads)
    assert len(held.calls) == 2
    assert [value[0] for value in values] == ["first"] * 4 + ["second"] * 4


@pytest.mark.parametrize(
    "decorator",
    [lru_cache(max_size=8), lru_cache(max_size=8, ttl=60), cache(single_flight=False)],
    ids=["lru_cache", "lru_cache with ttl", "cache without"],
)
def test_without_single_flight_each_caller_computes(decorator: Any) -> None:
    """All are inside at once: were one to wait for another, the barrier would never open."""
    barrier = threading.Barrier(4)

    @decorator
    def f(key: str) -> object:
        barrier.wait(LIMIT)
        return object()

    values = results([start(f, "key") for _ in range(4)])
    assert len(set(map(id, values))) == 4
    info = f.cache_info()
    assert (info.hits, info.misses, info.currsize) == (0, 4, 1)
    assert f("key") in values


def test_a_zero_size_stores_nothing_and_answers_everybody() -> None:
    f = cache(max_size=0)(lambda i: (time.sleep(0.01), i)[1])
    assert results([start(f, i % 2) for i in range(8)]) == [i % 2 for i in range(8)]
    assert tuple(f.cache_info()) == (0, 8, 0, 0)


def test_many_keys_at_once_are_computed_once_each() -> None:
    for _ in range(20):
        calls: list[int] = []

        @cache(max_size=None, wait_timeout=None)
        def f(i: int, calls: list[int] = calls) -> tuple[int, object]:
            calls.append(i)
            time.sleep(0)
            return (i, object())

        threads = start_together([lambda f=f: [f(i) for i in range(40)] for _ in range(6)])
        values = results(threads)
        assert sorted(calls) == list(range(40)), Counter(calls).most_common(3)
        assert all(other == values[0] for other in values)
        info = f.cache_info()
        assert info.hits + info.misses == 240


def test_computations_that_need_each_other_in_order_are_computed_once_each() -> None:
    """Threads enter a chain of dependencies at different depths: all wait, nobody in a circle."""
    calls: list[int] = []

    @cache(max_size=None, wait_timeout=None)
    def f(i: int) -> int:
        calls.append(i)
        if i < 2:
            time.sleep(0.001)
            return i
        return f(i - 1) + f(i - 2)

    threads = start_together([lambda i=i: f(i) for i in (80, 60, 40, 79, 20, 80, 5, 70)])
    assert results(threads)[0] == 23416728348467685
    assert sorted(calls) == list(range(81)), "computed twice, though no wait could be a circle"


def test_a_thousand_races_for_one_key() -> None:
    """The leader finishes while others are about to wait: nobody may sleep through it."""

    @cache(max_size=4, wait_timeout=None)
    def f(i: int) -> tuple[int]:
        return (i,)

    barrier = threading.Barrier(3)

    def race() -> list[tuple[int]]:
        values = []
        for i in range(1000):
            if i % 50 == 0:
                barrier.wait(LIMIT)
            values.append(f(i))
        return values

    expected = [(i,) for i in range(1000)]
    assert results([start(race) for _ in range(3)]) == [expected] * 3
    info = f.cache_info()
    assert info.hits + info.misses == 3000
    assert info.misses >= 1000


def test_two_hundred_threads_wait_for_one() -> None:
    held = Held()
    key = Arriving()
    f = cache(held)
    threads = [start(f, key) for _ in range(200)]
    held.await_start()
    key.await_calls(200)
    held.release()
    values = results(threads)
    assert len({id(value) for value in values}) == 1
    assert len(held.calls) == 1
    info = f.cache_info()
    assert (info.hits, info.misses) == (0, 200)


def test_waiters_use_no_processor_time() -> None:
    """They sleep; a loop that looks again and again would burn the time it waits."""
    held = Held()
    key = Arriving()
    f = cache(wait_timeout=None)(lambda key: held(key))
    leader = start(f, key)
    held.await_start()
    used: list[float] = []

    def wait() -> None:
        before = time.thread_time()
        f(key)
        used.append(time.thread_time() - before)

    waiters = [start(wait) for _ in range(4)]
    key.await_calls(5)
    time.sleep(0.5)
    held.release()
    results([leader, *waiters])
    assert max(used) < 0.2, used
