"""One computation of a coroutine function, in a task of its own, and all who wait for it.

It runs in a task of its own, so that cancelling the caller who happened to start it leaves the
others alone. Waiting is refused where it could never end: each computation knows (by a context
variable, which the tasks that it starts inherit) what it waits for, and who would close a cycle
computes for itself.

The task never fails: what the computation raises is handed to the callers, of whom the one who
started it raises the very object. So KeyboardInterrupt ends the loop from the caller's task, as
without a cache, and asyncio finds no exception that nobody has retrieved.

It is one class, a little longer than other files: who leads, who waits and who leaves change the
same few attributes, and none of these may be seen between two of its steps.
"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

from warp_cache._bringing import bring
from warp_cache._cancellation import Work, cancellations, end, is_in_cancelled_scope
from warp_cache._exceptions import Shared, own, share, within
from warp_cache._flight_tables import leave

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any, TypeAlias

    from warp_cache._warp_cache_rs import (
        AsyncCachedFunction,
        Computation,
        RemoteTurn,
        SharedLease,
        Ticket,
    )

    _Cached: TypeAlias = AsyncCachedFunction[..., Any]

__all__ = ["NOTHING", "Flight", "Waiter", "current"]

# No value, no exception.
NOTHING: Any = object()

# What ends the loop.
_FATAL = (KeyboardInterrupt, SystemExit)


class Waiter:
    """A caller who waits."""

    __slots__ = ("task",)

    def __init__(self, task: asyncio.Task[Any] | None) -> None:
        self.task = task

    def stays(self) -> bool:
        """Whether the caller is known not to be cancelled himself."""
        cancelling = getattr(self.task, "cancelling", None)
        return cancelling is not None and not cancelling()


class Flight:
    """A computation under way, and who waits for it."""

    __slots__ = (
        "began",
        "begun",
        "call",
        "computation",
        "entry",
        "error",
        "free",
        "freed",
        "future",
        "heir",
        "is_stale",
        "lease",
        "left",
        "loop",
        "shared",
        "since",
        "table",
        "template",
        "ticket",
        "told",
        "turn",
        "value",
        "waiters",
        "waits",
        "works",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        table: dict[Ticket, Flight],
        cached: _Cached,
        ticket: Ticket,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        free: bool,
    ) -> None:
        self.loop = loop
        self.table = table
        self.ticket = ticket
        self.call = (cached, args, kwargs)
        # What stood when the first of its works began to compute.
        self.computation: Computation | None = None
        # Whether whoever began this waits for no other process.
        self.free = free
        # Done when there is an outcome; the first task that ends brings it.
        self.future: asyncio.Future[None] = loop.create_future()
        # Done when those who wait are freed before that.
        self.freed: asyncio.Future[None] = loop.create_future()
        # The value, or the exception as its `heir` is to raise it, and as others are.
        self.value: Any = NOTHING
        # From which those who did not lead make the value, if they can't have the same one.
        self.template: Any = None
        # What there is to say of a value that could not be stored.
        self.told: tuple[int, tuple[Any, ...]] | None = None
        # Whether the value is an old one, as computing has failed.
        self.is_stale = False
        self.error: BaseException | None = None
        self.heir: Waiter | None = None
        self.shared: Shared | None = None
        self.works: list[Work] = []
        # Whether the last caller was cancelled, or closed.
        self.left = False
        # The right to compute for all processes, where there are others.
        self.lease: SharedLease | None = None
        # The way to the server, where there is one, and how the next work goes on there.
        self.turn: RemoteTurn | None = None
        self.begun: tuple[Computation, RemoteTurn, Any] | None = None
        # What stands for it in the table; None: itself.
        self.entry: Any = None
        self.began = self.since = loop.time()
        # Those who are to have the outcome.
        self.waiters: list[Waiter] = []
        # The computations that this one waits for; one may stand here several times.
        self.waits: list[Flight] = []

    def joined(self) -> Flight:
        """Itself: it stands in the table."""
        return self

    def lead(self, me: Waiter) -> None:
        """Start the work, or start it once more beside what does not end."""
        self.since = self.loop.time()
        work = Work()
        try:
            work.start(self.loop, self.work(work, me))
        except BaseException:
            self.give_up()
            self.land(me, NOTHING)
            raise
        self.works.append(work)
        work.task.add_done_callback(lambda task: self.ended(task, me))

    async def work(self, work: Work, leader: Waiter) -> None:
        """The task's body: compute, and hand over what comes of it."""
        current.set(self)
        value, error = NOTHING, None
        try:
            with work.enter():
                handled = work.handled
                value = await (
                    self.bring(leader) if handled is None else within(handled, self.bring(leader))
                )
        except BaseException as raised:
            error = raised
        # No exception is being handled any more: what is raised from here on has no such context.
        handled, work.handled = work.handled, None
        try:
            if not self.land(leader, value, error, handled) and error is not None:
                if isinstance(error, _FATAL) or not _runs(self.loop):
                    raise error
                if not isinstance(error, (asyncio.CancelledError, GeneratorExit)):
                    self.complain(error)
        finally:
            # The exception's traceback refers to this frame.
            del error, handled

    def bring(self, leader: Waiter) -> Coroutine[Any, Any, Any]:
        """The value: computed, and stored. (A refresh brings it otherwise.)"""
        return bring(self, leader)

    def is_fenced(self) -> bool:
        """Whether it computes what nobody who comes now may have.

        In memory such a one is taken out of the table; what another process does is seen here.
        """
        cached, computation = self.call[0], self.computation
        if computation is None or not cached._shared:
            return False
        return not cached._is_current(self.ticket, computation)

    def forsake(self) -> None:
        """Its loop was closed: it will never end, so others may compute."""
        if self.lease is not None:
            self.lease.leave()
        self.give_up()

    def is_left(self, error: BaseException) -> bool:
        """Whether the computation ends because its callers have left, or its loop."""
        if isinstance(error, asyncio.CancelledError):
            is_cancelled = any(work.cancelling() for work in self.works)
            return self.left or (is_cancelled and not any(map(Waiter.stays, self.waiters)))
        return isinstance(error, GeneratorExit) and (self.left or not _runs(self.loop))

    def note(self, value: Any) -> None:
        """Make the template, before anybody has the value and may change it."""
        if len(self.waiters) > 1 and not self.future.done():
            self.template = self.call[0]._template(value)

    def free_others(self, leader: Waiter) -> None:
        """Free all who wait but one, whose the computation is: they compute as well, at once."""
        if not self.waiters:
            return
        self.waiters = [leader if leader in self.waiters else self.waiters[0]]
        freed, self.freed = self.freed, self.loop.create_future()
        freed.set_result(None)

    def land(
        self,
        leader: Waiter,
        value: Any,
        error: BaseException | None = None,
        handled: BaseException | None = None,
    ) -> bool:
        """Hand the outcome to those who wait, and let the next caller start anew.

        False if nobody takes it. `handled` is what the leader was handling when he called.
        """
        self.leave()
        if self.future.done() or not _runs(self.loop):
            return False
        try:
            if not self.waiters:
                return False
            self.value, self.error = value, error
            if error is not None:
                self.heir = self.heir_of(leader, error)
                others = len(self.waiters) - (self.heir is not None)
                if others and isinstance(error, Exception):
                    self.shared = share(error, handled)
        finally:
            self.future.set_result(None)
        return True

    def heir_of(self, leader: Waiter, error: BaseException) -> Waiter | None:
        """Who raises the exception itself: the leader; another one only where it would get lost."""
        if leader in self.waiters:
            return leader
        if isinstance(error, (Exception, asyncio.CancelledError, GeneratorExit)):
            return None
        return self.waiters[0]

    def ended(self, task: asyncio.Task[None], leader: Waiter) -> None:
        """The task is done; cancelled before its first step, it has handed nothing over."""
        if not self.future.done():
            self.land(leader, NOTHING, asyncio.CancelledError())
        if not task.cancelled():
            # Seen: whatever ended the loop has been raised there.
            task.exception()
        if all(work.task.done() for work in self.works):
            self.give_up()
            # The task's context refers to this record. What was passed is not to wait for the
            # collector: an instance, say.
            self.call = (self.call[0], (), {})

    def give_up(self) -> None:
        """No work goes on at the server: the right to compute that was got there goes back."""
        begun, self.begun = self.begun, None
        if begun is not None:
            from warp_cache._remote.beside import forget

            forget(begun[1].send)

    def complain(self, error: BaseException) -> None:
        """Report an exception that nobody is there to take."""
        message = "exception in a cached computation whose callers have left"
        self.loop.call_exception_handler({"message": message, "exception": error})

    def leave(self) -> None:
        # (The entry refers to this record.)
        entry, self.entry = self.entry or self, None
        leave(self.call[0], self.loop, self.table, self.ticket, entry)

    def leads_to(self, target: Flight | None) -> bool:
        """Whether this computation is ``target``, or waits (for one that waits …) for it."""
        if target is None:
            return False
        seen: set[int] = set()
        stack: list[Flight] = [self]
        while stack:
            flight = stack.pop()
            if flight is target:
                return True
            if id(flight) not in seen:
                seen.add(id(flight))
                stack.extend(flight.waits)
        return False

    async def wait(self, bound: float | None, leads: bool) -> tuple[Any, BaseException | None]:
        """The value (`NOTHING`: start over), or the exception to raise.

        The last waiter to be cancelled takes the work with it, and gets what comes of that.
        """
        me = Waiter(asyncio.current_task())
        waiting = current.get()
        if waiting is not None:
            waiting.waits.append(self)
        self.waiters.append(me)
        cancelled, before = None, cancellations()
        try:
            if leads:
                self.lead(me)
            try:
                await self.landing(bound, me, leads)
            except asyncio.CancelledError as error:
                cancelled = error
            except GeneratorExit:
                self.let_go(me)
                raise
            if cancelled is not None:
                if me not in self.waiters:
                    raise cancelled
                if not self.future.done() and len(self.waiters) == 1:
                    self.leave()
                    self.left = True
                    await end(self.works, cancelled, before)
                    # What came of it is his, whoever led; if he is all that was cancelled, that is.
                    if self.error is not None and self.shared is None:
                        self.heir = me
                    elif self.value is NOTHING:
                        raise cancelled
                elif not self.overtakes(me):
                    raise cancelled
            return self.take(me)
        finally:
            del cancelled
            self.drop(me)
            if waiting is not None:
                waiting.waits.remove(self)

    def drop(self, me: Waiter) -> None:
        """`me` waits no longer; the last one takes the outcome along."""
        if me in self.waiters:
            self.waiters.remove(me)
        if not self.waiters:
            self.value = self.error = self.shared = None

    def overtakes(self, me: Waiter) -> bool:
        """Whether `me` gets the outcome, although he was cancelled before he woke up to take it.

        Without a cache, what does not suspend can't be cancelled. An exception must not get lost,
        and a scope of anyio cancels nobody whom something has woken, only later, where he waits.
        """
        if self.error is None:
            return self.value is not NOTHING and is_in_cancelled_scope()
        if isinstance(self.error, asyncio.CancelledError):
            return False
        return self.heir is me or (len(self.waiters) == 1 and self.shared is not None)

    async def landing(self, bound: float | None, me: Waiter, leads: bool) -> None:
        """Wait for an outcome, or to be freed; who has waited for too long computes as well."""
        while not self.future.done() and me in self.waiters:
            left = None
            if bound is not None:
                left = max(0.0, self.since + bound - self.loop.time())
            ends = (self.future,) if leads else (self.future, self.freed)
            await asyncio.wait(ends, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if (
                bound is not None
                and self.loop.time() >= self.since + bound
                and not self.future.done()
                and me in self.waiters
            ):
                self.lead(me)

    def take(self, me: Waiter) -> tuple[Any, BaseException | None]:
        """What `me` gets of the outcome."""
        if me not in self.waiters:
            return NOTHING, None
        if self.error is None:
            return self.value, None
        if self.heir is me:
            return None, self.error
        if self.shared is not None:
            return None, own(self.shared)
        return NOTHING, None

    def let_go(self, me: Waiter) -> None:
        """A waiter was closed, which can't wait: cancel the work if it was the last one."""
        if self.waiters == [me] and not self.future.done():
            self.leave()
            self.left = True
            if _runs(self.loop):
                for work in self.works:
                    work.task.cancel()
            else:
                # A task that has not begun never will.
                self.give_up()


def _runs(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether this is called from `loop`, and not by whatever closes a forgotten coroutine."""
    return asyncio._get_running_loop() is loop


# The computation that this task is a part of.
current: ContextVar[Flight | None] = ContextVar("warp_cache_flight", default=None)
