"""`wait_timeout`: waits that the library cannot see as a circle end after that time."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from support import LIMIT, Arriving, Held, eventually, results, start

from warp_cache import cache, lru_cache


class Staged:
    """A computation whose first run is held; later runs take `later` seconds each."""

    def __init__(self, later: float = 0.0) -> None:
        self.later = later
        self.lock = threading.Lock()
        self.starts: list[float] = []
        self.inside = 0
        self.most_inside_later = 0
        self.started = threading.Event()
        self.release = threading.Event()

    def __call__(self, key: object) -> tuple[str, int]:
        with self.lock:
            number = len(self.starts)
            self.starts.append(time.monotonic())
            if number:
                self.inside += 1
                self.most_inside_later = max(self.most_inside_later, self.inside)
        self.started.set()
        if number == 0:
            assert self.release.wait(LIMIT)
        else:
            time.sleep(self.later)
            with self.lock:
                self.inside -= 1
        return ("computation", number)


@pytest.mark.parametrize("decorate", [cache, lru_cache])
def test_a_lock_held_by_the_waiter_and_wanted_by_the_leader(decorate: Any) -> None:
    """The classic deadlock that no cache can see: it lasts `wait_timeout`, not for ever."""
    lock = threading.RLock()
    started = threading.Event()
    may_lock = threading.Event()

    @decorate(wait_timeout=0.3, **({"single_flight": True} if decorate is lru_cache else {}))
    def f(key: str) -> str:
        started.set()
        assert may_lock.wait(LIMIT)
        with lock:
            return key.upper()

    def waiter() -> str:
        with lock:
            may_lock.set()
            return f("key")

    leader = start(f, "key")
    assert started.wait(LIMIT)
    before = time.monotonic()
    second = start(waiter)
    assert results([leader, second], 10) == ["KEY", "KEY"]
    took = time.monotonic() - before
    assert 0.25 < took < 5, took
    info = f.cache_info()
    assert (info.hits, info.misses, info.currsize) == (0, 2, 1)


def test_one_waiter_takes_over_and_the_others_wait_for_that_one() -> None:
    staged = Staged(later=0.2)
    key = Arriving()
    f = cache(wait_timeout=0.6)(lambda key: staged(key))
    leader = start(f, key)
    assert staged.started.wait(LIMIT)
    waiters = [start(f, key) for _ in range(6)]
    values = results(waiters, 10)
    assert values == [("computation", 1)] * 6, "six waiters, one new leader"
    assert len({id(value) for value in values}) == 1
    assert len(staged.starts) == 2
    assert staged.starts[1] - staged.starts[0] > 0.5
    assert not leader.done()
    assert f(key) == ("computation", 1), "the result of the new leader is a hit at once"
    staged.release.set()
    assert results([leader], 10) == [("computation", 0)], "the old leader returns what it computed"
    assert f(key) in [("computation", 0), ("computation", 1)]
    info = f.cache_info()
    assert (info.hits + info.misses, info.misses, info.currsize) == (9, 7, 1)


def test_take_overs_are_one_at_a_time() -> None:
    """Every leader is too slow for every waiter; still never two waiters in the same moment's rush.

    A new leader is given the whole time before the next one takes over.
    """
    staged = Staged(later=0.7)
    key = Arriving()
    f = cache(wait_timeout=0.4)(lambda key: staged(key))
    leader = start(f, key)
    assert staged.started.wait(LIMIT)
    waiters = [start(f, key) for _ in range(5)]
    key.await_calls(6)
    values = results(waiters, 15)
    assert all(name == "computation" and number > 0 for name, number in values)
    gaps = [b - a for a, b in zip(staged.starts, staged.starts[1:], strict=False)]
    assert all(gap > 0.25 for gap in gaps), f"leaders started {gaps} s after each other"
    assert len(staged.starts) <= 4
    staged.release.set()
    results([leader], 10)


def test_without_a_bound_nobody_takes_over() -> None:
    staged = Staged()
    key = Arriving()
    f = cache(wait_timeout=None)(lambda key: staged(key))
    threads = [start(f, key) for _ in range(4)]
    assert staged.started.wait(LIMIT)
    time.sleep(0.8)
    assert len(staged.starts) == 1
    assert not any(thread.done() for thread in threads)
    staged.release.set()
    assert results(threads) == [("computation", 0)] * 4


def test_a_computation_within_the_bound_is_waited_for() -> None:
    staged = Staged()
    key = Arriving()
    f = cache(wait_timeout=5)(lambda key: staged(key))
    threads = [start(f, key) for _ in range(4)]
    assert staged.started.wait(LIMIT)
    time.sleep(0.4)
    staged.release.set()
    assert results(threads) == [("computation", 0)] * 4


def test_a_tiny_bound_computes_soon_and_counts_every_call() -> None:
    staged = Staged(later=0.001)
    f = cache(wait_timeout=1e-6)(lambda key: staged(key))
    leader = start(f, "key")
    assert staged.started.wait(LIMIT)
    values = results([start(f, "key") for _ in range(8)], 10)
    assert {name for name, _ in values} == {"computation"}
    staged.release.set()
    results([leader])
    info = f.cache_info()
    assert info.hits + info.misses == 9
    assert info.currsize == 1


def test_a_bound_beyond_any_clock_is_a_long_wait() -> None:
    for bound in (1e9, 1e18, 10**15, 1.7e308):
        held = Held(lambda key: "value")
        key = Arriving()
        f = cache(wait_timeout=bound)(lambda key, held=held: held(key))
        threads = [start(f, key) for _ in range(3)]
        held.await_start()
        key.await_calls(3)
        assert len(held.calls) == 1
        held.release()
        assert results(threads) == ["value"] * 3
        assert len(held.calls) == 1


def test_the_late_result_does_not_replace_a_newer_one() -> None:
    """The leader that was given up finishes last: what others have been given since stays."""
    staged = Staged()
    f = cache(wait_timeout=0.1)(lambda key: staged(key))
    leader = start(f, "key")
    assert staged.started.wait(LIMIT)
    assert results([start(f, "key")], 10) == [("computation", 1)]
    f.set("set by hand", "key")
    staged.release.set()
    assert results([leader], 10) == [("computation", 0)]
    assert f("key") == "set by hand"


def test_a_leader_that_fails_late_does_not_fail_those_who_took_over() -> None:
    first = threading.Event()
    release = threading.Event()

    @cache(wait_timeout=0.2)
    def f(key: str) -> str:
        if not first.is_set():
            first.set()
            assert release.wait(LIMIT)
            raise ValueError("late")
        return "fine"

    leader = start(f, "key")
    assert first.wait(LIMIT)
    assert results([start(f, "key") for _ in range(4)], 10) == ["fine"] * 4
    release.set()
    assert isinstance(leader.exception(10), ValueError)
    assert f("key") == "fine"


def test_a_new_leader_that_fails_reaches_those_who_wait_for_it() -> None:
    """The second computation fails; who waits by then gets that failure, the first goes on."""
    staged = Staged(later=0.3)
    key = Arriving()

    @cache(wait_timeout=0.5)
    def f(key: object) -> Any:
        value = staged(key)
        if value[1] == 1:
            raise LookupError("of the new leader")
        return value

    leader = start(f, key)
    assert staged.started.wait(LIMIT)
    waiters = [start(f, key) for _ in range(4)]
    eventually(lambda: all(waiter.done() for waiter in waiters))
    assert [type(waiter.exception()) for waiter in waiters] == [LookupError] * 4
    assert len({id(waiter.exception()) for waiter in waiters}) == 4
    staged.release.set()
    assert results([leader]) == [("computation", 0)]
