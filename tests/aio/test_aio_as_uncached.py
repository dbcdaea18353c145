"""A lone caller of a cached coroutine sees what he would see without the cache.

Each scenario is run with the bare function and with cached ones; what was seen must be the same.
It is one table of scenarios, so it is longer than other files.
"""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from loops import run, turns

from warp_cache import cache, lru_cache

since_311 = pytest.mark.skipif(sys.version_info < (3, 11), reason="exists since 3.11")

DECORATORS: dict[str, Any] = {
    "cache": cache,
    "lru_cache": lru_cache,
    "shared": cache(backend="shared"),
}


class Own(BaseException):
    pass


class Seen(list[Any]):
    """What a scenario saw; `decorate` makes its functions."""

    def __init__(self, decorate: Any) -> None:
        super().__init__()
        self.decorate = decorate
        self.started = asyncio.Event()

    async def cleanup(self, steps: int = 8) -> None:
        """Takes a while; notes whether it was left alone."""
        try:
            await turns(steps)
        except BaseException as error:
            self.append(("cleanup", type(error).__name__, error.args))
            raise
        self.append("cleanup ended")

    async def of(self, call: Awaitable[Any]) -> Any:
        """Await a call and note how it ends, and what is left of its task's cancellations."""
        task: Any = asyncio.current_task()
        try:
            value = await call
            self.append(("value", value))
            return value
        except BaseException as error:
            chain = []
            context = error.__context__
            while context is not None:
                chain.append(type(context).__name__)
                context = context.__context__
            self.append(("raised", type(error).__name__, error.args, chain))
            raise
        finally:
            if sys.version_info >= (3, 11):
                self.append(("cancelling", task.cancelling()))

    async def task(self, call: Awaitable[Any]) -> asyncio.Task[Any]:
        """A task that awaits the call, whose function has started."""
        task = asyncio.ensure_future(self.of(call))
        await self.started.wait()
        # The function has come to its first wait.
        await turns(2)
        return task


Scenario = Callable[[Seen], Awaitable[Any]]
SCENARIOS: dict[str, tuple[Scenario, Any]] = {}


def scenario(function: Scenario) -> Scenario:
    SCENARIOS[function.__name__] = function, ()
    return function


def scenario_since_311(function: Scenario) -> Scenario:
    SCENARIOS[function.__name__] = function, since_311
    return function


def sleeper(seen: Seen, last: Callable[[], Awaitable[Any]]) -> Any:
    """A function that is cancelled in a sleep and then awaits `last()`."""

    @seen.decorate
    async def sleeping(key: int) -> Any:
        seen.started.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError as error:
            seen.append(("in the function", error.args))
            raise
        finally:
            await last()

    return sleeping


@scenario
async def cancelled_once(seen: Seen) -> None:
    task = await seen.task(sleeper(seen, seen.cleanup)(1))
    task.cancel()
    await asyncio.wait([task])
    seen.append(("end", task.cancelled()))


@scenario
async def cancelled_with_a_message(seen: Seen) -> None:
    task = await seen.task(sleeper(seen, seen.cleanup)(1))
    task.cancel("for a reason")
    await asyncio.wait([task])


@scenario
async def cancelled_again_while_it_cleans_up(seen: Seen) -> None:
    task = await seen.task(sleeper(seen, lambda: seen.cleanup(1000))(1))
    task.cancel("first")
    await turns(3)
    task.cancel("second")
    await asyncio.wait([task])


@scenario_since_311
async def cancelled_twice_before_it_wakes_up(seen: Seen) -> None:
    """One exception, two cancellations: whoever takes them back must find both."""

    @seen.decorate
    async def counting(key: int) -> int:
        task: Any = asyncio.current_task()
        seen.started.set()
        for _ in range(2):
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(60)
            seen.append(task.cancelling())
            while task.cancelling():
                task.uncancel()
        return key

    task = await seen.task(counting(1))
    for _ in range(2):
        task.cancel()
        task.cancel()
        await turns(5)
    await asyncio.wait([task])
    seen.append(("end", task.cancelled()))


@scenario
async def fails_before_it_is_cancelled(seen: Seen) -> None:
    """It never waits, so nothing can be thrown into it; its exception must not get lost."""
    for kind in (LookupError, Own):

        @seen.decorate
        async def failing(kind: Any) -> None:
            seen.started.set()
            raise kind("from inside")

        task = asyncio.ensure_future(failing(kind))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        seen.append((task.cancelled(), None if task.cancelled() else repr(task.exception())))


@scenario
async def cancelled_at_each_turn_with_a_shield_of_asyncio(seen: Seen) -> None:
    given_back = asyncio.ensure_future(seen.cleanup(20))

    async def last() -> None:
        while not given_back.done():
            with suppress(asyncio.CancelledError):
                await asyncio.shield(given_back)

    task = await seen.task(sleeper(seen, last)(1))
    for _ in range(5):
        task.cancel()
        await turns(2)
    seen.append(("done", task.done()))
    await asyncio.wait([task])


@scenario
async def swallowed(seen: Seen) -> None:
    @seen.decorate
    async def f(key: int) -> str:
        seen.started.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await seen.cleanup()
        return "half of it"

    task = await seen.task(f(1))
    task.cancel()
    await asyncio.wait([task])
    seen.append((task.cancelled(), task.result()))


@scenario_since_311
async def taken_back(seen: Seen) -> None:
    @seen.decorate
    async def f(key: int) -> str:
        seen.started.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            assert task is not None
            seen.append(task.uncancel())
        return "half of it"

    async def caller() -> None:
        try:
            async with asyncio.timeout(60):
                await seen.of(f(1))
            await asyncio.sleep(0.001)
        finally:
            seen.append("caller ended")

    task = asyncio.ensure_future(caller())
    await turns(4)
    task.cancel()
    await asyncio.wait([task])
    seen.append((task.cancelled(), task.cancelling()))


@scenario
async def another_exception_while_it_is_cancelled(seen: Seen) -> None:
    async def last() -> None:
        await seen.cleanup()
        raise LookupError("broken")

    task = await seen.task(sleeper(seen, last)(1))
    task.cancel()
    await asyncio.wait([task])
    seen.append(repr(task.exception()))


@scenario
async def an_own_exception_while_it_is_cancelled(seen: Seen) -> None:
    async def last() -> None:
        raise Own("outcome")

    task = await seen.task(sleeper(seen, last)(1))
    task.cancel()
    await asyncio.wait([task])
    seen.append(repr(task.exception()))


@scenario
async def another_cancelled_error(seen: Seen) -> None:
    async def last() -> None:
        raise asyncio.CancelledError("mine")

    task = await seen.task(sleeper(seen, last)(1))
    task.cancel("yours")
    await asyncio.wait([task])
    seen.append(task.cancelled())


@scenario
async def cancelled_error_of_its_own(seen: Seen) -> None:
    @seen.decorate
    async def f(key: int) -> None:
        await asyncio.sleep(0)
        raise asyncio.CancelledError("mine")

    for _ in range(2):
        with pytest.raises(asyncio.CancelledError):
            await seen.of(f(1))


@scenario
async def cancelled_error_of_its_own_in_whatever_waits(seen: Seen) -> None:
    @seen.decorate
    async def f(key: int, steps: int = 0) -> None:
        await turns(steps)
        raise asyncio.CancelledError("mine", key)

    waits: list[Any] = [
        lambda call: call,
        asyncio.ensure_future,
        asyncio.shield,
        asyncio.gather,
        lambda call: asyncio.wait_for(call, 60),
    ]
    for key, wait in enumerate(waits):
        for steps in 0, 2:
            with pytest.raises(asyncio.CancelledError):
                await seen.of(wait(f(key, steps)))


@scenario_since_311
async def cancelled_error_of_its_own_within_a_timeout_and_a_group(seen: Seen) -> None:
    @seen.decorate
    async def f(key: int) -> None:
        await asyncio.sleep(0)
        raise asyncio.CancelledError("mine")

    async def limited() -> None:
        async with asyncio.timeout(60):
            await f(1)

    with pytest.raises(asyncio.CancelledError):
        await seen.of(limited())
    async with asyncio.TaskGroup() as group:
        task = group.create_task(f(2))
    # A child that was cancelled ends no group.
    assert task.cancelled()
    with pytest.raises(asyncio.CancelledError):
        await seen.of(task)


@scenario
async def base_exceptions(seen: Seen) -> None:
    for kind in (Own, GeneratorExit, Exception, StopAsyncIteration):
        for steps in 0, 1, 3:

            @seen.decorate
            async def f(key: int, kind: Any = kind, steps: int = steps) -> None:
                await turns(steps)
                raise kind("inside")

            with pytest.raises(kind):
                await seen.of(f(1))


@scenario
async def raised_while_another_one_is_handled(seen: Seen) -> None:
    @seen.decorate
    async def plain(key: int) -> None:
        await asyncio.sleep(0)
        raise ValueError("inside")

    @seen.decorate
    async def chained(key: int) -> None:
        await asyncio.sleep(0)
        try:
            raise OSError("deep")
        except OSError as error:
            raise ValueError("inside") from error

    with pytest.raises(ValueError):
        await seen.of(chained(1))
    try:
        raise KeyError("the caller's")
    except KeyError:
        for function in plain, chained, plain:
            with pytest.raises(ValueError):
                await seen.of(function(1))
        seen.append(len(traceback.extract_tb(sys.exc_info()[2])))
    for _ in range(2):
        with pytest.raises(ValueError):
            await seen.of(plain(1))


@scenario
async def one_object_raised_again_and_again(seen: Seen) -> None:
    error = ValueError("always the same")

    @seen.decorate
    async def f(key: int) -> None:
        seen.append(repr(sys.exc_info()[1]))
        await asyncio.sleep(0)
        seen.append(repr(sys.exc_info()[1]))
        raise error

    for kind in (KeyError, LookupError):
        try:
            raise kind("the caller's")
        except kind:
            for _ in range(2):
                with pytest.raises(ValueError):
                    await seen.of(f(1))


@scenario_since_311
async def time_limits(seen: Seen) -> None:
    for limit in (0.01, 0):
        try:
            async with asyncio.timeout(limit):
                await seen.of(sleeper(seen, seen.cleanup)(1))
        except TimeoutError as error:
            seen.append(type(error.__cause__ or error.__context__).__name__)
        task: Any = asyncio.current_task()
        seen.append(("after", task.cancelling()))
    try:
        await asyncio.wait_for(seen.of(sleeper(seen, seen.cleanup)(1)), 0.01)
    except asyncio.TimeoutError:
        seen.append("timeout")


@scenario_since_311
async def a_time_limit_inside(seen: Seen) -> None:
    @seen.decorate
    async def f(key: int) -> str:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.sleep(60)
        except TimeoutError:
            return "too late"
        return "?"

    async with asyncio.timeout(60):
        await seen.of(f(1))
    await seen.of(f(1))


@scenario_since_311
async def a_group_of_tasks_that_fails(seen: Seen) -> None:
    async def failing() -> None:
        await seen.started.wait()
        await turns(2)
        raise LookupError("sibling")

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(seen.of(sleeper(seen, seen.cleanup)(1)))
            group.create_task(failing())
    except BaseException as error:
        seen.append(repr(error))


@scenario_since_311
async def a_group_of_tasks_inside(seen: Seen) -> None:
    @seen.decorate
    async def f(key: int) -> None:
        seen.started.set()
        async with asyncio.TaskGroup() as group:
            for _ in range(2):
                group.create_task(child())

    async def child() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await seen.cleanup()

    task = await seen.task(f(1))
    task.cancel()
    await asyncio.wait([task])
    seen.append(task.cancelled())


@scenario
async def all_tasks_are_cancelled(seen: Seen) -> None:
    """As `asyncio.run` does when it ends."""
    task = await seen.task(sleeper(seen, seen.cleanup)(1))
    for other in asyncio.all_tasks() - {asyncio.current_task()}:
        if other is task or "Flight.work" in repr(other):
            other.cancel()
    await asyncio.wait([task])
    seen.append(task.cancelled())


@scenario_since_311
async def all_tasks_are_cancelled_in_the_other_order(seen: Seen) -> None:
    task = await seen.task(sleeper(seen, seen.cleanup)(1))
    tasks = asyncio.all_tasks() - {asyncio.current_task(), task}
    for other in (*(other for other in tasks if "Flight.work" in repr(other)), task):
        other.cancel()
    await asyncio.wait([task])
    seen.append(task.cancelled())


@pytest.mark.parametrize("decorator", DECORATORS)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=marks) for name, (_, marks) in SCENARIOS.items()]
)
def test_as_without_the_cache(name: str, decorator: str) -> None:
    function = SCENARIOS[name][0]

    async def main(decorate: Any) -> list[Any]:
        seen = Seen(decorate)
        await function(seen)
        return list(seen)

    bare = run(lambda: main(lambda function: function))
    assert bare
    assert run(lambda: main(DECORATORS[decorator])) == bare
    assert run(lambda: main(DECORATORS[decorator]), debug=True) == bare
    if sys.version_info >= (3, 12):
        factory = asyncio.eager_task_factory
        eager = run(lambda: main(lambda function: function), factory=factory)
        assert run(lambda: main(DECORATORS[decorator]), factory=factory) == eager
