# pyright: reportMissingImports=false
"""The storage ``warp://name``."""

from __future__ import annotations

import time
from typing import Any

from limits.storage import MovingWindowSupport, SlidingWindowCounterSupport, Storage
from limits.storage.base import TimestampedSlidingWindow

from warp_cache import CacheUnavailable
from warp_cache.limits._opening import opened
from warp_cache.limits._windows import Moving, moving, slid, sliding

__all__ = ["WarpStorage"]


class WarpStorage(
    Storage, MovingWindowSupport, SlidingWindowCounterSupport, TimestampedSlidingWindow
):
    """Counters and windows that all processes of the host have in common, each changed in one step.

    Parameters:
        uri: ``warp://name``, with options as a query.
        wrap_exceptions: whether ``CacheUnavailable`` comes as limits' ``StorageError``.
        options: ``max_size``, ``max_bytes``, ``strategy``, ``namespace``, ``version``; without
            ``max_size`` the file's size alone bounds it, and an eviction is logged.

    Where the file cannot be used every method but ``check`` raises ``CacheUnavailable``: whether a
    request then passes is for the limiter to decide. Raises ValueError for a wrong option.
    """

    STORAGE_SCHEME = ["warp"]

    def __init__(
        self, uri: str | None = None, wrap_exceptions: bool = False, **options: Any
    ) -> None:
        super().__init__(uri, wrap_exceptions=wrap_exceptions, **options)
        self._made_with = (uri, wrap_exceptions, options)
        self._kept = opened(uri, options)
        self._cache = self._kept.cache
        # The step itself: a counter is what a limiter asks for most.
        core: Any = self._cache
        self._incr = core._incr

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), *self._made_with)

    @property
    def base_exceptions(self) -> type[Exception] | tuple[type[Exception], ...]:
        """What the limiter takes for a storage that cannot be reached."""
        return (CacheUnavailable,)

    # Counters.

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        """Count so many more; the first of a window says when it ends. O(1)."""
        count = self._incr(key, amount, 0, expiry)
        # What takes the place of others is, as a rule, new.
        if count == amount:
            self._kept.stored()
        return count

    def get(self, key: str) -> int:
        """What was counted. O(1)."""
        found = self._cache.get(key)
        return found if found is not None else self._counted(key)

    def _state(self, name: tuple[Any, ...], key: str) -> Any:
        """What is kept of a window under a name; None: nothing, as ``_counted`` has made sure."""
        found = self._cache.get(name)
        if found is None:
            self._counted(key)
        return found

    def _counted(self, key: str) -> int:
        """What was counted, where nothing was found: nothing, or nothing to be seen? The latter
        raises.
        """
        try:
            return self._cache.incr(key, 0)
        except KeyError:
            return 0

    def get_expiry(self, key: str) -> float:
        """When the counter's window ends, in seconds since 1970; now if there is none."""
        try:
            return time.time() + self._cache.ttl(key)
        except KeyError:
            self._counted(key)
            return time.time()

    def clear(self, key: str) -> None:
        """Forget the counter and the moving window of this key."""
        self._cache.delete_many((key, _moving(key)))

    def reset(self) -> int | None:
        """Forget everything; how many entries there were."""
        dropped = self._cache.clear()
        if not dropped:
            self._counted("")
        return dropped

    def check(self) -> bool:
        """Whether the file can be used."""
        try:
            self._counted("")
        except CacheUnavailable:
            return False
        return True

    # Moving windows.

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Take so many places of the window, if there are as many. O(limit) bytes are copied."""
        if amount > limit:
            return False
        taken = False

        def take(packed: bytes | None) -> bytes:
            nonlocal taken
            window = moving(packed, time.time(), expiry, limit, amount)
            taken = window is not None
            return (packed or b"") if window is None else window

        if not Moving(self._cache.peek(_moving(key)), time.time(), expiry).takes(amount, limit):
            return False
        self._cache.compute(_moving(key), take, ttl=expiry)
        self._kept.stored()
        return taken

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        """When the window begins, and how many places of it are taken."""
        now = time.time()
        moments = Moving(self._state(_moving(key), key), now, expiry).moments
        return (moments[0], len(moments)) if moments else (now, 0)

    # Sliding windows.

    def acquire_sliding_window_entry(
        self, key: str, limit: int, expiry: int, amount: int = 1
    ) -> bool:
        """Count so many more, if the part of the window before and this one together allow it.
        O(1).
        """
        if amount > limit:
            return False
        taken = False

        def take(state: Any) -> Any:
            nonlocal taken
            changed = slid(state, time.time(), expiry, limit, amount)
            taken = changed is not None
            return state or (0, 0, 0) if changed is None else changed

        self._cache.compute(_sliding(key, expiry), take, ttl=2 * expiry)
        self._kept.stored()
        return taken

    def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """The count of the window before and for how long it counts, and the same of this one."""
        return sliding(self._state(_sliding(key, expiry), key), time.time(), expiry)

    def clear_sliding_window(self, key: str, expiry: int) -> None:
        """Forget the sliding window of this key."""
        self._cache.delete(_sliding(key, expiry))


def _again(made: type, uri: str | None, wrap_exceptions: bool, options: dict[str, Any]) -> Any:
    return made(uri, wrap_exceptions=wrap_exceptions, **options)


def _moving(key: str) -> tuple[str, str]:
    """The key of a moving window, which no counter has."""
    return ("moving", key)


def _sliding(key: str, expiry: float) -> tuple[str, str, float]:
    return ("sliding", key, expiry)
