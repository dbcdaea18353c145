"""Leaders that leave nothing for those who waited: these compute at once, and side by side.

Each computation after the first waits inside until all are inside: who took turns would never meet.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from support import LIMIT, Arriving, errors, results, start

from warp_cache import cache, lru_cache


class Halt(BaseException):
    pass


class Meeting:
    """Raises what it is told to, the first time when it is released, later when all have met."""

    def __init__(self, others: int, error: type[BaseException]) -> None:
        self.error = error
        self.calls: list[int] = []
        self.lock = threading.Lock()
        self.started = threading.Event()
        self.release = threading.Event()
        self.barrier = threading.Barrier(others)

    def __call__(self, key: object) -> Any:
        with self.lock:
            self.calls.append(threading.get_ident())
            first = len(self.calls) == 1
        if first:
            self.started.set()
            assert self.release.wait(LIMIT)
            raise self.error("first")
        self.barrier.wait(10)
        if self.error is not Halt:
            raise self.error("later")
        return "value"


@pytest.mark.parametrize(
    "error", [SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError, Halt]
)
@pytest.mark.parametrize("decorate", [cache, lru_cache])
def test_threads_do_not_queue(decorate: Any, error: type[BaseException]) -> None:
    key, meeting = Arriving(), Meeting(4, error)
    options = {"single_flight": True} if decorate is lru_cache else {}
    f = decorate(wait_timeout=None, **options)(lambda key: meeting(key))
    threads = [start(f, key)]
    assert meeting.started.wait(LIMIT)
    threads += [start(f, key) for _ in range(4)]
    key.await_calls(5)
    assert len(meeting.calls) == 1, "computed beside the leader"
    meeting.release.set()
    found = [type(one) for one in errors(threads)]
    if error is Halt:
        assert found == [Halt] + [type(None)] * 4
        assert f(key) == "value" and len(meeting.calls) == 5, "the value is kept"
    else:
        assert found == [error] * 5
        assert f.cache_info().currsize == 0
    assert len(set(meeting.calls)) == 5


def test_new_calls_wait_for_one_of_those_who_are_free() -> None:
    key, meeting = Arriving(), Meeting(3, Halt)
    f = cache(wait_timeout=None)(lambda key: meeting(key))
    threads = [start(f, key)]
    assert meeting.started.wait(LIMIT)
    threads += [start(f, key) for _ in range(2)]
    key.await_calls(3)
    meeting.release.set()
    assert type(threads[0].exception(LIMIT)) is Halt
    while len(meeting.calls) < 3:
        pass
    # Two compute, held until a third is there; a new call does not become it.
    newcomers = [start(f, key) for _ in range(3)]
    key.await_calls(3)
    assert len(meeting.calls) == 3
    meeting.barrier.wait(10)
    assert results(threads[1:] + newcomers) == ["value"] * 5
    assert len(meeting.calls) == 3


def test_a_clear_while_free_callers_compute() -> None:
    """What a free caller began to compute before a clearing is not stored after it."""
    key, meeting = Arriving(), Meeting(3, Halt)
    f = cache(wait_timeout=None)(lambda key: meeting(key))
    threads = [start(f, key)]
    assert meeting.started.wait(LIMIT)
    threads += [start(f, key) for _ in range(2)]
    key.await_calls(3)
    meeting.release.set()
    while len(meeting.calls) < 3:
        pass
    f.cache_clear()
    meeting.barrier.wait(10)
    assert results(threads[1:]) == ["value"] * 2
    assert f.cache_info().currsize == 0


def test_tasks_of_a_loop_do_not_queue() -> None:
    async def main() -> None:
        calls = 0
        release, all_inside = asyncio.Event(), asyncio.Event()

        @cache(wait_timeout=None)
        async def f(key: int) -> Any:
            nonlocal calls
            calls += 1
            if calls == 1:
                await release.wait()
                raise asyncio.CancelledError
            if calls == 5:
                all_inside.set()
            await all_inside.wait()
            if key == 1:
                raise asyncio.CancelledError
            return "value"

        for key in (1, 2):
            calls = 0
            release.clear()
            all_inside.clear()
            tasks = [asyncio.ensure_future(f(key)) for _ in range(5)]
            await asyncio.sleep(0.05)
            assert calls == 1
            release.set()
            found = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)
            first, *others = found
            assert type(first) is asyncio.CancelledError
            if key == 1:
                assert {type(one) for one in others} == {asyncio.CancelledError}
            else:
                assert others == ["value"] * 4 and await f(key) == "value"
            assert calls == 5

    asyncio.run(main())
