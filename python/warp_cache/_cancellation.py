"""The tasks that compute, and how a caller's cancellation is brought to them.

Without a cache, a coroutine runs in its caller's task, and whatever cancels the caller cancels it.
Here it runs in a task of its own, which is to see the same once its last caller is cancelled:

- Each ``Task.cancel()`` of the caller is one ``Task.cancel()`` here, with the same message, unless
  somebody has cancelled this task himself (``asyncio.run`` cancels all tasks when it ends).
- A cancel scope of anyio cancels again at each turn of the loop, but not what is shielded from it,
  and what is shielded it knows of the tasks in it only. So the computation of a caller in such a
  scope has a scope of its own, which is cancelled instead, and the caller shields himself while he
  waits for its end. Where only a later caller is in a scope, the computation is cancelled once.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import nullcontext, suppress

from warp_cache._imports import imported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Coroutine
    from contextlib import AbstractContextManager
    from typing import Any

__all__ = ["Work", "cancellations", "end", "is_in_cancelled_scope"]

# Seconds between two looks whether somebody else's cancellation still holds.
_PAUSE = 0.01


class Work:
    """A task that computes."""

    __slots__ = ("handled", "scope", "scoped", "sent", "task")

    def __init__(self) -> None:
        # The exception that the caller is handling.
        self.handled = sys.exc_info()[1]
        # The scope of anyio that the task is in; None before it began, and where none is wanted.
        self.scope: Any = None
        self.scoped = _is_in_scope()
        self.task: asyncio.Task[None]
        # How often it was cancelled for its caller.
        self.sent = 0

    def start(self, loop: asyncio.AbstractEventLoop, body: Coroutine[Any, Any, None]) -> None:
        try:
            self.task = _create_task(loop, body)
        except BaseException:
            body.close()
            raise
        # Its callers are tasks as well, and are complained of if the loop is closed on them.
        with suppress(AttributeError):
            self.task._log_destroy_pending = False  # type: ignore[attr-defined]  # ty: ignore[missing-attribute]

    def enter(self) -> AbstractContextManager[Any]:
        """The scope for the computation; called in the task."""
        self.scope = _scope() if self.scoped else None
        return nullcontext() if self.scope is None else self.scope

    def cancelling(self) -> int:
        """How many cancellations of the task hold."""
        count = getattr(self.task, "cancelling", None)
        return 0 if count is None else count()

    def cancel(self, error: asyncio.CancelledError, times: int) -> None:
        self.sent += times
        for _ in range(times):
            self.task.cancel(*error.args[:1])


async def end(works: list[Work], error: asyncio.CancelledError, before: int) -> None:
    """Cancel the tasks as their last caller was cancelled, and wait until they have ended.

    ``error`` is what the caller was thrown; what he is thrown while he waits goes the same way.
    ``before``: how many cancellations of the caller held before that.
    """
    held = cancellations()
    # He is thrown one exception for all who cancel him before he wakes up.
    times = max(1, held - before)
    # Somebody else cancelled these, at the same time or before.
    spared = []
    shielded = is_in_cancelled_scope()
    for work in works:
        if shielded and work.scope is not None:
            work.scope.cancel()
        elif work.cancelling():
            spared.append(work)
        elif not work.task.done():
            work.cancel(error, times)
    while True:
        pending = [work for work in works if not work.task.done()]
        if not pending:
            break
        for work in [work for work in spared if not work.cancelling()]:
            # That one has been taken back: it was a time limit of the computation's own.
            spared.remove(work)
            if not work.task.done():
                work.cancel(error, times)
        try:
            with _shield(shielded):
                await asyncio.wait(
                    [work.task for work in pending], timeout=_PAUSE if spared else None
                )
        except asyncio.CancelledError as again:
            before, held = held, cancellations()
            if not shielded and is_in_cancelled_scope():
                shielded = True
                for work in pending:
                    if work.scope is not None:
                        work.scope.cancel()
            else:
                for work in pending:
                    work.cancel(again, max(1, held - before))
    _take_back(works)


def _take_back(works: list[Work]) -> None:
    """What the computation has taken back (``Task.uncancel``), its caller takes back."""
    current = asyncio.current_task()
    if sys.version_info < (3, 11) or current is None:
        return
    for _ in range(max(work.sent - work.cancelling() for work in works)):
        current.uncancel()


def cancellations() -> int:
    """How many cancellations of the current task hold; 0 where tasks do not count them."""
    count = getattr(asyncio.current_task(), "cancelling", None)
    return 0 if count is None else count()


if sys.version_info >= (3, 11):

    def _create_task(
        loop: asyncio.AbstractEventLoop, body: Coroutine[Any, Any, None]
    ) -> asyncio.Task[None]:
        return loop.create_task(body)

else:

    class _Task(asyncio.Task):  # type: ignore[type-arg]
        """A task that counts how often it was cancelled, as later versions do."""

        _cancellations = 0

        def cancel(self, msg: Any = None) -> bool:
            cancelled = super().cancel(msg)
            self._cancellations += cancelled
            return cancelled

        def cancelling(self) -> int:
            return self._cancellations

    def _create_task(
        loop: asyncio.AbstractEventLoop, body: Coroutine[Any, Any, None]
    ) -> asyncio.Task[None]:
        if loop.get_task_factory() is None:
            return _Task(body, loop=loop)
        return loop.create_task(body)


def _backend() -> Any:
    """What of anyio has the scopes of asyncio's tasks, or None where no such scope can be.

    anyio's own functions would import it, in the event loop. One that another thread is importing
    at the moment has no scope yet.
    """
    return imported("anyio._backends._asyncio")


def _scope(**options: Any) -> Any:
    """A cancel scope of anyio, or None where that is not used."""
    if _backend() is None:
        return None
    try:
        return sys.modules["anyio"].CancelScope(**options)
    except Exception:
        return None


def _shield(wanted: bool) -> AbstractContextManager[Any]:
    scope = _scope(shield=True) if wanted else None
    return nullcontext() if scope is None else scope


def _is_in_scope() -> bool:
    """Whether the current task may be in a cancel scope of anyio.

    Those who never were are spared one: anyio keeps the task in a scope, and so its loop, alive.
    """
    backend = _backend()
    if backend is None:
        return False
    try:
        return asyncio.current_task() in backend._task_states
    except Exception:
        return True


def is_in_cancelled_scope() -> bool:
    """Whether a cancel scope of anyio cancels the current task, and will do it again."""
    if _backend() is None:
        return False
    try:
        deadline: float = sys.modules["anyio"].current_effective_deadline()
        return deadline == float("-inf")
    except Exception:
        return False
