"""How computations end that end in no ordinary way: what is counted, what goes, who still waits."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import weakref
from typing import Any

import pytest
import support
from control import Body, Gate, Kind, cache, the_testing

has_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
beside_threads = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")


class OfNobody(BaseException):
    """What neither `Exception` nor the interpreter knows."""


def made(backend: str, function: Any, **options: Any) -> Any:
    return cache(backend=backend, name="ended", **options)(function)


def raised_by(kind: Kind, function: Any, *args: Any) -> BaseException | None:
    """What a call raises. (What ends a loop is caught within it.)"""
    if not kind.is_async:
        try:
            function(*args)
        except BaseException as error:
            return error
        return None

    async def main() -> BaseException | None:
        try:
            await function(*args)
        except BaseException as error:
            return error
        return None

    assert kind.loop is not None
    return kind.loop.run_until_complete(main())


def ended(f: Any) -> tuple[int, int]:
    info = f.cache_info()
    return info.loads, info.load_failures


# --- what is counted ------------------------------------------------------------------------------


@pytest.mark.parametrize("single_flight", [True, False])
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, OfNobody])
def test_what_ends_with_no_exception_is_a_load_that_failed(
    kind: Kind, backend: str, error: type[BaseException], single_flight: bool
) -> None:
    body = Body()
    f = made(backend, kind.one(body), single_flight=single_flight)
    body.fail = error()
    assert type(raised_by(kind, f, 1)) is error
    assert ended(f) == (1, 1)
    assert type(raised_by(kind, f.cache_refresh, 1)) is error
    assert ended(f) == (2, 2)
    body.fail = None
    kind.call(f, 1)
    assert ended(f) == (3, 2) and f.cache_info().refreshes == 1


def test_a_coroutine_that_is_cancelled_has_not_ended_by_itself(backend: str) -> None:
    calls: list[int] = []

    async def function(x: int) -> int:
        calls.append(x)
        if len(calls) < 3:
            await asyncio.Event().wait()
        return x

    f = made(backend, function)

    async def main() -> None:
        for number, begin in enumerate((f, f.cache_refresh), 1):
            task = asyncio.ensure_future(begin(1))
            while len(calls) < number:
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert await f(1) == 1

    asyncio.run(asyncio.wait_for(main(), support.LIMIT))
    assert ended(f) == (1, 0)


def test_computations_of_which_nothing_is_kept_are_loads(kind: Kind, backend: str) -> None:
    body = Body()
    f = made(backend, kind.one(body), max_size=0)
    kind.call(f, 1)
    kind.call(f, [])
    body.fail = ValueError("down")
    assert raised_by(kind, f, 1) is body.fail
    assert ended(f) == (3, 1)
    assert f.cache_info()[:2] == (0, 3)


def test_a_refresh_where_nothing_is_stored(kind: Kind, backend: str) -> None:
    body = Body()
    f = made(backend, kind.one(body), max_size=0)
    for x in (1, 2, []):
        assert kind.call(f.cache_refresh, x) == (x, body.count)
    info = f.cache_info()
    assert info == (0, 0, 0, 0) and info.evictions == 0
    assert ended(f) == (3, 0) and info.refreshes == 3
    body.fail = ValueError("down")
    assert raised_by(kind, f.cache_refresh, 1) is body.fail
    assert ended(f) == (4, 1)


def test_calls_that_do_not_fit_are_loads(kind: Kind, backend: str) -> None:
    f = made(backend, kind.one(Body()))
    assert isinstance(raised_by(kind, f), TypeError)
    assert ended(f) == (1, 1)


def test_what_computes_within_its_own_computation_is_a_load(kind: Kind, backend: str) -> None:
    calls: list[int] = []

    def plain(x: int) -> Any:
        calls.append(x)
        return (1, f(x)) if len(calls) == 1 else 2

    async def coroutine(x: int) -> Any:
        calls.append(x)
        return (1, await f(x)) if len(calls) == 1 else 2

    f = made(backend, coroutine if kind.is_async else plain)
    assert kind.call(f, 1) == (1, 2)
    assert ended(f) == (2, 0)


# --- what goes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("single_flight", [True, False])
@pytest.mark.parametrize("why", ["cache_if", "lifetime"])
def test_a_result_that_is_not_stored_takes_the_old_one_along(
    kind: Kind, backend: str, why: str, single_flight: bool
) -> None:
    is_wanted = True
    options: dict[str, Any] = {"ttl": lambda value: 0.001 if is_wanted else 0}
    if why == "cache_if":
        options = {"ttl": 0.001, "cache_if": lambda value: is_wanted}
    body = Body()
    f = made(backend, kind.one(body), stale_if_error=10**6, single_flight=single_flight, **options)
    kind.call(f, 1)
    support.eventually(lambda: f.cache_ttl(1) < 0)
    is_wanted = False
    kind.call(f, 1)
    assert f.cache_ttl(1) is None
    body.fail = ValueError("down")
    assert raised_by(kind, f, 1) is body.fail
    assert f.cache_info().stale_hits == 0


@pytest.mark.parametrize("single_flight", [True, False])
def test_one_that_was_fenced_takes_nothing_along(backend: str, single_flight: bool) -> None:
    gate = Gate()

    def function(x: int) -> Any:
        return gate(x)

    f = made(
        backend,
        function,
        ttl=0.001,
        stale_if_error=10**6,
        single_flight=single_flight,
        cache_if=lambda value: value != "unwanted",
    )
    gate.open(1)
    assert f(1) == "old"
    support.eventually(lambda: f.cache_ttl(1) < 0)
    gate.source = "unwanted"
    late = support.start(f, 1)
    gate.await_begun(2)
    f.set("set", 1)
    support.eventually(lambda: f.cache_ttl(1) < 0)
    gate.open(2)
    assert late.result(support.LIMIT) == "unwanted"
    assert f.cache_ttl(1) is not None


def test_a_refresh_that_failed_keeps_nothing_of_its_call(kind: Kind, backend: str) -> None:
    class Passed:
        pass

    f = made(backend, kind.one(lambda x: 1 // 0), key=lambda x: 1)

    def passed() -> weakref.ref[Passed]:
        x = Passed()
        assert isinstance(raised_by(kind, f.cache_refresh, x), ZeroDivisionError)
        return weakref.ref(x)

    reference = passed()
    gc.collect()
    assert reference() is None


# --- refreshes within refreshes -------------------------------------------------------------------


def test_a_refresh_within_a_refresh_of_its_own_key(kind: Kind, backend: str) -> None:
    calls: list[int] = []

    def plain(x: int) -> Any:
        calls.append(x)
        return (1, f.cache_refresh(x)) if len(calls) == 1 else 2

    async def coroutine(x: int) -> Any:
        calls.append(x)
        return (1, await f.cache_refresh(x)) if len(calls) == 1 else 2

    f = made(backend, coroutine if kind.is_async else plain, wait_timeout=None)
    assert kind.call(f.cache_refresh, 1) == (1, 2)
    assert f.get(1) == kind.call(f, 1) == (1, 2)
    assert len(calls) == 2 and f.cache_info().refreshes == 2


def test_who_comes_meanwhile_joins_the_outer_one(backend: str) -> None:
    gate = Gate()

    def function(x: int) -> Any:
        if gate.began == 0:
            gate.open(2)
            value = gate(x)
            return value, f.cache_refresh(x), gate(x)
        return gate(x)

    f = made(backend, function, wait_timeout=None)
    first = support.start(f.cache_refresh, 1)
    gate.await_begun(1)
    gate.open(1)
    gate.await_begun(3)
    second = support.start(f.cache_refresh, 1)
    support.eventually(lambda: [flight.waiters for flight in f._refreshes.values()] == [1])
    gate.open(3)
    assert support.results([first, second]) == [("old", "old", "old")] * 2
    assert gate.began == 3


# --- who still waits ------------------------------------------------------------------------------


@has_fork
@beside_threads
def test_who_has_waited_for_a_refresh_in_vain_waits_for_no_other_process() -> None:
    with the_testing().isolated():
        gate = Gate()

        def function(x: int) -> Any:
            value = gate(x)
            if value == "lost":
                raise OfNobody
            return value

        f = made("shared", function, wait_timeout=None)
        f.set("before", 0)
        (asked, ask), (told, tell) = os.pipe(), os.pipe()
        child = os.fork()
        if child == 0:
            try:
                signal.alarm(int(support.LIMIT))
                os.close(ask)
                os.read(asked, 1)

                def other(x: int) -> str:
                    os.write(tell, b"!")
                    os.read(asked, 1)
                    return "of the child"

                made("shared", other, wait_timeout=None).cache_refresh(1)
                os._exit(0)
            finally:
                os._exit(2)
        os.close(asked), os.close(tell)
        gate.source = "lost"
        refresh = support.start(f.cache_refresh, 1)
        gate.await_begun(1)
        call = support.start(f, 1)
        support.eventually(lambda: [flight.waiters for flight in f._refreshes.values()] == [1])
        os.write(ask, b"!")
        assert os.read(told, 1) == b"!"
        gate.source = "new"
        gate.open_all = True
        gate.open(1)
        assert isinstance(support.errors([refresh])[0], OfNobody)
        assert call.result(support.LIMIT) == "new"
        os.close(ask)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        os.close(told)


@has_fork
def test_a_child_refreshes_what_a_loop_of_its_parent_was_refreshing() -> None:
    value = "of the parent"
    calls: list[int] = []

    async def function(x: int) -> str:
        calls.append(x)
        if value == "of the parent":
            await asyncio.Event().wait()
        return value

    f = cache(ttl=0.001, stale_while_revalidate=10**6)(function)
    f.set("before", 1)
    support.eventually(lambda: f.cache_ttl(1) < 0)
    loop = asyncio.new_event_loop()

    async def begin() -> None:
        assert await f(1) == "before"
        while not calls:
            await asyncio.sleep(0)

    async def until_refreshed() -> None:
        while await f(1) != "of the child":
            await asyncio.sleep(0.001)

    loop.run_until_complete(begin())
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(int(support.LIMIT))
            value = "of the child"
            asyncio.run(until_refreshed())
            os._exit(0)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
