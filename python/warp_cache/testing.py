"""What tests of programs with caches need: a clock that they move, a place of their own.

It is no part of ``import warp_cache``: import it where the tests are.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from warp_cache import _configuration
from warp_cache._warp_cache_rs import _clock_advance, _clock_go_on, _clock_now, _clock_stop

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["Clock", "clock", "isolated"]


class Clock:
    """The clock of this process's memory caches, which stands still until it is moved."""

    def advance(self, seconds: float | timedelta) -> None:
        """Move the clock forward.

        Raises ValueError for a number of seconds that is negative (time does not go back) or not
        finite, TypeError for what is no number.
        """
        if isinstance(seconds, timedelta):
            seconds = seconds.total_seconds()
        right = "seconds must be a finite number that is not negative, or a timedelta"
        try:
            nanos = round(seconds * 1e9)
        except (OverflowError, ValueError) as error:
            raise ValueError(f"{right}, got {seconds!r}") from error
        except TypeError as error:
            raise TypeError(f"{right}, got {seconds!r}") from error
        if nanos < 0:
            raise ValueError(f"{right}, got {seconds!r}")
        # It stands still at the end of its range, 584 years after its beginning.
        _clock_advance(min(nanos, 2**64 - 1))

    def time(self) -> float:
        """The clock, in seconds since some moment."""
        return _clock_now() / 1e9


_lock = threading.Lock()
_stopped = 0


@contextmanager
def clock() -> Generator[Clock]:
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


@contextmanager
def isolated() -> Generator[Path]:
    """Give shared caches a directory and a namespace of the block's own; gives the directory.

    They hold for every shared cache that is opened within, that is used for the first time there,
    and for child processes, which find them in their environment. A cache that is open already is
    not affected: decorate within what is to be tested, or use it there first. At the end what was
    configured before is so again, and the directory is removed. It holds for the whole process, so
    no two threads use it at a time; it may be nested.

    With pytest, ``isolated`` is a fixture, too: of each test that names it as a parameter, or in
    ``@pytest.mark.usefixtures("isolated")``.
    """
    directory = tempfile.mkdtemp(prefix="warp_cache_isolated_")
    own = {"directory": directory, "namespace": os.path.basename(directory)}
    settings, environment = dict(_configuration.settings), {}
    for name, value in own.items():
        variable = _configuration.VARIABLES[name]
        environment[variable] = os.environ.get(variable)
        os.environ[variable] = value
    _configuration.settings.update(own)
    try:
        yield Path(directory)
    finally:
        _configuration.settings.clear()
        _configuration.settings.update(settings)
        for variable, before in environment.items():
            if before is None:
                os.environ.pop(variable, None)
            else:
                os.environ[variable] = before
        shutil.rmtree(directory, ignore_errors=True)
