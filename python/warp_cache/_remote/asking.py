"""What coroutines ask a server: those of one turn of a loop ask together, in one trip."""

from __future__ import annotations

import asyncio
import threading

from warp_cache._remote.beside import forget, submit, tell_loop
from warp_cache._warp_cache_rs import _ask_together

TYPE_CHECKING = False
if TYPE_CHECKING:
    from warp_cache._warp_cache_rs import RemoteTurn

__all__ = ["Asking", "ask", "gathered", "wait"]

# Turns in one trip at most: they share its bound, and wait for all of their values.
_MOST = 64


class _Gathering:
    """What a loop asks."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        # What its present turn has gathered.
        self.asking: Asking | None = None


class _Local(threading.local):
    """The last loop of a thread that has asked."""

    gathering: _Gathering | None = None


_local = _Local()


def _gathering_of(loop: asyncio.AbstractEventLoop) -> _Gathering:
    known = _local.gathering
    if known is None or known.loop is not loop:
        known = _local.gathering = _Gathering(loop)
    return known


class Asking:
    """Turns that ask the server together, and who waits for them."""

    def __init__(self, gathering: _Gathering, seconds: float | None = None) -> None:
        self.gathering = gathering
        self.seconds = seconds
        self.turns: list[RemoteTurn] = []
        self.futures: list[asyncio.Future[bool]] = []
        # What there was to tell, where somebody was cancelled before.
        self.missed: tuple[list[bool], BaseException | None] | None = None

    def add(self, turn: RemoteTurn) -> asyncio.Future[bool]:
        future: asyncio.Future[bool] = self.gathering.loop.create_future()
        self.turns.append(turn)
        self.futures.append(future)
        return future

    def again(self, future: asyncio.Future[bool]) -> asyncio.Future[bool]:
        """One in the place of a future that was cancelled, and may have missed its answer."""
        if future.done() and not future.cancelled():
            return future
        fresh: asyncio.Future[bool] = self.gathering.loop.create_future()
        number = self.futures.index(future)
        self.futures[number] = fresh
        if self.missed is not None:
            answers, error = self.missed
            if error is None:
                fresh.set_result(answers[number])
            else:
                fresh.set_exception(error)
        return fresh

    def begin(self) -> None:
        if self.gathering.asking is self:
            self.gathering.asking = None
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
        for number, future in enumerate(self.futures):
            if future.cancelled():
                # Who was cancelled sees to what he leaves behind, or asks for it once more.
                self.missed = (answers, error)
            elif error is None:
                future.set_result(answers[number])
            else:
                future.set_exception(error)


def gathered(loop: asyncio.AbstractEventLoop) -> Asking:
    """What asks at the end of this turn of the loop, for one more of which there is room."""
    gathering = _gathering_of(loop)
    asking = gathering.asking
    if asking is None or len(asking.turns) == _MOST:
        asking = gathering.asking = Asking(gathering)
        loop.call_soon(asking.begin)
    return asking


async def ask(turn: RemoteTurn) -> bool:
    """Whether there is an answer; nobody else's computation is waited for."""
    return await gathered(asyncio.get_running_loop()).add(turn)


async def wait(turn: RemoteTurn, seconds: float) -> bool:
    """The same, while another process may compute for so many seconds."""
    asking = Asking(_gathering_of(asyncio.get_running_loop()), seconds)
    future = asking.add(turn)
    asking.begin()
    return await future
