"""Module-level functions: free-threaded builds do not count the references to these."""

from __future__ import annotations

import functools

import warp_cache

# Twice as many as eight threads ask for.
SIZE = 8192


def plain(a: int) -> int:
    """What no cache can beat: a Python function that returns what it was given."""
    return a


@functools.lru_cache(maxsize=SIZE)
def by_functools(a: int) -> int:
    return a


@warp_cache.lru_cache(max_size=SIZE)
def by_lru_cache(a: int) -> int:
    return a


@warp_cache.cache(max_size=SIZE)
def by_cache(a: int) -> int:
    return a


BY_STRATEGY = {
    strategy.name: warp_cache.cache(strategy, max_size=SIZE)(plain)
    for strategy in warp_cache.Strategy
}
