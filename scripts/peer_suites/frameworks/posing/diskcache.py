"""A module named diskcache whose `Cache` is ours, shared by processes.

A directory stands for the cache's name. Seconds and tags are translated; what is about its SQLite
database and its files has nothing here that it could be about.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import warp_cache

__all__ = ["Cache", "Disk", "EmptyDirWarning", "JSONDisk", "Timeout", "UNKNOWN"]

UNKNOWN = type("UNKNOWN", (), {})()


class EmptyDirWarning(UserWarning):
    """Its tests name it."""


class Timeout(Exception):  # noqa: N818 - its name there
    """Its tests name it."""


class Disk:
    """Its tests derive from it."""


JSONDisk = Disk


class Cache(warp_cache.Cache[Any, Any]):
    """With its parameters."""

    __slots__ = ("__dict__",)

    def __init__(self, directory: Any = None) -> None:
        self.directory = str(directory or tempfile.mkdtemp())
        super().__init__(None, strategy="fifo", backend="shared", name=self.directory)
        self._began = (0, 0)

    def reset(self, setting: str, value: Any) -> None:
        """What is set is how it culls and counts: one entry makes room for one here, and all is
        counted.
        """

    def check(self, fix: bool = False) -> list[str]:
        """Nothing is wrong with what can be read."""
        return [key for key in self if key not in self]

    def set(self, key: Any, value: Any, *, expire: Any = None, tag: Any = None, **more: Any) -> Any:
        return super().set(key, value, **_terms(expire, tag), **more)

    def add(self, key: Any, value: Any, *, expire: Any = None, tag: Any = None, **more: Any) -> Any:
        return super().add(key, value, **_terms(expire, tag), **more)

    def touch(self, key: Any, ttl: Any = ..., *, expire: Any = ...) -> bool:
        if expire is not ... and expire is not None and expire <= 0:
            return self.delete(key)
        return super().touch(key, ttl if expire is ... else expire)

    def get(self, key: Any, default: Any = None, *, expire_time: bool = False, **more: Any) -> Any:
        found = super().get(key, default, **more)
        return (found, self._ends(key)) if expire_time else found

    def pop(self, key: Any, default: Any = None, *, expire_time: bool = False) -> Any:
        ends = self._ends(key) if expire_time else None
        found = super().pop(key, default)
        return (found, ends) if expire_time else found

    def _ends(self, key: Any) -> float | None:
        try:
            left = self.ttl(key)
        except KeyError:
            return None
        return None if left == math.inf else time.time() + left

    def incr(self, key: Any, delta: int = 1, *, default: int | None = 0, **more: Any) -> int:
        given = {} if default is None else {"default": default}
        return super().incr(key, delta, **given, **more)

    def decr(self, key: Any, delta: int = 1, default: int | None = 0) -> int:
        return self.incr(key, -delta, default=default)

    def evict(self, tag: str) -> int:
        before = len(self)
        self.invalidate_tags(tag)
        return before - len(self)

    def expire(self) -> int:
        return self.purge()

    def iterkeys(self) -> Iterator[Any]:
        return iter(self)

    def stats(self, enable: bool = True, reset: bool = False) -> tuple[int, int]:
        """Hits and misses since it was last asked to begin anew."""
        info = self.info()
        seen = (info.hits - self._began[0], info.misses - self._began[1])
        if reset:
            self._began = (info.hits, info.misses)
        return seen

    def memoize(self, function: Any = None, /, **options: Any) -> Callable[..., Any]:
        decorated: Callable[..., Any] = super().memoize(function, **options)
        return decorated


def _terms(expire: Any, tag: Any) -> dict[str, Any]:
    terms: dict[str, Any] = {} if expire is None else {"ttl": expire}
    return terms if tag is None else {**terms, "tags": (tag,)}
