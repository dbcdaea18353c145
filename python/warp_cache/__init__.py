"""A thread-safe caching decorator with a Rust core.

``cache`` is what people want, ``lru_cache`` is functools' contract; both are faster than C
``functools.lru_cache``.
"""

import os as _os

from warp_cache._decorators import cache, lru_cache
from warp_cache._strategies import Backend, Strategy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from warp_cache._info import CacheInfo, SharedCacheInfo, SkipReason
    from warp_cache._module import caches, clear_all, configure, disabled, invalidate_tags
    from warp_cache._object import DELETE, Cache, CacheLock, CacheUnavailable
    from warp_cache._options import CacheOptions, LruCacheOptions
    from warp_cache._recording import record
    from warp_cache._remote.errors import RemoteError
    from warp_cache._removal import RemovalCause
    from warp_cache._uncacheable import UncacheableWarning

__all__ = [
    "DELETE",
    "Backend",
    "Cache",
    "CacheInfo",
    "CacheLock",
    "CacheOptions",
    "CacheUnavailable",
    "LruCacheOptions",
    "RemoteError",
    "RemovalCause",
    "SharedCacheInfo",
    "SkipReason",
    "Strategy",
    "UncacheableWarning",
    "cache",
    "caches",
    "clear_all",
    "configure",
    "disabled",
    "invalidate_tags",
    "lru_cache",
    "record",
]
__version__ = "0.1.0"


def __getattr__(name):
    # Recording and warnings are rare, and importing them is left to those who want them.
    if name == "record":
        from warp_cache._recording import record

        return record
    if name == "RemovalCause":
        from warp_cache._removal import RemovalCause

        return RemovalCause
    if name == "RemoteError":
        from warp_cache._remote.errors import RemoteError

        return RemoteError
    if name == "UncacheableWarning":
        from warp_cache._uncacheable import UncacheableWarning

        return UncacheableWarning
    if name in ("DELETE", "Cache", "CacheLock", "CacheUnavailable"):
        from warp_cache import _object

        return getattr(_object, name)
    if name in ("caches", "clear_all", "configure", "disabled", "invalidate_tags"):
        from warp_cache import _module

        return getattr(_module, name)
    if name == "testing":
        import warp_cache.testing as testing

        return testing
    # What calls return is there once there is something to call; SkipReason is a type, which
    # importing typing makes, and nobody needs at run time.
    if name in ("CacheInfo", "SharedCacheInfo", "SkipReason"):
        from warp_cache import _info

        return getattr(_info, name)
    if name in ("CacheOptions", "LruCacheOptions"):
        from warp_cache import _options

        return getattr(_options, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__, "testing"})


def _imported_from_rust():
    """Never called: it shows whoever collects an app's modules what the extension imports.

    Freezers read ``import`` statements, and see none in native code.
    """
    import builtins
    import copy
    import functools
    import inspect
    import pickle
    import sys
    import types

    from warp_cache import (
        _async,
        _bound,
        _by_value,
        _exceptions,
        _green,
        _info,
        _instances,
        _made_with,
        _packed,
        _refresh,
        _removal,
        _tags,
        _uncacheable,
    )
    from warp_cache._naming import canonical, identity, named
    from warp_cache._remote import naming, opening, telling

    stdlib = (builtins, copy, functools, inspect, pickle, sys, types)
    ours = (_async, _bound, _by_value, _exceptions, _green, _info, _instances, _made_with, _refresh)
    names = (canonical, identity, named, naming, opening, telling)
    return stdlib, ours, (_packed, _removal, _tags, _uncacheable), names


if _os.environ.get("WARP_CACHE_DISABLED", "0").lower() not in ("", "0", "false", "no", "off"):
    from warp_cache._warp_cache_rs import _disable

    _disable(for_good=True)

if "WARP_CACHE_RECORD" in _os.environ:
    from warp_cache._recording import from_environment as _from_environment

    _from_environment()
