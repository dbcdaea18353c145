"""Hits of the other caches on PyPI, as multiples of this package's."""

from __future__ import annotations

from benchmarks.contenders import ASYNC_LRU, SYNC_PEERS, functools_lru, load, warp_lru
from benchmarks.harness import Contender, Harness
from benchmarks.model import FUNCTOOLS, WARP_LRU
from benchmarks.parts.async_hits import async_contender
from benchmarks.workloads import MAX_SIZE, Counted, cached, one_int, require_computed

TITLE = "Peers"


def run(harness: Harness) -> None:
    """One int; and `await f(k)` for async-lru."""
    keys = one_int()
    decorators = {
        WARP_LRU: (warp_lru(MAX_SIZE), ""),
        FUNCTOOLS: (functools_lru(MAX_SIZE), "holds the GIL, no TTL"),
    }
    for peer in SYNC_PEERS:
        decorator = load(harness, peer, MAX_SIZE)
        if decorator is not None:
            decorators[peer.name] = (decorator, peer.note)
    counted = {name: Counted("a") for name in decorators}
    contenders: list[Contender] = []
    for name, (decorator, note) in decorators.items():
        contenders.append(cached(name, decorator, counted[name], keys, note))
    harness.calls("int", "hit, 1 int", contenders, keys)
    for name, one in counted.items():
        require_computed(name, one, len(keys))

    alru = load(harness, ASYNC_LRU, MAX_SIZE)
    if alru is not None:
        contenders = [async_contender(WARP_LRU, warp_lru(MAX_SIZE))]
        contenders.append(async_contender(ASYNC_LRU.name, alru))
        harness.awaits("async", "hit, await f(1 int)", contenders, keys)
