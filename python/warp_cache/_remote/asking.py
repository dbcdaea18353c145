"""What coroutines ask a server: those of one turn of a loop ask together, in one trip."""

from __future__ import annotations

import asyncio
import threading

from warp_cache._remote.beside import forget, submit, tell_loop
from warp_cache._warp_cache_rs import _ask_together

TYPE_CHECKING = False
if TYPE_CHECKING:
    from warp_cache._warp_cache_rs import RemoteTurn

__all__ = ["ask", "wait"]

# Turns in one trip at most: they share its bound, and wait for all of their values.
_MOST = 32


class _Gathering:
    """What a loop asks."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        # What its present turn has gathered.
        self.asking: _Asking | None = None
        # How many are under way.
        self.under_way = 0


class _Local(threading.local):
    """The last loop of a thread that has asked."""

    gathering: _Gathering | None = None


_local = _Local()


def _gathering_of(loop: asyncio.AbstractEventLoop) -> _Gathering:
    known = _local.gathering
    if known is None or known.loop is not loop:
        known = _local.gathering = _Gathering(loop)
    return known


class _Asking:
    """Turns that ask the server together, and who waits for them."""

    def __init__(self, gathering: _Gathering, seconds: float | None = None) -> None:
        self.gathering = gathering
        self.seconds = seconds
        self.turns: list[RemoteTurn] = []
        self.futures: list[asyncio.Future[bool]] = []

    def add(self, turn: RemoteTurn) -> asyncio.Future[bool]:
        future: asyncio.Future[bool] = self.gathering.loop.create_future()
        self.turns.append(turn)
        self.futures.append(future)
        return future

    def begin(self) -> None:
        if self.gathering.asking is self:
            self.gathering.asking = None
        self.gathering.under_way += 1
        submit(self.job)

    def job(self) -> None:
        if not tell_loop(self.gathering.loop, self.answers, self.done):
            # Nobody is there to compute.
            for turn in self.turns:
                forget(turn.send)

    def answers(self) -> list[bool]:
        if self.seconds is None:
            return _ask_together(self.turns)
        return [turn.ask(self.seconds) for turn in self.turns]

    def done(self, answers: list[bool], error: BaseException | None) -> None:
        self.gathering.under_way -= 1
        if error is not None:
            for future in self.futures:
                if not future.cancelled():
                    future.set_exception(error)
            return
        for turn, future, answer in zip(self.turns, self.futures, answers, strict=True):
            if future.cancelled():
                forget(turn.send)
            else:
                future.set_result(answer)


async def ask(turn: RemoteTurn) -> bool:
    """Whether there is an answer; nobody else's computation is waited for.

    Who comes while nothing is under way asks at once: he may be alone.
    """
    gathering = _gathering_of(asyncio.get_running_loop())
    if not gathering.under_way:
        return await _at_once(gathering, turn, None)
    asking = gathering.asking
    if asking is None or len(asking.turns) == _MOST:
        asking = gathering.asking = _Asking(gathering)
        gathering.loop.call_soon(asking.begin)
    return await asking.add(turn)


async def wait(turn: RemoteTurn, seconds: float) -> bool:
    """The same, while another process may compute for so many seconds."""
    return await _at_once(_gathering_of(asyncio.get_running_loop()), turn, seconds)


async def _at_once(gathering: _Gathering, turn: RemoteTurn, seconds: float | None) -> bool:
    asking = _Asking(gathering, seconds)
    future = asking.add(turn)
    asking.begin()
    return await future
