# pyright: reportMissingImports=false
"""A cache of aiocache that all processes of the host share:
``Cache(warp_cache.aiocache.SharedCache, name="shop")``.
"""

from __future__ import annotations

import pickle
from typing import Any

from aiocache.base import BaseCache
from aiocache.serializers import NullSerializer

from warp_cache._adapting import adropped, kept, lifetime_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["SharedBackend", "SharedCache"]


class SharedBackend(BaseCache):
    """What aiocache asks of a backend, over a shared cache; ``SharedCache`` is the class to use."""

    def __init__(
        self,
        name: str = "aiocache",
        max_size: int | None = None,
        max_bytes: int | None = None,
        strategy: Any = None,
        backend: str = "shared",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        ours = {
            "max_size": max_size,
            "max_bytes": max_bytes,
            "strategy": strategy,
            "backend": backend,
        }
        self._kept = kept(
            name, {option: given for option, given in ours.items() if given is not None}
        )
        self._cache = self._kept.cache

    async def _get(self, key: Any, encoding: str = "utf-8", _conn: Any = None) -> Any:
        return self._cache.get(key)

    async def _gets(self, key: Any, encoding: str = "utf-8", _conn: Any = None) -> Any:
        return self._cache.get(key)

    async def _multi_get(
        self, keys: Iterable[Any], encoding: str = "utf-8", _conn: Any = None
    ) -> list[Any]:
        keys = list(keys)
        found = self._cache.get_many(keys)
        return [found.get(key) for key in keys]

    async def _set(
        self,
        key: Any,
        value: Any,
        ttl: float | None = None,
        _cas_token: Any = None,
        _conn: Any = None,
    ) -> Any:
        if _cas_token is not None:
            return await self._set_if_same(key, value, ttl, _cas_token)
        return await self._kept.aset(key, value, _lifetime(ttl))

    async def _set_if_same(self, key: Any, value: Any, ttl: float | None, seen: Any) -> int:
        """Store a value in the place of one that was seen, if that is still there, in one step."""

        def instead(old: Any) -> Any:
            if not _is_same(old, seen):
                raise _Changed
            return value

        try:
            await self._cache.acompute(key, instead, ttl=_lifetime(ttl))
        except _Changed:
            return 0
        return 1

    async def _multi_set(
        self, pairs: Iterable[tuple[Any, Any]], ttl: float | None = None, _conn: Any = None
    ) -> bool:
        return not await self._kept.aset_many(dict(pairs), _lifetime(ttl))

    async def _add(self, key: Any, value: Any, ttl: float | None = None, _conn: Any = None) -> bool:
        if not await self._cache.aadd(key, value, ttl=_lifetime(ttl)):
            raise ValueError(f"Key {key} already exists, use .set to update the value")
        self._kept.stored()
        return True

    async def _exists(self, key: Any, _conn: Any = None) -> bool:
        return key in self._cache

    async def _increment(self, key: Any, delta: int, _conn: Any = None) -> int:
        try:
            return await self._cache.aincr(key, delta, default=0, ttl=None)
        except TypeError:
            # Text that spells a number counts, as with aiocache's own.
            return await self._cache.acompute(key, lambda old: _number(old) + delta)  # type: ignore[return-value]

    async def _expire(self, key: Any, ttl: float | None, _conn: Any = None) -> bool:
        return await self._cache.atouch(key, _lifetime(ttl))

    async def _delete(self, key: Any, _conn: Any = None) -> int:
        return await adropped(self._cache, (key,))

    async def _clear(self, namespace: str | None = None, _conn: Any = None) -> bool:
        await (self._cache.aclear(namespace) if namespace else self._cache.aclear())
        return True

    async def _raw(
        self, command: str, *args: Any, encoding: str = "utf-8", _conn: Any = None, **kwargs: Any
    ) -> Any:
        """A method of ``warp_cache.Cache``."""
        done = getattr(self._cache, command)(*args, **kwargs)
        return await done if hasattr(done, "__await__") else done

    async def _redlock_release(self, key: Any, value: Any) -> int:
        return int(await self._cache.adiscard(key, value))


# Seconds: an entry that has ended as soon as anybody asks.
_AT_ONCE = 1e-9


def _lifetime(ttl: Any) -> float | None:
    """A ttl as the cache takes it. (aiocache's own is a timer: a negative one, and nan, go off at
    once.)
    """
    if not ttl:
        return None
    lifetime = lifetime_of(ttl)
    return _AT_ONCE if lifetime == 0 or ttl != ttl else lifetime


class _Changed(Exception):
    """What was seen is not there any more."""


def _is_same(value: Any, seen: Any) -> bool:
    """Whether two copies are of one value: equal, or, where their class tells none from another
    (or gives no answer, as arrays), of the same bytes.
    """
    if value is None:
        return False
    try:
        if value == seen:
            return True
    except Exception:
        pass
    return type(value) is type(seen) and pickle.dumps(value) == pickle.dumps(seen)


def _number(old: Any) -> int:
    try:
        return int(old)
    except (TypeError, ValueError):
        raise TypeError("Value is not an integer") from None


class SharedCache(SharedBackend):
    """A cache that all processes of the host share.

    Parameters:
        name: what the processes that share it call it.
        max_size, max_bytes, strategy: as ``warp_cache.Cache`` takes them; without ``max_size`` the
            file's size alone bounds it.
        serializer, plugins, namespace, timeout, ttl, key_builder: aiocache's own. No serializer is
            needed.

    A ttl of None or 0 has no end. Raises what ``warp_cache.Cache`` raises for a wrong option, and
    ``CacheUnavailable``, an OSError, where the file cannot be used for what must not be told
    wrongly (``add``, ``increment``, ``expire``, locks).
    """

    NAME = "warp_cache"

    def __init__(self, serializer: Any = None, **options: Any) -> None:
        super().__init__(serializer=serializer or NullSerializer(), **options)

    @classmethod
    def parse_uri_path(cls, path: str) -> dict[str, str]:
        """The name, from the path of a URL: ``warp_cache:///shop``."""
        name = path.strip("/")
        return {"name": name} if name else {}
