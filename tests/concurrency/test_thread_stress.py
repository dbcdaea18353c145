"""Threads that do everything at once: counters add up, sizes hold, a value belongs to its key."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from support import FREE_THREADED, LIMIT, merge_counts, results, start, start_together, switching

from warp_cache import Strategy, cache, lru_cache

KINDS: dict[str, Callable[..., Any]] = {
    **{
        f"cache-{strategy.name}": lambda strategy=strategy, **options: cache(
            strategy=strategy, **options
        )
        for strategy in Strategy
    },
    "cache-typed": lambda **options: cache(typed=True, **options),
    "cache-alone": lambda **options: cache(single_flight=False, **options),
    "lru_cache": lambda **options: lru_cache(**options),
    "lru_cache-together": lambda **options: lru_cache(single_flight=True, **options),
}
SIZES = [0, 1, 7, 64, None]
# One that expires all the time, one that never does in a test's life.
TTLS = [None, 0.003, 3600]

THREADS = 4


class Tally:
    """What the threads asked for, summed at the end."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.calls = 0
        self.failed = 0

    def add(self, calls: int, failed: int) -> None:
        with self.lock:
            self.calls += calls
            self.failed += failed


def stress(
    f: Any, max_size: int | None, turns: int, *, clearing: bool, seed: int, tally: Tally
) -> None:
    dice = random.Random(seed)
    calls = failed = 0
    for _ in range(turns):
        key = dice.randrange(100)
        what = dice.random()
        if what < 0.55:
            calls += 1
            assert f(key)[0] == key
        elif what < 0.65:
            calls += 1
            assert f(("pair", key))[0] == ("pair", key)
        elif what < 0.72:
            calls += 1
            try:
                f(-key - 1)
            except ValueError as error:
                failed += 1
                assert error.args == (-key - 1,)
            else:
                raise AssertionError("an exception was cached as a value")
        elif what < 0.8:
            stored = f.get(key)
            assert stored is None or stored[0] == key
        elif what < 0.9:
            f.set((key, "set"), key)
        elif what < 0.93 and clearing:
            f.cache_clear()
        else:
            info = f.cache_info()
            assert max_size is None or info.currsize <= max_size
            assert info.hits >= 0 and info.misses >= 0
    tally.add(calls, failed)


def compute(key: Any) -> tuple[Any, str]:
    if isinstance(key, int) and key < 0:
        raise ValueError(key)
    return (key, "computed")


def run(f: Any, max_size: int | None, turns: int, *, clearing: bool) -> Tally:
    tally = Tally()
    with switching():
        results(
            start_together(
                [
                    lambda seed=seed: stress(
                        f, max_size, turns, clearing=clearing, seed=seed, tally=tally
                    )
                    for seed in range(THREADS)
                ]
            )
        )
    return tally


@pytest.mark.parametrize("ttl", TTLS)
@pytest.mark.parametrize("max_size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_counters_add_up_and_values_belong_to_their_keys(
    kind: str, max_size: int | None, ttl: float | None
) -> None:
    f = KINDS[kind](max_size=max_size, ttl=ttl)(compute)
    tally = run(f, max_size, 3000, clearing=False)
    info = f.cache_info()
    assert info.hits + info.misses == tally.calls
    assert info.misses >= tally.failed
    assert info.currsize <= (200 if max_size is None else max_size)
    if max_size == 0:
        assert info.hits == 0
    if max_size is None and ttl != TTLS[1]:
        assert info.currsize > 100, "nothing in an unbounded cache may get lost"
        before = f.cache_info()
        for key in range(100):
            f(key)
            f(("pair", key))
        after = f.cache_info()
        assert after.hits - before.hits == before.currsize


@pytest.mark.parametrize("max_size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_with_clearing_in_between(kind: str, max_size: int | None) -> None:
    for ttl in TTLS:
        f = KINDS[kind](max_size=max_size, ttl=ttl)(compute)
        tally = run(f, max_size, 800, clearing=True)
        info = f.cache_info()
        assert info.hits + info.misses <= tally.calls
        assert info.currsize <= (200 if max_size is None else max_size)
        f.cache_clear()
        assert tuple(f.cache_info()) == (0, 0, max_size, 0)
        assert f(3) == (3, "computed")


@pytest.mark.parametrize("kind", KINDS)
def test_hits_only_lose_no_count(kind: str) -> None:
    """Pure hits on few keys: every thread on the same entries, nothing else going on."""
    f = KINDS[kind](max_size=32)(compute)
    for key in range(32):
        f(key)

    def hit() -> None:
        for i in range(6000):
            assert f(i % 32)[0] == i % 32

    with switching():
        results(start_together([hit] * THREADS))
    assert tuple(f.cache_info()) == (6000 * THREADS, 32, 32, 32)


@pytest.mark.parametrize("kind", ["cache-LRU", "cache-LFU", "lru_cache"])
def test_keys_and_values_of_many_kinds(kind: str) -> None:
    """Also objects that only one thread holds, so that counts go up and down in all of them."""
    f = KINDS[kind](max_size=50)(lambda *args, **kwargs: [args, kwargs])

    def use(seed: int) -> None:
        dice = random.Random(seed)
        for _ in range(1500):
            i = dice.randrange(40)
            args = dice.choice([(i,), (str(i),), (i, str(i)), ((i, (i, b"x")),), (float(i), None)])
            kwargs = dice.choice([{}, {}, {"word": i}, {"word": str(i), "other": (i,)}])
            assert f(*args, **kwargs) == [args, kwargs]

    with switching():
        results(start_together([lambda seed=seed: use(seed) for seed in range(THREADS)]))
    info = f.cache_info()
    assert info.hits + info.misses == 1500 * THREADS
    assert info.hits and info.currsize == 50


def test_every_value_that_leaves_the_cache_dies() -> None:
    """Threads insert, evict, replace and clear: no value is left over, and none died twice."""
    lock = threading.Lock()
    alive = 0

    class Value:
        def __init__(self) -> None:
            nonlocal alive
            with lock:
                alive += 1

        def __del__(self) -> None:
            nonlocal alive
            with lock:
                alive -= 1

    f = cache(max_size=16)(lambda i: Value())

    def use(seed: int) -> None:
        dice = random.Random(seed)
        for i in range(2500):
            key = dice.randrange(60)
            f(key)
            f.get(key)
            if i % 9 == 0:
                f.set(Value(), key)
            if i % 400 == 0:
                f.cache_clear()

    with switching():
        results(start_together([lambda seed=seed: use(seed) for seed in range(THREADS)]))
    merge_counts()
    assert alive == f.cache_info().currsize <= 16
    f.cache_clear()
    merge_counts()
    assert alive == 0


def test_threads_that_come_and_go() -> None:
    """A thousand short lives: what each of them counted stays counted, their places are reused."""
    f = cache(max_size=8)(compute)
    calls = 0
    for round_ in range(50):
        threads = [
            threading.Thread(target=lambda i=i: [f((i + j) % 12) for j in range(5)])
            for i in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT)
            assert not thread.is_alive()
        calls += 100
        info = f.cache_info()
        assert info.hits + info.misses == calls, f"after round {round_}"
        assert info.currsize <= 8


def test_threads_that_die_in_their_computation() -> None:
    class Death(BaseException):
        pass

    turns = iter(range(10**6))
    lock = threading.Lock()

    @cache(max_size=4, wait_timeout=None)
    def f(i: int) -> tuple[int, str]:
        with lock:
            turn = next(turns)
        time.sleep(0)
        if turn % 3 == 0:
            raise Death
        return (i, "computed")

    def live() -> int:
        for i in range(100):
            try:
                assert f(i % 6)[0] == i % 6
            except Death:
                return i + 1
        return 100

    calls = sum(results([start(live) for _ in range(150)]))
    info = f.cache_info()
    assert info.hits + info.misses == calls
    assert info.currsize <= 4


def test_two_hundred_threads_at_once() -> None:
    f = cache(max_size=20)(compute)
    before = threading.stack_size(512 * 1024)
    try:
        threads = start_together(
            [lambda i=i: [f((i + j) % 50) for j in range(40)] for i in range(200)]
        )
    finally:
        threading.stack_size(before)
    values = results(threads)
    assert all(
        value[0] == (i + j) % 50 for i, row in enumerate(values) for j, value in enumerate(row)
    )
    info = f.cache_info()
    assert info.hits + info.misses == 8000
    assert info.currsize == 20


def test_many_caches_in_many_threads() -> None:
    """Caches are made, used and dropped by threads at the same time."""

    def live(seed: int) -> None:
        for i in range(60):
            f = list(KINDS.values())[(seed + i) % len(KINDS)](max_size=5, ttl=TTLS[i % 3])(compute)
            for j in range(20):
                assert f(j % 8)[0] == j % 8
            f.itself = f if i % 2 else None

    results(start_together([lambda seed=seed: live(seed) for seed in range(6)]))


def test_first_call_from_every_thread_at_once() -> None:
    for _ in range(100):
        f = cache(max_size=4)(compute)
        assert results(start_together([lambda f=f: f(1)] * 3)) == [(1, "computed")] * 3
        info = f.cache_info()
        assert info.hits + info.misses == 3


@pytest.mark.skipif(not FREE_THREADED, reason="says that importing the package left the GIL off")
def test_the_package_leaves_the_gil_off() -> None:
    assert not sys._is_gil_enabled()
