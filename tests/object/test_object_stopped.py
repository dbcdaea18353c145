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

from warp_cache import Cache, CacheUnavailable

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no shared tier")

WRITER = """
from warp_cache import Cache

entries = Cache(1000, backend="shared", name="stopped")
print("begins", flush=True)
while True:
    for n in range(1000):
        entries.set(n, "x")
"""


def opened() -> Cache[Any, Any]:
    return Cache(1000, backend="shared", name="stopped")


@pytest.fixture
def stop_a_holder() -> Iterator[Callable[[Any], None]]:
    """Has another process write to the cache, and stops it where it has the lock."""
    started: list[subprocess.Popen[str]] = []

    def stop(entries: Any) -> None:
        writer = subprocess.Popen([sys.executable, "-c", WRITER], stdout=subprocess.PIPE, text=True)
        started.append(writer)
        assert writer.stdout is not None and writer.stdout.readline() == "begins\n"
        end = time.monotonic() + support.LIMIT
        while True:
            os.kill(writer.pid, signal.SIGSTOP)
            os.waitpid(writer.pid, os.WUNTRACED)
            if entries._would_wait():
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
    stop_a_holder(entries)
    assert asyncio.run(turns_while(lambda: OPERATIONS[name](entries))) >= 3


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

    asyncio.run(use())
