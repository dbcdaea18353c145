"""What ``cache_info()`` returns."""

from __future__ import annotations

from collections import namedtuple

__all__ = ["CacheInfo", "SharedCacheInfo"]

# Importing typing takes longer than all of this package. Checkers take this name for true.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import NamedTuple

    class _Fields(NamedTuple):
        hits: int
        misses: int
        maxsize: int | None
        currsize: int
else:
    _Fields = namedtuple("CacheInfo", ("hits", "misses", "maxsize", "currsize"))


class CacheInfo(_Fields):
    """The counters of a cache: a tuple of four, equal to what functools' ``cache_info()`` would be.

    hits: calls answered from the cache. misses: all others. maxsize: entries at most, None for no
    bound. currsize: entries now. ``max_size`` and ``current_size`` are other names of the last two.
    """

    __slots__ = ()

    @property
    def max_size(self) -> int | None:
        """The same as ``maxsize``."""
        return self[2]

    @property
    def current_size(self) -> int:
        """The same as ``currsize``."""
        return self[3]


class SharedCacheInfo(CacheInfo):
    """The counters of a shared cache, summed over all processes.

    Unpacks to the same four; ``oversize_skips`` counts the results that were too large to be
    stored, ``repairs`` how often the file was put in order after a process had died in it or
    something had damaged it.
    """

    oversize_skips: int = 0
    repairs: int = 0

    def __new__(
        cls,
        hits: int,
        misses: int,
        maxsize: int | None,
        currsize: int,
        oversize_skips: int = 0,
        repairs: int = 0,
    ) -> SharedCacheInfo:
        self = super().__new__(cls, hits, misses, maxsize, currsize)
        self.oversize_skips = oversize_skips
        self.repairs = repairs
        return self
