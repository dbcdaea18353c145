"""aiocache's memory cache is ours while its tests run."""

from __future__ import annotations

from typing import Any

import aiocache
import aiocache.backends.memory
import pytest

from scripts.peer_suites.frameworks import fresh
from warp_cache.aiocache import SharedBackend, SharedCache


def pytest_configure(config: pytest.Config) -> None:
    for name in ("memcached", "redis"):
        config.addinivalue_line("markers", f"{name}: aiocache's own")


class _Filled:
    """Where a test puts a dict in the place of the cache, the cache gets what is in it."""

    def __get__(self, backend: Any, kind: type | None = None) -> Any:
        return backend.__dict__["_cache"]

    def __set__(self, backend: Any, given: Any) -> None:
        cache = backend.__dict__.setdefault("_cache", given)
        if cache is not given:
            cache.clear()
            cache.update(given)


class SimpleMemoryBackend(SharedBackend):
    _cache = _Filled()

    def __init__(self, **options: Any) -> None:
        super().__init__(fresh.name(), **options)


class SimpleMemoryCache(SharedCache):
    """Each a new cache, as the one that it stands for."""

    NAME = "memory"
    _cache = _Filled()

    def __init__(self, serializer: Any = None, **options: Any) -> None:
        super().__init__(serializer, name=fresh.name(), **options)

    @classmethod
    def parse_uri_path(cls, path: str) -> dict[str, str]:
        return {}


SimpleMemoryCache.__name__ = "SimpleMemoryCache"
aiocache.SimpleMemoryCache = aiocache.Cache.MEMORY = SimpleMemoryCache
aiocache.Cache.__new__.__defaults__ = (SimpleMemoryCache,)
aiocache.AIOCACHE_CACHES[SimpleMemoryCache.NAME] = SimpleMemoryCache
aiocache.backends.memory.SimpleMemoryCache = SimpleMemoryCache
aiocache.backends.memory.SimpleMemoryBackend = SimpleMemoryBackend
