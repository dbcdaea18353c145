"""What the cache object raises beside Python's own."""

from __future__ import annotations

from warp_cache._unavailable import CacheUnavailable

__all__ = ["CacheUnavailable", "unavailable"]


def unavailable() -> CacheUnavailable:
    """The error of an operation that could not reach the shared file."""
    return CacheUnavailable(
        "the shared cache could not be changed: its file cannot be opened or written, or another "
        "process kept its lock for two seconds. Nothing was done; python -m warp_cache doctor "
        "says what is the matter"
    )
