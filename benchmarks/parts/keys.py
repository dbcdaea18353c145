"""Hits of functions whose keys another function gives."""

from __future__ import annotations

import itertools
import threading
from typing import Any

import warp_cache
from benchmarks.contenders import Peer, load
from benchmarks.harness import Contender, Harness
from benchmarks.model import WARP_CACHE
from benchmarks.workloads import MAX_SIZE, Counted, Decorator, cached, one_int, require_computed

TITLE = "Keys"

# Beside the cost of a hit with `key=`.
APART = "a hit, and the key function"


def negative(a: int) -> int:
    """The key function: as little as one can do."""
    return -a


def _ours(size: int | None) -> Decorator:
    return warp_cache.cache(max_size=size, key=negative)


def _cachetools(module: Any, size: int | None) -> Decorator:
    lock = threading.RLock()
    decorator: Decorator = module.cached(module.LRUCache(size or 0), key=negative, lock=lock)
    return decorator


def _async_lru(module: Any, size: int | None) -> Decorator:
    decorator: Decorator = module.alru_cache(maxsize=size, key=negative)
    return decorator


CACHETOOLS = Peer("cachetools", "cachetools", "cachetools", _cachetools, "key=, with a lock")
ASYNC_LRU = Peer("async-lru", "async-lru", "async_lru", _async_lru, "key=")


def run(harness: Harness) -> None:
    """One int, and a key function in Python."""
    keys = one_int()
    ours = cached(WARP_CACHE, _ours(MAX_SIZE), Counted("a"), keys)
    contenders = [ours]
    decorator = load(harness, CACHETOOLS, MAX_SIZE)
    if decorator is not None:
        contenders.append(cached(CACHETOOLS.name, decorator, Counted("a"), keys, CACHETOOLS.note))
    harness.calls("key", "hit with key=, 1 int", contenders, keys)

    # Both are called from C. The second chain has one map more, which is some nanoseconds.
    plain = cached(
        APART, warp_cache.cache(max_size=MAX_SIZE), Counted("a"), [(-a,) for (a,) in keys]
    )
    flat = [a for (a,) in keys]
    chains = [
        Contender(WARP_CACHE, map(ours.target, itertools.cycle(flat))),
        Contender(APART, map(plain.target, map(negative, itertools.cycle(flat)))),
    ]
    harness.calls("cost", "hit with key=, from C", chains, keys, call="next(f)")

    counted = Counted("a", awaited=True)
    awaited = [Contender(WARP_CACHE, _ours(MAX_SIZE)(counted.function))]
    decorator = load(harness, ASYNC_LRU, MAX_SIZE)
    if decorator is not None:
        function = Counted("a", awaited=True).function
        awaited.append(Contender(ASYNC_LRU.name, decorator(function), ASYNC_LRU.note))
    if harness.awaits("async", "hit with key=, await f(1 int)", awaited, keys) is not None:
        require_computed(WARP_CACHE, counted, len(keys))
    harness.figure(
        "keys", "A hit with key=", kind="bars", y_label="ns", rows=["key", "cost", "async"]
    )
    if ours.target.cache_info()[1] != len(keys):
        raise AssertionError("not all were hits")
