"""Storages of limits (Flask-Limiter, SlowAPI) that all processes of the host share:
``warp://name``, ``async+warp://name``.

Importing this module makes both known to ``limits``.
"""

from warp_cache.limits._asynchronous import AsyncWarpStorage
from warp_cache.limits._storage import WarpStorage

__all__ = ["AsyncWarpStorage", "WarpStorage"]

# As which they are known.
for _public in (AsyncWarpStorage, WarpStorage):
    _public.__module__ = "warp_cache.limits"
del _public
