"""The caches on PyPI, each used as its own documentation says is fastest for a memoized function.

What a peer leaves out (a lock, a bound, a lifetime) stands in its note, as does what it does beyond
the others. Keys are made as their documents recommend: for theine, aiocache and cashews by a
function or template of the user's, which is quicker than what they do by themselves.
"""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable
from typing import Any

from benchmarks.contenders import Peer
from benchmarks.workloads import Decorator, Function

# A lifetime that does not run out during the measurement, in seconds.
TTL = 3600


def _cachebox(module: Any, size: int | None) -> Decorator:
    decorator: Decorator = module.cached(module.LRUCache(size or 0))
    return decorator


def _cachebox_lean(module: Any, size: int | None) -> Decorator:
    decorator: Decorator = module.cached(module.LRUCache(size or 0), lock=None, postprocess=None)
    return decorator


def _cachebox_ttl(module: Any, size: int | None) -> Decorator:
    cache = module.TTLCache(size or 0, global_ttl=TTL)
    decorator: Decorator = module.cached(cache, lock=None, postprocess=None)
    return decorator


def _moka(module: Any, size: int | None) -> Decorator:
    decorator: Decorator = module.cached(maxsize=size, policy="lru")
    return decorator


def _moka_tiny_lfu(module: Any, size: int | None) -> Decorator:
    decorator: Decorator = module.cached(maxsize=size)
    return decorator


def _moka_ttl(module: Any, size: int | None) -> Decorator:
    decorator: Decorator = module.cached(maxsize=size, policy="lru", ttl=TTL)
    return decorator


def _cachetools(module: Any, size: int | None) -> Decorator:
    decorator: Decorator = module.cached(module.LRUCache(_limit(size)), lock=threading.RLock())
    return decorator


def _cachetools_bare(module: Any, size: int | None) -> Decorator:
    decorator: Decorator = module.cached(module.LRUCache(_limit(size)))
    return decorator


def _cachetools_ttl(module: Any, size: int | None) -> Decorator:
    cache = module.TTLCache(_limit(size), ttl=TTL)
    decorator: Decorator = module.cached(cache, lock=threading.RLock())
    return decorator


def _limit(size: int | None) -> float:
    return float("inf") if size is None else size


def _cachetools_lfu(module: Any, size: int | None) -> Decorator:
    decorator: Decorator = module.cached(module.LFUCache(_limit(size)))
    return decorator


def _theine(module: Any, size: int | None) -> Decorator:
    return _theine_with(module, size, None)


def _theine_ttl(module: Any, size: int | None) -> Decorator:
    return _theine_with(module, size, datetime.timedelta(seconds=TTL))


def _theine_with(module: Any, size: int | None, ttl: datetime.timedelta | None) -> Decorator:
    if size is None:
        raise ValueError("has no cache without a bound")

    def decorator(function: Function) -> Function:
        memoized: Any = module.Memoize(size, ttl)(function)
        memoized.key(_itself)
        return memoized  # type: ignore[no-any-return]

    return decorator


def _itself(key: Any) -> Any:
    return key


def _async_lru(module: Any, size: int | None) -> Decorator:
    decorator: Decorator = module.alru_cache(maxsize=size)
    return decorator


def _async_lru_ttl(module: Any, size: int | None) -> Decorator:
    decorator: Decorator = module.alru_cache(maxsize=size, ttl=TTL)
    return decorator


def _aiocache(module: Any, size: int | None) -> Decorator:
    decorator: Decorator = module.cached(key_builder=_as_text, timeout=0)
    return decorator


def _aiocache_ttl(module: Any, size: int | None) -> Decorator:
    decorator: Decorator = module.cached(key_builder=_as_text, timeout=0, ttl=TTL)
    return decorator


def _as_text(function: Callable[..., Any], key: Any) -> str:
    return str(key)


def _cashews(module: Any, size: int | None) -> Decorator:
    cache = module.Cache()
    cache.setup("mem://", size=size, check_interval=0)
    # Its protection against stampedes would make a task of every call.
    decorator: Decorator = cache(ttl=TTL, key="{a}", protected=False)
    return decorator


def _dogpile_ttl(module: Any, size: int | None) -> Decorator:
    region = module.make_region().configure("dogpile.cache.memory", expiration_time=TTL)
    decorator: Decorator = region.cache_on_arguments()
    return decorator


CACHEBOX = Peer(
    "cachebox", "cachebox", "cachebox", _cachebox, "defaults: one computation, containers copied"
)
CACHEBOX_LEAN = Peer(
    "cachebox, lean",
    "cachebox",
    "cachebox",
    _cachebox_lean,
    "lock=None, postprocess=None: does less",
)
CACHEBOX_TTL = Peer(
    "cachebox, TTLCache",
    "cachebox",
    "cachebox",
    _cachebox_ttl,
    "lean; evicts the oldest, not the least recently used: does less",
)
MOKA = Peer("moka-py", "moka-py", "moka_py", _moka, 'policy="lru"')
MOKA_TINY_LFU = Peer(
    "moka-py, TinyLFU",
    "moka-py",
    "moka_py",
    _moka_tiny_lfu,
    "evicts in batches: for a while it holds more than its size, which shows where that is small",
)
MOKA_TTL = Peer("moka-py", "moka-py", "moka_py", _moka_ttl, 'policy="lru"')
CACHETOOLS = Peer(
    "cachetools", "cachetools", "cachetools", _cachetools, "with a lock, as documented for threads"
)
CACHETOOLS_BARE = Peer(
    "cachetools, no lock",
    "cachetools",
    "cachetools",
    _cachetools_bare,
    "not thread-safe: does less",
)
CACHETOOLS_LFU = Peer("cachetools, LFUCache", "cachetools", "cachetools", _cachetools_lfu)
CACHETOOLS_TTL = Peer(
    "cachetools, TTLCache",
    "cachetools",
    "cachetools",
    _cachetools_ttl,
    "with a lock, as documented for threads",
)
THEINE = Peer("theine", "theine", "theine", _theine, "W-TinyLFU; key by a function, as recommended")
THEINE_TTL = Peer("theine", "theine", "theine", _theine_ttl, THEINE.note)
ASYNC_LRU = Peer("async-lru", "async-lru", "async_lru", _async_lru)
ASYNC_LRU_TTL = Peer("async-lru", "async-lru", "async_lru", _async_lru_ttl)
_UNBOUNDED = "no bound, no single-flight, timeout=0: does less; keys as text"
AIOCACHE = Peer("aiocache", "aiocache", "aiocache", _aiocache, _UNBOUNDED)
AIOCACHE_TTL = Peer("aiocache", "aiocache", "aiocache", _aiocache_ttl, _UNBOUNDED)
CASHEWS = Peer(
    "cashews",
    "cashews",
    "cashews",
    _cashews,
    "always with a ttl; protected=False, no single-flight: does less; keys as text",
)
DOGPILE_TTL = Peer(
    "dogpile.cache",
    "dogpile.cache",
    "dogpile.cache",
    _dogpile_ttl,
    "in memory, no bound: does less; keys as text",
)

# Those that promise exactly the same victims as one of our strategies.
SAME_AS_OURS = {"LRU": (CACHEBOX_LEAN, CACHETOOLS_BARE), "LFU": (CACHETOOLS_LFU,)}

SYNC_PEERS = (CACHEBOX, CACHEBOX_LEAN, MOKA, CACHETOOLS, CACHETOOLS_BARE, THEINE)
TTL_PEERS = (CACHEBOX_TTL, MOKA_TTL, CACHETOOLS_TTL, THEINE_TTL, DOGPILE_TTL)
# cachebox, moka-py and theine memoize coroutine functions too.
ASYNC_PEERS = (ASYNC_LRU, CACHEBOX_LEAN, MOKA, THEINE, AIOCACHE, CASHEWS)
ASYNC_TTL_PEERS = (ASYNC_LRU_TTL, CACHEBOX_TTL, MOKA_TTL, THEINE_TTL, AIOCACHE_TTL, CASHEWS)
