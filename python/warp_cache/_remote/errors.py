"""What a change of the remote tier raises where the server has not acknowledged it."""

from __future__ import annotations

from warp_cache._unavailable import CacheUnavailable

__all__ = ["RemoteError"]


class RemoteError(CacheUnavailable):
    """The server did not acknowledge an invalidation, a clear, a ``set`` or a ``cache_put``.

    What is near this process was dropped all the same. The change may still take effect on the
    server later, or not at all: who must be sure tries again. Calls of a decorated function never
    raise it.
    """

    __module__ = "warp_cache"
