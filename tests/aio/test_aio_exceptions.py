"""Exceptions of a coroutine: each caller has his own, and nothing is complained of."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
import threading
import traceback
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from loops import run, turns

from warp_cache import cache, lru_cache

DECORATORS: dict[str, Any] = {
    "cache": cache,
    "lru_cache": lru_cache,
    "shared": cache(backend="shared"),
}
everywhere = pytest.mark.parametrize("decorator", DECORATORS)


class Own(BaseException):
    pass


class Strange(Exception):
    def __init__(self, *, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


def names(error: BaseException) -> list[str]:
    return [frame.name for frame in traceback.extract_tb(error.__traceback__)]


async def gather(*calls: Any) -> list[Any]:
    """As `asyncio.gather`, for exceptions of all kinds."""

    async def caught(call: Any) -> Any:
        try:
            return await call
        except BaseException as error:
            return error

    return await asyncio.gather(*map(caught, calls))


@everywhere
def test_each_caller_has_his_own_frames_and_those_of_the_computation(decorator: str) -> None:
    raised: list[BaseException] = []

    @DECORATORS[decorator]
    async def load(key: int) -> None:
        await turns(3)
        raised.append(Strange(status=503))
        raise raised[0]

    async def ann() -> None:
        await load(1)

    async def bob() -> None:
        await load(1)

    async def main() -> None:
        first, second, third = await gather(ann(), bob(), bob())
        assert len({id(error) for error in (first, second, third)}) == 3
        assert first is raised[0] and len(raised) == 1
        for error in first, second, third:
            assert (type(error), error.args, error.status) == (Strange, ("status 503",), 503)
            assert names(error).count("load") == 1
        assert names(first).count("ann") == names(second).count("bob") == 1
        assert "bob" not in names(first) and "ann" not in names(second)
        assert names(second) == names(third)
        second.status = 1
        assert (first.status, third.status) == (503, 503)

    run(main)


def test_a_traceback_is_as_long_as_that_of_a_lone_caller() -> None:
    async def longest(callers: int) -> int:
        @cache
        async def ask(key: int) -> None:
            await turns(3)
            raise Strange(status=1)

        async def call(depth: int) -> None:
            await (call(depth - 1) if depth else ask(1))

        caught = await gather(*(call(5) for _ in range(callers)))
        return max(len(names(error)) for error in caught)

    async def main() -> None:
        assert await longest(30) == await longest(1)

    run(main)


def test_each_has_the_context_of_his_own_caller() -> None:
    @cache
    async def load(key: int) -> None:
        await turns(3)
        try:
            raise OSError("deep")
        except OSError:
            raise ValueError("outer")  # noqa: B904

    async def call(i: int) -> None:
        mine = KeyError(i)
        try:
            raise mine
        except KeyError:
            try:
                await load(1)
            except ValueError as error:
                context: Any = error.__context__
                assert isinstance(context, OSError) and context.__context__ is mine
                return

    async def main() -> None:
        assert await gather(*map(call, range(4)), load(1)) != []
        (error,) = await gather(load(1))
        assert error.__context__.__context__ is None

    run(main)


def test_the_leader_is_gone_when_it_fails() -> None:
    gate = asyncio.Event()

    @cache
    async def load(kind: Any) -> None:
        await gate.wait()
        raise kind("inside")

    async def main() -> None:
        for kind in ValueError, Own:
            gate.clear()
            tasks = [asyncio.ensure_future(gather(load(kind))) for _ in range(3)]
            await turns(3)
            leader = asyncio.ensure_future(load(kind))
            tasks[0].cancel()
            await turns(3)
            gate.set()
            caught = [(await task)[0] for task in tasks[1:]] + (await gather(leader))
            assert [type(error) for error in caught] == [kind] * 3
            assert len({id(error) for error in caught}) == 3

    run(main)


@everywhere
@pytest.mark.parametrize("kind", [Own, GeneratorExit, asyncio.CancelledError])
def test_what_is_no_exception_is_the_leaders_alone(kind: Any, decorator: str) -> None:
    started = []

    @DECORATORS[decorator]
    async def load(key: int) -> str:
        started.append(key)
        first = len(started) == 1
        await turns(3)
        if first:
            raise kind("inside")
        return "value"

    async def main() -> None:
        error, *values = await gather(*(load(1) for _ in range(4)))
        assert (type(error), error.args) == (kind, ("inside",))
        assert values == ["value"] * 3
        assert await load(1) == "value"
        assert len(started) <= 4

    run(main, debug=True)


def test_nobody_waits_twice_for_a_computation_without_a_value() -> None:
    at_once = most = 0

    @cache(wait_timeout=None)
    async def load(key: int) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await turns(5)
        at_once -= 1
        raise Own

    async def main() -> None:
        caught = await gather(*(load(1) for _ in range(10)))
        assert [type(error) for error in caught] == [Own] * 10

    run(main)
    assert most >= 9, "they took turns"


# --- what ends the loop --------------------------------------------------------------------


@contextmanager
def unheard() -> Iterator[list[str]]:
    """What asyncio and the interpreter complain of."""
    heard: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            message = record.getMessage()
            # Debug mode also reports what is merely slow.
            if not message.startswith("Executing "):
                heard.append(message)

    listener, logger = Listener(), logging.getLogger("asyncio")
    hook = sys.unraisablehook
    sys.unraisablehook = lambda event: heard.append(repr(event.exc_value))
    logger.addHandler(listener)
    try:
        yield heard
        gc.collect()
    finally:
        logger.removeHandler(listener)
        sys.unraisablehook = hook


@everywhere
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("callers", [0, 1, 3])
@pytest.mark.parametrize("steps", [0, 3])
@pytest.mark.parametrize("debug", [False, True])
def test_what_ends_the_loop(
    kind: Any, callers: int, steps: int, decorator: str, debug: bool
) -> None:
    def seen(decorate: Any, factory: Any) -> tuple[list[Any], list[str]]:
        log: list[Any] = []

        @decorate
        async def load(key: int) -> None:
            await turns(steps)
            raise kind("stop")

        async def main() -> None:
            if factory is not None:
                asyncio.get_running_loop().set_task_factory(factory)
            others = [asyncio.ensure_future(gather(load(1))) for _ in range(callers)]
            try:
                await load(1)
            except BaseException as error:
                log.append(type(error).__name__)
                raise
            finally:
                del others

        with unheard() as heard:
            try:
                asyncio.run(main(), debug=debug)
            except BaseException as error:
                log.append(repr(error))
        return log, heard

    for factory in (None, getattr(asyncio, "eager_task_factory", None)):
        log, heard = seen(DECORATORS[decorator], factory)
        bare_log, bare_heard = seen(lambda function: function, factory)
        assert log == bare_log
        assert len(heard) <= len(bare_heard), heard


def test_ctrl_c_while_it_computes() -> None:
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("signals reach the main thread only")
    ended = []

    @cache
    async def load(key: int) -> None:
        try:
            signal.raise_signal(signal.SIGINT)
            await asyncio.sleep(60)
        finally:
            await turns(3)
            ended.append(key)

    async def main() -> None:
        await load(1)

    with unheard() as heard, pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    assert ended == [1] and heard == []


def test_a_loop_that_is_closed_while_it_computes() -> None:
    """The caller's task is complained of, as without the cache; the computation's is not."""

    def complaints(decorate: Any) -> int:
        @decorate
        async def load(key: int) -> None:
            if key:
                await asyncio.Event().wait()

        with unheard() as heard:
            loop = asyncio.new_event_loop()
            task = loop.create_task(load(1))
            loop.run_until_complete(turns(5))
            loop.close()
            del loop, task
            # The record of the computation lives until the function is used again.
            asyncio.run(load(0))
            gc.collect()
        return len(heard)

    assert complaints(cache) == complaints(lambda function: function) > 0


def test_what_fails_when_all_callers_have_left_is_reported() -> None:
    reports: list[Any] = []

    @cache
    async def load(key: int) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await turns(2)
            raise ValueError("in the cleanup")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: reports.append(context["exception"]))
        call = load(1)
        call.send(None)
        await turns()
        call.close()
        await turns(10)

    run(main)
    assert [repr(error) for error in reports] == ["ValueError('in the cleanup')"]


# --- nothing is kept -----------------------------------------------------------------------


@everywhere
@pytest.mark.parametrize("callers", [1, 3])
def test_an_exception_dies_with_its_last_caller(decorator: str, callers: int) -> None:
    """No cycle through the frames of the computation waits for the collector."""

    class Error(Exception):
        pass

    @DECORATORS[decorator]
    async def load(key: int) -> None:
        await turns(3)
        raise Error

    died: list[Any] = []

    async def call() -> None:
        try:
            await load(1)
        except Error as error:
            died.append(weakref.ref(error))

    async def main() -> None:
        await asyncio.gather(*(call() for _ in range(callers)))
        await turns()
        assert [ref() for ref in died] == [None] * callers

    gc.collect()
    gc.disable()
    try:
        run(main)
    finally:
        gc.enable()
