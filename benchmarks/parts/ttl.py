"""What a lifetime costs a hit."""

from __future__ import annotations

import warp_cache
from benchmarks.harness import Harness
from benchmarks.workloads import MAX_SIZE, Counted, cached, one_int, require_computed

TITLE = "TTL"


def run(harness: Harness) -> None:
    """The same cache without and with a TTL that does not run out during the measurement."""
    keys = one_int()
    decorators = {
        "without ttl": warp_cache.lru_cache(max_size=MAX_SIZE),
        "with ttl": warp_cache.lru_cache(max_size=MAX_SIZE, ttl=3600),
        "with ttl, cache": warp_cache.cache(max_size=MAX_SIZE, ttl=3600),
    }
    counted = {name: Counted("a") for name in decorators}
    contenders = [
        cached(name, decorator, counted[name], keys) for name, decorator in decorators.items()
    ]
    harness.calls("int", "hit, 1 int", contenders, keys)
    for name, one in counted.items():
        require_computed(name, one, len(keys))
