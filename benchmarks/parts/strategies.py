"""Hits of MRU, FIFO and LFU, against this package's own LRU."""

from __future__ import annotations

from benchmarks.contenders import warp_strategy
from benchmarks.harness import Harness
from benchmarks.workloads import MAX_SIZE, Counted, cached, one_int, require_computed

TITLE = "Strategies"


def run(harness: Harness) -> None:
    """One int, the same keys for all four strategies."""
    keys = one_int()
    counted = {name: Counted("a") for name in ("LRU", "MRU", "FIFO", "LFU")}
    contenders = [
        cached(
            name,
            warp_strategy(name, MAX_SIZE),
            counted[name],
            keys,
        )
        for name in counted
    ]
    harness.calls("int", "hit, 1 int", contenders, keys)
    for name, one in counted.items():
        require_computed(name, one, len(keys))
