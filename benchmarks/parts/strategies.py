"""Hits, and misses that evict, of each strategy against this package's own LRU."""

from __future__ import annotations

from benchmarks.contenders import warp_strategy
from benchmarks.harness import Contender, Harness
from benchmarks.parts.misses import KEYS, plain
from benchmarks.workloads import MAX_SIZE, Counted, cached, one_int, require_computed
from warp_cache import Strategy

TITLE = "Strategies"


def run(harness: Harness) -> None:
    """One int, the same keys for all; then keys that are never in the full cache."""
    keys = one_int()
    names = [strategy.name for strategy in Strategy]
    counted = {name: Counted("a") for name in names}
    contenders = [
        cached(name, warp_strategy(name, MAX_SIZE), counted[name], keys) for name in names
    ]
    harness.calls("int", "hit, 1 int", contenders, keys)
    for name, one in counted.items():
        require_computed(name, one, len(keys))

    contenders = [Contender(name, warp_strategy(name, MAX_SIZE)(plain)) for name in names]
    harness.calls("miss", "miss + evict, Python function", contenders, KEYS)
    for contender in contenders:
        # Strategies that do not look for the least recent use keep some of a circle's keys: at most
        # as many as there is room for.
        hits, misses = contender.target.cache_info()[:2]
        if hits > 1.5 * (hits + misses) * MAX_SIZE / len(KEYS):
            raise AssertionError(f"{contender.name}: {hits} hits beside {misses} misses")
    harness.figure("strategies", "Strategies", kind="bars", y_label="ns", rows=["int", "miss"])
