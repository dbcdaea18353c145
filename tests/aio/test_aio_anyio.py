"""Cancel scopes of anyio around and inside a cached coroutine: as without the cache."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from loops import turns

from warp_cache import cache, lru_cache

anyio = pytest.importorskip("anyio")

LIMIT = 20.0
LONG = 60.0
DECORATORS: dict[str, Any] = {
    "cache": cache,
    "lru_cache": lru_cache,
    "shared": cache(backend="shared"),
    "without single-flight": cache(single_flight=False),
}


class Pool:
    """Connections, and what happened to who had them."""

    def __init__(self, decorate: Any) -> None:
        self.decorate = decorate
        self.free = ["connection"]
        self.seen: list[Any] = []

    async def give_back(self, shield: bool, steps: int = 20) -> None:
        try:
            with anyio.CancelScope(shield=shield):
                for _ in range(steps):
                    await anyio.sleep(0)
                self.free.append("connection")
        except asyncio.CancelledError:
            self.seen.append("not given back")
            raise

    def function(self, body: Callable[[], Awaitable[Any]], shield: bool = True) -> Any:
        @self.decorate
        async def fetch(key: int) -> Any:
            connection = self.free.pop()
            try:
                return await body(), connection
            finally:
                await self.give_back(shield)

        return fetch

    def note(self, what: str) -> None:
        self.seen.append((what, len(self.free)))


async def long() -> None:
    await anyio.sleep(LONG)


async def moved_on(pool: Pool) -> None:
    with anyio.move_on_after(0.01) as scope:
        await pool.function(long)(1)
    pool.note(f"moved on {scope.cancelled_caught}")


async def moved_on_without_a_shield(pool: Pool) -> None:
    with anyio.move_on_after(0.01):
        await pool.function(long, shield=False)(1)
    pool.note("moved on")


async def failed_after(pool: Pool) -> None:
    with pytest.raises(TimeoutError), anyio.fail_after(0.01):
        await pool.function(long)(1)
    pool.note("failed")


async def scopes_in_scopes(pool: Pool) -> None:
    with anyio.move_on_after(0.01) as outer, anyio.CancelScope():
        with anyio.move_on_after(LONG) as inner:
            await pool.function(long)(1)
        pool.note("unreached")
    pool.note(f"{outer.cancelled_caught} {inner.cancelled_caught}")


async def cancelled_before(pool: Pool) -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        try:
            await pool.function(long)(1)
        finally:
            pool.note("ended")
    pool.note("caught")


async def cancelled_before_what_never_waits(pool: Pool) -> None:
    @pool.decorate
    async def at_once(key: int) -> int:
        pool.note("ran")
        return key

    with anyio.CancelScope() as scope:
        scope.cancel()
        pool.note(f"value {await at_once(7)}")
        pool.note("still here")
        await anyio.sleep(LONG)
    pool.note(f"caught {scope.cancelled_caught}")


async def a_shielded_call(pool: Pool) -> None:
    with anyio.move_on_after(0.01):
        with anyio.CancelScope(shield=True):
            await pool.function(lambda: anyio.sleep(0.03))(1)
        pool.note("still here")
        await anyio.sleep(LONG)
    pool.note("moved on")


async def shields_in_shields(pool: Pool) -> None:
    async def body() -> None:
        try:
            await long()
        finally:
            with anyio.CancelScope(shield=True):
                with anyio.move_on_after(0.01) as limit:
                    await long()
                pool.note(f"limit in a shield {limit.cancelled_caught}")
            try:
                await anyio.sleep(0)
            except asyncio.CancelledError:
                pool.note("cancelled again outside of it")
                raise

    with anyio.move_on_after(0.01):
        await pool.function(body)(1)
    pool.note("moved on")


async def swallowed(pool: Pool) -> None:
    async def body() -> str:
        try:
            await long()
        except asyncio.CancelledError:
            pool.note("swallowed")
        return "value"

    with anyio.move_on_after(0.01) as scope:
        pool.seen.append(await pool.function(body)(1))
        await anyio.sleep(LONG)
    pool.note(f"moved on {scope.cancelled_caught}")


async def another_exception(pool: Pool) -> None:
    async def body() -> None:
        try:
            await long()
        finally:
            raise LookupError("broken")

    with pytest.raises(LookupError, match="broken"), anyio.move_on_after(0.01):
        await pool.function(body)(1)
    pool.note("raised")


async def a_sibling_fails(pool: Pool) -> None:
    async def fail() -> None:
        await anyio.sleep(0.01)
        raise LookupError("sibling")

    try:
        async with anyio.create_task_group() as group:
            group.start_soon(pool.function(long), 1)
            group.start_soon(fail)
    except Exception as error:
        pool.seen.append(repr(error))
    pool.note("group ended")


async def a_group_inside(pool: Pool) -> None:
    async def child(i: int) -> None:
        try:
            await long()
        finally:
            with anyio.CancelScope(shield=True):
                await turns(10 + i)
                pool.note(f"child {i}")

    async def body() -> None:
        async with anyio.create_task_group() as group:
            for i in range(3):
                group.start_soon(child, i)

    with anyio.move_on_after(0.01):
        await pool.function(body)(1)
    pool.note("moved on")


async def scopes_inside(pool: Pool) -> None:
    async def body() -> str:
        with anyio.move_on_after(0.01) as scope:
            await long()
        assert scope.cancelled_caught
        with pytest.raises(TimeoutError), anyio.fail_after(0.01):
            await long()
        return await anyio.to_thread.run_sync(lambda: "from a thread")

    pool.seen.append(await pool.function(body)(1))
    with anyio.move_on_after(LONG):
        pool.seen.append(await pool.function(body)(2))


async def cancelled_by_its_task_in_a_scope(pool: Pool) -> None:
    async def caller() -> None:
        with anyio.CancelScope():
            await pool.function(long)(1)

    task = asyncio.ensure_future(caller())
    await turns(10)
    task.cancel("plainly")
    await asyncio.wait([task])
    pool.note(f"cancelled {task.cancelled()}")


async def a_scope_and_the_task_are_cancelled(pool: Pool) -> None:
    """Shielded from the scope, not from the task's cancellation."""
    scope = anyio.CancelScope()

    async def caller() -> None:
        with scope:
            await pool.function(long)(1)

    task = asyncio.ensure_future(caller())
    await turns(10)
    scope.cancel()
    await turns(6)
    task.cancel("plainly")
    await asyncio.wait([task])
    pool.note("ended")


async def a_scope_is_cancelled_after_the_task(pool: Pool) -> None:
    scope = anyio.CancelScope()

    async def caller() -> None:
        with scope:
            await pool.function(long)(1)

    task = asyncio.ensure_future(caller())
    await turns(10)
    task.cancel("plainly")
    await turns(6)
    scope.cancel()
    await asyncio.wait([task])
    pool.note("ended")


SCENARIOS = [
    moved_on,
    moved_on_without_a_shield,
    failed_after,
    scopes_in_scopes,
    cancelled_before,
    cancelled_before_what_never_waits,
    a_shielded_call,
    shields_in_shields,
    swallowed,
    another_exception,
    a_sibling_fails,
    a_group_inside,
    scopes_inside,
    cancelled_by_its_task_in_a_scope,
    a_scope_and_the_task_are_cancelled,
    a_scope_is_cancelled_after_the_task,
]


def outcome(scenario: Any, decorate: Any) -> list[Any]:
    pool = Pool(decorate)

    async def main() -> None:
        with anyio.fail_after(LIMIT):
            await scenario(pool)
        task: Any = asyncio.current_task()
        if sys.version_info >= (3, 11):
            pool.seen.append(task.cancelling())
        assert asyncio.all_tasks() <= {task}

    anyio.run(main)
    return [*pool.seen, len(pool.free)]


@pytest.mark.parametrize("decorator", DECORATORS)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_as_without_the_cache(scenario: Any, decorator: str) -> None:
    assert outcome(scenario, DECORATORS[decorator]) == outcome(scenario, lambda function: function)
