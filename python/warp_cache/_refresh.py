"""Refreshes: values that are computed anew while the old ones are served.

Plain functions refresh in a pool of daemon threads, coroutine functions in a task of the running
loop. Imported by the first refresh.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections import deque
from contextvars import copy_context

from warp_cache._exceptions import own, share

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from contextvars import Context
    from typing import Any, TypeAlias

    from warp_cache._warp_cache_rs import CachedFunction, Computation, SharedLease, Ticket

    _Cached: TypeAlias = CachedFunction[..., Any]
    _Job: TypeAlias = Callable[[], None]

__all__ = ["begin", "refresh", "refresh_async"]

_logger = logging.getLogger("warp_cache")

# Threads at most, and refreshes that may wait for one.
_THREADS = 4
_QUEUE = 1024
# Seconds after which a thread that has nothing to do ends.
_IDLE = 10.0


class _Pool:
    """Daemon threads, made when there is work for them."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.jobs: deque[_Job] = deque()
        self.condition = threading.Condition(threading.Lock())
        self.threads = 0
        self.idle = 0

    def submit(self, job: _Job) -> bool:
        """Have a thread do the job; False if too many wait already."""
        with self.condition:
            if len(self.jobs) >= _QUEUE:
                return False
            self.jobs.append(job)
            if self.idle >= len(self.jobs):
                self.condition.notify()
                return True
            if self.threads == _THREADS:
                return True
            self.threads += 1
        try:
            threading.Thread(target=self.work, name="warp_cache refresh", daemon=True).start()
        except RuntimeError:
            # No thread can be had, now or at the interpreter's exit.
            with self.condition:
                self.threads -= 1
                if self.threads == 0 and job in self.jobs:
                    self.jobs.remove(job)
                    return False
        return True

    def work(self) -> None:
        while True:
            with self.condition:
                while not self.jobs:
                    self.idle += 1
                    try:
                        if not self.condition.wait(_IDLE) and not self.jobs:
                            self.threads -= 1
                            return
                    finally:
                        self.idle -= 1
                job = self.jobs.popleft()
            job()
            # What the job refers to is not kept until the next one.
            del job


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
    if not cached._is_async:
        context = copy_context()
        job = _Background(cached, ticket, args, kwargs, lease, context)
        if not _current_pool().submit(job):
            cached._not_refreshed(ticket)
        return
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        cached._not_refreshed(ticket)
        return
    # A task has a copy of the context.
    task = loop.create_task(_in_background(cached, ticket, args, kwargs, lease))
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


# A loop keeps weak references only.
_tasks: set[asyncio.Task[None]] = set()


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
        try:
            self.context.run(_once, *self.call, background=True)
        except BaseException as error:
            # KeyboardInterrupt and SystemExit end no thread of the pool.
            _complain(self.call[0], error)


def _complain(cached: _Cached, error: BaseException) -> None:
    name = getattr(cached, "__qualname__", None) or repr(cached)
    _logger.warning("refreshing %s failed", name, exc_info=error)


async def _in_background(
    cached: _Cached,
    ticket: Ticket,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    lease: SharedLease | None,
) -> None:
    try:
        await _once_async(cached, ticket, args, kwargs, lease, background=True)
    except asyncio.CancelledError:
        raise
    except Exception as error:
        _complain(cached, error)


class _Flight:
    """A refresh of a plain function under way, and who waits for it."""

    __slots__ = ("computation", "done", "error", "leader", "shared", "value")

    def __init__(self) -> None:
        # What stood when it began to compute.
        self.computation: Computation | None = None
        self.leader = threading.get_ident()
        self.done = threading.Event()
        self.value: Any = None
        self.shared: Any = None
        self.error = False


# Who waits for whom: the refresh that a thread waits for. A circle would never end.
_waits: dict[int, _Flight] = {}


def _is_fenced(cached: _Cached, ticket: Ticket, computation: Computation | None) -> bool:
    """Whether it computes what nobody who comes now may have."""
    return computation is not None and not cached._is_current(ticket, computation)


def _closes_circle(flight: _Flight) -> bool:
    me = threading.get_ident()
    seen: set[int] = set()
    at: _Flight | None = flight
    while at is not None and at.leader not in seen:
        if at.leader == me:
            return True
        seen.add(at.leader)
        at = _waits.get(at.leader)
    return False


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
    mine = _Flight()
    other = flights.setdefault(ticket, mine)
    if other is not mine:
        if not _is_fenced(cached, ticket, other.computation) and not _closes_circle(other):
            return _wait(other)
        flights[ticket] = mine
    computation: Computation | None = None
    stored = False
    try:
        mine.computation = computation = cached._computation(ticket, args, kwargs)
        lease = cached._begin_refresh(ticket, computation, lease)
        mine.value = value = cached._function(*args, **kwargs)
        stored = True
        cached._refreshed(ticket, value, computation, lease)
        return value
    except BaseException as error:
        mine.error = True
        if isinstance(error, Exception):
            mine.shared = share(error)
        if not stored:
            cached._not_refreshed(ticket, computation, background)
            _end(lease, computation if isinstance(error, Exception) else None, background)
        raise
    finally:
        # Another thread may take its place, and end, between any two steps.
        if flights.get(ticket) is mine:
            flights.pop(ticket, None)
        mine.done.set()


def _end(lease: SharedLease | None, failed: Computation | None, background: bool) -> None:
    """End the lease of a refresh that has brought nothing."""
    if lease is None:
        return
    if failed is None:
        lease.leave()
    elif background:
        lease.end_failed()
    else:
        lease.end()


def _wait(flight: _Flight) -> Any:
    me = threading.get_ident()
    before = _waits.get(me)
    _waits[me] = flight
    try:
        flight.done.wait()
    finally:
        if before is None:
            _waits.pop(me, None)
        else:
            _waits[me] = before
    if not flight.error:
        return flight.value
    if flight.shared is not None:
        raise own(flight.shared)
    raise RuntimeError("the refresh that this one waited for was interrupted: call it again")


class _TaskFlight:
    """A refresh of a coroutine function under way, and who waits for it."""

    __slots__ = ("computation", "future", "leader")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        # What stood when it began to compute.
        self.computation: Computation | None = None
        self.leader = asyncio.current_task()
        self.future: asyncio.Future[Any] = loop.create_future()
        # Seen, whether somebody waits or not.
        self.future.add_done_callback(lambda done: done.cancelled() or done.exception())


def refresh_async(
    cached: _Cached, ticket: Ticket, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Coroutine[Any, Any, Any]:
    """Compute a coroutine function's value now, and store it."""
    return _once_async(cached, ticket, args, kwargs, None, background=False)


async def _once_async(
    cached: _Cached,
    ticket: Ticket,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    lease: SharedLease | None,
    *,
    background: bool,
) -> Any:
    flights = cached._refreshes
    key = (asyncio.get_running_loop(), ticket)
    other = flights.get(key)
    if (
        other is not None
        and not _is_fenced(cached, ticket, other.computation)
        and other.leader is not asyncio.current_task()
    ):
        return await asyncio.shield(other.future)
    mine = flights[key] = _TaskFlight(key[0])
    future = mine.future
    computation: Computation | None = None
    stored = False
    try:
        mine.computation = computation = cached._computation(ticket, args, kwargs)
        lease = cached._begin_refresh(ticket, computation, lease)
        value = await cached._function(*args, **kwargs)
        stored = True
        cached._refreshed(ticket, value, computation, lease)
        if not future.done():
            future.set_result(value)
        return value
    except BaseException as error:
        if not future.done():
            if isinstance(error, Exception):
                future.set_exception(own(share(error)))
            else:
                future.cancel()
        if not stored:
            failed = computation if isinstance(error, Exception) else None
            cached._not_refreshed(ticket, failed, background)
            _end(lease, failed, background)
        raise
    finally:
        if flights.get(key) is mine:
            del flights[key]
