# pyright: reportMissingImports=false
"""What users of django-redis know beyond Django's own methods, with its names and arguments."""

from __future__ import annotations

import math
import time
from datetime import datetime

from django.core.cache.backends.base import DEFAULT_TIMEOUT

from warp_cache._adapting import dropped
from warp_cache.django._keys import WithKeys, reverse_of
from warp_cache.django._lock import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from warp_cache import Cache

__all__ = ["LikeRedis"]


class LikeRedis(WithKeys):
    """Lifetimes, patterns and locks."""

    _cache: Cache[Any, Any]

    def _take_reverse(self, params: Mapping[str, Any]) -> None:
        self._reverse = reverse_of((params.get("OPTIONS") or {}).get("REVERSE_KEY_FUNCTION"))

    def ttl(self, key: Any, version: int | None = None) -> int | None:
        """Seconds until the entry ends, rounded up; None if it does not, 0 if there is none."""
        return self._remaining(key, version, 1)

    def pttl(self, key: Any, version: int | None = None) -> int | None:
        """As ``ttl``, in milliseconds."""
        return self._remaining(key, version, 1000)

    def _remaining(self, key: Any, version: int | None, unit: int) -> int | None:
        try:
            remaining = self._cache.ttl(self.make_and_validate_key(key, version))
        except KeyError:
            return 0
        return None if remaining == math.inf else max(0, math.ceil(remaining * unit))

    def persist(self, key: Any, version: int | None = None) -> bool:
        """Let the entry have no end; whether there is one."""
        return self.touch(key, None, version)

    def expire(self, key: Any, timeout: Any, version: int | None = None) -> bool:
        """Let the entry end after so many seconds; whether there was one."""
        return self.touch(key, timeout, version)

    def pexpire(self, key: Any, timeout: Any, version: int | None = None) -> bool:
        """As ``expire``, in milliseconds."""
        number = isinstance(timeout, (int, float))
        return self.expire(key, timeout / 1000 if number else timeout, version)

    def expire_at(self, key: Any, when: datetime | float, version: int | None = None) -> bool:
        """Let the entry end at a datetime, or so many seconds after 1970; whether there was one."""
        moment = when.timestamp() if isinstance(when, datetime) else when
        return self.expire(key, moment - time.time(), version)

    def pexpire_at(self, key: Any, when: datetime | float, version: int | None = None) -> bool:
        """As ``expire_at``, in milliseconds since 1970."""
        return self.expire_at(key, when if isinstance(when, datetime) else when / 1000, version)

    def iter_keys(
        self, search: str, itersize: int | None = None, version: int | None = None
    ) -> Iterator[str]:
        """The keys that match a pattern as Redis has it, of this prefix and version, one after the
        other. O(entries). ValueError where a server has them, whose keys nobody knows.

        ``itersize`` has no effect.
        """
        return map(self._reverse, self._matching(search, version))

    def keys(self, search: str, version: int | None = None) -> list[str]:
        """The keys that match a pattern as Redis has it, of this prefix and version. O(entries)."""
        return list(self.iter_keys(search, version=version))

    def delete_pattern(
        self,
        pattern: str,
        version: int | None = None,
        prefix: str | None = None,
        *,
        itersize: int | None = None,
    ) -> int:
        """Drop the entries whose keys match; how many there were. O(entries).

        ``prefix`` takes the place of the cache's own. ``itersize`` has no effect.
        """
        return dropped(self._cache, list(self._matching(pattern, version, prefix)))

    def _matching(
        self, pattern: str, version: int | None, prefix: str | None = None
    ) -> Iterator[str]:
        cache: Any = self._cache
        if cache._has_server():
            raise ValueError(
                f"a pattern cannot be looked for with REMOTE, got {pattern!r}: nobody knows all "
                "keys that a server has; name the keys (delete_many), or clear() the cache"
            )
        begins, matches = self._pattern(pattern, version, prefix)
        return (
            key
            for key in self._cache.keys(begins)
            if isinstance(key, str) and matches.fullmatch(key)
        )

    def lock(
        self,
        key: Any,
        version: int | None = None,
        timeout: float | None = None,
        sleep: float = 0.1,
        blocking: bool = True,
        blocking_timeout: float | None = None,
        thread_local: bool = True,
    ) -> Lock:
        """A lock that all processes see, for ``with`` and ``async with``.

        Parameters:
            timeout: seconds after which it falls free; None: when it is released, or its holder
                dies.
            blocking: whether ``acquire`` and ``with`` wait for it.
            blocking_timeout: seconds that they wait at most.
            sleep, thread_local: redis-py's; they have no effect.
        """
        return Lock(
            self._cache,
            self.make_and_validate_key(key, version),
            timeout,
            blocking,
            blocking_timeout,
        )

    get_lock = lock

    def touch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        raise NotImplementedError
