"""Functions that count their calls, plain or coroutine functions, and bounded waits for them."""

from __future__ import annotations

import asyncio
import importlib
import os
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest
import support

import warp_cache

# The modules are typed without the parameters and methods that these tests are about.
cache: Any = warp_cache.cache
lru_cache: Any = warp_cache.lru_cache
warp: Any = warp_cache

both = pytest.mark.parametrize("decorate", [cache, lru_cache])


def the_testing() -> Any:
    """The module `warp_cache.testing`."""
    return importlib.import_module("warp_cache.testing")


def stale(function: Any, clock: Any, **options: Any) -> Any:
    """A cache of `function` whose entries 0 to 99 are revalidating, and stay so for long."""
    f = cache(**{"ttl": 100, "stale_while_revalidate": 10**7, "max_size": None, **options})(
        function
    )
    for x in range(100):
        f.set("old", x)
    clock.advance(200)
    return f


def present(f: Any, *keys: Any) -> list[Any]:
    """Those of the keys that have an entry."""
    return [x for x in keys if f.cache_contains(x)]


class Body:
    """What a function does: it counts its calls, and each returns another value.

    `fail` is raised instead where it is set; a call whose number is in `held` waits for `release`.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.fail: BaseException | None = None
        self.make: Callable[..., Any] = lambda *args: (*args, len(self.calls))

    def __call__(self, *args: Any) -> Any:
        self.calls.append(args)
        if self.fail is not None:
            raise self.fail
        return self.make(*args)

    @property
    def count(self) -> int:
        return len(self.calls)


class Kind:
    """How functions are made and called: as they are, or as coroutine functions in one loop."""

    def __init__(self, is_async: bool) -> None:
        self.is_async = is_async
        self.loop = asyncio.new_event_loop() if is_async else None

    def one(self, body: Callable[..., Any]) -> Any:
        """A function of one parameter, x."""
        if self.is_async:

            async def async_function(x: Any) -> Any:
                return body(x)

            return async_function

        def function(x: Any) -> Any:
            return body(x)

        return function

    def two(self, body: Callable[..., Any]) -> Any:
        """A function of two parameters, x and y=0."""
        if self.is_async:

            async def async_function(x: Any, y: Any = 0) -> Any:
                return body(x, y)

            return async_function

        def function(x: Any, y: Any = 0) -> Any:
            return body(x, y)

        return function

    def none(self, body: Callable[..., Any]) -> Any:
        """A function without parameters."""
        if self.is_async:

            async def async_function() -> Any:
                return body()

            return async_function

        def function() -> Any:
            return body()

        return function

    def method(self, body: Callable[..., Any]) -> Any:
        """A method of one parameter beside self; the body gets both."""
        if self.is_async:

            async def async_method(self: Any, x: Any) -> Any:
                return body(self, x)

            return async_method

        def method(self: Any, x: Any) -> Any:
            return body(self, x)

        return method

    def call(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a function, and await what comes of a coroutine function."""
        if self.loop is None:
            return function(*args, **kwargs)

        async def main() -> Any:
            return await function(*args, **kwargs)

        return self.loop.run_until_complete(asyncio.wait_for(main(), support.LIMIT))

    def eventually(self, condition: Callable[[], Any]) -> None:
        """Wait until the condition holds, while what runs in the background goes on."""
        if self.loop is None:
            support.eventually(condition)
            return

        async def main() -> None:
            end = time.monotonic() + support.LIMIT
            while not condition():
                assert time.monotonic() < end, f"still false: {condition}"
                await asyncio.sleep(0.001)

        self.loop.run_until_complete(main())

    def pause(self) -> None:
        """Give what may run in the background the time to do so."""
        if self.loop is None:
            time.sleep(0.05)
        else:
            self.loop.run_until_complete(asyncio.sleep(0.02))

    def close(self) -> None:
        if self.loop is None:
            return
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        if tasks:
            self.loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()


class Gate:
    """A body whose computations stop at a gate, each of which a test opens by its number (from 1).

    The value of a computation is what `source` was when it began.
    """

    def __init__(self) -> None:
        self.source: Any = "old"
        self.began = 0
        self.arguments: list[tuple[Any, ...]] = []
        self._lock = threading.Lock()
        self._gates: dict[int, threading.Event] = {}
        self.open_all = False
        _all_gates.add(self)

    def _gate(self, number: int) -> threading.Event:
        with self._lock:
            return self._gates.setdefault(number, threading.Event())

    def __call__(self, *args: Any) -> Any:
        with self._lock:
            # What a computation is to see is read before anybody knows that it has begun.
            value = self.source
            self.arguments.append(args)
            self.began += 1
            number = self.began
        if not self.open_all:
            assert self._gate(number).wait(support.LIMIT), "nobody opened the gate"
        return value

    def await_begun(self, number: int) -> None:
        support.eventually(lambda: self.began >= number)

    def open(self, number: int) -> None:
        self._gate(number).set()

    def crowd(self, function: Callable[..., Any], calls: int) -> list[Future[Any]]:
        """Calls of function(1), which all wait for the computation of the first; then that ends."""
        waiting = [support.start(function, 1) for _ in range(calls)]
        self.await_begun(1)
        time.sleep(support.PAUSE)
        self.open_all = True
        self.open(1)
        return waiting

    @staticmethod
    def after_fork_in_child() -> None:
        """A thread of the parent may hold any lock, and is not here."""
        for gate in list(_all_gates):
            were_open = [number for number, event in gate._gates.items() if event.is_set()]
            gate._lock, gate._gates = threading.Lock(), {}
            for number in were_open:
                gate.open(number)


_all_gates: weakref.WeakSet[Gate] = weakref.WeakSet()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=Gate.after_fork_in_child)
