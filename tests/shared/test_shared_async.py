"""Coroutine functions in the shared backend: one computation in a loop, and over processes."""

from __future__ import annotations

import asyncio
import gc
import inspect
import signal
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import support
from children import WAITS, Child, Children

from warp_cache import SharedCacheInfo, cache, lru_cache
from warp_cache._decorators import AsyncCachedFunction

SOURCE = """
import asyncio, os, sys, time
from pathlib import Path
from warp_cache import cache
folder = Path(sys.argv[1])

@cache(backend="shared", name="gated", wait_timeout=float(os.environ.get("BOUND", "20")))
async def gated(x):
    with open(folder / "calls", "a") as file:
        file.write(f"{os.getpid()} {x}\\n")
    while not (folder / "open").exists():
        await asyncio.sleep(0.005)
    if x < 0:
        raise ValueError(f"no {x}")
    return {"x": [x]}

async def several(x, count=3):
    found = await asyncio.gather(*(gated(x) for _ in range(count)), return_exceptions=True)
    assert len({id(one) for one in found}) == count
    return found

async def cancelled(x):
    task = asyncio.create_task(gated(x))
    await asyncio.sleep(0.2)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return "cancelled"

def run(coroutine):
    return asyncio.run(coroutine)
"""


def run(function: Callable[[], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        return await asyncio.wait_for(function(), support.LIMIT)

    return asyncio.run(main())


def calls_in(folder: Path) -> list[int]:
    path = folder / "calls"
    return [int(line.split()[0]) for line in path.read_text().splitlines()] if path.exists() else []


def leader_of(children: list[Child], folder: Path, count: int = 1) -> Child:
    support.eventually(lambda: len(calls_in(folder)) >= count)
    pid = calls_in(folder)[-1]
    return next(child for child in children if child.process.pid == pid)


@pytest.mark.parametrize("decorate", [cache, lru_cache])
def test_a_hit_and_a_miss(decorate: Any) -> None:
    calls = []

    @decorate(backend="shared")
    async def function(x: int) -> dict[str, list[int]]:
        calls.append(x)
        await asyncio.sleep(0)
        return {"a": [x]}

    assert isinstance(function, AsyncCachedFunction)
    assert inspect.iscoroutinefunction(function)

    async def main() -> None:
        for _ in range(4):
            value = await function(1)
            assert value == {"a": [1]}
            value["a"].append(2)
        assert function.get(1) == {"a": [1]}
        function.set({"b": []}, 2)
        (await function(2))["b"].append(1)
        assert await function(2) == {"b": []}

    run(main)
    assert calls == [1]
    info = function.cache_info()
    assert type(info) is SharedCacheInfo and info == (5, 1, 128, 2)


def test_a_hit_does_not_suspend() -> None:
    @cache(backend="shared")
    async def function(x: int) -> int:
        return x

    run(lambda: function(1))
    coroutine = function(1)
    with pytest.raises(StopIteration) as stopped:
        coroutine.send(None)
    assert stopped.value.value == 1


def test_one_computation_in_a_loop() -> None:
    calls = []

    @cache(backend="shared")
    async def function(x: int) -> list[int]:
        calls.append(x)
        await asyncio.sleep(0.05)
        return [x]

    async def main() -> list[list[int]]:
        return await asyncio.gather(*(function(1) for _ in range(5)))

    found = run(main)
    assert found == [[1]] * 5 and calls == [1]
    assert len({id(one) for one in found}) == 5
    assert function.cache_info() == (0, 5, 128, 1)


@support.uncacheable
def test_what_cannot_be_stored() -> None:
    @cache(backend="shared", max_value_size=100)
    async def function(x: int) -> Any:
        await asyncio.sleep(0.01)
        return (lambda: x) if x < 5 else bytes(x)

    async def main() -> None:
        one, two = await asyncio.gather(function(1), function(1))
        assert one() == two() == 1
        assert await function(200) == await function(200) == bytes(200)

    run(main)
    info = function.cache_info()
    assert info == (0, 4, 128, 0) and info.oversize_skips == 3


@support.uncacheable
@pytest.mark.parametrize("why", ["expired", "too large", "cleared", "evicted", "set"])
@pytest.mark.parametrize("pickled", [False, True])
def test_what_is_not_there_any_more_is_each_callers_own(why: str, pickled: bool) -> None:
    calls = []
    options: dict[str, Any] = {"expired": {"ttl": 1e-6}, "too large": {"max_value_size": 9}}.get(
        why, {}
    )

    @cache(backend="shared", max_size=1, **options)
    async def function(x: int) -> list[Any]:
        calls.append(x)
        await asyncio.sleep(0.01)
        if why == "cleared":
            function.cache_clear()
        if why == "set":
            function.set(["set"], x)
            function.cache_clear()
        return [Decimal(x)] if pickled else [x]

    async def call(x: int) -> list[Any]:
        found = await function(x)
        if why == "evicted":
            function.set([], 100)
        found.append("seen")
        return found

    async def main() -> list[list[Any]]:
        return await asyncio.gather(*(call(1) for _ in range(5)))

    found = run(main)
    assert found == [[1, "seen"]] * 5 and calls == [1]
    assert len({id(one) for one in found}) == 5


@support.uncacheable
def test_a_key_that_cannot_be_stored() -> None:
    @cache(backend="shared")
    async def function(x: object) -> int:
        await asyncio.sleep(0.01)
        return 1

    async def main() -> None:
        key = object()
        assert await asyncio.gather(function(key), function(key)) == [1, 1]

    run(main)
    info = function.cache_info()
    assert info == (0, 2, 128, 0) and info.oversize_skips == 2


def test_exceptions() -> None:
    @cache(backend="shared")
    async def function(x: int) -> int:
        await asyncio.sleep(0.01)
        raise ValueError("no")

    async def main() -> list[Any]:
        return await asyncio.gather(*(function(1) for _ in range(3)), return_exceptions=True)

    found = run(main)
    assert [type(error) for error in found] == [ValueError] * 3
    assert len({id(error) for error in found}) == 3
    assert function.cache_info() == (0, 3, 128, 0)


def test_size_zero_and_ttl_and_clear() -> None:
    calls = []

    @cache(backend="shared", max_size=0)
    async def nothing(x: int) -> int:
        return x

    @cache(backend="shared", ttl=0.15)
    async def short(x: int) -> int:
        calls.append(x)
        return x

    @cache(backend="shared")
    async def clearing(x: int) -> int:
        clearing.cache_clear()
        return x

    async def main() -> None:
        assert await nothing(1) == await nothing(1) == 1
        await short(1)
        await short(1)
        await asyncio.sleep(0.2)
        await short(1)
        assert await clearing(1) == 1

    run(main)
    assert nothing.cache_info() == (0, 2, 0, 0)
    assert calls == [1, 1]
    assert clearing.get(1) is None


@support.uncacheable
def test_methods() -> None:
    class Shop:
        @cache(backend="shared", name="kind")
        async def price(self, x: int) -> int:
            return x

        @classmethod
        @cache(backend="shared")
        async def kind(cls, x: int) -> str:
            return f"{cls.__name__} {x}"

        def __reduce__(self) -> Any:
            return (Shop, ())

    async def main() -> None:
        assert await Shop().price(1) == 1
        assert await Shop.kind(1) == await Shop().kind(1) == "Shop 1"

    run(main)


def test_a_call_that_asks_for_itself() -> None:
    depth = 0

    @cache(backend="shared", wait_timeout=20)
    async def function(x: int) -> int:
        nonlocal depth
        depth += 1
        return await function(x) if depth < 3 else depth

    began = time.monotonic()
    assert run(lambda: function(1)) == 3
    assert time.monotonic() - began < 5


def test_the_last_waiter_cancelled_gives_the_lease_back() -> None:
    calls = []

    @cache(backend="shared")
    async def function(x: int) -> int:
        calls.append(x)
        if len(calls) == 1:
            await asyncio.sleep(60)
        return x

    async def main() -> None:
        task = asyncio.create_task(function(1))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await function(1) == 1

    began = time.monotonic()
    run(main)
    assert calls == [1, 1] and time.monotonic() - began < 5


def test_a_loop_that_is_closed_in_the_middle() -> None:
    calls = []

    @cache(backend="shared")
    async def function(x: int) -> int:
        calls.append(x)
        if len(calls) == 1:
            await asyncio.sleep(60)
        return x

    async def leave() -> None:
        asyncio.get_running_loop().create_task(function(1))  # type: ignore[arg-type] # noqa: RUF006
        await asyncio.sleep(0.05)

    run(leave)
    gc.collect()
    assert run(lambda: function(1)) == 1


def test_one_computation_over_processes(children: Children, tmp_path: Path) -> None:
    group = children.start(SOURCE + WAITS, 3)
    asked = [child.start("run(several(1))") for child in group]
    first = leader_of(group, tmp_path)
    for child in group:
        if child is not first:
            child.await_waits(1)
    (tmp_path / "open").touch()
    assert [question.answer() for question in asked] == [repr([{"x": [1]}] * 3)] * 3
    assert len(calls_in(tmp_path)) == 1
    assert group[0].ask("tuple(gated.cache_info())") == "(0, 9, 128, 1)"


def test_a_leader_that_is_killed(children: Children, tmp_path: Path) -> None:
    group = children.start(SOURCE, 3)
    asked = {child: child.start("run(several(1))") for child in group}
    first = leader_of(group, tmp_path)
    first.kill()
    leader_of(group, tmp_path, 2)
    (tmp_path / "open").touch()
    others = [child for child in group if child is not first]
    assert {asked[child].answer() for child in others} == {repr([{"x": [1]}] * 3)}
    assert len(calls_in(tmp_path)) == 2


def test_a_leader_that_is_stopped(
    children: Children, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOUND", "0.5")
    group = children.start(SOURCE, 2)
    began = time.monotonic()
    asked = {child: child.start("run(several(1))") for child in group}
    first = leader_of(group, tmp_path)
    first.signal(signal.SIGSTOP)
    other = next(child for child in group if child is not first)
    (tmp_path / "open").touch()
    assert asked[other].answer() == repr([{"x": [1]}] * 3)
    assert time.monotonic() - began > 0.5
    assert len(calls_in(tmp_path)) == 2
    first.signal(signal.SIGCONT)
    assert asked[first].answer() == repr([{"x": [1]}] * 3)


def test_a_leader_that_raises(children: Children, tmp_path: Path) -> None:
    group = children.start(SOURCE, 2)
    asked = [child.start("run(several(-1))") for child in group]
    leader_of(group, tmp_path)
    (tmp_path / "open").touch()
    assert [question.answer() for question in asked] == [repr([ValueError("no -1")] * 3)] * 2


def test_a_leader_that_is_cancelled(children: Children, tmp_path: Path) -> None:
    one, two = children.start(SOURCE, 2)
    cancelled = one.start("run(cancelled(1))")
    leader_of([one, two], tmp_path)
    waiting = two.start("run(several(1))")
    assert cancelled.answer() == "'cancelled'"
    assert leader_of([one, two], tmp_path, 2) is two
    (tmp_path / "open").touch()
    assert waiting.answer() == repr([{"x": [1]}] * 3)


@support.uncacheable
def test_a_leader_that_leaves_the_file(
    children: Children, tmp_path: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those who wait in the file that it began in are freed when it is done."""
    monkeypatch.setenv("BOUND", "60")
    plain = """
bound = float(os.environ["BOUND"])
plain = cache(backend="shared", name="gated", wait_timeout=bound)(lambda x: {"x": [-x]})
"""
    one, two = children.start(SOURCE + plain + WAITS, 2)
    began = time.monotonic()
    computed = one.start("run(several(1))")
    leader_of([one, two], tmp_path)
    waiting = two.start("plain(1)")
    two.await_waits(1)
    (cache_dir / "gated.cache").rename(cache_dir / "another.cache")
    # Whether the file is astray is looked at once a second.
    time.sleep(1.1)
    one.ask("plain(2)")
    (tmp_path / "open").touch()
    assert computed.answer() == repr([{"x": [1]}] * 3)
    assert waiting.answer() == repr({"x": [-1]})
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("known", [False, True], ids=["a new loop", "a loop that was there"])
def test_a_closed_loop_leaves_no_lease_behind(known: bool) -> None:
    """Whoever comes later in this process does not wait for what will never end."""
    slow = [30.0]

    @cache(backend="shared", wait_timeout=None)
    async def function(x: int) -> int:
        await asyncio.sleep(slow[0])
        return x

    async def begin() -> asyncio.Task[int]:
        task = asyncio.ensure_future(function(1))
        await asyncio.sleep(0.05)
        return task

    async def bounded(x: int) -> int:
        return await asyncio.wait_for(function(x), 10)

    closed, other = asyncio.new_event_loop(), asyncio.new_event_loop()
    if known:
        slow[0] = 0
        assert other.run_until_complete(bounded(2)) == 2
        slow[0] = 30
    task = closed.run_until_complete(begin())
    closed.close()
    slow[0] = 0
    assert other.run_until_complete(bounded(1)) == 1
    other.close()
    assert not task.done()
    task._log_destroy_pending = False  # type: ignore[attr-defined]
