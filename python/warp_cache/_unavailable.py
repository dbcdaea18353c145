"""What is raised where a tier cannot be reached."""

from __future__ import annotations

__all__ = ["CacheUnavailable"]


class CacheUnavailable(OSError):  # noqa: N818 - its name is what has happened
    """The cache's tier could not be reached in time, and what was asked for was not done.

    Raised by what must not be told wrongly: ``incr``, ``add``, ``replace``, ``discard``,
    ``compute``, ``touch``, ``pop``, ``popitem``, ``lock``. They wait two seconds at most. Of a
    server it is a ``RemoteError``, by whatever changes something.
    """

    __module__ = "warp_cache"
