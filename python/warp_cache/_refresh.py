"""Refreshes: values that are computed anew while the old ones are served.

Plain functions refresh in a pool of daemon threads, coroutine functions in a task of the running
loop. Imported by the first refresh, or where ``stale_while_revalidate`` is given.
"""

from __future__ import annotations

import asyncio
import logging
import os
from contextvars import copy_context
from weakref import WeakKeyDictionary, WeakSet

from warp_cache._exceptions import put_back, taken_off
from warp_cache._flight import NOTHING, Flight, current
from warp_cache._refresh_attempt import Attempt
from warp_cache._threads import DaemonThreads
from warp_cache._warp_cache_rs import RefreshFlight

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Coroutine
    from contextvars import Context
    from typing import Any, TypeAlias

    from warp_cache._warp_cache_rs import (
        AsyncCachedFunction,
        CachedFunction,
        Computation,
        SharedLease,
        Ticket,
    )

    _Cached: TypeAlias = CachedFunction[..., Any]
    _AsyncCached: TypeAlias = AsyncCachedFunction[..., Any]

__all__ = ["begin", "refresh", "refresh_async", "under_way"]

_logger = logging.getLogger("warp_cache")

# Threads at most, and refreshes that may wait for one.
_THREADS = 4
_QUEUE = 1024


class _Pool(DaemonThreads):
    """The threads that refresh, and what they have before them."""

    def __init__(self) -> None:
        super().__init__("warp_cache refresh", _THREADS, _QUEUE)
        # Of which functions and keys there are jobs.
        self.keys: set[tuple[int, Ticket]] = set()


_pool = _Pool()


def _current_pool() -> _Pool:
    """The pool of this process: a fork's child has none of its parent's threads."""
    global _pool
    if _pool.pid != os.getpid():
        _pool = _Pool()
    return _pool


def begin(
    cached: _Cached,
    ticket: Ticket,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    lease: SharedLease | None = None,
) -> None:
    """Compute a stale value anew in the background; the caller has claimed that.

    `lease` is what was claimed of a shared cache; it ends with the last reference to it. Where
    computing is not possible now, the next caller tries again.
    """
    if _is_under_way(cached, ticket):
        cached._goes_on(ticket)
        if lease is not None:
            lease.leave()
        return
    if not _is_async(cached):
        context = copy_context()
        job = _Background(cached, ticket, args, kwargs, lease, context)
        pool = _current_pool()
        # (Outside of its lock: keys are compared by code of the user's.)
        pool.keys.add((id(cached), ticket))
        if not pool.submit(job):
            pool.keys.discard((id(cached), ticket))
            cached._not_refreshed(ticket)
        return
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        cached._not_refreshed(ticket)
        return
    # A task has a copy of the context.
    coroutine_function: Any = cached
    claim = _Claim(cached, ticket, lease)
    task = loop.create_task(_in_background(coroutine_function, ticket, args, kwargs, claim))
    tasks = _of_loop(loop).tasks
    tasks.add(task)
    task.add_done_callback(tasks.discard)
    task.add_done_callback(claim.give_back)


def _is_async(cached: _Cached) -> bool:
    """Whether what is to be computed is to be awaited; a cache object says it of each call."""
    awaits = cached.__dict__.get("_awaits")
    return cached._is_async if awaits is None else bool(awaits())


def _is_under_way(cached: _Cached, ticket: Ticket) -> bool:
    """Whether a refresh of the key is known to go on: it is not asked for at each stale hit."""
    if not _is_async(cached):
        flight = cached._refreshes.get(ticket)
        if flight is not None and flight.is_of_this_process:
            return True
        return (id(cached), ticket) in _current_pool().keys
    return any(ticket in _table(cached, loop) for loop in list(_loops) if not loop.is_closed())


# The loops that have refreshed. In a fork's child nobody runs those of its parent.
_loops: WeakSet[asyncio.AbstractEventLoop] = WeakSet()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_loops.clear)


class _OfLoop:
    """What a loop refreshes. The loop keeps it, so that what is lost with a closed one is freed."""

    def __init__(self) -> None:
        # (A loop itself keeps weak references only.)
        self.tasks: set[asyncio.Task[None]] = set()
        self.tables: WeakKeyDictionary[Any, dict[Ticket, Flight]] = WeakKeyDictionary()


def _of_loop(loop: asyncio.AbstractEventLoop) -> _OfLoop:
    known = _known_of(loop)
    if known is not None:
        return known
    where, key = _place_of(loop)
    kept: _OfLoop = where.setdefault(key, _OfLoop())
    _loops.add(loop)
    return kept


def _known_of(loop: asyncio.AbstractEventLoop) -> _OfLoop | None:
    """The same of a loop that has refreshed."""
    where, key = _place_of(loop)
    known: _OfLoop | None = where.get(key)
    return known


def _place_of(loop: asyncio.AbstractEventLoop) -> tuple[Any, Any]:
    attributes = getattr(loop, "__dict__", None)
    return (_without_attributes, loop) if attributes is None else (attributes, "__warp_cache__")


# What is kept of loops that have no attributes of their own.
_without_attributes: WeakKeyDictionary[asyncio.AbstractEventLoop, _OfLoop] = WeakKeyDictionary()


def _table(cached: _Cached, loop: asyncio.AbstractEventLoop) -> dict[Ticket, Flight]:
    """The refreshes of a coroutine function that a loop has under way."""
    return _of_loop(loop).tables.setdefault(cached, {})


def under_way(
    cached: _AsyncCached, ticket: Ticket, loop: asyncio.AbstractEventLoop
) -> Flight | None:
    """The refresh that a call of a missing key has to do with, unless it was fenced.

    (With a server the way there tells.)
    """
    known = None if cached._remote else _known_of(loop)
    table = None if known is None else known.tables.get(cached)
    flight = None if table is None else table.get(ticket)
    if flight is None or not _may_join(cached, ticket, flight.computation):
        return None
    return flight


class _Background:
    """A refresh of a plain function, to be called in a thread of the pool."""

    def __init__(
        self,
        cached: _Cached,
        ticket: Ticket,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        lease: SharedLease | None,
        context: Context,
    ) -> None:
        self.call = (cached, ticket, args, kwargs, lease)
        self.context = context

    def __call__(self) -> None:
        cached, ticket, *_ = self.call
        _pool.keys.discard((id(cached), ticket))
        try:
            self.context.run(_once, *self.call, background=True)
        except BaseException as error:
            # KeyboardInterrupt and SystemExit end no thread of the pool.
            _complain(self.call[0], error)


def _complain(cached: _Cached, error: BaseException) -> None:
    name = getattr(cached, "__qualname__", None) or repr(cached)
    _logger.warning("refreshing %s failed", name, exc_info=error)


class _Claim:
    """The right of a background task to refresh; given back where the task does not use it."""

    __slots__ = ("cached", "lease", "ticket", "unused")

    def __init__(self, cached: _Cached, ticket: Ticket, lease: SharedLease | None) -> None:
        self.cached = cached
        self.ticket = ticket
        self.lease = lease
        self.unused = True

    def take(self) -> SharedLease | None:
        lease, self.lease, self.unused = self.lease, None, False
        return lease

    def __del__(self) -> None:
        # Its loop was closed before the task's first step: nobody calls what was to be called.
        self.give_back(None)

    def give_back(self, _task: object) -> None:
        """The task has ended; cancelled before its first step, it has begun nothing."""
        if self.unused:
            lease = self.take()
            self.cached._not_refreshed(self.ticket)
            if lease is not None:
                lease.leave()


async def _in_background(
    cached: _AsyncCached,
    ticket: Ticket,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    claim: _Claim,
) -> None:
    try:
        await _once_async(cached, ticket, args, kwargs, claim)
    except asyncio.CancelledError:
        raise
    except Exception as error:
        _complain(cached, error)


def refresh(cached: _Cached, ticket: Ticket, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Compute a plain function's value now, and store it."""
    return _once(cached, ticket, args, kwargs, None, background=False)


def _once(
    cached: _Cached,
    ticket: Ticket,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    lease: SharedLease | None,
    *,
    background: bool,
) -> Any:
    """Compute and store; or wait for the one who does, if that one began after the last fence."""
    flights = cached._refreshes
    mine = RefreshFlight()
    other = flights.setdefault(ticket, mine)
    is_inner = False
    if other is not mine:
        if _may_join(cached, ticket, other.computation):
            answer = cached._wait_for(other)
            if isinstance(answer, tuple):
                return answer[0]
            is_inner = answer is None
            if answer:
                # It has had its time: this caller computes for all who wait.
                mine = other
        if not is_inner:
            flights[ticket] = mine
    attempt = Attempt(cached, ticket, lease, background)
    try:
        mine.begin(attempt.begin(args, kwargs))
        attempt.lead(is_inner)
        if cached._remote:
            from warp_cache._remote.awaiting import recompute_here

            value = attempt.sent(recompute_here(*attempt.call_there(args, kwargs)))
        else:
            value = attempt.store(cached._function(*args, **kwargs))
        # Who comes from here on begins one of his own.
        _leave(flights, ticket, mine)
        cached._complete(mine, value)
        return value
    except BaseException as error:
        _leave(flights, ticket, mine)
        mine.fail(error)
        attempt.fail(error)
        # The exception's traceback refers to this frame, and the flight to the exception.
        del mine, other
        raise


def _leave(flights: dict[Any, Any], ticket: Ticket, mine: RefreshFlight) -> None:
    # Another thread may take its place, and end, between any two steps.
    if flights.get(ticket) is mine:
        flights.pop(ticket, None)


def _may_join(cached: _Cached, ticket: Ticket, computation: Computation | None) -> bool:
    """Whether a refresh under way began after whatever was invalidated by now."""
    return computation is None or cached._is_current(ticket, computation)


class _Refresh(Flight):
    """A refresh of a coroutine function under way, and who waits for it."""

    __slots__ = ("claim", "is_inner")

    # What it begins with, if nobody has asked for it.
    claim: _Claim | None
    # Whether another refresh of the key waits for it.
    is_inner: bool

    def leave(self) -> None:
        if self.table.get(self.ticket) is self:
            self.table.pop(self.ticket, None)

    async def bring(self, leader: object) -> Any:
        """The value: computed, and stored."""
        cached, args, kwargs = self.call
        lease = None if self.claim is None else self.claim.take()
        attempt = Attempt(cached, self.ticket, lease, self.claim is not None)
        try:
            computation = attempt.begin(args, kwargs)
            # Of several works any may bring the value: who joins asks about the first.
            if self.computation is None:
                self.computation = computation
            attempt.lead(self.is_inner)
            if attempt.lease is not None:
                attempt.lease.computed_here()
            if cached._remote:
                from warp_cache._remote.awaiting import recompute

                value = attempt.sent(await recompute(*attempt.call_there(args, kwargs)))
            else:
                value = attempt.store(await cached._function(*args, **kwargs))
            self.note(value)
            return value
        except BaseException as error:
            attempt.fail(error)
            raise


def refresh_async(
    cached: _AsyncCached, ticket: Ticket, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Coroutine[Any, Any, Any]:
    """Compute a coroutine function's value now, and store it."""
    return _once_async(cached, ticket, args, kwargs, None)


async def _once_async(
    cached: _AsyncCached,
    ticket: Ticket,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    claim: _Claim | None,
) -> Any:
    loop = asyncio.get_running_loop()
    while True:
        table = _table(cached, loop)
        flight: Any = table.get(ticket)
        leads = flight is None or not _may_join(cached, ticket, flight.computation)
        if flight is None or leads or flight.leads_to(current.get()):
            flight = _Refresh(loop, table, cached, ticket, args, kwargs, False)
            flight.claim = claim
            flight.is_inner = not leads
            if leads:
                table[ticket] = flight
            leads = True
        value, error = await flight.wait(cached._wait_timeout, leads)
        template = None if leads else flight.template
        # An exception's traceback refers to this frame, and the flight may refer to the exception.
        flight = None
        if error is not None:
            context = taken_off(error)
            try:
                raise error
            finally:
                put_back(error, context)
                del error, context
        if value is not NOTHING and template is None:
            return value
        if template is not None and (made := cached._made(ticket, template)):
            return made[0]
