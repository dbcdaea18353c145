"""A thread-safe caching decorator with a Rust core.

``cache`` is what people want, ``lru_cache`` is functools' contract; both are faster than C
``functools.lru_cache``.
"""

from warp_cache._decorator import cache, lru_cache
from warp_cache._info import CacheInfo, SharedCacheInfo
from warp_cache._strategies import Backend, Strategy

__all__ = ["Backend", "CacheInfo", "SharedCacheInfo", "Strategy", "cache", "lru_cache"]
__version__ = "0.1.0"
