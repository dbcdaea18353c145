"""Misses of coroutine functions: computed once per event loop, whoever of the callers is cancelled.

The extension module serves hits; for a miss it calls ``compute`` with a ticket that stands for the
call's key.

A computation runs in a task of its own, so that cancelling the caller who happened to start it
leaves the others alone. Its record is a ``_Flight``. Waiting is refused where it could never end:
each computation knows (by a context variable, which the tasks that it starts inherit) what it waits
for, and who would close a cycle computes for itself.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from contextvars import ContextVar

from warp_cache._exceptions import copy_exception

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias, TypeVar

    from warp_cache._warp_cache_rs import AsyncCachedFunction, SharedLease, Ticket

    _Cached: TypeAlias = AsyncCachedFunction[..., Any]
    _T = TypeVar("_T")

__all__ = ["compute", "pass_on"]

_ABANDONED = object()

# Seconds between two questions whether another process is done.
_FIRST_PAUSE = 0.001
_LAST_PAUSE = 0.02


async def pass_on(cached: _Cached, /, *args: Any, **kwargs: Any) -> Any:
    """A call that is not cached."""
    return await cached._function(*args, **kwargs)


async def compute(cached: _Cached, ticket: Ticket, /, *args: Any, **kwargs: Any) -> Any:
    """A call that missed."""
    try:
        loop = asyncio.get_running_loop() if cached._single_flight else None
    except RuntimeError:
        # Driven by hand or by another library: there is nothing to wait with.
        loop = None
    if loop is None:
        epoch = cached._epoch()
        value = await cached._function(*args, **kwargs)
        cached._store(ticket, value, epoch)
        return value
    while True:
        found = cached._peek(ticket)
        if found:
            return found[0]
        table = _table(cached._flights, loop)
        flight = table.get(ticket)
        leader = flight is None
        if flight is None:
            flight = table[ticket] = _Flight(loop, table, cached, ticket, args, kwargs)
            flight.lead()
        elif flight.leads_to(_flight.get()):
            return await cached._function(*args, **kwargs)
        outcome, error = await flight.wait(cached._wait_timeout)
        if cached._shared and not leader and error is None:
            # What may be changed, each caller has for itself.
            found = cached._peek(ticket)
            if found:
                return found[0]
        if error is not None:
            try:
                raise error if leader else copy_exception(error)
            finally:
                # The exception's traceback refers to this frame.
                del error
        if outcome is not _ABANDONED:
            return outcome
        if leader:
            # The work was cancelled, and not by its callers.
            raise asyncio.CancelledError


def _table(
    flights: dict[asyncio.AbstractEventLoop, dict[Ticket, _Flight]],
    loop: asyncio.AbstractEventLoop,
) -> dict[Ticket, _Flight]:
    """The computations of one event loop."""
    table = flights.get(loop)
    if table is None:
        for other in list(flights):
            if other.is_closed():
                flights.pop(other, None)
        table = flights.setdefault(loop, {})
    return table


class _Flight:
    """A computation under way, and who waits for it."""

    __slots__ = (
        "began",
        "call",
        "future",
        "loop",
        "since",
        "table",
        "tasks",
        "ticket",
        "waiters",
        "waits",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        table: dict[Ticket, _Flight],
        cached: _Cached,
        ticket: Ticket,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        self.loop = loop
        self.table = table
        self.ticket = ticket
        self.call = (cached, args, kwargs)
        # (value, None), (None, exception) or (_ABANDONED, None); the first task that ends sets it.
        self.future: asyncio.Future[tuple[Any, Exception | None]] = loop.create_future()
        self.tasks: list[asyncio.Task[None]] = []
        self.began = self.since = loop.time()
        self.waiters = 0
        # The computations that this one waits for; one may stand here several times.
        self.waits: list[_Flight] = []

    def lead(self) -> None:
        """Start the work, or start it once more beside what does not end."""
        self.since = self.loop.time()
        work = self.work()
        try:
            self.tasks.append(self.loop.create_task(work))
        except BaseException:
            work.close()
            self.land(_ABANDONED)
            raise

    async def work(self) -> None:
        _flight.set(self)
        cached, args, kwargs = self.call
        lease: SharedLease | None = None
        try:
            if cached._shared:
                answer = await self.ask()
                if isinstance(answer, tuple):
                    self.land(answer[0])
                    return
                lease = answer
            epoch = cached._epoch()
            value = await cached._function(*args, **kwargs)
            cached._store(self.ticket, value, epoch, lease)
        except Exception as error:
            self.land(None, error)
        except BaseException:
            # Cancelled, or the end of the program: nothing that others should have.
            self.land(_ABANDONED)
            raise
        else:
            self.land(value)
        finally:
            if lease is not None:
                lease.end()

    async def ask(self) -> SharedLease | tuple[Any] | None:
        """Wait while another process computes: the value, or the right to compute it."""
        cached = self.call[0]
        bound = cached._wait_timeout
        pause = _FIRST_PAUSE
        while True:
            waited = self.loop.time() - self.began
            answer = cached._lead(self.ticket, bound is not None and waited >= bound)
            if answer is not False:
                # Who waits here has given the other process its time; now it is ours.
                self.since = self.loop.time()
                return answer
            if bound is not None:
                pause = min(pause, bound - waited)
            self.since = self.loop.time()
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LAST_PAUSE)
            found = cached._peek(self.ticket)
            if found:
                return found

    def land(self, value: Any, error: Exception | None = None) -> None:
        """Hand the outcome to those who wait, and let the next caller start anew."""
        self.leave()
        if not self.future.done() and not self.loop.is_closed():
            self.future.set_result((value, error))

    def leave(self) -> None:
        if self.table.get(self.ticket) is self:
            del self.table[self.ticket]
            # An empty table would keep its loop alive.
            flights = self.call[0]._flights
            if not self.table and flights.get(self.loop) is self.table:
                del flights[self.loop]

    def leads_to(self, target: _Flight | None) -> bool:
        """Whether this computation is ``target``, or waits (for one that waits …) for it."""
        if target is None:
            return False
        seen: set[int] = set()
        stack: list[_Flight] = [self]
        while stack:
            flight = stack.pop()
            if flight is target:
                return True
            if id(flight) not in seen:
                seen.add(id(flight))
                stack.extend(flight.waits)
        return False

    async def wait(self, bound: float | None) -> tuple[Any, Exception | None]:
        """The outcome. The last waiter to be cancelled takes the work with it."""
        current = _flight.get()
        if current is not None:
            current.waits.append(self)
        self.waiters += 1
        try:
            while not self.future.done():
                left = None
                if bound is not None:
                    left = max(0.0, self.since + bound - self.loop.time())
                await asyncio.wait((self.future,), timeout=left)
                if (
                    bound is not None
                    and self.loop.time() >= self.since + bound
                    and not self.future.done()
                ):
                    self.lead()
            return self.future.result()
        except asyncio.CancelledError:
            if self.waiters == 1 and not self.future.done():
                self.leave()
                await self.cancel()
            raise
        finally:
            self.waiters -= 1
            if current is not None:
                current.waits.remove(self)

    async def cancel(self) -> None:
        """Cancel the work and wait until it has ended."""
        pending = [task for task in self.tasks if not task.done()]
        while pending:
            for task in pending:
                task.cancel()
            # Cancelled once more: so is the work.
            with suppress(asyncio.CancelledError):
                await asyncio.wait(pending)
            pending = [task for task in pending if not task.done()]


_flight: ContextVar[_Flight | None] = ContextVar("warp_cache_flight", default=None)
