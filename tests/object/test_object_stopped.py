"""Methods to be awaited behind a process that is stopped while it has a file's lock."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import support

from warp_cache import Cache, CacheUnavailable, cache

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no shared tier")

WRITER = """
import sys
from warp_cache import Cache, cache

@cache(backend="shared", name="stopped function", max_size=1000)
async def square(n): ...

entries = Cache(1000, backend="shared", name="stopped")
name = sys.argv[1]
def put(n):
    if name == "stopped":
        entries.set(n, "x")
    else:
        square.set("x", n)

print("begins", flush=True)
while True:
    for n in range(1000):
        put(n)
"""


def opened() -> Cache[Any, Any]:
    return Cache(1000, backend="shared", name="stopped")


@cache(backend="shared", name="stopped function", max_size=1000)
async def square(n: int) -> int:
    return n * n


@pytest.fixture
def stop_a_holder() -> Iterator[Callable[[str, Callable[[], bool]], None]]:
    """Has another process write to the cache of a name, and stops it where it has the lock."""
    started: list[subprocess.Popen[str]] = []

    def stop(name: str, has_lock: Callable[[], bool]) -> None:
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, name], stdout=subprocess.PIPE, text=True
        )
        started.append(writer)
        assert writer.stdout is not None and writer.stdout.readline() == "begins\n"
        end = time.monotonic() + support.LIMIT
        while True:
            os.kill(writer.pid, signal.SIGSTOP)
            os.waitpid(writer.pid, os.WUNTRACED)
            if has_lock():
                return
            assert time.monotonic() < end, "never stopped with the lock"
            os.kill(writer.pid, signal.SIGCONT)
            time.sleep(0.002)

    yield stop
    for writer in started:
        writer.kill()
        writer.communicate(timeout=support.LIMIT)


async def turns_while(operation: Callable[[], Awaitable[Any]]) -> int:
    """How many turns the loop has while an operation waits."""
    turns, is_over = 0, False

    async def count() -> None:
        nonlocal turns
        while not is_over:
            turns += 1
            await asyncio.sleep(0.01)

    counting = asyncio.create_task(count())
    await asyncio.sleep(0)
    before = turns
    # It may have waited in vain, which is no matter here.
    with contextlib.suppress(CacheUnavailable):
        await operation()
    during = turns - before
    is_over = True
    await counting
    return during


OPERATIONS: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "aset": lambda c: c.aset("key", 1),
    "aadd": lambda c: c.aadd("new", 1),
    "aincr": lambda c: c.aincr("number", default=0),
    "adelete": lambda c: c.adelete("key"),
    "apurge": lambda c: c.apurge(),
    "apopitem": lambda c: c.apopitem(),
    "aclear": lambda c: c.aclear(),
    "memoized": lambda c: c.memoize()(len).acache_invalidate("key"),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_loop_goes_on_behind_a_stopped_holder(name: str, stop_a_holder: Any) -> None:
    entries = opened()
    entries.set("key", 0)
    stop_a_holder("stopped", entries._would_wait)  # type: ignore[attr-defined]
    assert asyncio.run(turns_while(lambda: OPERATIONS[name](entries))) >= 3


def test_the_loop_goes_on_for_a_function(stop_a_holder: Any) -> None:
    assert asyncio.run(square(3)) == 9
    waited: list[int] = []

    def waits() -> bool:
        began = time.monotonic()
        turns = asyncio.run(turns_while(lambda: square.acache_invalidate(3)))
        # The bound is two seconds: where the lock is free it takes no time.
        if time.monotonic() - began > 1.9:
            waited.append(turns)
        return bool(waited)

    stop_a_holder("stopped function", waits)
    assert waited[0] >= 3


def test_nothing_goes_to_a_thread_where_the_lock_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    from warp_cache._remote import beside

    def submit(job: Callable[[], object]) -> None:
        raise AssertionError(job)

    monkeypatch.setattr(beside, "submit", submit)
    entries = opened()

    async def use() -> None:
        await entries.aset("key", 1)
        assert await entries.aget("key") == 1
        assert await entries.aincr("number", default=0) == 1
        assert await square(4) == 16
        assert await square.acache_invalidate(4)

    asyncio.run(use())
