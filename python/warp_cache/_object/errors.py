"""What the cache object raises beside Python's own."""

from __future__ import annotations

__all__ = ["CacheUnavailable", "unavailable"]


class CacheUnavailable(OSError):  # noqa: N818 - its name is what has happened
    """The cache's tier could not be reached in time, and what was asked for was not done.

    Raised by what must not be told wrongly: ``incr``, ``add``, ``replace``, ``discard``,
    ``compute``, ``touch``, ``pop``, ``popitem``, ``lock``. They wait two seconds at most.
    """

    __module__ = "warp_cache"


def unavailable() -> CacheUnavailable:
    """The error of an operation that could not reach the shared file."""
    return CacheUnavailable(
        "the shared cache could not be changed: its file cannot be opened or written, or another "
        "process kept its lock for two seconds. Nothing was done; python -m warp_cache doctor "
        "says what is the matter"
    )
