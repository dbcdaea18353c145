"""What tests of programs with caches need: a clock that they move.

It is no part of ``import warp_cache``: import it where the tests are.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from warp_cache._warp_cache_rs import _clock_advance, _clock_go_on, _clock_now, _clock_stop

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Clock", "clock"]


class Clock:
    """The clock of this process's memory caches, which stands still until it is moved."""

    def advance(self, seconds: float | timedelta) -> None:
        """Move the clock forward.

        Raises ValueError for a negative number of seconds: time does not go back.
        """
        if isinstance(seconds, timedelta):
            seconds = seconds.total_seconds()
        if not seconds >= 0:
            raise ValueError(f"seconds must be a number that is not negative, got {seconds!r}")
        _clock_advance(round(seconds * 1e9))

    def time(self) -> float:
        """The clock, in seconds since some moment."""
        return _clock_now() / 1e9


_lock = threading.Lock()
_stopped = 0


@contextmanager
def clock() -> Iterator[Clock]:
    """Stop the clock of this process's memory caches, and give what moves it.

    Lifetimes, idle times and refreshes go by it; nothing else does. May be nested. At the end the
    clock is the system's again, so entries that were made meanwhile may live longer.
    """
    global _stopped
    with _lock:
        _stopped += 1
        if _stopped == 1:
            _clock_stop()
    try:
        yield Clock()
    finally:
        with _lock:
            _stopped -= 1
            if _stopped == 0:
                _clock_go_on()
