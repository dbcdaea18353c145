"""What a lifetime costs a hit, and what it costs elsewhere."""

from __future__ import annotations

import warp_cache
from benchmarks.contenders import load
from benchmarks.harness import Harness
from benchmarks.model import WARP_CACHE, WARP_LRU
from benchmarks.parts.async_hits import awaited
from benchmarks.peers import ASYNC_TTL_PEERS, TTL, TTL_PEERS
from benchmarks.workloads import MAX_SIZE, Counted, Decorator, cached, one_int, require_computed

TITLE = "TTL"


def run(harness: Harness) -> None:
    """The same cache without and with a TTL that does not run out; then the peers with theirs."""
    with_ttl = warp_cache.lru_cache(max_size=MAX_SIZE, ttl=TTL)
    cache_with_ttl = warp_cache.cache(max_size=MAX_SIZE, ttl=TTL)
    _row(
        harness,
        "int",
        "hit, 1 int",
        {
            "without ttl": (warp_cache.lru_cache(max_size=MAX_SIZE), ""),
            "with ttl": (with_ttl, ""),
            "with ttl, cache": (cache_with_ttl, ""),
        },
    )
    contenders = {WARP_LRU: (with_ttl, ""), WARP_CACHE: (cache_with_ttl, "")}
    for peer in TTL_PEERS:
        decorator = load(harness, peer, MAX_SIZE)
        if decorator is not None:
            contenders[peer.name] = (decorator, peer.note)
    _row(harness, "peers", "hit, 1 int, all with a ttl", contenders)
    ours: dict[str, Decorator] = {WARP_LRU: with_ttl, WARP_CACHE: cache_with_ttl}
    awaited(harness, "async", "hit, await f(1 int), all with a ttl", ours, ASYNC_TTL_PEERS)
    harness.figure(
        "ttl",
        "A hit in caches with a lifetime",
        kind="bars",
        y_label="ns",
        y_log=True,
        rows=["peers", "async"],
    )


def _row(
    harness: Harness, key: str, work: str, decorators: dict[str, tuple[Decorator, str]]
) -> None:
    keys = one_int()
    counted = {name: Counted("a") for name in decorators}
    contenders = [
        cached(name, decorator, counted[name], keys, note)
        for name, (decorator, note) in decorators.items()
    ]
    harness.calls(key, work, contenders, keys)
    for name, one in counted.items():
        require_computed(name, one, len(keys))
