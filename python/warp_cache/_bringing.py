"""How a coroutine function's computation brings its value: another process's, or its own, stored.

The steps of a flight's task between its callers and the cache. With a server behind the cache they
are in ``_remote.awaiting``.
"""

from __future__ import annotations

import asyncio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from warp_cache._flight import Flight, Waiter
    from warp_cache._warp_cache_rs import AsyncCachedFunction, Computation, SharedLease, Ticket

__all__ = ["bring", "compute_beside", "count_end", "drop_closed"]

# Seconds between two questions whether another process is done.
_FIRST_PAUSE = 0.001
_LAST_PAUSE = 0.02


async def bring(flight: Flight, leader: Waiter) -> Any:
    """The value: computed, and stored."""
    cached, args, kwargs = flight.call
    lease: SharedLease | None = None
    try:
        if cached._remote:
            from warp_cache._remote.awaiting import bring as bring_from_server

            return await bring_from_server(flight)
        computation = cached._computation(flight.ticket, args, kwargs)
        if cached._shared:
            answer = await ask(flight, leader, computation)
            if isinstance(answer, tuple):
                flight.note(answer[0])
                return answer[0]
            flight.lease = lease = answer
            # What was fenced while another process computed does not concern this one.
            computation = cached._begun_anew(flight.ticket, computation)
        if flight.computation is None:
            flight.computation = computation
        try:
            value = await cached._function(*args, **kwargs)
        except Exception as error:
            if spare := cached._failed(flight.ticket, error, computation, lease):
                flight.is_stale = True
                flight.note(spare[0])
                return spare[0]
            raise
        except BaseException as error:
            count_end(cached, error, computation.watch)
            raise
        flight.told = cached._store(flight.ticket, value, computation, lease)
        flight.note(value)
        return value
    except BaseException as error:
        if lease is not None and not isinstance(error, Exception):
            if flight.is_left(error):
                # That says nothing of the computation, which somebody may do.
                lease.leave()
            else:
                lease.end_privately()
        raise
    finally:
        if lease is not None:
            lease.end()


def count_end(cached: AsyncCachedFunction[..., Any], error: BaseException, watch: int) -> None:
    """Count a computation that has raised, unless it was cancelled, which is no end of its own."""
    if not isinstance(error, (asyncio.CancelledError, GeneratorExit)):
        cached._count_load(watch, True)


async def compute_beside(
    cached: AsyncCachedFunction[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """A result of which nothing is kept: the computation is counted."""
    watch = cached._watch()
    try:
        value = await cached._function(*args, **kwargs)
    except BaseException as error:
        count_end(cached, error, watch)
        raise
    cached._count_load(watch, False)
    return value


async def ask(
    flight: Flight, leader: Waiter, computation: Computation
) -> SharedLease | tuple[Any] | None:
    """Wait while another process computes: the value, or the right to compute it."""
    cached = flight.call[0]
    bound = cached._wait_timeout
    pause = _FIRST_PAUSE
    turn = cached._turn(flight.free)
    while True:
        waited = flight.loop.time() - flight.began
        insists = bound is not None and waited >= bound
        answer = cached._lead(flight.ticket, insists, computation, turn)
        if answer is not False:
            # Who waits here has given the other process its time; now it is ours.
            flight.since = flight.loop.time()
            if turn.frees_others() and not isinstance(answer, tuple):
                flight.free_others(leader)
            return answer
        if bound is not None:
            pause = min(pause, bound - waited)
        flight.since = flight.loop.time()
        # It may be one of this process that we wait for.
        drop_closed(cached._flights)
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LAST_PAUSE)
        found = cached._peek(flight.ticket)
        if found:
            return found


def drop_closed(flights: dict[asyncio.AbstractEventLoop, dict[Ticket, Flight]]) -> None:
    """Forget the computations of loops that were closed on them."""
    for loop in list(flights):
        if loop.is_closed():
            for flight in flights.pop(loop, {}).values():
                flight.forsake()
