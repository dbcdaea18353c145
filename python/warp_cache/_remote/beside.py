"""Jobs that wait for a server, in a few daemon threads, which wake a loop when they are done."""

from __future__ import annotations

import asyncio
import os
from contextvars import copy_context

from warp_cache._threads import DaemonThreads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["beside", "beside_loop", "forget", "submit", "tell_loop"]

# Threads at most; each waits for the server, so more than there are processors may be of use.
_THREADS = 16

_threads = DaemonThreads("warp_cache remote", _THREADS)


def submit(job: Callable[[], object]) -> None:
    """Have a thread of this process do the job; where none can be had, this one does it."""
    global _threads
    if _threads.pid != os.getpid():
        _threads = DaemonThreads("warp_cache remote", _THREADS)
    if not _threads.submit(job):
        job()


async def beside(function: Callable[..., Any], *args: Any) -> Any:
    """What the function gives, called in a thread beside the loop."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def done(result: Any, error: BaseException | None) -> None:
        if future.cancelled():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    submit(lambda: tell_loop(loop, lambda: function(*args), done))
    return await future


def tell_loop(
    loop: asyncio.AbstractEventLoop,
    function: Callable[[], Any],
    done: Callable[[Any, BaseException | None], object],
) -> bool:
    """Call the function here, and have the loop call ``done`` with its result and its exception.

    False where nobody is there to be told: the loop was closed meanwhile.
    """
    result, error = None, None
    try:
        result = function()
    except BaseException as raised:
        error = raised
    try:
        loop.call_soon_threadsafe(done, result, error)
    except RuntimeError:
        return False
    finally:
        del result, error
    return True


def forget(function: Callable[[], object]) -> None:
    """Have a thread call the function, for whose end nobody waits."""

    def job() -> None:
        try:
            function()
        except Exception:
            # It was on its way already, by another thread, which ends it.
            return

    submit(job)


async def beside_loop(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """What the function gives, called in the caller's context, in a thread beside the loop."""
    context = copy_context()
    return await beside(lambda: context.run(function, *args, **kwargs))
