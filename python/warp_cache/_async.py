"""Misses of coroutine functions: computed once per event loop, whoever of the callers is cancelled.

The extension module serves hits; for a miss it calls ``compute`` with a ticket that stands for the
call's key. A computation that others may wait for is a ``Flight``.
"""

from __future__ import annotations

import asyncio

from warp_cache._bringing import compute_beside, count_end
from warp_cache._exceptions import Shared, own, put_back, taken_off
from warp_cache._flight import NOTHING, Flight, current
from warp_cache._flight_tables import table_of
from warp_cache._imports import imported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    from warp_cache._warp_cache_rs import AsyncCachedFunction, Ticket

    _Cached: TypeAlias = AsyncCachedFunction[..., Any]

__all__ = ["bypass", "compute", "pass_on", "raising"]


async def pass_on(cached: _Cached, /, *args: Any, **kwargs: Any) -> Any:
    """A call that is not cached."""
    value = await compute_beside(cached, args, kwargs)
    if cached._shared and (told := cached._skip(True)):
        cached._tell(told)
    return value


async def bypass(cached: _Cached, /, *args: Any, **kwargs: Any) -> Any:
    """A call while caches are disabled."""
    return await cached._function(*args, **kwargs)


async def _alone(
    cached: _Cached, ticket: Ticket, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """A call that nobody waits for."""
    if cached._remote:
        from warp_cache._remote.awaiting import alone

        return await alone(cached, ticket, args, kwargs)
    computation = cached._computation(ticket, args, kwargs)
    try:
        value = await cached._function(*args, **kwargs)
    except Exception as error:
        if spare := cached._failed(ticket, error, computation):
            return spare[0]
        raise
    except BaseException as error:
        count_end(cached, error, computation.watch)
        raise
    if told := cached._store(ticket, value, computation):
        cached._tell(told)
    return value


def _looks() -> Any:
    """What asks a server, imported by the first call that has one."""
    global _look
    if _look is None:
        from warp_cache._remote.looking import Look

        _look = Look
    return _look


_look: Any = None

# Of a loop that computes nothing: never written to.
_NO_TABLE: dict[Ticket, Any] = {}


async def raising(shared: Shared) -> Any:
    """A call that finds a stored exception."""
    raise own(shared)


async def compute(cached: _Cached, ticket: Ticket, /, *args: Any, **kwargs: Any) -> Any:
    """A call that missed."""
    try:
        waits = cached._single_flight and not ticket._alone
        loop = asyncio.get_running_loop() if waits else None
    except RuntimeError:
        # Driven by hand or by another library: there is nothing to wait with.
        loop = None
    if loop is None:
        return await _alone(cached, ticket, args, kwargs)
    # A call waits for at most one computation that ends without a value; then it is free.
    free = False
    while True:
        found = cached._peek(ticket)
        if found:
            return found[0]
        # It gets one where there is something to stand in it: an empty table would keep its loop.
        table = cached._flights.get(loop, _NO_TABLE)
        entry = table.get(ticket)
        flight = None if entry is None else entry.joined()
        if flight is not None and flight.is_fenced() and not flight.leads_to(current.get()):
            flight = None
        if flight is not None and flight.turn is not None and not flight.turn.is_current():
            from warp_cache._remote.awaiting import is_fenced

            fenced = await is_fenced(flight)
            if table.get(ticket) is not entry:
                # Meanwhile it has ended, or there is another one.
                continue
            if fenced and not flight.leads_to(current.get()):
                flight = None
        if flight is None and not free and (refreshes := imported("warp_cache._refresh")):
            flight = refreshes.under_way(cached, ticket, loop)
        leads = flight is None
        if flight is not None:
            if free:
                return await _alone(cached, ticket, args, kwargs)
            if flight.leads_to(current.get()):
                value = await compute_beside(cached, args, kwargs)
                if cached._shared:
                    # The computation that this one is a part of stores it.
                    cached._skip(False)
                return value
            value, error = await flight.wait(cached._wait_timeout, False)
        elif cached._remote:
            asks = _looks()
            table = table_of(cached._flights, loop)
            look = asks(loop, table, cached, ticket, args, kwargs, free)
            value, error = await look.ask()
            if value is not NOTHING:
                return value
            if error is None:
                flight = look.joined()
                # Who has joined may have been faster.
                leads = not flight.future.done()
                value, error = await flight.wait(cached._wait_timeout, leads)
            look = None
        else:
            table = table_of(cached._flights, loop)
            flight = table[ticket] = Flight(loop, table, cached, ticket, args, kwargs, free)
            value, error = await flight.wait(cached._wait_timeout, True)
        told = template = None
        if flight is not None:
            told, flight.told = flight.told, None
            template = None if leads else flight.template
            if flight.is_stale and not leads and value is not NOTHING:
                cached._count_stale()
        # An exception's traceback refers to this frame, and the flight may refer to the exception.
        flight = None
        if error is not None:
            context = taken_off(error)
            try:
                raise error
            finally:
                put_back(error, context)
                del error, context
        if value is NOTHING:
            free = True
            continue
        if told is not None:
            # Here the caller's frame is near, and what it may raise harms nobody else.
            cached._tell(told)
        if template is None:
            return value
        # What may be changed, each caller has for itself.
        made = cached._made(ticket, template)
        if made:
            return made[0]
        free = True
