"""Percentiles of the time of single calls: hits, and misses that evict.

Method: the wall's clock is read before and after each single call, and the difference goes into a
histogram with a bin for each nanosecond (what is beyond the last bin is kept as it is). Reading the
clock takes as long as a hit or longer, so the same loop without a call runs beside the contenders:
its median is subtracted from theirs, and its own percentiles are shown as they are. They tell what
of the tail is the machine's: interrupts and other programs strike whoever happens to run. Garbage
collection is off.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.contenders import functools_lru, load, warp_cached, warp_lru
from benchmarks.harness import Contender, Harness
from benchmarks.loops import Key
from benchmarks.model import FUNCTOOLS, WARP_CACHE, WARP_LRU, Row, Series
from benchmarks.parts.misses import KEYS, plain
from benchmarks.peers import CACHEBOX_LEAN, CACHETOOLS, MOKA, THEINE
from benchmarks.workloads import MAX_SIZE, one_int

TITLE = "Latency"

TIMER = "the timer alone"
PERCENTILES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
PEERS = (CACHEBOX_LEAN, MOKA, CACHETOOLS, THEINE)
# In nanoseconds; a call that takes longer has met something else than the cache.
BINS = 1 << 15
CALLS = 100_000


def run(harness: Harness) -> None:
    """The same contenders for both; each round gives one value for each percentile."""
    _rows(harness, "hit", "hit, 1 int", one_int(), harness.options.quick)
    _rows(harness, "miss", "miss + evict, Python function", KEYS, harness.options.quick)


def _rows(harness: Harness, key: str, work: str, keys: Sequence[Key], quick: bool) -> None:
    if harness.out_of_time():
        harness.skip(f"percentiles of {work}")
        return
    contenders = _contenders(harness)
    flat = [part for (part,) in keys]
    asked = flat * (max(1, CALLS // (10 if quick else 1)) // len(flat))
    loops = [_loop() for _ in contenders]
    empty = _loop(empty=True)
    names = [*(one.name for one in contenders), TIMER]
    found: dict[str, dict[str, list[float]]] = {
        percent: {name: [] for name in names} for percent in PERCENTILES
    }
    gc.collect()
    gc.disable()
    try:
        for round_number in range(-1, harness.options.rounds):
            timer = empty(None, asked)
            cost = percentile(timer, 0.5)
            for contender, loop in zip(contenders, loops, strict=True):
                histogram = loop(contender.target, asked)
                # The first round fills the caches and warms up.
                if round_number < 0:
                    continue
                for name, part in PERCENTILES.items():
                    found[name][contender.name].append(percentile(histogram, part) - cost)
            if round_number >= 0:
                for name, part in PERCENTILES.items():
                    found[name][TIMER].append(percentile(timer, part))
    finally:
        gc.enable()
    notes = {one.name: one.note for one in contenders} | {TIMER: "as measured; subtracted: its p50"}
    for name in PERCENTILES:
        series = [Series(one, rounds, notes[one]) for one, rounds in found[name].items()]
        suffix = name.replace(".", "-")
        harness.add(Row(f"latency/{key}-{suffix}", f"{work}, {name}", "ns", series))
    harness.figure(
        f"latency-{key}",
        f"Percentiles: {work}",
        kind="bars",
        y_label="ns",
        y_log=True,
        note="Single calls, less the median cost of reading the clock twice.",
        rows=[f"{key}-{name.replace('.', '-')}" for name in PERCENTILES],
    )


def _contenders(harness: Harness) -> list[Contender]:
    ours = {FUNCTOOLS: functools_lru, WARP_LRU: warp_lru, WARP_CACHE: warp_cached}
    found = [Contender(name, make(MAX_SIZE)(plain)) for name, make in ours.items()]
    for peer in PEERS:
        decorator = load(harness, peer, MAX_SIZE)
        if decorator is not None:
            found.append(Contender(peer.name, decorator(plain), peer.note))
    return found


# How often a call took so many nanoseconds; and those that took longer than the last bin's.
Histogram = tuple[list[int], list[int]]


def percentile(histogram: Histogram, part: float) -> float:
    """The time that this part of the calls did not exceed."""
    counts, beyond = histogram
    wanted = part * (sum(counts) + len(beyond))
    seen = 0
    for nanoseconds, count in enumerate(counts):
        seen += count
        if seen >= wanted:
            return nanoseconds
    return sorted(beyond)[min(len(beyond) - 1, int(wanted - seen))]


def _loop(*, empty: bool = False) -> Callable[[Any, Sequence[int]], Histogram]:
    """A code object of its own for each contender, as in `benchmarks.loops`."""
    source = (
        "def loop(f, keys):\n"
        f"    counts, beyond = [0] * {BINS}, []\n"
        "    for key in keys:\n"
        "        start = clock()\n"
        f"        {'key' if empty else 'f(key)'}\n"
        "        elapsed = clock() - start\n"
        f"        if elapsed < {BINS}:\n"
        "            counts[elapsed] += 1\n"
        "        else:\n"
        "            beyond.append(elapsed)\n"
        "    return counts, beyond\n"
    )
    namespace: dict[str, Any] = {"clock": time.perf_counter_ns}
    exec(compile(source, "<latency loop>", "exec"), namespace)
    loop: Callable[[Any, Sequence[int]], Histogram] = namespace["loop"]
    return loop
