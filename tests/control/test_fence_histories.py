"""The fence in histories: readers and writers beside each other, for some time (§2.3)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
import support
from control import cache, the_testing, warp
from fencing import reader


def _invalidate(f: Any, version: int) -> None:
    f.cache_invalidate(1)


def _clear(f: Any, version: int) -> None:
    f.cache_clear()


def _tags(f: Any, version: int) -> None:
    f.cache_invalidate_tags("k1")


def _all_tags(f: Any, version: int) -> None:
    warp.invalidate_tags("other", "k1")


def _set(f: Any, version: int) -> None:
    f.set(version, 1)


def _put(f: Any, version: int) -> None:
    f.cache_put(version, (1,), tags=("k1",))


def _mixed(f: Any, version: int) -> None:
    [_invalidate, _clear, _tags, _all_tags, _set, _put][version % 6](f, version)


EACH_WRITE = [_invalidate, _clear, _tags, _all_tags, _set, _put, _mixed]


@pytest.mark.parametrize("single_flight", [True, False])
@pytest.mark.parametrize("write", EACH_WRITE)
def test_threads_never_see_what_was_computed_before_an_invalidation(
    write: Callable[[Any, int], None], single_flight: bool
) -> None:
    source = [0]
    published = [0]

    @cache(single_flight=single_flight, tags=("k{x}",))
    def f(x: int) -> int:
        version = source[0]
        if version % 3:
            time.sleep(0)
        elif version % 5 == 0:
            time.sleep(0.0002)
        return version

    end = time.monotonic() + 0.4
    wrong: list[tuple[int, int]] = []

    def writer() -> None:
        while time.monotonic() < end and not wrong:
            source[0] += 1
            write(f, source[0])
            published[0] = source[0]
            if source[0] % 7 == 0:
                time.sleep(0.0005)

    def looker() -> None:
        while time.monotonic() < end and not wrong:
            least = published[0]
            got = f(1)
            if got < least:
                wrong.append((got, least))
            least = published[0]
            found = f.get(1)
            if found is not None and found < least:
                wrong.append((found, least))

    with support.switching(1e-5):
        support.results(support.start_together([writer, looker, looker, looker]))
    assert wrong == [], "(got, at least)"


@pytest.mark.parametrize("write", [_invalidate, _mixed])
def test_background_refreshes_never_bring_back_what_was_invalidated(
    write: Callable[[Any, int], None],
) -> None:
    source, published = [0], [0]

    with the_testing().clock() as clock:

        @cache(ttl=1, stale_while_revalidate=10**6, tags=("k{x}",))
        def f(x: int) -> int:
            version = source[0]
            time.sleep(0.0002)
            return version

        end = time.monotonic() + 0.5
        wrong: list[tuple[int, int]] = []

        def writer() -> None:
            while time.monotonic() < end and not wrong:
                source[0] += 1
                write(f, source[0])
                published[0] = source[0]
                time.sleep(0.001)

        def ager() -> None:
            while time.monotonic() < end and not wrong:
                clock.advance(2)
                time.sleep(0.0003)

        read = reader(f, published, wrong, end)
        support.results(support.start_together([writer, ager, read, read]))
        assert wrong == [], "(got, at least)"


@pytest.mark.parametrize("write", [_invalidate, _mixed])
def test_tasks_never_see_what_was_computed_before_an_invalidation(
    write: Callable[[Any, int], None],
) -> None:
    async def main() -> None:
        source, published = [0], [0]
        wrong: list[tuple[int, int]] = []

        @cache(tags=("k{x}",))
        async def f(x: int) -> int:
            version = source[0]
            for _ in range(version % 4):
                await asyncio.sleep(0)
            return version

        async def writer() -> None:
            for _ in range(600):
                source[0] += 1
                write(f, source[0])
                published[0] = source[0]
                for _ in range(source[0] % 3):
                    await asyncio.sleep(0)

        async def caller(number: int) -> None:
            for _ in range(400):
                least = published[0]
                got = await f(1)
                if got < least:
                    wrong.append((got, least))
                for _ in range(number):
                    await asyncio.sleep(0)

        await asyncio.gather(writer(), *(caller(n) for n in range(4)))
        assert wrong == []

    asyncio.run(main())
