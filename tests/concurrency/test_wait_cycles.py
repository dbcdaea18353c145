"""Waits that could never end are refused: re-entry, and circles through several threads."""

from __future__ import annotations

import random
import threading
import time
from typing import Any

import pytest
from support import LIMIT, Arriving, Held, results, start, start_together

from warp_cache import cache, lru_cache

# A circle must be seen, not waited out.
AT_ONCE = 5.0


def test_the_same_thread_may_ask_for_the_key_it_computes() -> None:
    calls = []

    @cache(wait_timeout=None)
    def f(key: str) -> str:
        calls.append(key)
        return "inner" if len(calls) > 1 else "outer of " + f(key)

    assert results([start(f, "key")], AT_ONCE) == ["outer of inner"]
    assert len(calls) == 2
    assert tuple(f.cache_info()) == (0, 2, 128, 1)
    assert f("key") == "outer of inner", "the outer one is what gets stored"
    assert len(calls) == 2


def test_re_entry_through_other_functions() -> None:
    depth = 0

    @cache(wait_timeout=None)
    def f(key: str) -> int:
        nonlocal depth
        depth += 1
        return depth if depth > 3 else g(key)

    @cache(wait_timeout=None)
    def g(key: str) -> int:
        return h(key) + 100

    h = lru_cache(single_flight=True, wait_timeout=None)(lambda key: f(key) + 1000)
    assert results([start(f, "key")], AT_ONCE) == [4 + 3 * 1100]
    assert f("key") == 3304


def test_waiters_get_the_outer_result_of_a_leader_that_re_enters() -> None:
    held = Held(lambda key: "inner")
    key = Arriving()
    local = threading.local()

    @cache(wait_timeout=None)
    def f(key: object) -> str:
        if getattr(local, "inside", False):
            return held(key)
        local.inside = True
        return "outer of " + f(key)

    leader = start(f, key)
    held.await_start()
    waiters = [start(f, key) for _ in range(3)]
    key.await_calls(5)
    held.release()
    assert results([leader, *waiters]) == ["outer of inner"] * 4
    assert len(held.calls) == 1


def circle(size: int, decorate: Any, keys: Any) -> tuple[list[Any], list[list[str]]]:
    """Thread i computes function i, and in the middle needs function i + 1, the last the first."""
    barrier = threading.Barrier(size)
    local = threading.local()
    computed: list[list[str]] = [[] for _ in range(size)]
    functions: list[Any] = []

    def build(i: int) -> Any:
        @decorate
        def f(key: object) -> tuple[Any, ...]:
            computed[i].append(threading.current_thread().name)
            if getattr(local, "deep", False):
                return (i, "alone")
            local.deep = True
            barrier.wait(LIMIT)
            return (i, functions[(i + 1) % size](keys[(i + 1) % size]))

        return f

    functions.extend(build(i) for i in range(size))
    threads = [start(functions[i], keys[i]) for i in range(size)]
    return results(threads, AT_ONCE), computed


@pytest.mark.parametrize("size", [2, 3, 5, 16])
def test_a_circle_of_threads_over_as_many_caches(size: int) -> None:
    for _ in range(5):
        values, computed = circle(size, cache(wait_timeout=None), ["key"] * size)
        for i, value in enumerate(values):
            assert value[0] == i
            assert value[1][0] == (i + 1) % size
        # All but the one that was refused waited for their neighbour.
        assert sum(map(len, computed)) <= 2 * size
        assert sum(value[1][1] == "alone" for value in values) >= 1


@pytest.mark.parametrize("size", [2, 3, 5])
def test_a_circle_of_threads_over_the_keys_of_one_cache(size: int) -> None:
    barrier = threading.Barrier(size)
    local = threading.local()

    @cache(wait_timeout=None)
    def f(i: int) -> tuple[Any, ...]:
        if getattr(local, "deep", False):
            return (i, "alone")
        local.deep = True
        barrier.wait(LIMIT)
        return (i, f((i + 1) % size))

    values = results([start(f, i) for i in range(size)], AT_ONCE)
    assert [value[0] for value in values] == list(range(size))
    assert [value[1][0] for value in values] == [(i + 1) % size for i in range(size)]
    assert f.cache_info().misses <= 3 * size


def test_only_the_wait_that_closes_the_circle_is_refused() -> None:
    """A waits for B, and C, who is needed by nobody in the circle, goes on waiting for A."""
    events = {name: threading.Event() for name in ("a started", "a goes on")}
    local = threading.local()
    calls: list[str] = []

    @cache(wait_timeout=None)
    def a(i: int) -> str:
        calls.append("a")
        if getattr(local, "deep", False):
            return "a alone"
        local.deep = True
        events["a started"].set()
        assert events["a goes on"].wait(LIMIT)
        return "a of " + b(i)

    key = Arriving()

    @cache(wait_timeout=None)
    def b(i: int) -> str:
        calls.append("b")
        local.deep = True
        events["a goes on"].set()
        time.sleep(0.2)  # A waits for B by now
        return "b of " + a(i)

    first = start(a, key)
    assert events["a started"].wait(LIMIT)
    bystanders = [start(a, key) for _ in range(3)]
    key.await_calls(4)
    second = start(b, key)
    values = results([first, second, *bystanders], AT_ONCE)
    assert values == ["a of b of a alone", "b of a alone", *["a of b of a alone"] * 3]
    assert sorted(calls) == ["a", "a", "b"]


def test_a_wait_chain_that_is_no_circle_is_waited_out() -> None:
    """Ten threads in a row, each needs the next one's result: nobody computes twice."""
    size = 10
    calls: list[int] = []
    barrier = threading.Barrier(size)
    local = threading.local()

    @cache(wait_timeout=None)
    def f(i: int) -> int:
        calls.append(i)
        if not getattr(local, "deep", False):
            local.deep = True
            barrier.wait(LIMIT)
        if i == size - 1:
            time.sleep(0.3)
            return i
        return f(i + 1)

    assert results([start(f, i) for i in range(size)], AT_ONCE) == [size - 1] * size
    assert sorted(calls) == list(range(size))


def test_circles_of_chance() -> None:
    """Threads walk over keys that need each other at random: every walk ends, every value fits."""
    dice = random.Random(11)
    needs = {i: dice.sample(range(12), 3) for i in range(12)}
    local = threading.local()

    for _ in range(15):

        @cache(wait_timeout=None, max_size=6)
        def f(i: int) -> int:
            depth = getattr(local, "depth", 0)
            if depth < 4:
                local.depth = depth + 1
                try:
                    time.sleep(0.0002)
                    for other in needs[i]:
                        assert f(other) == other  # noqa: B023 - the f of this round
                finally:
                    local.depth = depth
            return i

        threads = start_together([lambda i=i, f=f: (f(i), f(11 - i)) for i in range(6)])
        assert results(threads) == [(i, 11 - i) for i in range(6)]
        info = f.cache_info()
        assert info.currsize <= 6


def test_the_refused_one_leaves_the_leaders_record_alone() -> None:
    """Who computes for itself must not end, or overwrite, the computation that others wait for."""
    held = Held(lambda key: "of the leader")
    key = Arriving()
    local = threading.local()

    @cache(wait_timeout=None)
    def f(key: object) -> str:
        if getattr(local, "inside", False):
            raise LookupError("of the inner call")
        local.inside = True
        with pytest.raises(LookupError):
            f(key)
        return held(key)

    leader = start(f, key)
    held.await_start()
    waiters = [start(f, key) for _ in range(3)]
    key.await_calls(5)
    assert not any(waiter.done() for waiter in waiters)
    held.release()
    assert results([leader, *waiters]) == ["of the leader"] * 4
    assert len(held.calls) == 1
    assert f(key) == "of the leader"


def test_a_wait_through_a_hash_or_comparison_is_part_of_the_circle() -> None:
    """Thread A computes x, and its lookup of y compares with a key that asks for x itself."""

    class Key:
        def __init__(self) -> None:
            self.asks: Any = None

        def __hash__(self) -> int:
            return 3

        def __eq__(self, other: object) -> bool:
            if self.asks is not None:
                asks, self.asks = self.asks, None
                asks()
            return self is other

    stored, probe = Key(), Key()
    depth = []

    @cache(wait_timeout=None)
    def f(key: object) -> object:
        depth.append(key)
        if key == "x" and len(depth) == 2:
            stored.asks = probe.asks = lambda: f("x")
            f(probe)
        return key

    f(stored)
    assert results([start(f, "x")], AT_ONCE) == ["x"]
