"""What coroutines ask a server: those of one turn of a loop ask together, in one trip."""

from __future__ import annotations

import asyncio
import threading

from warp_cache._remote.beside import submit
from warp_cache._warp_cache_rs import _ask_together

TYPE_CHECKING = False
if TYPE_CHECKING:
    from warp_cache._warp_cache_rs import RemoteTurn

__all__ = ["ask", "wait"]

# Turns in one trip at most: others then need not wait for all of their values.
_MOST = 64


class _Gathering(threading.local):
    """What the loop of this thread asks."""

    loop: asyncio.AbstractEventLoop | None = None
    # What its present turn has gathered.
    asking: _Asking | None = None
    # How many are under way.
    under_way = 0


_gathering = _Gathering()


class _Asking:
    """Turns that ask the server together, and who waits for them."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float | None = None) -> None:
        self.loop = loop
        self.seconds = seconds
        self.turns: list[RemoteTurn] = []
        self.futures: list[asyncio.Future[bool]] = []

    def add(self, turn: RemoteTurn) -> asyncio.Future[bool]:
        future: asyncio.Future[bool] = self.loop.create_future()
        self.turns.append(turn)
        self.futures.append(future)
        return future

    def begin(self) -> None:
        if _gathering.asking is self:
            _gathering.asking = None
        if _gathering.loop is self.loop:
            _gathering.under_way += 1
        submit(self.job)

    def job(self) -> None:
        answers: list[bool] = []
        error = None
        try:
            if self.seconds is None:
                answers = _ask_together(self.turns)
            else:
                answers = [turn.ask(self.seconds) for turn in self.turns]
        except BaseException as raised:
            error = raised
        try:
            self.loop.call_soon_threadsafe(self.done, answers, error)
        except RuntimeError:
            # The loop was closed meanwhile: nobody is there to compute.
            for turn in self.turns:
                turn.send()
        finally:
            del error

    def done(self, answers: list[bool], error: BaseException | None) -> None:
        if _gathering.loop is self.loop:
            _gathering.under_way -= 1
        if error is not None:
            for future in self.futures:
                if not future.cancelled():
                    future.set_exception(error)
            return
        for turn, future, answer in zip(self.turns, self.futures, answers, strict=True):
            if future.cancelled():
                submit(turn.send)
            else:
                future.set_result(answer)


async def ask(turn: RemoteTurn) -> bool:
    """Whether there is an answer; nobody else's computation is waited for.

    Who comes while nothing is under way asks at once: he may be alone.
    """
    loop = asyncio.get_running_loop()
    if _gathering.loop is not loop:
        _gathering.loop, _gathering.asking, _gathering.under_way = loop, None, 0
    asking = _gathering.asking
    if not _gathering.under_way:
        return await wait(turn, None)
    if asking is None or len(asking.turns) == _MOST:
        asking = _gathering.asking = _Asking(loop)
        loop.call_soon(asking.begin)
    return await asking.add(turn)


async def wait(turn: RemoteTurn, seconds: float | None) -> bool:
    """The same, while another process may compute for so many seconds."""
    asking = _Asking(asyncio.get_running_loop(), seconds)
    future = asking.add(turn)
    asking.begin()
    return await future
