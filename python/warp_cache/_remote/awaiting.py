"""Coroutine functions with a server behind their cache: what waits for it, waits beside the loop.

What blocks runs in a few daemon threads, which wake the loop when it is done. The steps in between
(looking at keys, making objects of bytes, the user's callables) run in the loop's own thread.
"""

from __future__ import annotations

import asyncio
import time

from warp_cache._bringing import compute_beside, count_end
from warp_cache._remote.asking import ask, wait
from warp_cache._remote.beside import beside, beside_loop, forget

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable
    from typing import Any

    from warp_cache._flight import Flight
    from warp_cache._warp_cache_rs import (
        AsyncCachedFunction,
        CachedFunction,
        Computation,
        RemoteTurn,
        Ticket,
    )

__all__ = [
    "alone",
    "bring",
    "is_fenced",
    "reach",
    "recompute",
    "recompute_here",
    "refresh",
    "store",
    "twin",
]

# Seconds for which a thread waits for another process's computation, before others have their turn.
_SLICE = 0.02


async def reach(
    cached: AsyncCachedFunction[..., Any],
    ticket: Ticket,
    computation: Computation,
    turn: RemoteTurn,
    first: Awaitable[bool] | None = None,
) -> tuple[Any, ...]:
    """A tuple with what the server has, or an empty one: this call is to compute. What is no longer
    fresh has None beside it.

    first: gives whether there is an answer already; None: it is not asked for yet.
    """
    loop, bound = asyncio.get_running_loop(), cached._wait_timeout
    since = loop.time()
    is_answered = await first if first is not None else turn.is_here() or await ask(turn)
    while True:
        while not is_answered:
            if bound is not None and loop.time() - since >= bound:
                turn.insist()
            is_answered = await wait(turn, _SLICE)
        taken = cached._take_there(ticket, computation, turn)
        if taken is not None:
            return taken
        is_answered = await wait(turn, 0.0)


async def bring(flight: Flight) -> Any:
    """The value of a flight: the server's, or computed and stored for all hosts.

    What was asked before it began goes on: an empty tuple says that this call is to compute, None
    that it is to ask once more, False that another process computes; a future will tell.
    """
    cached, args, kwargs = flight.call
    ticket = flight.ticket
    begun, flight.begun = flight.begun, None
    first: Awaitable[bool] | None = None
    taken: tuple[Any, ...] | None = None
    if begun is None:
        computation = cached._computation(ticket, args, kwargs)
        turn = flight.turn = cached._turn_there(ticket, computation, False)
    else:
        computation, turn, rest = begun
        if isinstance(rest, tuple):
            taken = rest
        else:
            first = rest if asyncio.isfuture(rest) else wait(turn, 0.0 if rest is None else _SLICE)
    try:
        if taken is None:
            taken = await reach(cached, ticket, computation, turn, first)
        if taken:
            value, *stale = taken
            if stale:
                refresh(cached, ticket, args, kwargs)
        else:
            again = cached._begun_anew(ticket, computation)
            value = await _compute(cached, ticket, args, kwargs, turn, again, flight)
    except BaseException:
        forget(turn.send)
        raise
    flight.note(value)
    return value


async def alone(
    cached: AsyncCachedFunction[..., Any],
    ticket: Ticket,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """The value for one caller, whom nobody waits for."""
    if asyncio._get_running_loop() is None:
        # Driven by hand or by another library: there is nothing to wait with.
        return await compute_beside(cached, args, kwargs)
    computation = cached._computation(ticket, args, kwargs)
    turn = cached._turn_there(ticket, computation, False)
    try:
        taken = await reach(cached, ticket, computation, turn)
        if taken:
            value, *stale = taken
            if stale:
                refresh(cached, ticket, args, kwargs)
            return value
        again = cached._begun_anew(ticket, computation)
        return await _compute(cached, ticket, args, kwargs, turn, again)
    except BaseException:
        forget(turn.send)
        raise


def refresh(
    cached: AsyncCachedFunction[..., Any],
    ticket: Ticket,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> None:
    """See to it that what the server has is computed anew."""
    from warp_cache._refresh import begin

    begin(cached, ticket, args, kwargs)


async def _send(turn: RemoteTurn) -> None:
    """Send what there is to send."""
    if turn.ends_at_once():
        turn.send()
    else:
        await beside(turn.send)


async def _compute(
    cached: AsyncCachedFunction[..., Any],
    ticket: Ticket,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    turn: RemoteTurn,
    computation: Computation,
    flight: Flight | None = None,
) -> Any:
    """Compute, and store what comes of it: the value, or the old one where that raises.

    computation: one that begins now; what was fenced before does not concern it.
    """
    if flight is not None and flight.computation is None:
        flight.computation = computation
    try:
        value = await cached._function(*args, **kwargs)
    except Exception as error:
        spare = cached._failed_there(ticket, error, computation, turn)
        await _send(turn)
        if spare:
            if flight is not None:
                flight.is_stale = True
            return spare[0]
        cached._settle_there(ticket, error, computation, turn)
        raise
    except BaseException as error:
        count_end(cached, error, computation.watch)
        raise
    await store(cached, ticket, value, computation, turn)
    return value


async def store(
    cached: CachedFunction[..., Any],
    ticket: Ticket,
    value: Any,
    computation: Computation,
    turn: RemoteTurn,
) -> None:
    """Store what was computed, for all hosts if that is this call's to do."""
    cached._keep_there(value, computation, turn)
    await _send(turn)
    cached._settle_there(ticket, value, computation, turn)


async def recompute(
    cached: AsyncCachedFunction[..., Any],
    ticket: Ticket,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    computation: Computation,
    background: bool,
) -> Any:
    """Compute a coroutine function's value anew, beside what the server has, and store it.

    Where another process does so already, the value is that one's; in the background nothing is
    waited for.
    """
    turn = cached._turn_there(ticket, computation, True)
    try:
        if background and not await wait(turn, 0.0):
            return None
        first = None if turn.is_here() else wait(turn, 0.0)
        taken = await reach(cached, ticket, computation, turn, first)
        if taken:
            return taken[0]
        value = await cached._function(*args, **kwargs)
        await store(cached, ticket, value, computation, turn)
    except BaseException:
        forget(turn.send)
        raise
    return value


def recompute_here(
    cached: CachedFunction[..., Any],
    ticket: Ticket,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    computation: Computation,
    background: bool,
) -> Any:
    """The same of a plain function, in this thread."""
    turn = cached._turn_there(ticket, computation, True)
    try:
        if background and not turn.ask(0.0):
            return None
        taken: tuple[Any, ...] | None = None
        since, bound = time.monotonic(), cached._patience
        while taken is None:
            while not turn.ask(_SLICE):
                if bound is not None and time.monotonic() - since >= bound:
                    turn.insist()
            taken = cached._take_there(ticket, computation, turn)
        if taken:
            return taken[0]
        value = cached._function(*args, **kwargs)
        cached._keep_there(value, computation, turn)
    except BaseException:
        turn.send()
        raise
    turn.send()
    cached._settle_there(ticket, value, computation, turn)
    return value


async def is_fenced(flight: Flight) -> bool:
    """Whether a flight computes what nobody who comes now may have: the server knows."""
    turn = flight.turn
    if turn is None or turn.is_current():
        return False
    may_join: bool = await beside(turn.may_join)
    return not may_join


async def twin(
    cached: AsyncCachedFunction[..., Any], method: str, /, *args: Any, **kwargs: Any
) -> Any:
    """What a method of the function gives, which may wait for the server."""
    return await beside_loop(getattr(cached, method), *args, **kwargs)
