"""cachetools' cache, as its tests know it, over our cache object."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import warp_cache
from scripts.peer_suites import fetch

# Its tests are a package.
sys.path.insert(0, str(fetch.tests_of("cachetools").parent))  # type: ignore[union-attr]


class Cache(warp_cache.Cache[Any, Any]):
    """With its parameters, and the attributes that it has beside a mapping's methods."""

    __slots__ = ("__dict__",)

    def __init__(self, maxsize: Any, getsizeof: Callable[[Any], int] | None = None) -> None:
        kind = type(self)
        if getsizeof is not None:
            self.getsizeof = getsizeof  # type: ignore[method-assign]
        elif kind.getsizeof is not Cache.getsizeof:
            getsizeof = self.getsizeof
        if getsizeof is None:
            super().__init__(None if maxsize == float("inf") else maxsize)
        else:
            super().__init__(None, max_weight=maxsize, weigher=getsizeof)
        self.maxsize, self._weighs = maxsize, getsizeof is not None

    def getsizeof(self, value: Any) -> int:
        return 1

    @property
    def currsize(self) -> int:
        return self.info().weight if self._weighs else len(self)
