"""When and where `on_removal` runs, and what it may do; it is told of each value exactly once."""

from __future__ import annotations

import random
import sys
import threading
from typing import Any

import pytest
import support
from control import Body, Kind, cache
from told import Told


def test_it_runs_with_no_lock_held_and_may_call_the_cache(kind: Kind) -> None:
    depth = [0]

    def told(call: Any, value: Any, cause: Any) -> None:
        depth[0] += 1
        if depth[0] < 5:
            f.cache_info()
            f.set("from inside", 100 + depth[0])
            f.cache_invalidate(100 + depth[0])
            # Another thread comes through as well: no lock is held.
            assert support.start(f.cache_contains, 1).result(support.LIMIT) in (True, False)
            assert support.start(f.cache_info).result(support.LIMIT)

    f = cache(max_size=2, on_removal=told)(kind.one(Body()))
    for x in range(6):
        kind.call(f, x)
    f.cache_clear()
    assert depth[0] >= 6 and f.cache_info().currsize == 0


def test_it_runs_after_the_operation(kind: Kind) -> None:
    seen = []

    def told(call: Any, value: Any, cause: Any) -> None:
        seen.append((cause.name, f.cache_contains(1), f.get(1)))

    f = cache(on_removal=told)(kind.one(lambda x: "first"))
    kind.call(f, 1)
    f.set("second", 1)
    f.cache_invalidate(1)
    assert seen == [("REPLACED", True, "second"), ("EXPLICIT", False, None)]


def test_it_runs_in_the_calling_thread(kind: Kind) -> None:
    threads = []
    f = cache(on_removal=lambda *args: threads.append(threading.current_thread()))(kind.one(Body()))
    kind.call(f, 1)
    f.cache_invalidate(1)
    assert threads == [threading.current_thread()]


def test_what_it_raises_goes_to_the_unraisable_hook(
    kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda event: heard.append(event.exc_value))

    def told(call: Any, value: Any, cause: Any) -> None:
        raise ValueError("in on_removal", value)

    f = cache(max_size=1, on_removal=told)(kind.one(lambda x: f"v{x}"))
    assert [kind.call(f, x) for x in (1, 2)] == ["v1", "v2"]
    f.set("set", 2)
    assert f.cache_invalidate(2) is True
    assert [error.args for error in heard] == [
        ("in on_removal", "v1"),
        ("in on_removal", "v2"),
        ("in on_removal", "set"),
    ]
    kind.call(f, 3)
    f.cache_clear()
    assert len(heard) == 4 and f.cache_info().currsize == 0


def test_one_that_raises_keeps_none_of_the_others_from_being_told(
    kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda event: heard.append(event.exc_value))
    told = []

    def on_removal(call: Any, value: Any, cause: Any) -> None:
        told.append(value)
        raise ValueError

    f = cache(on_removal=on_removal)(kind.one(lambda x: x))
    for x in range(20):
        kind.call(f, x)
    f.cache_clear()
    assert sorted(told) == list(range(20)) and len(heard) == 20


@pytest.mark.parametrize("strategy", range(7))
def test_each_value_leaves_exactly_once(strategy: int, clock: Any) -> None:
    rng = random.Random(strategy)
    told = Told()
    stored: set[int] = set()
    number = iter(range(10**6))

    def function(x: int) -> int:
        value = next(number)
        stored.add(value)
        return value

    f = cache(strategy=strategy, max_size=20, ttl=100, on_removal=told, tags=("t{x}",))(function)
    for _ in range(2000):
        x = rng.randrange(40)
        what = rng.randrange(12)
        if what == 0:
            f.cache_invalidate(x)
        elif what == 1:
            f.cache_invalidate_tags(f"t{x}")
        elif what == 2:
            f.set(function(x), x)
        elif what == 3:
            clock.advance(rng.randrange(30))
        elif what == 4:
            f.cache_refresh(x)
        elif what == 5 and rng.random() < 0.05:
            f.cache_clear()
        else:
            f(x)
    there = {f.get(x) for x in range(40)} - {None}
    f.cache_info()
    left = [value for _, value, _ in told.all]
    assert len(left) == len(set(left)), "told twice"
    assert set(left) == stored - there


def test_each_value_leaves_exactly_once_among_threads() -> None:
    lock = threading.Lock()
    told: list[int] = []
    stored: list[int] = []
    number = iter(range(10**7))

    def on_removal(call: Any, value: int, cause: Any) -> None:
        with lock:
            told.append(value)

    def function(x: int) -> int:
        with lock:
            value = next(number)
            stored.append(value)
        return value

    f = cache(max_size=8, on_removal=on_removal)(function)

    def work(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(1500):
            x = rng.randrange(16)
            if rng.random() < 0.1:
                f.cache_invalidate(x)
            else:
                f(x)

    support.results(support.start_together([lambda n=n: work(n) for n in range(4)]))
    f.cache_clear()
    assert len(told) == len(set(told))
    # A fenced computation's value was never stored, so it does not leave.
    assert set(told) <= set(stored)
