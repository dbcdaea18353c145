"""Who is measured: the standard library, this package, and the peers from PyPI."""

from __future__ import annotations

import functools
import importlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import warp_cache
from benchmarks.harness import Harness
from benchmarks.workloads import Decorator

# Makes a decorator for a cache of the given size (None: without bound).
Factory = Callable[["int | None"], Decorator]


def functools_lru(size: int | None) -> Decorator:
    return functools.lru_cache(maxsize=size)


def warp_lru(size: int | None) -> Decorator:
    return warp_cache.lru_cache(max_size=size)


def warp_cached(size: int | None) -> Decorator:
    return warp_cache.cache(max_size=size)


def warp_strategy(strategy: str, size: int | None) -> Decorator:
    return warp_cache.cache(strategy=warp_cache.Strategy[strategy], max_size=size)


@dataclass(frozen=True)
class Peer:
    """A package from PyPI, imported only when its turn comes."""

    name: str
    distribution: str
    module: str
    make: Callable[[Any, int | None], Decorator]
    note: str = ""


def _cachebox(module: Any, size: int | None) -> Decorator:
    decorator: Decorator = module.cached(module.LRUCache(size or 0))
    return decorator


def _cachebox_lean(module: Any, size: int | None) -> Decorator:
    decorator: Decorator = module.cached(module.LRUCache(size or 0), lock=None, postprocess=None)
    return decorator


def _moka(module: Any, size: int | None) -> Decorator:
    decorator: Decorator = module.cached(maxsize=size, policy="lru")
    return decorator


def _cachetools(module: Any, size: int | None) -> Decorator:
    limit = float("inf") if size is None else size
    decorator: Decorator = module.cached(module.LRUCache(limit), lock=threading.RLock())
    return decorator


def _cachetools_bare(module: Any, size: int | None) -> Decorator:
    limit = float("inf") if size is None else size
    decorator: Decorator = module.cached(module.LRUCache(limit))
    return decorator


def _async_lru(module: Any, size: int | None) -> Decorator:
    decorator: Decorator = module.alru_cache(maxsize=size)
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
MOKA = Peer("moka-py", "moka-py", "moka_py", _moka, 'policy="lru"')
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
ASYNC_LRU = Peer("async-lru", "async-lru", "async_lru", _async_lru)

SYNC_PEERS = (CACHEBOX, CACHEBOX_LEAN, MOKA, CACHETOOLS, CACHETOOLS_BARE)
DISTRIBUTIONS = ("cachebox", "moka-py", "cachetools", "async-lru", "lmdb", "pymemcache")


def load(harness: Harness, peer: Peer, size: int | None) -> Decorator | None:
    """The peer's decorator; None, and a line in the report, where it cannot be had."""
    try:
        return peer.make(importlib.import_module(peer.module), size)
    except Exception as error:  # whatever a foreign package does, the others are still measured
        reason = "not installed" if isinstance(error, ModuleNotFoundError) else repr(error)
        harness.result.missing.append(f"{peer.name}: {reason}")
        return None


def versions() -> dict[str, str]:
    """Version of each package that is installed, this one included."""
    from importlib import metadata  # slow to import, and workers do without

    found = {"warp_cache": warp_cache.__version__}
    for name in DISTRIBUTIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
