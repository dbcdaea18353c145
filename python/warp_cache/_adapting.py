"""What the adapters for frameworks have in common: one cache object for each name, and seconds as
the cache takes them.

Frameworks make their objects for each thread or request, so an adapter's constructor has to cost
nothing: the cache objects stay here, open as long as the process lives. Nothing here imports a
framework.
"""

from __future__ import annotations

import contextlib
import logging
import math

from warp_cache import Cache, CacheUnavailable, RemoteError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import timedelta
    from typing import Any, TypeVar

    _T = TypeVar("_T")

__all__ = [
    "NOTHING",
    "Kept",
    "adropped",
    "dropped",
    "kept",
    "lifetime_of",
    "seconds",
    "whole_number",
    "whole_seconds",
]

# Seconds: what is less is lost in the sum of a time of today and it.
_SHORTEST = 1e-7

_log = logging.getLogger("warp_cache")

# What no cache holds: tells a missing entry from None.
NOTHING: Any = type("_Nothing", (), {"__slots__": (), "__repr__": lambda self: "<nothing>"})()

_kept: dict[tuple[object, ...], Kept] = {}


class Kept:
    """A cache object of this process, and whether it has been told that it evicts what it was to
    keep.
    """

    __slots__ = ("_named", "_stored", "cache")

    # Every so many stores it is looked at whether something was evicted.
    LOOKS = 256

    def __init__(self, cache: Cache[Any, Any], named: str | None) -> None:
        self.cache = cache
        # What a log calls it, until it has; None: it may evict.
        self._named = named
        self._stored = 0

    def set(self, key: Any, value: Any, ttl: float | None) -> bool:
        """Store a value; whether it is in. Where the file can be neither written nor made void it
        is lost, and misses. RemoteError where a server has not acknowledged it: it may have the
        older one still.
        """
        try:
            is_in = self.cache.set(key, value, ttl=ttl)
        except CacheUnavailable as error:
            return _lost(error, False)
        self.stored()
        return is_in

    async def aset(self, key: Any, value: Any, ttl: float | None) -> bool:
        """``set`` to be awaited."""
        try:
            is_in = await self.cache.aset(key, value, ttl=ttl)
        except CacheUnavailable as error:
            return _lost(error, False)
        self.stored()
        return is_in

    def set_many(self, entries: Mapping[Any, Any], ttl: float | None) -> list[Any]:
        """Store values; the keys of those that are not in."""
        try:
            failed = self.cache.set_many(entries, ttl=ttl)
        except CacheUnavailable as error:
            return _lost(error, list(entries))
        self.stored()
        return failed

    async def aset_many(self, entries: Mapping[Any, Any], ttl: float | None) -> list[Any]:
        """``set_many`` to be awaited."""
        try:
            failed = await self.cache.aset_many(entries, ttl=ttl)
        except CacheUnavailable as error:
            return _lost(error, list(entries))
        self.stored()
        return failed

    def stored(self) -> None:
        """Call it after a store: the first eviction that is seen is logged, once for the process.

        Counts without a lock: a count that is lost only puts the look off.
        """
        self._stored += 1
        if self._stored % self.LOOKS == 0 and self._named is not None:
            evicted = self.cache.info().evictions
            if evicted:
                named, self._named = self._named, None
                _log.warning(
                    "%s is full: %d entries had to make room for others; give it more max_bytes",
                    named,
                    evicted,
                )


def kept(name: str, options: Mapping[str, Any]) -> Kept:
    """The cache of this name with these options (of ``Cache``), the same one for all callers of the
    process.

    Where ``max_size`` is None nothing is to be evicted, and what is evicted nevertheless is logged.
    In memory values are stored as bytes, so that nobody gets another's object.
    Raises what ``Cache`` raises for a wrong option. O(1), a microsecond when the cache is there.
    """
    identity = (name, *sorted(options.items(), key=lambda option: option[0]))
    found = _kept.get(identity)
    if found is None:
        everything = options.get("max_size") is None
        given: dict[str, Any] = {"name": name, "max_size": None, **options}
        if given.get("backend", "memory") == "memory":
            given.setdefault("copy", "pickle")
        cache: Cache[Any, Any] = Cache(**given)
        # Of two threads that are first at once one wins; what the other made was never used.
        found = _kept.setdefault(identity, Kept(cache, f"cache {name!r}" if everything else None))
    return found


def _lost(error: CacheUnavailable, answer: _T) -> _T:
    """What is answered where a file could not be changed; a server's error is raised, as the server
    may have still what was to go.
    """
    if isinstance(error, RemoteError):
        raise error
    return answer


def dropped(cache: Cache[Any, Any], keys: Iterable[Any]) -> int:
    """Drop the entries of these keys; how many there were.

    Where the file cannot be changed nothing is raised and 0 told: all that is in it is void
    instead, which needs no lock, so that nobody gets what was to go. RemoteError where a server has
    not acknowledged it.
    """
    try:
        return cache.delete_many(keys)
    except CacheUnavailable as error:
        none = _lost(error, 0)
        with contextlib.suppress(CacheUnavailable):
            cache.clear()
        return none


async def adropped(cache: Cache[Any, Any], keys: Iterable[Any]) -> int:
    """``dropped`` to be awaited."""
    try:
        return await cache.adelete_many(keys)
    except CacheUnavailable as error:
        none = _lost(error, 0)
        with contextlib.suppress(CacheUnavailable):
            await cache.aclear()
        return none


def seconds(lifetime: float | timedelta) -> float:
    """A lifetime in seconds, whether given as a number or as a timedelta."""
    found: Any = lifetime
    return found.total_seconds() if hasattr(found, "total_seconds") else found  # type: ignore[no-any-return]


def lifetime_of(timeout: Any) -> float | None:
    """What ``time.time() + timeout`` makes of a timeout: seconds, 0 for one that has ended as it
    begins, None for one whose end no clock reaches (infinity; and nan, which no time is beyond).

    True is a second. Raises TypeError for what a float cannot be added to, as a str or a Decimal.
    """
    try:
        number = 0.0 + seconds(timeout)
    except OverflowError:
        return None if timeout > 0 else 0.0
    if not number < math.inf:
        return None
    return number if number >= _SHORTEST else 0.0


def whole_number(name: str, given: Any, least: int = 1) -> int:
    """``given`` as an int, where it is one or spells one; ValueError names the setting and what
    would be right.
    """
    try:
        number = int(given)
        if number != float(given) or isinstance(given, bool) or number < least:
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise ValueError(
            f"{name} must be a whole number of at least {least}, got {given!r}"
        ) from None
    return number


def whole_seconds(remaining: float) -> int:
    """Remaining seconds, rounded up: what is there still has 1 at least."""
    return math.ceil(remaining)
