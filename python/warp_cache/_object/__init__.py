"""The cache object: a cache that is used like a dict, in memory or shared by all processes.

Imported when ``warp_cache.Cache`` is first asked for.
"""

from __future__ import annotations

from collections.abc import MutableMapping

from warp_cache._object.cache import Cache
from warp_cache._object.errors import CacheUnavailable
from warp_cache._object.locking import CacheLock
from warp_cache._object.operations import DELETE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["DELETE", "Cache", "CacheLock", "CacheUnavailable"]

_mapping: Any = MutableMapping
_mapping.register(Cache)
del _mapping
