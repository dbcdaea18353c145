"""The adapters as programs for several processes see them: `put`, `take`, `drop`, and where there
are such, `incr` and `add`.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["FRONTS", "Front"]


class Front(NamedTuple):
    """One adapter: which module it needs, and the source of its functions."""

    needs: str
    source: str
    counts: bool = True


_CACHELIB = """
def incr(key): return cache.inc(key)
def add(key, value): return cache.add(key, value)
def put(key, value, seconds): return cache.set(key, value, seconds)
def take(key): return cache.get(key)
def drop(key): return cache.delete(key)
"""

FRONTS = {
    "django": Front(
        "django",
        """
import django
from django.conf import settings
settings.configure(
    CACHES={"default": {"BACKEND": "warp_cache.django.SharedCache", "LOCATION": "front"}}
)
django.setup()
from django.core.cache import cache
def incr(key): return cache.add(key, 0, None) and None or cache.incr(key)
def add(key, value): return cache.add(key, value)
def put(key, value, seconds): return cache.set(key, value, seconds)
def take(key): return cache.get(key)
def drop(key): return cache.delete(key)
""",
    ),
    "cachelib": Front(
        "cachelib",
        f"""
from warp_cache.cachelib import SharedCache
cache = SharedCache("front")
{_CACHELIB}
""",
    ),
    "flask_caching": Front(
        "flask_caching",
        f"""
import flask, flask_caching
app = flask.Flask("front")
config = {{"CACHE_TYPE": "warp_cache.flask_caching.SharedCache"}}
cache = flask_caching.Cache(app, config=config).cache
{_CACHELIB}
""",
    ),
    "dogpile": Front(
        "dogpile",
        """
import warp_cache.dogpile
from dogpile.cache import make_region
region = make_region().configure("warp_cache.shared", arguments={"name": "front"})
def incr(key):
    mutex = region.backend.get_mutex(key)
    mutex.acquire()
    try:
        count = (region.get(key) or 0) + 1
        region.set(key, count)
        return count
    finally:
        mutex.release()
def add(key, value):
    made = []
    region.get_or_create(key, lambda: made.append(value) or value)
    return bool(made)
def put(key, value, seconds):
    region.set(key, (value, __import__("time").time() + seconds))
def take(key):
    found = region.get(key)
    if type(found) is not tuple: return found or None
    return found[0] if found[1] > __import__("time").time() else None
def drop(key): region.delete(key)
""",
    ),
    "limits": Front(
        "limits",
        """
import warp_cache.limits
from limits.storage import storage_from_string
storage = storage_from_string("warp://front")
def incr(key): return storage.incr(key, 60)
def add(key, value): return storage.acquire_entry(key, 1, 60)
def put(key, value, seconds):
    storage.clear(key)
    storage.incr(key, seconds, len(value))
def take(key): return "x" * storage.get(key) or None
def drop(key): storage.clear(key)
""",
    ),
    "litestar": Front(
        "litestar",
        """
import asyncio
from warp_cache.litestar import SharedStore
store = SharedStore("front", namespace="app")
def put(key, value, seconds): return asyncio.run(store.set(key, value, seconds))
def take(key):
    found = asyncio.run(store.get(key))
    return None if found is None else found.decode()
def drop(key): return asyncio.run(store.delete(key))
""",
        counts=False,
    ),
    "aiocache": Front(
        "aiocache",
        """
import asyncio
from warp_cache.aiocache import SharedCache
cache = SharedCache(name="front")
def incr(key): return asyncio.run(cache.increment(key))
def add(key, value):
    try:
        return asyncio.run(cache.add(key, value))
    except ValueError:
        return False
def put(key, value, seconds): return asyncio.run(cache.set(key, value, ttl=seconds))
def take(key): return asyncio.run(cache.get(key))
def drop(key): return asyncio.run(cache.delete(key))
""",
    ),
}
