"""Waiting for a refresh: bounds, circles, children of a fork, and refreshes that are lost."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import threading
from typing import Any

import pytest
import support
from control import Gate, cache
from refreshes import gated, made


def test_a_wait_is_bounded(backend: str) -> None:
    lock, entered = threading.Lock(), threading.Event()

    def function(x: int) -> str:
        entered.set()
        with lock:
            return "value"

    f = made(backend, function, wait_timeout=0.2)
    with lock:
        first = support.start(f.cache_refresh, 1)
        assert entered.wait(support.LIMIT)

        def joins() -> str:
            # It wants the lock, too: it has to get as far as that.
            entered.clear()
            return f.cache_refresh(1)

        second = support.start(joins)
        support.eventually(entered.is_set)
    assert support.results([first, second]) == ["value"] * 2


def test_a_circle_of_calls_through_a_refresh_is_refused(backend: str) -> None:
    both = threading.Barrier(2)
    depth = threading.local()

    def function(x: int) -> Any:
        if getattr(depth, "inside", False):
            return x
        depth.inside = True
        both.wait(support.LIMIT)
        return x, f(3 - x)

    f = made(backend, function, wait_timeout=None)
    futures = [support.start(f.cache_refresh, 1), support.start(f, 2)]
    assert all(value[0] in (1, 2) for value in support.results(futures))


@pytest.mark.parametrize("asks", ["a refresh", "a call"])
def test_a_circle_of_tasks_through_a_refresh_is_refused(backend: str, asks: str) -> None:
    async def main() -> None:
        both: list[int] = []

        async def function(x: int) -> Any:
            both.append(x)
            if len(both) > 2:
                return x
            while len(both) < 2:
                await asyncio.sleep(0.001)
            return x, await f(3 - x)

        f = made(backend, function, wait_timeout=None)
        other = f.cache_refresh(2) if asks == "a refresh" else f(2)
        results = await asyncio.gather(f.cache_refresh(1), other)
        assert {result[0] for result in results} == {1, 2}

    asyncio.run(asyncio.wait_for(main(), support.LIMIT))


@pytest.mark.parametrize("invalidated", [False, True])
def test_what_was_idle_for_too_long_is_not_served_while_its_refresh_runs(
    clock: Any, invalidated: bool
) -> None:
    gate = Gate()
    # (Shorter than the time after which a refresh is asked for once more. The clock stands still.)
    f = cache(ttl=0.3, tti=0.5, stale_while_revalidate=1000)(gated(gate))
    gate.open(1)
    assert f(1) == "old"
    clock.advance(0.4)
    gate.source = "new"
    assert f(1) == "old"
    gate.await_begun(2)
    clock.advance(0.6)
    assert not f.cache_contains(1)
    if invalidated:
        assert f.cache_invalidate(1) is False
        gate.source = "newest"
    call = support.start(f, 1)
    gate.open(2)
    gate.open(3)
    assert call.result(support.LIMIT) == gate.source


@pytest.mark.parametrize("asks", ["refreshes", "a refresh and a call"])
def test_a_circle_of_threads_is_refused(backend: str, asks: str) -> None:
    both = threading.Barrier(2)
    depth = threading.local()

    def function(x: int) -> Any:
        if getattr(depth, "inside", False):
            return x
        depth.inside = True
        both.wait(support.LIMIT)
        return x, (f.cache_refresh if asks == "refreshes" or x == 1 else f)(3 - x)

    f = made(backend, function, wait_timeout=None)
    futures = [
        support.start(f.cache_refresh, 1),
        support.start(f.cache_refresh if asks == "refreshes" else f, 2),
    ]
    assert all(value[0] in (1, 2) for value in support.results(futures))


def test_a_circle_of_tasks_is_refused(backend: str) -> None:
    async def main() -> None:
        both: list[int] = []

        async def function(x: int) -> Any:
            both.append(x)
            if len(both) > 2:
                return x
            while len(both) < 2:
                await asyncio.sleep(0.001)
            return x, await f.cache_refresh(3 - x)

        f = made(backend, function, wait_timeout=None)
        results = await asyncio.gather(f.cache_refresh(1), f.cache_refresh(2))
        assert {result[0] for result in results} == {1, 2}

    asyncio.run(asyncio.wait_for(main(), support.LIMIT))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_child_does_not_wait_for_its_parents_refresh(backend: str) -> None:
    gate = Gate()
    f = made(backend, gated(gate))
    first = support.start(f.cache_refresh, 1)
    gate.await_begun(1)
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(int(support.LIMIT))
            gate.open_all, gate.source = True, "of the child"
            os._exit(0 if f.cache_refresh(1) == "of the child" else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    gate.open(1)
    assert first.result(support.LIMIT) == "old"


# --- refreshes in the background that are lost --------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_child_refreshes_what_its_parent_was_refreshing() -> None:
    gate = Gate()
    f = cache(ttl=0.001, stale_while_revalidate=10**6, max_size=None)(gated(gate))
    for x in range(8):
        f.set("before", x)
    support.eventually(lambda: f.cache_ttl(7) < 0)
    assert [f(x) for x in range(8)] == ["before"] * 8
    # Four run, four wait for a thread.
    gate.await_begun(4)
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(int(support.LIMIT))
            gate.open_all, gate.source = True, "of the child"
            support.eventually(lambda: all(f(x) == "of the child" for x in range(8)))
            os._exit(0)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    gate.open_all = True
    for number in range(1, 5):
        gate.open(number)
    support.eventually(lambda: all(f(x) == "old" for x in range(8)))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_refresh_that_is_lost_with_its_loop_begins_again(backend: str) -> None:
    calls: list[int] = []

    async def function(x: int) -> int:
        calls.append(x)
        if len(calls) == 1:
            await asyncio.Event().wait()
        return len(calls)

    f = made(backend, function, ttl=0.001, stale_while_revalidate=10**6, wait_timeout=0.5)
    f.set("before", 1)

    def ask() -> Any:
        async def main() -> Any:
            value = await f(1)
            await asyncio.sleep(0.005)
            return value

        loop = asyncio.new_event_loop()
        try:
            return loop.run_until_complete(main())
        finally:
            # Without cancelling what it runs.
            loop.close()
            del loop
            gc.collect()

    support.eventually(lambda: f.cache_ttl(1) < 0)
    assert ask() == "before"
    support.eventually(lambda: ask() not in ("before", 1))
    assert len(calls) >= 2
