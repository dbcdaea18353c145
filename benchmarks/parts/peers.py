"""Hits of the other caches on PyPI, as multiples of this package's."""

from __future__ import annotations

from benchmarks.contenders import functools_lru, load, warp_lru
from benchmarks.harness import Contender, Harness
from benchmarks.model import FUNCTOOLS, WARP_LRU
from benchmarks.parts.async_hits import awaited
from benchmarks.peers import ASYNC_PEERS, SYNC_PEERS
from benchmarks.workloads import MAX_SIZE, Counted, cached, one_int, require_computed

TITLE = "Peers"


def run(harness: Harness) -> None:
    """One int; and `await f(k)` for those that memoize coroutine functions."""
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

    awaited(harness, "async", "hit, await f(1 int)", {WARP_LRU: warp_lru(MAX_SIZE)}, ASYNC_PEERS)
    harness.figure(
        "peers",
        "A hit in other caches",
        kind="bars",
        y_label="ns",
        y_log=True,
        rows=["int", "async"],
    )
