# pyright: reportMissingImports=false, reportIncompatibleMethodOverride=false
"""A backend of dogpile.cache that all processes of the host share:
``make_region().configure("warp_cache.shared")``.
"""

from __future__ import annotations

import contextlib
from typing import Any

from dogpile.cache import register_backend
from dogpile.cache.api import NO_VALUE, CacheBackend, CachedValue

from warp_cache import CacheUnavailable
from warp_cache._adapting import NOTHING, dropped, kept

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["SharedBackend"]

# What the region's users may give; a region passes on what other backends take, too.
_OPTIONS = ("max_size", "max_bytes", "strategy", "namespace", "version", "backend", "wait_timeout")


class SharedBackend(CacheBackend):
    """The backend ``warp_cache.shared``.

    Arguments of ``configure(arguments={…})``: ``name`` ("dogpile" unless given); ``max_size``,
    ``max_bytes``, ``strategy``, ``namespace``, ``version`` as ``warp_cache.Cache`` takes them (no
    bound but ``max_bytes`` unless ``max_size`` is given); ``distributed_lock`` (True unless given:
    one process creates a value at a time) and ``lock_timeout``, seconds after which its lock falls
    free (None: with its holder). Others are for other backends, and have no effect.

    When a value is too old is the region's affair, by the time that is stored with it: the cache
    itself ends nothing.
    """

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        options = {name: arguments[name] for name in _OPTIONS if name in arguments}
        options.setdefault("backend", "shared")
        self._kept = kept(arguments.get("name", "dogpile"), options)
        self._cache = self._kept.cache
        self._distributed = bool(arguments.get("distributed_lock", True))
        self._lease = arguments.get("lock_timeout")

    def has_lock_timeout(self) -> bool:
        """Whether the mutex falls free by itself: then two may create a value at once."""
        return self._lease is not None

    def get_mutex(self, key: str) -> _Mutex | None:
        """The lock of a key, across processes; None without ``distributed_lock``."""
        return _Mutex(self._cache, key, self._lease) if self._distributed else None

    def get(self, key: str) -> Any:
        """The value with its time, or NO_VALUE. O(1)."""
        return _given(self._cache.get(key, NOTHING))

    def get_multi(self, keys: Iterable[str]) -> list[Any]:
        """As ``get``, for each of the keys."""
        keys = list(keys)
        found = self._cache.get_many(keys)
        return [_given(found.get(key, NOTHING)) for key in keys]

    def set(self, key: str, value: Any) -> None:
        """Store a value with its time. O(1)."""
        self._kept.set(key, _stored(value), None)

    def set_multi(self, mapping: Mapping[str, Any]) -> None:
        """Store each of the values."""
        self._kept.set_many({key: _stored(value) for key, value in mapping.items()}, None)

    def delete(self, key: str) -> None:
        """Drop a value, if there is one. O(1)."""
        dropped(self._cache, (key,))

    def delete_multi(self, keys: Iterable[str]) -> None:
        """Drop each of the values."""
        dropped(self._cache, list(keys))


def _stored(value: Any) -> Any:
    """A region's value with its time as a plain tuple, which needs no pickle; bytes of a serializer
    as they are.
    """
    return tuple(value) if isinstance(value, CachedValue) else value


def _given(stored: Any) -> Any:
    if stored is NOTHING:
        return NO_VALUE
    # (What a proxy has made of it is the proxy's.)
    is_pair = type(stored) is tuple and len(stored) == 2
    return CachedValue(*stored) if is_pair else stored


class _Mutex:
    """The lock of a key, as a region uses it: taken by one process at a time, and free when its
    holder dies. All threads of a region have the same one.

    Where the file cannot be used, or has no room for one more lock, everybody gets it: values are
    created then, though not once. Who creates many at once holds as many locks, and would wait for
    himself.
    """

    # Seconds after which one that waits looks whether there is room.
    SLICE = 0.5

    def __init__(self, cache: Any, key: str, lease: float | None) -> None:
        self._lock = cache.lock(key, lease=lease)
        # One item for each who got it without the lock.
        self._without: list[None] = []

    def acquire(self, wait: bool = True) -> bool:
        try:
            # What an attempt says is of one moment. A failed one with a look after it is not:
            # others take the lock and let it go in between, and a lock in use looks like no room.
            while not (taken := self._lock._attempt()):
                if taken is None:
                    self._without.append(None)
                    break
                if not wait:
                    return False
                if self._lock.acquire(timeout=self.SLICE):
                    break
        except CacheUnavailable:
            self._without.append(None)
        return True

    def release(self) -> None:
        # Which of several holders had the lock makes no difference: as many let go as got it.
        with contextlib.suppress(IndexError):
            return self._without.pop()
        # Its time may be over, and another one have it: the value was created twice, which no
        # caller can mend.
        with contextlib.suppress(RuntimeError):
            self._lock.release()
        return None

    def locked(self) -> bool:
        if self._without:
            return True
        try:
            return bool(self._lock.locked())
        except CacheUnavailable:
            return False


register_backend("warp_cache.shared", "warp_cache.dogpile", "SharedBackend")
