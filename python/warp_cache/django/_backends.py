# pyright: reportMissingImports=false, reportIncompatibleMethodOverride=false
"""The cache backends: Django's contract, over a cache object that all threads and requests of the
process have in common.
"""

from __future__ import annotations

import inspect
from typing import cast

from django.core.cache.backends.base import DEFAULT_TIMEOUT
from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation

from warp_cache import CacheUnavailable
from warp_cache._adapting import NOTHING, adropped, dropped, kept, lifetime_of
from warp_cache._object.twins import beside
from warp_cache.django._keys import WithKeys
from warp_cache.django._looking import Looking
from warp_cache.django._options import options_of
from warp_cache.django._ready import ready
from warp_cache.django._redis import LikeRedis

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

__all__ = ["MemoryCache", "SharedCache"]

_ENDED = 0.0


class _Backend(LikeRedis, Looking, WithKeys):
    """What both backends do."""

    _where = ""

    def __init__(self, location: str, params: Mapping[str, Any]) -> None:
        super().__init__(params)
        self._take_reverse(params)
        options = options_of(self._where, params)
        self._is_remote = "remote" in options
        try:
            self._kept = kept(location or "default", options)
        except (TypeError, ValueError) as error:
            raise ImproperlyConfigured(f"the cache at {location!r}: {error}") from error
        self._cache = self._kept.cache

    def _lifetime(self, timeout: Any) -> float | None:
        """Django's timeout, as its own backends take it: None for an entry without end, 0 for one
        that has ended before it is stored.
        """
        if timeout is DEFAULT_TIMEOUT:
            timeout = self.default_timeout
        if timeout is None:
            return None
        return lifetime_of(timeout)

    # One entry.

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        """The value, or ``default``. O(1)."""
        return self._cache.get(self.make_and_validate_key(key, version), default)

    def set(
        self,
        key: Any,
        value: Any,
        timeout: Any = DEFAULT_TIMEOUT,
        version: int | None = None,
        *,
        nx: bool = False,
        xx: bool = False,
    ) -> Any:
        """Store the value; with ``nx`` only where there is none, with ``xx`` only where there is
        one (as in django-redis).

        Returns None, or with ``nx`` or ``xx`` whether it was stored.
        """
        if nx or xx:
            return self._set_if(key, value, timeout, version, nx, xx)
        made = self.make_and_validate_key(key, version)
        lifetime = self._lifetime(timeout)
        if lifetime == _ENDED:
            dropped(self._cache, (made,))
        else:
            self._kept.set(made, value, lifetime)
        return None

    def _set_if(
        self, key: Any, value: Any, timeout: Any, version: int | None, nx: bool, xx: bool
    ) -> bool:
        if nx and xx:
            raise ValueError("nx and xx exclude each other: give one of them")
        if nx:
            return self.add(key, value, timeout, version)
        made = self.make_and_validate_key(key, version)
        lifetime = self._lifetime(timeout)
        if lifetime == _ENDED:
            return dropped(self._cache, (made,)) > 0

        def instead(old: Any) -> Any:
            # An entry of None, or none at all?
            if old is None and made not in self._cache:
                raise KeyError(made)
            return value

        try:
            self._cache.compute(made, instead, ttl=lifetime)
        except (KeyError, CacheUnavailable):
            return False
        return True

    def add(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> bool:
        """Store the value if there is none; whether there was none. Of many one gets True."""
        made = self.make_and_validate_key(key, version)
        lifetime = self._lifetime(timeout)
        if lifetime == _ENDED:
            return made not in self._cache
        try:
            added = self._cache.add(made, value, ttl=lifetime)
        except CacheUnavailable:
            return False
        self._kept.stored()
        return added

    def touch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        """Give the entry a new timeout, beginning now; whether there was one."""
        made = self.make_and_validate_key(key, version)
        lifetime = self._lifetime(timeout)
        if lifetime == _ENDED:
            return dropped(self._cache, (made,)) > 0
        try:
            return self._cache.touch(made, lifetime)
        except CacheUnavailable:
            return False

    def delete(self, key: Any, version: int | None = None) -> bool:
        """Drop the entry; whether there was one."""
        return dropped(self._cache, (self.make_and_validate_key(key, version),)) > 0

    def has_key(self, key: Any, version: int | None = None) -> bool:
        """Whether there is an entry; no use of it."""
        return self.make_and_validate_key(key, version) in self._cache

    def incr(
        self,
        key: Any,
        delta: Any = 1,
        version: int | None = None,
        *,
        ignore_key_check: bool = False,
    ) -> Any:
        """Add to the value, in one step among all processes; its timeout stays.

        ``ignore_key_check`` starts with 0 where there is none. Raises ValueError where there is
        none, or the tier cannot be reached; TypeError where the value has no ``+``.
        """
        made = self.make_and_validate_key(key, version)
        try:
            if type(delta) is int:
                try:
                    if ignore_key_check:
                        return self._cache.incr(
                            made, delta, default=0, ttl=self._lifetime(DEFAULT_TIMEOUT)
                        )
                    return self._cache.incr(made, delta)
                except TypeError:
                    pass  # no exact int: Python's own + decides
            elif made not in self._cache:
                raise KeyError(made)
            return self._cache.compute(made, lambda old: cast("Any", old) + delta)
        except KeyError:
            raise ValueError(f"Key '{made}' not found") from None
        except CacheUnavailable as error:
            raise ValueError(f"Key '{made}' cannot be reached: {error}") from error

    def get_or_set(
        self, key: Any, default: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> Any:
        """The value, or else ``default`` (what it returns, if it is callable), which is stored.

        It is called once, however many threads and processes ask meanwhile.
        """
        made = self.make_and_validate_key(key, version)
        produce = default if callable(default) else lambda: default
        lifetime = self._lifetime(timeout)
        if lifetime == _ENDED:
            found = self._cache.get(made, NOTHING)
            return produce() if found is NOTHING else found
        found = self._cache.get_or_set(made, produce, ttl=lifetime)
        self._kept.stored()
        return found

    def incr_version(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        """Move the entry to another version, with what is left of its timeout; the new version."""
        version = self.version if version is None else version
        old, new = (self.make_and_validate_key(key, each) for each in (version, version + delta))
        try:
            remaining = self._cache.ttl(old)
            value = self._cache[old]
        except KeyError:
            raise ValueError(f"Key '{old}' not found") from None
        if remaining > 0:
            self._kept.set(new, value, None if remaining == float("inf") else remaining)
        dropped(self._cache, (old,))
        return version + delta

    # Several entries.

    def get_many(self, keys: Iterable[Any], version: int | None = None) -> dict[Any, Any]:
        """The values that there are, by their keys."""
        made = {self.make_and_validate_key(key, version): key for key in keys}
        return {made[key]: value for key, value in self._cache.get_many(made).items()}

    def set_many(
        self, data: Mapping[Any, Any], timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> list[Any]:
        """Store the values; the keys of those that could not be stored."""
        made = {self.make_and_validate_key(key, version): key for key in data}
        lifetime = self._lifetime(timeout)
        if lifetime == _ENDED:
            dropped(self._cache, made)
            return []
        failed = self._kept.set_many({key: data[made[key]] for key in made}, lifetime)
        return [made[key] for key in failed]

    def delete_many(self, keys: Iterable[Any], version: int | None = None) -> int | None:
        """Drop the entries; how many there were, None if none."""
        made = [self.make_and_validate_key(key, version) for key in keys]
        return dropped(self._cache, made) or None

    def clear(self) -> None:
        """Drop all entries at this ``LOCATION``, whatever their prefix and version."""
        self._cache.clear()

    def close(self, **_options: Any) -> None:
        """Nothing: Django calls it after each request, and entries are to stay."""

    # To be awaited: what may wait for another process, or for a server.

    async def aset(
        self,
        key: Any,
        value: Any,
        timeout: Any = DEFAULT_TIMEOUT,
        version: int | None = None,
        *,
        nx: bool = False,
        xx: bool = False,
    ) -> Any:
        if nx or xx:
            value = await ready(value)
            return await beside(self._cache, self._set_if, key, value, timeout, version, nx, xx)
        made = self.make_and_validate_key(key, version)
        lifetime = self._lifetime(timeout)
        if lifetime == _ENDED:
            await adropped(self._cache, (made,))
            return None
        try:
            await self._kept.aset(made, value, lifetime)
        except SynchronousOnlyOperation:
            # To pickle it asks the database, as a query that has not run: that takes a thread.
            return await super().aset(key, value, timeout, version)
        return None

    async def aadd(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> bool:
        made = self.make_and_validate_key(key, version)
        lifetime = self._lifetime(timeout)
        if lifetime == _ENDED:
            return not await self.ahas_key(key, version)
        try:
            added = await self._cache.aadd(made, value, ttl=lifetime)
        except CacheUnavailable:
            return False
        except SynchronousOnlyOperation:
            return await super().aadd(key, value, timeout, version)
        self._kept.stored()
        return added

    async def atouch(
        self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> bool:
        made = self.make_and_validate_key(key, version)
        lifetime = self._lifetime(timeout)
        if lifetime == _ENDED:
            return await adropped(self._cache, (made,)) > 0
        try:
            return await self._cache.atouch(made, lifetime)
        except CacheUnavailable:
            return False

    async def adelete(self, key: Any, version: int | None = None) -> bool:
        return await adropped(self._cache, (self.make_and_validate_key(key, version),)) > 0

    async def aincr(self, key: Any, delta: Any = 1, version: int | None = None, **how: bool) -> Any:
        made = self.make_and_validate_key(key, version)
        if type(delta) is int and not how:
            try:
                return await self._cache.aincr(made, delta)
            except (KeyError, TypeError, CacheUnavailable):
                pass  # the long way tells which it is
        return await beside(self._cache, self.incr, key, delta, version, **how)

    async def adecr(self, key: Any, delta: Any = 1, version: int | None = None) -> Any:
        return await self.aincr(key, -delta, version)

    async def aget_or_set(
        self, key: Any, default: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> Any:
        """As ``get_or_set``; a ``default`` that is a coroutine function, or returns an awaitable,
        is awaited.
        """
        made = self.make_and_validate_key(key, version)
        produce = default if callable(default) else lambda: default
        lifetime = self._lifetime(timeout)
        if lifetime == _ENDED:
            found = await self.aget(key, NOTHING, version)
            if found is NOTHING:
                found = produce()
                if inspect.isawaitable(found):
                    found = await found
            return found

        async def produced() -> Any:
            value = produce()
            return await ready(await value if inspect.isawaitable(value) else value)

        found = await self._cache.aget_or_set(made, produced, ttl=lifetime)
        self._kept.stored()
        return found

    async def aset_many(
        self, data: Mapping[Any, Any], timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> list[Any]:
        made = {self.make_and_validate_key(key, version): key for key in data}
        lifetime = self._lifetime(timeout)
        if lifetime == _ENDED:
            await adropped(self._cache, made)
            return []
        try:
            failed = await self._kept.aset_many({key: data[made[key]] for key in made}, lifetime)
        except SynchronousOnlyOperation:
            return await super().aset_many(data, timeout, version)
        return [made[key] for key in failed]

    async def adelete_many(self, keys: Iterable[Any], version: int | None = None) -> int | None:
        made = [self.make_and_validate_key(key, version) for key in keys]
        return await adropped(self._cache, made) or None

    async def aclear(self) -> None:
        await self._cache.aclear()


class SharedCache(_Backend):
    """A cache that all processes of the host share: ``LOCATION`` is its name.

    ``OPTIONS``: ``MAX_ENTRIES`` (exact; not given, the file's size bounds it alone), ``MAX_BYTES``,
    ``STRATEGY``, ``DIRECTORY``; ``REMOTE``, the URL of a server that has the entries for all hosts,
    or True for the one that is configured; ``CULL_FREQUENCY`` has no effect, as one entry makes
    room for one. Raises ImproperlyConfigured for a wrong one, naming it. Where the file cannot be
    used the cache misses, ``add`` gives False and ``incr`` raises ValueError; where a server does
    not answer, too, and other changes raise RemoteError.
    """

    _where = "shared"


class MemoryCache(_Backend):
    """A cache of this process: values are stored as bytes, so that nobody gets another's object.

    ``LOCATION`` is its name within the process, ``OPTIONS`` are ``MAX_ENTRIES`` (exact; not given,
    nothing bounds it) and ``STRATEGY``.
    """

    _where = "memory"
