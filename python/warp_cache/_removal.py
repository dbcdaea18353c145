"""Why an entry left a cache, as ``on_removal`` is told."""

from __future__ import annotations

from enum import Enum

__all__ = ["RemovalCause"]


class RemovalCause(Enum):
    """Why a value left a cache."""

    __module__ = "warp_cache"

    EXPLICIT = "explicit"
    """It was invalidated, or the cache was cleared."""
    REPLACED = "replaced"
    """Another value came under its key, or one too heavy to be stored."""
    SIZE = "size"
    """There was no room for all, and the strategy chose it."""
    EXPIRED = "expired"
    """It had ended."""
    COLLECTED = "collected"
    """The instance whose cache held it is gone (``per_instance``)."""
