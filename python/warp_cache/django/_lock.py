"""The lock of a Django cache, with the arguments and methods of redis-py's."""

from __future__ import annotations

import contextlib
import time
import uuid

from warp_cache import CacheUnavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from typing_extensions import Self

    from warp_cache import Cache

__all__ = ["Lock"]


class Lock:
    """A lock across all processes of the host, free at once when its holder dies; across all hosts
    with ``REMOTE``, free soon after, and with the end that it was taken with.

    While it is held an entry with its token stands under its key, as with Redis, so that the
    cache's ``has_key`` tells. The lock itself is no entry: neither ``clear`` nor an eviction takes
    it from its holder.
    """

    def __init__(
        self,
        cache: Cache[Any, Any],
        key: Any,
        timeout: float | None,
        blocking: bool,
        blocking_timeout: float | None,
    ) -> None:
        self.name = key
        self.timeout = timeout
        self.blocking = blocking
        self.blocking_timeout = blocking_timeout
        self._cache = cache
        self._lock: Any = cache.lock(key, lease=timeout)
        self._token: str | None = None
        # When it falls free, by the monotonic clock, if it has a timeout.
        self._end = 0.0

    def acquire(
        self,
        blocking: bool | None = None,
        blocking_timeout: float | None = None,
        token: str | None = None,
    ) -> bool:
        """Take the lock; whether it was got.

        Parameters:
            blocking: whether to wait for it, else what the lock was made with.
            blocking_timeout: seconds to wait at most, else what the lock was made with.
            token: what stands under the key meanwhile, else something random.
        """
        wait = self.blocking if blocking is None else blocking
        longest = self.blocking_timeout if blocking_timeout is None else blocking_timeout
        got = (
            self._lock.acquire(True, longest)
            if wait and longest != 0
            else self._lock.acquire(False)
        )
        if got:
            self._hold(token)
        return got

    async def aacquire(
        self,
        blocking: bool | None = None,
        blocking_timeout: float | None = None,
        token: str | None = None,
    ) -> bool:
        """``acquire`` to be awaited: the loop goes on meanwhile."""
        wait = self.blocking if blocking is None else blocking
        longest = self.blocking_timeout if blocking_timeout is None else blocking_timeout
        if wait and longest != 0:
            got = await self._lock.aacquire(True, longest)
        else:
            got = await self._lock.aacquire(False)
        if got:
            await self._ahold(token)
        return got

    def _begin(self, token: str | None) -> str:
        """From now on it is held; the token."""
        self._token = token or uuid.uuid4().hex
        if self.timeout is not None:
            self._end = time.monotonic() + self.timeout
        return self._token

    async def _ahold(self, token: str | None) -> None:
        token = self._begin(token)
        try:
            await self._cache.aset(self.name, token, ttl=self.timeout)
        except CacheUnavailable:
            pass  # as in _hold
        except BaseException:
            await self.arelease()
            raise

    def _hold(self, token: str | None) -> None:
        token = self._begin(token)
        try:
            self._cache.set(self.name, token, ttl=self.timeout)
        except CacheUnavailable:
            # The lock is had all the same; only has_key does not tell.
            pass
        except BaseException:
            self.release()
            raise

    def extend(self, additional_time: float, replace_ttl: bool = False) -> bool:
        """Let the lock, which has a timeout, fall free so much later; True.

        Parameters:
            additional_time: seconds that are added to what is left of the timeout.
            replace_ttl: whether they take the place of what is left.

        Raises RuntimeError if the lock is not held any more, or has no timeout.
        """
        left = 0.0 if replace_ttl else max(0.0, self._end - time.monotonic())
        return self._last("extend", left + additional_time)

    def reacquire(self) -> bool:
        """Let the timeout begin anew; True. Raises as ``extend`` does."""
        return self._last("reacquire", self.timeout)

    async def aextend(self, additional_time: float, replace_ttl: bool = False) -> bool:
        """``extend`` to be awaited."""
        return self.extend(additional_time, replace_ttl)

    async def areacquire(self) -> bool:
        """``reacquire`` to be awaited."""
        return self.reacquire()

    def _last(self, what: str, seconds: float | None) -> bool:
        """Let it fall free after so many seconds."""
        token = self._token
        if token is None:
            raise RuntimeError(f"cannot {what} a lock that is not held: acquire it first")
        if self.timeout is None or seconds is None:
            raise RuntimeError(f"cannot {what} a lock without a timeout: it has no end")
        end = time.monotonic() + seconds
        if seconds <= 0 or not self._lock._prolong(seconds):
            raise RuntimeError(f"cannot {what} a lock that is held no more: its timeout was over")
        self._end = end
        with contextlib.suppress(CacheUnavailable):
            self._cache.replace(self.name, token, token, ttl=seconds)
        return True

    def release(self) -> None:
        """Let the lock go; any thread of the process that took it may. RuntimeError if it is not
        held any more.
        """
        token, self._token = self._token, None
        if token is not None:
            # Where it cannot: the entry ends with the timeout, and says nothing about the lock.
            with contextlib.suppress(CacheUnavailable):
                self._cache.discard(self.name, token)
        self._lock.release()

    async def arelease(self) -> None:
        """``release`` to be awaited."""
        token, self._token = self._token, None
        if token is not None:
            with contextlib.suppress(CacheUnavailable):
                await self._cache.adiscard(self.name, token)
        await self._lock.arelease()

    def locked(self) -> bool:
        """Whether anybody holds the lock."""
        return self._lock.locked()

    def owned(self) -> bool:
        """Whether this object holds the lock."""
        return (
            self._token is not None
            and self._lock.locked()
            and self._cache.peek(self.name) == self._token
        )

    def __enter__(self) -> Self:
        if self.acquire():
            return self
        raise self._late()

    def __exit__(self, *error: object) -> None:
        self.release()

    async def __aenter__(self) -> Self:
        if await self.aacquire():
            return self
        raise self._late()

    async def __aexit__(self, *error: object) -> None:
        await self.arelease()

    def _late(self) -> TimeoutError:
        waited = (
            f" within {self.blocking_timeout} s" if self.blocking and self.blocking_timeout else ""
        )
        return TimeoutError(f"the lock {self.name!r} was not got{waited}: somebody else holds it")
