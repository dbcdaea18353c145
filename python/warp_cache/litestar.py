# pyright: reportMissingImports=false
"""A store of Litestar that all workers of the host share: for sessions, response caching and rate
limits.
"""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

from litestar.stores.base import NamespacedStore

from warp_cache._adapting import adropped, kept, lifetime_of, seconds

__all__ = ["SharedStore"]


class SharedStore(NamespacedStore):
    """A store whose entries all processes of the host see.

    Parameters:
        name: what the processes that share it call it.
        namespace: a part of every key; ``delete_all`` is for it, and for the namespaces within it.
        options: ``max_size``, ``max_bytes``, ``strategy``, ``version`` and what else
            ``warp_cache.Cache`` takes; without ``max_size`` the file's size alone bounds it, so
            sessions stay.

    An ``expires_in`` of None or 0 has no end. Raises what ``warp_cache.Cache`` raises for a wrong
    option, and ValueError for a namespace that is empty or has a NUL. Where the file cannot be used
    the store misses. All methods are O(1) an entry.
    """

    __slots__ = ("_begin", "_cache", "_kept", "_name", "_options", "namespace")

    def __init__(
        self, name: str = "litestar", *, namespace: str | None = None, **options: Any
    ) -> None:
        options.setdefault("backend", "shared")
        self._name = name
        self._options = options
        self._kept = kept(name, options)
        self._cache = self._kept.cache
        self.namespace = namespace
        self._begin = "" if namespace is None else _part(namespace)

    def with_namespace(self, namespace: str) -> SharedStore:
        """A store of the same cache, within this one's namespace."""
        child = type(self)(self._name, **self._options)
        child.namespace = namespace if self.namespace is None else f"{self.namespace}_{namespace}"
        child._begin = self._begin + _part(namespace)
        return child

    def _key(self, key: str) -> str:
        # The empty part ends the namespaces: no key of one reads as a key of another.
        return f"{self._begin}\0{key}"

    async def set(
        self, key: str, value: str | bytes, expires_in: int | timedelta | None = None
    ) -> None:
        data = value.encode() if isinstance(value, str) else value
        lifetime = lifetime_of(expires_in) if expires_in else None
        if lifetime == 0:
            await adropped(self._cache, (self._key(key),))
            return
        await self._kept.aset(self._key(key), data, lifetime)

    async def get(self, key: str, renew_for: int | timedelta | None = None) -> bytes | None:
        if not renew_for:
            found = self._cache.get(self._key(key))
        else:
            found = await self._cache.aget(self._key(key), renew=seconds(renew_for))
        return found

    async def delete(self, key: str) -> None:
        await adropped(self._cache, (self._key(key),))

    async def delete_all(self) -> None:
        await (self._cache.aclear(self._begin) if self._begin else self._cache.aclear())

    async def exists(self, key: str) -> bool:
        return self._key(key) in self._cache

    async def expires_in(self, key: str) -> int | None:
        """Whole seconds, rounded up; None if there is no entry, -1 if it has no end."""
        try:
            remaining = self._cache.ttl(self._key(key))
        except KeyError:
            return None
        return -1 if remaining == math.inf else max(0, math.ceil(remaining))


def _part(namespace: str) -> str:
    if not namespace or "\0" in namespace:
        raise ValueError(f"namespace must be a non-empty string without NUL, got {namespace!r}")
    return f"{namespace}\0"
