"""The fence for coroutine functions, in one event loop and in several."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
import support
from control import cache
from fencing import OPERATIONS, each_operation

A_OPERATIONS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "invalidate": (lambda f: f.acache_invalidate(1), None),
    "invalidate_tags": (lambda f: f.acache_invalidate_tags("all"), None),
    "clear": (lambda f: f.acache_clear(), None),
    "set": (lambda f: f.aset("set", 1), "set"),
    "put": (lambda f: f.acache_put("put", (1,)), "put"),
    "put_without_life": (lambda f: f.acache_put("put", (1,), ttl=-1), None),
}


@pytest.mark.parametrize("single_flight", [True, False])
@pytest.mark.parametrize("twin", [False, True])
@each_operation
def test_tasks_are_fenced(operation: str, twin: bool, single_flight: bool) -> None:
    if twin and operation not in A_OPERATIONS:
        pytest.skip("no twin")

    async def main() -> None:
        gates = [asyncio.Event() for _ in range(4)]
        source, began = ["old"], [0]

        @cache(single_flight=single_flight, tags=("all",))
        async def f(x: int) -> str:
            value = source[0]
            began[0] += 1
            await gates[began[0] - 1].wait()
            return value

        old = asyncio.ensure_future(f(1))
        while not began[0]:
            await asyncio.sleep(0)
        source[0] = "new"
        if twin:
            act, found = A_OPERATIONS[operation]
            await act(f)
        else:
            act, found = OPERATIONS[operation]
            act(f)
        for gate in gates[1:]:
            gate.set()
        assert await asyncio.wait_for(f(1), support.LIMIT) == (found or "new")
        gates[0].set()
        assert await old == "old"
        assert await f(1) == (found or "new")

    asyncio.run(main())


def test_an_invalidation_in_one_loop_fences_a_task_of_another() -> None:
    began, goes_on = threading.Event(), threading.Event()

    @cache
    async def f(x: int) -> str:
        value = source[0]
        if value == "old":
            began.set()
            while not goes_on.is_set():
                await asyncio.sleep(0.001)
        return value

    source = ["old"]
    old = support.start(asyncio.run, _awaiting(f, 1))
    assert began.wait(support.LIMIT)

    async def second() -> None:
        source[0] = "new"
        await f.acache_invalidate(1)
        assert await f(1) == "new"

    asyncio.run(second())
    goes_on.set()
    assert old.result(support.LIMIT) == "old"
    assert f.get(1) == "new"


async def _awaiting(f: Any, *args: Any) -> Any:
    return await f(*args)


def test_an_invalidation_keeps_at_most_one_of_a_thousand_others_from_being_stored() -> None:
    """One of 1,000 in the mean: of 4,000 not more than 16 (4 times that) are lost."""
    number = 4000

    async def main() -> int:
        gate = asyncio.Event()

        @cache(max_size=None)
        async def f(x: int) -> int:
            await gate.wait()
            return x

        tasks = [asyncio.ensure_future(f(x)) for x in range(1, number + 1)]
        for _ in range(5):
            await asyncio.sleep(0)
        f.cache_invalidate(0)
        gate.set()
        assert await asyncio.gather(*tasks) == list(range(1, number + 1))
        return sum(f.get(x) is None for x in range(1, number + 1))

    assert asyncio.run(main()) <= 4 * number / 1000
