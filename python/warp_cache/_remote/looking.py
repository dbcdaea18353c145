"""A coroutine function's call that asks its server in its caller's own task, without a timer.

What the server has needs no task of its own: nothing is computed that a cancelled caller could take
with it. Only where this process is to compute, or to wait for another one, and where somebody joins
the call, there is a ``Flight``.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress

from warp_cache._flight import NOTHING, Flight, Waiter
from warp_cache._flight_tables import leave
from warp_cache._remote.asking import gathered
from warp_cache._remote.awaiting import refresh
from warp_cache._remote.beside import forget

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    from warp_cache._remote.asking import Asking
    from warp_cache._warp_cache_rs import AsyncCachedFunction, Computation, RemoteTurn, Ticket

    _Cached: TypeAlias = AsyncCachedFunction[..., Any]

__all__ = ["Look"]


class Look:
    """A call that asks; in the table it stands for the flight that it may become."""

    __slots__ = (
        "call",
        "computation",
        "flight",
        "free",
        "loop",
        "me",
        "table",
        "ticket",
        "turn",
        "waits",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        table: dict[Ticket, Any],
        cached: _Cached,
        ticket: Ticket,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        free: bool,
    ) -> None:
        self.loop = loop
        self.table = table
        self.call = (cached, args, kwargs)
        self.ticket = ticket
        self.free = free
        # What stood when it began, whose tags an invalidation asks for.
        self.computation: Computation | None = None
        # The way to the server, and what the caller waits for there.
        self.turn: RemoteTurn | None = None
        self.waits: tuple[Asking, asyncio.Future[bool]] | None = None
        # Of those who have joined, and the caller among them.
        self.flight: Flight | None = None
        self.me: Waiter | None = None

    def joined(self) -> Flight:
        """The flight: there is one from now on."""
        flight = self.flight
        if flight is None:
            cached, args, kwargs = self.call
            flight = self.flight = Flight(
                self.loop, self.table, cached, self.ticket, args, kwargs, self.free
            )
            flight.entry = self
            flight.turn = self.turn
            self.me = Waiter(None)
            flight.waiters.append(self.me)
        return flight

    def forsake(self) -> None:
        """Its loop was closed; the thread that asks finds nobody there, but a flight may wait."""
        if self.flight is not None:
            self.flight.forsake()

    async def ask(self) -> tuple[Any, BaseException | None]:
        """The server's value or stored exception; neither: the caller leads the flight."""
        cached, args, kwargs = self.call
        ticket = self.ticket
        # First of all: what is invalidated from here on takes it out again.
        self.table[ticket] = self
        try:
            self.computation = computation = cached._computation(ticket, args, kwargs)
            self.turn = turn = cached._turn_there(ticket, computation, False)
            taken: tuple[Any, ...] | None = None
            is_answered = turn.is_here()
            if not is_answered:
                asking = gathered(self.loop)
                self.waits = asking, asking.add(turn)
                del asking
                is_answered = await self.waits[1]
                self.waits = None
            if is_answered:
                taken = cached._take_there(ticket, computation, turn)
            if not taken:
                self.go_on(computation, turn, taken if is_answered else False)
                return NOTHING, None
            value, *is_stale = taken
            if is_stale:
                refresh(cached, ticket, args, kwargs)
            self.land(value, None)
            return value, None
        except BaseException as error:
            raised = error
        # No exception is being handled any more but the caller's.
        try:
            self.fail(raised)
            return NOTHING, raised
        finally:
            # The exception's traceback refers to this frame.
            del raised

    def land(self, value: Any, error: BaseException | None) -> None:
        """The end of it, for those who have joined, too."""
        flight, me = self.flight, self.me
        if flight is None or me is None:
            leave(self.call[0], self.loop, self.table, self.ticket, self)
            return
        if error is None:
            flight.note(value)
        flight.land(me, value, error, sys.exc_info()[1])
        flight.drop(me)

    def go_on(self, computation: Computation, turn: RemoteTurn, rest: Any) -> None:
        """There is to be a flight; ``rest`` says how it goes on (see ``awaiting.bring``)."""
        flight, me = self.joined(), self.me
        if flight.future.done():
            # Who joined has waited for too long, and was faster.
            forget(turn.send)
        else:
            flight.begun = (computation, turn, rest)
        if me is not None:
            flight.waiters.remove(me)

    def fail(self, error: BaseException) -> None:
        """It has raised, whatever that was: nobody finds it in the table, nor waits for it.

        What the caller was thrown while he waited is his alone, and is raised here.
        """
        (waits, self.waits), turn = (self.waits, None), self.turn
        if waits is not None and not _is_answer(waits[1], error):
            try:
                self.hand_over(*waits)
                raise error
            finally:
                del error, waits
        if turn is not None:
            forget(turn.send)
        self.land(NOTHING, error)

    def hand_over(self, asking: Asking, future: asyncio.Future[bool]) -> None:
        """The caller was cancelled, or closed: others who wait for the answer get it all the same.

        Nobody who leaves waits for it.
        """
        flight, me, computation, turn = self.flight, self.me, self.computation, self.turn
        if computation is None or turn is None:
            return
        if flight is not None and me is not None:
            flight.waiters.remove(me)
            if flight.waiters and not flight.future.done() and not self.loop.is_closed():
                flight.begun = (computation, turn, asking.again(future))
                # What keeps the work from beginning has freed the others already.
                with suppress(Exception):
                    flight.lead(flight.waiters[0])
                return
            flight.leave()
        leave(self.call[0], self.loop, self.table, self.ticket, self)
        forget(turn.send)


def _is_answer(future: asyncio.Future[bool], error: BaseException) -> bool:
    """Whether an exception is what came of asking."""
    return future.done() and not future.cancelled() and future.exception() is error
