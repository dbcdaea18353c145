"""Faults that the checker of the fence has to find, or it proves nothing.

`by_hand` is a cache that stores without a fence, made of `get` and `set`. The others take one fence
out of the package: what a coroutine function's computation or a refresh is compared with, by
standing between `warp_cache._flight` or `warp_cache._refresh` and the cached function; those of
plain functions, in builds with debug assertions.
"""

from __future__ import annotations

import asyncio
from typing import Any

from warp_cache import _async, _flight, _refresh, _warp_cache_rs

# Of builds with debug assertions: switches one of the extension module's fences off.
switch_off: Any = getattr(_warp_cache_rs, "_switch_fence_off", None)
OF_DEBUG_BUILDS = ("memory", "file", "joining")


class ByHand:
    """A cached function that computes and stores as anybody would who has `get` and `set` only."""

    def __init__(self, cached: Any) -> None:
        self.cached = cached

    def __getattr__(self, name: str) -> Any:
        return getattr(self.cached, name)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else ByHand(self.cached.__get__(instance, owner))

    def __call__(self, *args: Any) -> Any:
        function = self.cached.__wrapped__
        bound = getattr(self.cached, "__self__", None)
        all_args = args if bound is None else (bound, *args)
        if asyncio.iscoroutinefunction(function):
            return self._call_async(function, args, all_args)
        value = self.cached.get(*args)
        if value is None:
            value = function(*all_args)
            self.cached.set(value, *args)
        return value

    async def _call_async(self, function: Any, args: Any, all_args: Any) -> Any:
        value = await self.cached.aget(*args)
        if value is None:
            value = await function(*all_args)
            await self.cached.aset(value, *args)
        return value


class _Late:
    """A cached function whose computations are compared with what stands when they end."""

    def __init__(self, cached: Any) -> None:
        self.cached = cached

    def __getattr__(self, name: str) -> Any:
        return getattr(self.cached, name)

    def _store(self, ticket: Any, value: Any, computation: Any, lease: Any = None) -> Any:
        return self.cached._store(ticket, value, self.cached._begun_anew(ticket, computation))

    def _refreshed(self, ticket: Any, value: Any, computation: Any, lease: Any = None) -> None:
        late = self.cached._begun_anew(ticket, computation)
        self.cached._refreshed(ticket, value, late, None)


class _Joining(_Late):
    """A cached function whose calls join whatever computation there is."""

    _store = property(lambda self: self.cached._store)
    _refreshed = property(lambda self: self.cached._refreshed)

    def _is_current(self, ticket: Any, computation: Any) -> bool:
        return True


class WithoutLease:
    """A cached function for which there is never a lease. This is no fault."""

    def __init__(self, cached: Any) -> None:
        self.cached = cached

    def __getattr__(self, name: str) -> Any:
        return getattr(self.cached, name)

    def _lead(self, *args: Any) -> None:
        return None


def between_flights(stand_in: Any) -> None:
    """Have it stand between coroutine functions' computations and the cached function."""
    before = _flight.Flight.__init__

    def init(self: Any, loop: Any, table: Any, cached: Any, *rest: Any) -> None:
        before(self, loop, table, stand_in(cached), *rest)

    _flight.Flight.__init__ = init  # type: ignore[method-assign]
    alone = _async._alone
    _async._alone = lambda cached, *rest: alone(stand_in(cached), *rest)


def between_refreshes(stand_in: Any) -> None:
    """The same for refreshes, in the background or not."""
    once, once_async = _refresh._once, _refresh._once_async
    made: dict[Any, Any] = {}

    def one(cached: Any) -> Any:
        """The same one each time: refreshes are kept by the cached function."""
        return made.setdefault(cached, stand_in(cached))

    _refresh._once = lambda cached, *rest, **more: once(one(cached), *rest, **more)
    _refresh._once_async = lambda cached, *rest, **more: once_async(one(cached), *rest, **more)


def install(name: str) -> Any:
    """Take a fence out; what is to be made of each cached function."""
    if name == "by_hand":
        return ByHand
    if name == "late_tasks":
        between_flights(_Late)
    elif name == "late_tasks_without_lease":
        between_flights(WithoutLease)
        between_flights(_Late)
    elif name == "without_lease":
        between_flights(WithoutLease)
    elif name == "joining_tasks":
        between_flights(_Joining)
    elif name == "late_refreshes":
        between_refreshes(_Late)
    elif name == "joining_refreshes":
        between_refreshes(_Joining)
    else:
        assert name in OF_DEBUG_BUILDS, name
        switch_off(name)
    return lambda cached: cached
