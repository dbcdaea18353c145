"""Cache backends for Django: ``SharedCache`` for all processes of a host, ``MemoryCache`` for each
by itself.

``CACHES = {"default": {"BACKEND": "warp_cache.django.SharedCache", "LOCATION": "shop"}}``. With
``"warp_cache.django"`` in ``INSTALLED_APPS``, ``manage.py check`` looks at the settings too.
"""

from warp_cache.django import _checks as _checks
from warp_cache.django._backends import MemoryCache, SharedCache
from warp_cache.django._lock import Lock

__all__ = ["Lock", "MemoryCache", "SharedCache"]

# As which they are known.
for _public in (Lock, MemoryCache, SharedCache):
    _public.__module__ = "warp_cache.django"
del _public
