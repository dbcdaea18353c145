"""The tables of what is under way: each loop has one for each coroutine function, by ticket."""

from __future__ import annotations

from warp_cache._bringing import drop_closed

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from typing import Any

    from warp_cache._warp_cache_rs import AsyncCachedFunction, Ticket

__all__ = ["leave", "table_of"]


def table_of(
    flights: dict[asyncio.AbstractEventLoop, dict[Ticket, Any]],
    loop: asyncio.AbstractEventLoop,
) -> dict[Ticket, Any]:
    """The computations of one event loop."""
    table = flights.get(loop)
    if table is None:
        drop_closed(flights)
        table = flights.setdefault(loop, {})
    return table


def leave(
    cached: AsyncCachedFunction[..., Any],
    loop: asyncio.AbstractEventLoop,
    table: dict[Ticket, Any],
    ticket: Ticket,
    entry: object,
) -> None:
    """Take an entry out of its table, where it still stands there."""
    # Between any two steps another thread may invalidate, which takes it out as well.
    if table.get(ticket) is entry:
        table.pop(ticket, None)
    # An empty table would keep its loop alive, whoever took out the last entry.
    if not table:
        flights = cached._flights
        if flights.get(loop) is table:
            flights.pop(loop, None)
