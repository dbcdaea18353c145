"""Misses that evict: a full cache, and a key that is never in it."""

from __future__ import annotations

import warp_cache
from benchmarks.contenders import functools_lru, warp_cached, warp_lru
from benchmarks.harness import Contender, Harness
from benchmarks.model import FUNCTOOLS, WARP_CACHE, WARP_LRU
from benchmarks.workloads import MAX_SIZE, Function

TITLE = "Misses"

# Asked in a circle, so that LRU has always just dropped what comes next.
KEYS = [(n,) for n in range(1000, 1000 + 32 * MAX_SIZE)]


def plain(a: int) -> int:
    """The function behind the caches: as cheap as a Python function can be."""
    return a


def run(harness: Harness) -> None:
    """Around a Python function; then a built-in one, where the cache's own work weighs more."""
    _row(harness, "function", "miss + evict, Python function", plain)
    _row(harness, "builtin", "miss + evict, built-in function", abs)
    harness.figure(
        "misses", "A miss that evicts", kind="bars", y_label="ns", rows=["function", "builtin"]
    )


def _row(harness: Harness, key: str, work: str, function: Function) -> None:
    contenders = [
        Contender(FUNCTOOLS, functools_lru(MAX_SIZE)(function)),
        Contender(WARP_LRU, warp_lru(MAX_SIZE)(function), "without single-flight"),
        Contender(WARP_CACHE, warp_cached(MAX_SIZE)(function), "with single-flight"),
        Contender(
            "warp_cache.lru_cache, single_flight=True",
            warp_cache.lru_cache(max_size=MAX_SIZE, single_flight=True)(function),
        ),
        Contender("the function itself", function, "no cache"),
    ]
    harness.calls(key, work, contenders, KEYS)
    for contender in contenders:
        info = getattr(contender.target, "cache_info", None)
        if info is not None and info()[0]:
            raise AssertionError(f"{contender.name}: {info()[0]} hits where none was to be")
