"""Locks on keys of a cache object: among threads in memory, among processes in the shared tier.

Nothing is signalled between processes: who waits looks again, soon at first, later every five
milliseconds. So a dead holder's lock is found free, and green threads and coroutines wait as well.
"""

from __future__ import annotations

import asyncio
import math
import os
import threading
import time

from warp_cache._object.operations import seconds_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

__all__ = ["CacheLock"]

_FIRST_PAUSE = 0.0002
_LAST_PAUSE = 0.005


def _seconds(name: str, value: Any) -> float | None:
    """Seconds that a caller gave, or None."""
    if value is None:
        return None
    seconds = seconds_of(value)
    if seconds == math.inf:
        # As long as it takes.
        return None
    right = f"{name} must be seconds, a timedelta or None, got {value!r}"
    if seconds is None:
        raise TypeError(right)
    if seconds != seconds or seconds < 0 or (name == "lease" and seconds == 0):
        raise ValueError(f"{right}: it must not be negative, and a lease is positive")
    return seconds


class _Held:
    """A lock of memory that somebody has."""

    __slots__ = ("end", "pid")

    def __init__(self, lease: float | None) -> None:
        self.pid = os.getpid()
        self.end = None if lease is None else time.monotonic() + lease

    def lives(self) -> bool:
        # A fork's child has a cache of its own, and none of its parent's threads.
        return self.pid == os.getpid() and (self.end is None or time.monotonic() < self.end)


class _Table:
    """The locks of a cache in memory."""

    __slots__ = ("guard", "held", "pid")

    def __init__(self) -> None:
        self.guard = threading.Lock()
        self.held: dict[Any, _Held] = {}
        self.pid = os.getpid()

    def own(self) -> threading.Lock:
        """What guards the table; in a fork's child another one, as nobody there has the first."""
        if self.pid != os.getpid():
            self.guard, self.pid = threading.Lock(), os.getpid()
        return self.guard

    def take(self, key: Any, lease: float | None) -> _Held | None:
        with self.own():
            other = self.held.get(key)
            if other is not None and other.lives():
                return None
            held = self.held[key] = _Held(lease)
            return held

    def give(self, key: Any, held: _Held) -> bool:
        with self.own():
            if self.held.get(key) is not held:
                return False
            del self.held[key]
            return held.lives()

    def is_held(self, key: Any) -> bool:
        with self.own():
            held = self.held.get(key)
            return held is not None and held.lives()


def _table(cache: Any) -> _Table:
    # One step, which no other thread and no fork comes between.
    table: _Table = cache._locks.setdefault("table", _Table())
    return table


class CacheLock:
    """A lock on a key, across the threads and processes that share the cache.

    It is not reentrant. Whoever has acquired it by this object, in this process, may release it;
    anybody else gets RuntimeError, as does a holder whose lease was over. When its holder's process
    ends it is free at once. It is no entry: it is never evicted, and ``clear`` does not concern it.
    """

    __slots__ = ("_cache", "_held", "_key", "_lease", "_wait")
    __module__ = "warp_cache"

    def __init__(self, cache: Any, key: Any, wait: Any, lease: Any) -> None:
        self._cache = cache
        self._key = key
        self._wait = _seconds("wait", wait)
        self._lease = _seconds("lease", lease)
        self._held: Any = None
        if cache._given["backend"] == "shared":
            cache._check(key, None)
        else:
            hash(key)

    def __reduce__(self) -> Any:
        # A copy is another lock on the same key, which has not acquired it.
        return _another, (self._cache, self._key, self._wait, self._lease)

    def __repr__(self) -> str:
        return f"<CacheLock of {self._cache!r}>"

    def _try(self) -> bool:
        cache = self._cache
        if cache._given["backend"] == "shared":
            taken = cache._lock(self._key, self._lease)
        else:
            taken = _table(cache).take(self._key, self._lease)
        if taken is None:
            return False
        self._held = taken
        return True

    def _attempts(self, blocking: bool, timeout: Any) -> Iterator[float | None]:
        """Pauses between attempts, until one has succeeded (None comes last) or time is over."""
        given = None if timeout is None or timeout == -1 else _seconds("timeout", timeout)
        if not blocking and given is not None:
            raise ValueError("timeout is for acquire(blocking=True), got blocking=False")
        end = None if given is None else time.monotonic() + given
        pause = _FIRST_PAUSE
        while True:
            if self._try():
                yield None
                return
            left = None if end is None else end - time.monotonic()
            if not blocking or (left is not None and left <= 0):
                return
            yield pause if left is None else min(pause, left)
            pause = min(2 * pause, _LAST_PAUSE)

    def acquire(self, blocking: bool = True, timeout: Any = None) -> bool:
        """Take the lock; whether it was taken.

        timeout: seconds to wait at most; None (or -1) for no limit. Raises CacheUnavailable where
        the shared file cannot be reached.
        """
        for pause in self._attempts(blocking, timeout):
            if pause is None:
                return True
            time.sleep(pause)
        return False

    async def aacquire(self, blocking: bool = True, timeout: Any = None) -> bool:
        """``acquire``, to be awaited: other tasks of the loop run meanwhile."""
        for pause in self._attempts(blocking, timeout):
            if pause is None:
                return True
            await asyncio.sleep(pause)
        return False

    def release(self) -> None:
        """Give the lock back. RuntimeError if this object, in this process, does not hold it."""
        held, cache = self._held, self._cache
        if held is None:
            raise RuntimeError("the lock is not held by this object: acquire it first")
        self._held = None
        shared = cache._given["backend"] == "shared"
        if not (cache._unlock(held) if shared else _table(cache).give(self._key, held)):
            raise RuntimeError(
                "the lock is not this process's any more: its lease was over, or another process "
                "holds it (a fork's child does not have its parent's locks)"
            )

    async def arelease(self) -> None:
        """``release``, to be awaited."""
        self.release()

    def locked(self) -> bool:
        """Whether somebody has the lock of the key."""
        if self._cache._given["backend"] == "shared":
            return bool(self._cache._is_locked(self._key))
        return _table(self._cache).is_held(self._key)

    def _late(self) -> TimeoutError:
        return TimeoutError(f"the lock could not be had within {self._wait} seconds")

    def __enter__(self) -> CacheLock:
        if not self.acquire(timeout=self._wait):
            raise self._late()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    async def __aenter__(self) -> CacheLock:
        if not await self.aacquire(timeout=self._wait):
            raise self._late()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.release()


def _another(cache: Any, key: Any, wait: Any, lease: Any) -> CacheLock:
    return CacheLock(cache, key, wait, lease)
