"""The names of eviction strategies and backends."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["Backend", "Strategy"]


class Strategy(IntEnum):
    """Which entry gives way when a full cache takes a new one."""

    LRU = 0
    """The one whose last use is longest ago."""
    MRU = 1
    """The one used last."""
    FIFO = 2
    """The oldest one, however often it was used."""
    LFU = 3
    """The one with the fewest uses; of equals, the least recently used."""


class Backend(IntEnum):
    """Where the entries are kept."""

    MEMORY = 0
    """In this process."""
    SHARED = 1
    """In shared memory, for all processes of the host."""
