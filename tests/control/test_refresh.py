"""`cache_refresh` beside other callers: who joins it, who waits, what each gets (§2.2, §2.3)."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
import support
from control import Body, Gate, warp
from refreshes import gated, made, until_waited_for


@pytest.mark.parametrize("how", ["function", "module", "key"])
def test_a_refresh_that_was_fenced_is_joined_by_nobody(backend: str, how: str) -> None:
    gate = Gate()
    f = made(backend, gated(gate), tags="group:{x}")
    f.set("before", 1)
    first = support.start(f.cache_refresh, 1)
    gate.await_begun(1)
    gate.source = "new"
    if how == "function":
        f.cache_invalidate_tags("group:1")
    elif how == "module":
        warp.invalidate_tags("group:1")
    else:
        f.cache_invalidate(1)
    second = support.start(f.cache_refresh, 1)
    gate.await_begun(2)
    gate.open(1)
    assert first.result(support.LIMIT) == "old"
    gate.open(2)
    assert second.result(support.LIMIT) == "new"
    assert f.get(1) == "new"


@pytest.mark.parametrize("miss_ends_first", [False, True])
def test_a_refresh_prevails_over_an_older_miss(backend: str, miss_ends_first: bool) -> None:
    gate = Gate()
    f = made(backend, gated(gate))
    miss = support.start(f, 1)
    gate.await_begun(1)
    gate.source = "new"
    refresh = support.start(f.cache_refresh, 1)
    gate.await_begun(2)
    if miss_ends_first:
        gate.open(1)
        assert miss.result(support.LIMIT) == "old"
    gate.open(2)
    assert refresh.result(support.LIMIT) == "new"
    assert f.get(1) == f(1) == "new"
    if not miss_ends_first:
        gate.open(1)
        assert miss.result(support.LIMIT) == "old"
        assert f.get(1) == f(1) == "new"


@pytest.mark.parametrize("options", [{}, {"ttl": 1000, "tags": "group:{x}"}])
def test_a_call_of_what_is_absent_has_what_a_refresh_brings(
    backend: str, options: dict[str, Any]
) -> None:
    gate = Gate()
    f = made(backend, gated(gate), **options)
    refresh = support.start(f.cache_refresh, 1)
    gate.await_begun(1)
    calls = [support.start(f, 1) for _ in range(3)]
    support.eventually(lambda: f.cache_info().misses == 3)
    gate.open(1)
    assert [call.result(support.LIMIT) for call in (refresh, *calls)] == ["old"] * 4
    assert (gate.began, f.get(1)) == (1, "old")


@pytest.mark.parametrize("how", ["key", "tags", "all"])
def test_a_call_has_nothing_of_a_refresh_that_was_fenced(backend: str, how: str) -> None:
    gate = Gate()
    f = made(backend, gated(gate), tags="group:{x}")
    refresh = support.start(f.cache_refresh, 1)
    gate.await_begun(1)
    early = support.start(f, 1)
    support.eventually(lambda: f.cache_info().misses == 1)
    gate.source = "new"
    if how == "key":
        f.cache_invalidate(1)
    elif how == "tags":
        f.cache_invalidate_tags("group:1")
    else:
        f.cache_clear()
    late = support.start(f, 1)
    gate.await_begun(2)
    gate.open(2)
    # (Who was about to wait at that moment may compute as well.)
    gate.open(3)
    assert late.result(support.LIMIT) == "new"
    gate.open(1)
    assert refresh.result(support.LIMIT) == "old"
    assert early.result(support.LIMIT) in ("old", "new")
    assert f.get(1) == f(1) == "new"


def test_a_call_that_follows_a_refresh_has_its_exception(backend: str) -> None:
    gate = Gate()

    def function(x: int) -> Any:
        gate(x)
        raise ValueError(x)

    f = made(backend, function, wait_timeout=None)
    refresh = support.start(f.cache_refresh, 1)
    gate.await_begun(1)
    call = support.start(f, 1)
    support.eventually(lambda: f.cache_info().misses == 1)
    gate.open_all = True
    gate.open(1)
    errors = [future.exception(support.LIMIT) for future in (refresh, call)]
    assert [type(error) for error in errors] == [ValueError, ValueError]
    assert errors[0] is not errors[1]
    assert f.cache_info().currsize == 0


def test_a_call_within_a_refresh_of_its_own_key_computes(backend: str) -> None:
    depth: list[int] = []

    def function(x: int) -> Any:
        depth.append(x)
        return (1, f(x)) if len(depth) == 1 else 2

    f = made(backend, function, wait_timeout=None)
    assert support.start(f.cache_refresh, 1).result(support.LIMIT) == (1, 2)
    assert f.get(1) == f(1) == (1, 2)


def test_a_call_within_a_refresh_of_its_own_key_in_a_task_computes(backend: str) -> None:
    depth: list[int] = []

    async def function(x: int) -> Any:
        depth.append(x)
        return (1, await f(x)) if len(depth) == 1 else 2

    f = made(backend, function, wait_timeout=None)
    assert asyncio.run(asyncio.wait_for(f.cache_refresh(1), support.LIMIT)) == (1, 2)
    assert f.get(1) == (1, 2)


def test_tasks_have_what_a_refresh_of_what_is_absent_brings(backend: str) -> None:
    began: list[int] = []

    async def main() -> None:
        opened = asyncio.Event()

        async def function(x: int) -> Any:
            began.append(x)
            await opened.wait()
            return len(began)

        f = made(backend, function)
        refresh = asyncio.ensure_future(f.cache_refresh(1))
        while not began:
            await asyncio.sleep(0)
        early = [asyncio.ensure_future(f(1)) for _ in range(3)]
        await asyncio.sleep(0.05)
        assert began == [1]
        f.cache_invalidate(1)
        late = asyncio.ensure_future(f(1))
        while len(began) < 2:
            await asyncio.sleep(0.001)
        opened.set()
        # (All have the number of computations begun by then.)
        assert await asyncio.gather(refresh, *early, late) == [2] * 5
        assert began == [1, 1]
        assert f.get(1) == 2

    asyncio.run(asyncio.wait_for(main(), support.LIMIT))


@pytest.mark.parametrize(
    "stored", ["cache_put with a lifetime of nothing", "a value without bytes"]
)
def test_what_is_not_stored_fences_the_computation_under_way(backend: str, stored: str) -> None:
    gate = Gate()
    f = made(backend, gated(gate))
    miss = support.start(f, 1)
    gate.await_begun(1)
    gate.source = "new"
    if stored == "a value without bytes":
        if backend == "memory":
            pytest.skip("memory stores it")
        with pytest.warns(warp.UncacheableWarning):
            f.set(threading.Lock(), 1)
    else:
        f.cache_put("unused", (1,), ttl=0)
    second = support.start(f, 1)
    gate.await_begun(2)
    gate.open(1)
    assert miss.result(support.LIMIT) == "old"
    gate.open(2)
    assert second.result(support.LIMIT) == f(1) == "new"


def test_who_joins_has_a_value_of_his_own(backend: str) -> None:
    gate = Gate()
    gate.source = [1]
    f = made(backend, gated(gate), **({"copy": True} if backend == "memory" else {}))
    waits = [support.start(f.cache_refresh, 1)]
    gate.await_begun(1)
    waits += [support.start(f.cache_refresh, 1) for _ in range(2)]
    until_waited_for(f, 2)
    gate.open(1)
    gate.open_all = True
    values = support.results(waits)
    assert values == [[1]] * 3
    values[0].append("changed")
    assert values[1:] == [[1]] * 2
    values[1].append("changed")
    assert values[2] == f(1) == [1]


@pytest.mark.parametrize("coroutines", [False, True])
def test_tasks_that_join_have_values_of_their_own(backend: str, coroutines: bool) -> None:
    async def main() -> None:
        gate = asyncio.Event()

        async def function(x: int) -> list[int]:
            await gate.wait()
            return [x]

        f = made(backend, function, **({"copy": True} if backend == "memory" else {}))
        ask = f if coroutines else f.cache_refresh
        tasks = [asyncio.ensure_future(ask(1)) for _ in range(3)]
        await asyncio.sleep(0.02)
        gate.set()
        values = await asyncio.gather(*tasks)
        assert values == [[1]] * 3
        assert len({id(value) for value in values}) == 3

    asyncio.run(asyncio.wait_for(main(), support.LIMIT))


def test_a_cancelled_refresh_is_the_others_too(backend: str) -> None:
    async def main() -> None:
        body, gate = Body(), asyncio.Event()

        async def function(x: int) -> Any:
            value = body(x)
            await gate.wait()
            return value

        f = made(backend, function)
        tasks = [asyncio.ensure_future(f.cache_refresh(1)) for _ in range(3)]
        await asyncio.sleep(0.02)
        tasks[0].cancel()
        await asyncio.sleep(0.02)
        gate.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError)
        assert results[1:] == [(1, 1)] * 2 and body.count == 1
        assert f.get(1) == (1, 1)
        # The last one takes the work with it.
        gate.clear()
        lone = asyncio.ensure_future(f.cache_refresh(1))
        await asyncio.sleep(0.02)
        lone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await lone
        gate.set()
        assert await f(1) == (1, 1) and await f.cache_refresh(1) == (1, 3)

    asyncio.run(asyncio.wait_for(main(), support.LIMIT))


def test_who_ends_with_what_is_his_alone_leaves_the_others_to_compute(backend: str) -> None:
    calls: list[int] = []
    entered, go = threading.Event(), threading.Event()

    def function(x: int) -> int:
        calls.append(x)
        if len(calls) == 1:
            entered.set()
            assert go.wait(support.LIMIT)
            raise SystemExit
        return len(calls)

    f = made(backend, function)
    first = support.start(f.cache_refresh, 1)
    assert entered.wait(support.LIMIT)
    others = [support.start(f.cache_refresh, 1) for _ in range(2)]
    until_waited_for(f, 2)
    go.set()
    assert isinstance(support.errors([first])[0], SystemExit)
    assert set(support.results(others)) <= {2, 3}
