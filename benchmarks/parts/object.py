"""The cache object beside a dict and peers, and the adapters beside the frameworks' own caches."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import warp_cache
from benchmarks import stores
from benchmarks.harness import Contender, Harness
from benchmarks.loops import Key
from benchmarks.parts.shared import private_folder
from benchmarks.parts.shared_worker import made
from benchmarks.workloads import MAX_SIZE, one_int, one_str

TITLE = "The cache object and frameworks"

CACHE = "warp_cache.Cache"
OURS = "SharedCache"
_ITEM, _GET = "f[{0}]", "f.get({0})"


def run(harness: Harness) -> None:
    """Hits of mappings, and of Django's caches; limits' counters."""
    _mappings(harness)
    with private_folder(harness) as folder:
        _django(harness, folder)
        _limits(harness)
    harness.figure(
        "object",
        "A hit in a cache object",
        kind="bars",
        y_label="ns",
        y_log=True,
        rows=["item-peers", "get-peers"],
    )


def _mappings(harness: Harness) -> None:
    keys = one_int()
    for key, call in (("item", _ITEM), ("get", _GET)):
        title = "c[k]" if call == _ITEM else "c.get(k)"
        ours = _filled(CACHE, warp_cache.Cache(MAX_SIZE), keys)
        harness.calls(key, f"{title}, 1 int", [_filled("dict", {}, keys), ours], keys, call=call)
        peers = [_filled(name, found, keys) for name, found in _peers(harness)]
        harness.calls(f"{key}-peers", f"{title}, 1 int", [ours, *peers], keys, call=call)
        if ours.target.info().misses:
            raise AssertionError("not all were hits")


def _peers(harness: Harness) -> Iterator[tuple[str, Any]]:
    for module in ("cachebox", "cachetools"):
        found = _imported(harness, module)
        if found is not None:
            yield module, found.LRUCache(MAX_SIZE)


def _filled(name: str, mapping: Any, keys: list[Key]) -> Contender:
    for (key,) in keys:
        mapping[key] = key
    return Contender(name, mapping)


def _django(harness: Harness, folder: Path) -> None:
    if _imported(harness, "django") is None:
        return
    from django.conf import settings

    if not settings.configured:
        settings.configure()
    from django.core.cache.backends.filebased import FileBasedCache
    from django.core.cache.backends.locmem import LocMemCache

    from warp_cache.django import MemoryCache, SharedCache

    params = {"TIMEOUT": None}
    # Django warns of keys with spaces.
    keys = [(key.replace(" ", "-"),) for (key,) in one_str()]
    ours = _stocked(OURS, SharedCache("bench", params), keys)
    memory = _stocked("LocMemCache", LocMemCache("bench", params), keys)
    others = [
        _stocked("MemoryCache", MemoryCache("bench", params), keys),
        memory,
        _stocked("FileBasedCache", FileBasedCache(str(folder / "files"), params), keys),
    ]
    title = "cache.get(k) of Django, a dict"
    harness.calls("django-get", title, [ours, *others], keys, call=_GET)
    _redis(harness, folder, ours, keys, params)
    awaited = [Contender(one.name, one.target, call="f.aget({0})") for one in (ours, memory)]
    harness.awaits("django-aget", "await cache.aget(k) of Django, a dict", awaited, keys)


def _redis(
    harness: Harness, folder: Path, ours: Contender, keys: list[Key], params: dict[str, Any]
) -> None:
    """Its server works too, so it is timed by the wall's clock."""
    if _imported(harness, "redis") is None:
        return
    from django.core.cache.backends.redis import RedisCache

    with stores.redis_server(harness, folder) as server:
        if server is None:
            return
        cache: Any = RedisCache(f"unix://{folder / stores.REDIS_SOCKET}", params)
        theirs = _stocked("RedisCache", cache, keys)
        title = "cache.get(k) of Django, a dict, Redis over a Unix socket"
        harness.calls("django-redis", title, [ours, theirs], keys, call=_GET, wall=True)
        cache.close()


def _stocked(name: str, cache: Any, keys: list[Key]) -> Contender:
    for number, (key,) in enumerate(keys):
        cache.set(key, made(number))
        if cache.get(key) != made(number):
            raise AssertionError(f"{name} returned {cache.get(key)!r} for {key!r}")
    return Contender(name, cache)


def _limits(harness: Harness) -> None:
    if _imported(harness, "limits") is None:
        return
    from limits.storage import MemoryStorage

    from warp_cache.limits import WarpStorage

    contenders = [Contender("MemoryStorage", MemoryStorage())]
    contenders.append(Contender("WarpStorage", WarpStorage("warp://bench")))
    harness.calls(
        "limits", "storage.incr(k, 3600) of limits", contenders, one_str(), call="f.incr({0}, 3600)"
    )


def _imported(harness: Harness, name: str) -> Any:
    """The module; None, and a line in the report, where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        line = f"{name}: not installed"
        if line not in harness.result.missing:
            harness.result.missing.append(line)
        return None
