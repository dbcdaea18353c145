# pyright: reportMissingImports=false
"""A cache of cachelib that all processes of the host share: for Flask-Session, and whatever takes a
``cachelib.BaseCache``.
"""

from __future__ import annotations

import math
from typing import Any

from cachelib.base import BaseCache
from cachelib.serializers import SimpleSerializer

from warp_cache import CacheUnavailable
from warp_cache._adapting import dropped, kept, lifetime_of, seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    Timeout = int | timedelta | None

__all__ = ["SharedCache"]

# Stands for the format of the shared tier itself, which needs no serializer.
_OWN_FORMAT = SimpleSerializer()


class SharedCache(BaseCache):
    """A shared cache with cachelib's methods.

    Parameters:
        name: what the processes that share it call it.
        threshold: entries at most, exact; 0 or None: the file's size alone bounds it, and nothing
            else is evicted.
        default_timeout: seconds or a timedelta for entries stored without a timeout; 0: no end.
        key_prefix: put before every key.
        ignore_delete_many_errors: for cachelib's signature; nothing here fails to be deleted.
        options: ``max_bytes``, ``strategy``, ``namespace``, ``version`` and what else
            ``warp_cache.Cache`` takes.

    ``serializer`` is an attribute, as of cachelib's caches: another one, such as
    ``cachelib.serializers.JSONSerializer()``, decides in which bytes values are stored.

    A timeout of 0 never ends, a negative one has ended at once. Raises what ``warp_cache.Cache``
    raises for a wrong option. Where the file cannot be used the cache misses, ``add`` gives False,
    ``inc`` and ``dec`` None. All methods are O(1) an entry, but ``clear``.
    """

    serializer: Any = _OWN_FORMAT

    def __init__(
        self,
        name: str = "cachelib",
        threshold: int | None = None,
        default_timeout: int | timedelta = 300,
        key_prefix: str | None = None,
        ignore_delete_many_errors: bool = True,
        **options: Any,
    ) -> None:
        timeout = seconds(default_timeout)
        # In whole seconds, but never 0 of a part of one: that has no end.
        super().__init__(math.ceil(timeout) if timeout > 0 else math.floor(timeout))
        self.ignore_delete_many_errors = ignore_delete_many_errors
        self.key_prefix = key_prefix or ""
        options.setdefault("backend", "shared")
        if threshold:
            options["max_size"] = threshold
        self._kept = kept(name, options)
        self._cache = self._kept.cache

    def _key(self, key: str) -> str:
        return self.key_prefix + key

    def _packed(self, value: Any) -> Any:
        return value if self.serializer is _OWN_FORMAT else self.serializer.dumps(value)

    def _unpacked(self, stored: Any) -> Any:
        if self.serializer is _OWN_FORMAT or stored is None:
            return stored
        return self.serializer.loads(stored)

    def _lifetime(self, timeout: Timeout) -> tuple[float | None, bool]:
        """A timeout as the cache takes it, and whether it has ended already."""
        number = self.default_timeout if timeout is None else seconds(timeout)
        if number == 0:
            return None, False
        lifetime = lifetime_of(number)
        # (nan has ended here: what ends is there only before its end.)
        return lifetime, lifetime == 0 or number != number

    def get(self, key: str) -> Any:
        return self._unpacked(self._cache.get(self._key(key)))

    def get_many(self, *keys: str) -> list[Any]:
        found = self._cache.get_many([self._key(key) for key in keys])
        return [self._unpacked(found.get(self._key(key))) for key in keys]

    def has(self, key: str) -> bool:
        return self._key(key) in self._cache

    def set(self, key: str, value: Any, timeout: Timeout = None) -> bool:
        lifetime, ended = self._lifetime(timeout)
        if ended:
            dropped(self._cache, (self._key(key),))
            return True
        return self._kept.set(self._key(key), self._packed(value), lifetime)

    def add(self, key: str, value: Any, timeout: Timeout = None) -> bool:
        lifetime, ended = self._lifetime(timeout)
        if ended:
            return self._key(key) not in self._cache
        try:
            added = self._cache.add(self._key(key), self._packed(value), ttl=lifetime)
        except CacheUnavailable:
            return False
        self._kept.stored()
        return added

    def set_many(self, mapping: Mapping[str, Any], timeout: Timeout = None) -> list[Any]:
        lifetime, ended = self._lifetime(timeout)
        if ended:
            dropped(self._cache, [self._key(key) for key in mapping])
            return list(mapping)
        entries = {self._key(key): self._packed(value) for key, value in mapping.items()}
        failed = set(self._kept.set_many(entries, lifetime))
        return [key for key in mapping if self._key(key) not in failed]

    def delete(self, key: str) -> bool:
        return dropped(self._cache, (self._key(key),)) > 0

    def delete_many(self, *keys: str) -> list[Any]:
        dropped(self._cache, [self._key(key) for key in keys])
        return list(keys)

    def clear(self) -> bool:
        """Drop all entries, or those with this ``key_prefix``."""
        # Every key begins with an empty prefix.
        self._cache.clear(self.key_prefix)
        return True

    def inc(self, key: str, delta: int = 1) -> Any:
        """Add to the value in one step among all processes; where there is none it begins with 0
        and the default timeout.
        """
        lifetime, ended = self._lifetime(None)
        made = self._key(key)
        try:
            if ended:
                return (self.get(key) or 0) + delta
            if self.serializer is not _OWN_FORMAT:
                if self._cache.add(made, self._packed(delta), ttl=lifetime):
                    return delta
                return self._unpacked(self._cache.compute(made, self._adds(delta)))
            try:
                return self._cache.incr(made, delta, default=0, ttl=lifetime)
            except TypeError:
                # No exact int: cachelib's own rule, in one step.
                return self._cache.compute(made, lambda old: (old or 0) + delta)
        except CacheUnavailable:
            return None

    def _adds(self, delta: int) -> Any:
        return lambda stored: self._packed((self._unpacked(stored) or 0) + delta)

    def dec(self, key: str, delta: int = 1) -> Any:
        """Subtract from the value, as ``inc`` adds."""
        return self.inc(key, -delta)
