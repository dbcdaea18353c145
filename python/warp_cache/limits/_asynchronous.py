# pyright: reportMissingImports=false
"""The storage ``async+warp://name``."""

from __future__ import annotations

from typing import Any

from limits.aio.storage import MovingWindowSupport, SlidingWindowCounterSupport, Storage
from limits.storage.base import TimestampedSlidingWindow

from warp_cache import CacheUnavailable
from warp_cache.limits._storage import WarpStorage, _again

__all__ = ["AsyncWarpStorage"]


class AsyncWarpStorage(
    Storage, MovingWindowSupport, SlidingWindowCounterSupport, TimestampedSlidingWindow
):
    """``WarpStorage`` to be awaited, over the same counters and windows; parameters and errors are
    the same.

    Its steps are a look into memory that all processes have in common, so no thread is taken for
    them.
    """

    STORAGE_SCHEME = ["async+warp"]

    def __init__(
        self, uri: str | None = None, wrap_exceptions: bool = False, **options: Any
    ) -> None:
        super().__init__(uri, wrap_exceptions=wrap_exceptions, **options)
        self._made_with = (uri, wrap_exceptions, options)
        self._storage = WarpStorage(uri, **options)

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), *self._made_with)

    @property
    def base_exceptions(self) -> type[Exception] | tuple[type[Exception], ...]:
        """What the limiter takes for a storage that cannot be reached."""
        return (CacheUnavailable,)

    async def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        return self._storage.incr(key, expiry, amount)

    async def get(self, key: str) -> int:
        return self._storage.get(key)

    async def get_expiry(self, key: str) -> float:
        return self._storage.get_expiry(key)

    async def clear(self, key: str) -> None:
        self._storage.clear(key)

    async def reset(self) -> int | None:
        return self._storage.reset()

    async def check(self) -> bool:
        return self._storage.check()

    async def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        return self._storage.acquire_entry(key, limit, expiry, amount)

    async def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        return self._storage.get_moving_window(key, limit, expiry)

    async def acquire_sliding_window_entry(
        self, key: str, limit: int, expiry: int, amount: int = 1
    ) -> bool:
        return self._storage.acquire_sliding_window_entry(key, limit, expiry, amount)

    async def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        return self._storage.get_sliding_window(key, expiry)

    async def clear_sliding_window(self, key: str, expiry: int) -> None:
        self._storage.clear_sliding_window(key, expiry)
