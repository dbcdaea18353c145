"""Threads of one process that miss a key at the same time compute it once."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import support

from warp_cache import cache

pytestmark = pytest.mark.usefixtures("near_by", "configured")

THREADS = 12
KEYS = range(10)


def test_threads_that_ask_at_once_compute_once() -> None:
    # The leader's own lease is told to this host while it has not heard yet that it has it.
    computed: list[int] = []
    ready = threading.Barrier(THREADS)

    @cache(remote=True, ttl=600, name="once")
    def once(key: int) -> int:
        computed.append(key)
        time.sleep(0.1)
        return key

    def ask(key: int) -> int:
        ready.wait(support.LIMIT)
        return once(key)

    with ThreadPoolExecutor(THREADS) as pool:
        for key in KEYS:
            assert list(pool.map(ask, [key] * THREADS)) == [key] * THREADS
    assert computed == [*KEYS]


def test_tasks_that_ask_at_once_compute_once() -> None:
    computed: list[int] = []

    @cache(remote=True, ttl=600, name="once")
    async def once(key: int) -> int:
        computed.append(key)
        await asyncio.sleep(0.05)
        return key

    async def ask_later(key: int, number: int) -> int:
        await asyncio.sleep(number / 2000)
        return await once(key)

    async def main() -> None:
        for key in KEYS:
            asked = (ask_later(key, number) for number in range(THREADS))
            assert await asyncio.gather(*asked) == [key] * THREADS

    asyncio.run(main())
    assert computed == [*KEYS]


def test_a_fence_amid_the_computation_parts_those_before_it_from_those_after() -> None:
    computed: list[int] = []
    begun, go_on = threading.Event(), threading.Event()

    @cache(remote=True, ttl=600, name="parted")
    def parted(key: int) -> int:
        computed.append(key)
        number = len(computed)
        if number == 1:
            begun.set()
            assert go_on.wait(support.LIMIT)
        return number

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(parted, 1)
        assert begun.wait(support.LIMIT)
        parted.cache_invalidate(1)
        assert parted(1) == 2
        go_on.set()
        assert first.result(support.LIMIT) == 1
    assert parted(1) == 2
