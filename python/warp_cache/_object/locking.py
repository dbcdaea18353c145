"""Locks on keys of a cache object: among threads in memory, among processes in the shared tier,
among hosts where there is a server.

In memory and in a file nothing is signalled: who waits looks again, soon at first, later every five
milliseconds. So a dead holder's lock is found free, and green threads and coroutines wait as well.
Who waits for a server is woken by what it tells.
"""

from __future__ import annotations

import asyncio
import math
import os
import threading
import time

from warp_cache._object.operations import is_in_file, seconds_of
from warp_cache._object.twins import beside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from warp_cache._warp_cache_rs import _RemoteLocking as RemoteLocking

__all__ = ["CacheLock"]

_FIRST_PAUSE = 0.0002
_LAST_PAUSE = 0.005
# Seconds for which a thread waits for a server before it looks for signals.
_SLICE = 0.05


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
    """The locks of a cache in memory.

    Those whose lease is over, which nobody gives back, are dropped whenever there are twice as many
    as lived the last time, so that there is room for those that live alone.
    """

    __slots__ = ("guard", "held", "most", "pid")

    # So many may be there at least.
    LEAST = 64

    def __init__(self) -> None:
        # A key's comparison, a signal's handler or a finalizer may use locks in the midst of it.
        self.guard = threading.RLock()
        self.held: dict[Any, _Held] = {}
        self.most = self.LEAST
        self.pid = os.getpid()

    def own(self) -> Any:
        """What guards the table; in a fork's child another one, as nobody there has the first."""
        if self.pid != os.getpid():
            self.guard, self.pid = threading.RLock(), os.getpid()
        return self.guard

    def sweep(self) -> None:
        for key, held in list(self.held.items()):
            if not held.lives() and self.held.get(key) is held:
                del self.held[key]
        self.most = max(self.LEAST, 2 * len(self.held))

    def take(self, key: Any, lease: float | None) -> _Held | None:
        with self.own():
            other = self.held.get(key)
            if other is not None and other.lives():
                return None
            held = self.held[key] = _Held(lease)
            if len(self.held) > self.most:
                self.sweep()
            return held

    def prolong(self, key: Any, held: _Held, lease: float | None) -> _Held | None:
        with self.own():
            if self.held.get(key) is not held or not held.lives():
                return None
            longer = self.held[key] = _Held(lease)
            return longer

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


class _Looks:
    """Attempts to take a lock of memory or of a file, with pauses."""

    __slots__ = ("_pause", "_take")

    def __init__(self, take: Callable[[], Any]) -> None:
        self._take = take
        self._pause = _FIRST_PAUSE

    def attempt(self) -> Any:
        """The lock, or None."""
        return self._take()

    async def aattempt(self) -> Any:
        return self._take()

    def _next(self, left: float) -> float:
        pause = min(self._pause, left)
        self._pause = min(2 * self._pause, _LAST_PAUSE)
        return pause

    def sleep(self, left: float) -> None:
        """Wait until it is to be tried again, for at most so many seconds."""
        time.sleep(self._next(left))

    async def asleep(self, left: float) -> None:
        await asyncio.sleep(self._next(left))


class _Asks:
    """Attempts to take a lock of a server, which tells when it may be free."""

    __slots__ = ("_locking",)

    def __init__(self, locking: RemoteLocking) -> None:
        self._locking = locking

    def attempt(self) -> Any:
        return self._locking.attempt()

    async def aattempt(self) -> Any:
        from warp_cache._remote.beside import beside

        attempt = asyncio.ensure_future(beside(self._locking.attempt))
        try:
            return await asyncio.shield(attempt)
        except asyncio.CancelledError:
            # Nobody is there to have what it takes.
            attempt.add_done_callback(_give_back)
            raise

    def sleep(self, left: float) -> None:
        end = time.monotonic() + left
        while left > 0 and not self._locking.sleep(min(left, _SLICE)):
            left = end - time.monotonic()

    async def asleep(self, left: float) -> None:
        from warp_cache._remote.beside import beside

        end = time.monotonic() + left
        while left > 0 and not await beside(self._locking.sleep, min(left, _SLICE)):
            left = end - time.monotonic()


def _give_back(attempt: asyncio.Future[Any]) -> None:
    if not attempt.cancelled() and attempt.exception() is None:
        held = attempt.result()
        if held is not None:
            from warp_cache._remote.beside import forget

            forget(held.release)


class _Memory:
    """Where the locks of a cache in memory are."""

    def __init__(self, cache: Any) -> None:
        self._cache = cache

    def check(self, key: Any) -> None:
        """Raise what a key raises that cannot have a lock."""
        hash(key)

    def attempts(self, key: Any, lease: float | None) -> Any:
        table = _table(self._cache)
        return _Looks(lambda: table.take(key, lease))

    def attempt(self, key: Any, lease: float | None) -> Any:
        """The lock; None where somebody has it, False where nobody has and there is no room."""
        return self.attempts(key, lease).attempt()

    def prolong(self, key: Any, held: Any, lease: float | None) -> Any:
        """Have a lock end so long from now: what is held from then on; None if it was no longer the
        holder's.
        """
        return _table(self._cache).prolong(key, held, lease)

    def give(self, key: Any, held: Any) -> bool:
        """Give a lock back; whether it was still the holder's."""
        return _table(self._cache).give(key, held)

    def is_held(self, key: Any) -> bool:
        return _table(self._cache).is_held(key)


class _File(_Memory):
    """Where those of a shared cache are."""

    def check(self, key: Any) -> None:
        self._cache._check(key, None)

    def attempts(self, key: Any, lease: float | None) -> Any:
        # (False: there is no room for it now.)
        return _Looks(lambda: self._cache._lock(key, lease) or None)

    def attempt(self, key: Any, lease: float | None) -> Any:
        return self._cache._lock(key, lease)

    def prolong(self, key: Any, held: Any, lease: float | None) -> Any:
        return self._cache._prolong(held, lease)

    def give(self, key: Any, held: Any) -> bool:
        return bool(self._cache._unlock(held))

    def is_held(self, key: Any) -> bool:
        return bool(self._cache._is_locked(key))


class _Server(_Memory):
    """Where those of a remote cache are."""

    def check(self, key: Any) -> None:
        self._cache._lock_there(key)

    def prolong(self, key: Any, held: Any, lease: float | None) -> Any:
        raise RuntimeError(
            "a lock that a server has keeps the end that it was taken with: release it, and take "
            "another one"
        )

    def attempts(self, key: Any, lease: float | None) -> Any:
        return _Asks(self._cache._lock_there(key, lease))

    def give(self, key: Any, held: Any) -> bool:
        return bool(held.release())

    def is_held(self, key: Any) -> bool:
        return bool(self._cache._lock_there(key).is_locked())


def _place(cache: Any) -> _Memory:
    if is_in_file(cache):
        return _File(cache)
    return _Server(cache) if cache._has_server() else _Memory(cache)


class CacheLock:
    """A lock on a key, across the threads, processes or hosts that share the cache.

    It is not reentrant. Whoever has acquired it by this object, in this process, may release it;
    anybody else gets RuntimeError, as does a holder whose lease was over. When its holder's process
    ends it is free at once; where a server has it, after some three seconds. It is no entry: it is
    never evicted, and ``clear`` does not concern it.
    """

    __slots__ = ("_cache", "_held", "_key", "_lease", "_place", "_wait")
    __module__ = "warp_cache"

    def __init__(self, cache: Any, key: Any, wait: Any, lease: Any) -> None:
        self._cache = cache
        self._key = key
        self._wait = _seconds("wait", wait)
        self._lease = _seconds("lease", lease)
        self._held: Any = None
        self._place = _place(cache)
        self._place.check(key)

    def __reduce__(self) -> Any:
        # A copy is another lock on the same key, which has not acquired it.
        return _another, (self._cache, self._key, self._wait, self._lease)

    def __repr__(self) -> str:
        return f"<CacheLock of {self._cache!r}>"

    def _end(self, blocking: bool, timeout: Any) -> float:
        """Until when is waited, by the monotonic clock."""
        given = None if timeout is None or timeout == -1 else _seconds("timeout", timeout)
        if not blocking and given is not None:
            raise ValueError("timeout is for acquire(blocking=True), got blocking=False")
        if not blocking:
            return -math.inf
        return math.inf if given is None else time.monotonic() + given

    def acquire(self, blocking: bool = True, timeout: Any = None) -> bool:
        """Take the lock; whether it was taken.

        timeout: seconds to wait at most; None (or -1) for no limit. Raises CacheUnavailable where
        the shared file cannot be reached, RemoteError where the server does not answer.
        """
        end = self._end(blocking, timeout)
        attempts = self._place.attempts(self._key, self._lease)
        while (held := attempts.attempt()) is None:
            left = end - time.monotonic()
            if left <= 0:
                return False
            attempts.sleep(left)
        self._held = held
        return True

    def _attempt(self) -> bool | None:
        """Whether the lock was taken now; None where nobody has it, and a file has no room for it.
        (For the mutex of dogpile.cache.)
        """
        held = self._place.attempt(self._key, self._lease)
        if held:
            self._held = held
            return True
        return None if held is False else False

    async def aacquire(self, blocking: bool = True, timeout: Any = None) -> bool:
        """``acquire``, to be awaited: other tasks of the loop run meanwhile."""
        end = self._end(blocking, timeout)
        attempts = self._place.attempts(self._key, self._lease)
        while (held := await attempts.aattempt()) is None:
            left = end - time.monotonic()
            if left <= 0:
                return False
            await attempts.asleep(left)
        self._held = held
        return True

    def release(self) -> None:
        """Give the lock back. RuntimeError if this object, in this process, does not hold it."""
        held = self._held
        if held is None:
            raise RuntimeError("the lock is not held by this object: acquire it first")
        self._held = None
        if not self._place.give(self._key, held):
            raise RuntimeError(
                "the lock is not this process's any more: its lease was over, or another process "
                "holds it (a fork's child does not have its parent's locks)"
            )

    def _prolong(self, lease: float) -> bool:
        """Have it fall free so many seconds from now, in memory or in a file; whether it was still
        this object's. (For the lock of Django's caches.)
        """
        held = self._held
        longer = None if held is None else self._place.prolong(self._key, held, lease)
        if longer is None or self._held is not held:
            return False
        self._held = longer
        return True

    async def arelease(self) -> None:
        """``release``, to be awaited."""
        await beside(self._cache, self.release)

    def locked(self) -> bool:
        """Whether somebody has the lock of the key."""
        return self._place.is_held(self._key)

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
        await self.arelease()


def _another(cache: Any, key: Any, wait: Any, lease: Any) -> CacheLock:
    return CacheLock(cache, key, wait, lease)
