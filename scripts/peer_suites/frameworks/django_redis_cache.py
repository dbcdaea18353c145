"""The cache that django-redis' tests get: it has a `client` to ask for its serializer."""

from __future__ import annotations

from types import SimpleNamespace

from warp_cache.django import SharedCache


class Cache(SharedCache):
    client = SimpleNamespace(_serializer=None)
