"""The names of eviction strategies and backends.

Older pickles and shared files say that these classes are here, so this module keeps its name, and
``_by_value`` its own; newer ones say ``warp_cache``.
"""

from __future__ import annotations

from enum import IntEnum

from warp_cache._warp_cache_rs import _backends

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal, TypeAlias

__all__ = ["Backend", "Strategy"]


class Strategy(IntEnum):
    """Which entry gives way when a full cache takes a new one."""

    __module__ = "warp_cache"

    LRU = 0
    """The one whose last use is longest ago."""
    MRU = 1
    """The one used last."""
    FIFO = 2
    """The oldest one, however often it was used."""
    LFU = 3
    """The one with the fewest uses; of equals, the least recently used."""
    SIEVE = 4
    """The oldest one that was not used since a hand last passed it (Zhang et al., NSDI '24)."""
    S3FIFO = 5
    """The oldest one of a small queue for what is new, or of a main one for what was used there
    (Yang et al., SOSP '23)."""
    TINYLFU = 6
    """The least recently used one of a small window, or of the others if those were used less
    often: W-TinyLFU (Einziger, Friedman & Manes, TOS '17) with a window that adapts its size."""


if TYPE_CHECKING:
    # What a strategy may be given as: the names in any case; these two are what people write.
    AnyStrategy: TypeAlias = (
        Strategy
        | Literal[0, 1, 2, 3, 4, 5, 6]
        | Literal["lru", "mru", "fifo", "lfu", "sieve", "s3fifo", "tinylfu"]
        | Literal["LRU", "MRU", "FIFO", "LFU", "SIEVE", "S3FIFO", "TINYLFU"]
    )


if TYPE_CHECKING:

    class Backend(IntEnum):
        """Where the entries are kept."""

        MEMORY = 0
        """In this process."""
        SHARED = 1
        """In shared memory, for all processes of the host."""
else:
    # Type checkers take no members that are worked out: for them each has its line above.
    Backend = IntEnum(
        "Backend",
        [(backend.name.upper(), backend.number) for backend in _backends()],
        module="warp_cache",
    )
    Backend.__doc__ = "Where the entries are kept."
