# pyright: reportMissingImports=false
"""A cache of Flask-Caching that all workers of the host share: ``CACHE_TYPE =
"warp_cache.flask_caching.SharedCache"``.
"""

from __future__ import annotations

from typing import Any

from flask_caching.backends.base import BaseCache

from warp_cache import cachelib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from flask import Flask

__all__ = ["SharedCache"]

# What Flask-Caching puts where no threshold was given.
_NOT_GIVEN = 500


class SharedCache(cachelib.SharedCache, BaseCache):
    """The cache of ``warp_cache.cachelib``, made from Flask-Caching's settings.

    ``CACHE_OPTIONS`` are its parameters; its ``name`` is the application's unless given.
    ``CACHE_THRESHOLD`` and ``CACHE_KEY_PREFIX`` are taken as they are.
    """

    @classmethod
    def factory(
        cls, app: Flask, config: dict[str, Any], args: list[Any], kwargs: dict[str, Any]
    ) -> SharedCache:
        """What Flask-Caching calls for its ``init_app``."""
        options = dict(kwargs)
        if not args:
            options.setdefault("name", app.name)
        threshold = config.get("CACHE_THRESHOLD")
        if threshold != _NOT_GIVEN or "CACHE_THRESHOLD" in app.config:
            options.setdefault("threshold", threshold)
        options.setdefault("key_prefix", config.get("CACHE_KEY_PREFIX"))
        return cls(*args, **options)
