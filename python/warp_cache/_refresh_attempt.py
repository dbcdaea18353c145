"""One computation of a refresh, of a plain or of a coroutine function."""

from __future__ import annotations

import asyncio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from warp_cache._warp_cache_rs import Computation, SharedLease, Ticket

__all__ = ["Attempt"]


class Attempt:
    """A computation of a refresh, from its beginning to what is stored of it."""

    __slots__ = ("background", "cached", "computation", "lease", "stored", "ticket")

    def __init__(
        self, cached: Any, ticket: Ticket, lease: SharedLease | None, background: bool
    ) -> None:
        self.cached = cached
        self.ticket = ticket
        # The right to compute for all processes: claimed before, or by `lead`.
        self.lease = lease
        self.background = background
        self.computation: Computation | None = None
        self.stored = False

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Computation:
        computation: Computation = self.cached._computation(self.ticket, args, kwargs)
        self.computation = computation
        return computation

    def lead(self, is_inner: bool) -> None:
        """Begin to compute; `is_inner`: for another refresh of the key, whose result stands."""
        self.lease = self.cached._begin_refresh(self.ticket, self.computation, self.lease, is_inner)

    def store(self, value: Any) -> Any:
        self.stored = True
        self.cached._refreshed(self.ticket, value, self.computation, self.lease)
        return value

    def call_there(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """What computes it for all hosts is given."""
        return self.cached, self.ticket, args, kwargs, self.computation, self.background

    def sent(self, value: Any) -> Any:
        """Note what a server has, which tells of it."""
        self.stored = True
        self.cached._not_refreshed(self.ticket)
        return value

    def fail(self, error: BaseException) -> None:
        """End what has brought nothing: a cancelled task says nothing of its function."""
        if self.stored:
            return
        is_cancelled = isinstance(error, (asyncio.CancelledError, GeneratorExit))
        says_nothing = is_cancelled and self.cached._is_async
        self.cached._not_refreshed(
            self.ticket, None if says_nothing else self.computation, self.background
        )
        if self.lease is None:
            return
        if not isinstance(error, Exception):
            self.lease.leave()
        elif self.background:
            self.lease.end_failed()
        else:
            self.lease.end()
