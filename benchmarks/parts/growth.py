"""What a hit and a miss cost in a cache of a hundred to ten million entries.

Keys are scattered in value and asked for in random order, so that what a cache reads lies where the
processor has not looked lately; the larger the cache, the more of that. All keys are made before
anything is measured, and a key is asked for by the object that was stored.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.contenders import functools_lru, load, warp_cached, warp_lru
from benchmarks.harness import Harness
from benchmarks.loops import UNROLL, Loop
from benchmarks.model import FUNCTOOLS, WARP_CACHE, WARP_LRU
from benchmarks.parts.misses import plain
from benchmarks.peers import CACHEBOX_LEAN, CACHETOOLS_BARE, MOKA
from benchmarks.workloads import Decorator

TITLE = "Growth"
OWN_PROCESSES = True

SIZES = tuple(10**power for power in range(2, 8))
PEERS = (CACHEBOX_LEAN, MOKA, CACHETOOLS_BARE)
# The peers are left behind here: filling them takes minutes.
PEERS_UP_TO = 10**6
# The same at every size; more would tell nothing new.
ROUNDS = 7
QUICK_ROUNDS = 2
# Enough that they do not stay in the processor's caches from one round to the next.
HITS = 1 << 20
MISSES = 1 << 17
# Bytes an entry of whoever needs most, with its key, and with what the loops hold.
BYTES = 500
SEED = 7


def run(harness: Harness) -> None:
    """Hits, then misses that evict; each contender is gone before the next one is filled."""
    figures = [
        harness.figure(
            f"growth-{key}",
            f"{work} against the number of entries",
            x_label="entries",
            y_label="ns",
            x_log=True,
            y_log=True,
            note="Scattered int keys in random order; the cache is full.",
        )
        for key, work in (("hit", "A hit"), ("miss", "A miss that evicts"))
    ]
    for size in SIZES[:4] if harness.options.quick else SIZES:
        free = _free_memory()
        if free is not None and free < size * BYTES:
            harness.result.notes.append(
                f"growth: {size:,} entries were left out: {free >> 20:,} MiB of memory are free,"
                f" {size * BYTES >> 20:,} are wanted"
            )
            continue
        numbers = scattered()
        keys = [next(numbers) for _ in range(size)]
        # In an order that has nothing to do with where the objects lie.
        random.Random(SEED).shuffle(keys)
        for name, note, decorator in _contenders(harness, size):
            if harness.out_of_time():
                harness.skip(f"growth from {name} with {size:,} entries on")
                return
            harness.say(f"growth: {size:,} entries, {name}")
            hits, misses = _measure(harness, decorator(plain), keys, numbers)
            harness.point(figures[0], name, size, hits, note)
            harness.point(figures[1], name, size, misses, note)


def _contenders(harness: Harness, size: int) -> Iterator[tuple[str, str, Decorator]]:
    ours = {FUNCTOOLS: functools_lru, WARP_LRU: warp_lru, WARP_CACHE: warp_cached}
    for name, make in ours.items():
        yield name, "", make(size)
    if size > PEERS_UP_TO:
        return
    for peer in PEERS:
        decorator = load(harness, peer, size)
        if decorator is not None:
            yield peer.name, peer.note, decorator


def scattered() -> Iterator[int]:
    """Never the same twice: multiplication by an odd number permutes the numbers of 61 bits."""
    number = 0
    while True:
        number += 1
        yield number * 0x9E3779B97F4A7C15 & (1 << 61) - 1


def _measure(
    harness: Harness, cached: Any, keys: Sequence[int], fresh: Iterator[int]
) -> tuple[list[float], list[float]]:
    """Nanoseconds of a hit and of a miss, without the loop's, for each round."""
    gc.collect()
    gc.disable()
    try:
        for key in keys:
            cached(key)
        count = min(HITS, len(keys)) // UNROLL * UNROLL
        hits = _hits(harness, cached, random.Random(SEED).sample(keys, count))
        return hits, _misses(harness, cached, min(_least(harness), 16 * count), fresh)
    finally:
        gc.enable()


def _least(harness: Harness) -> int:
    """Calls of a round, where the keys alone do not make enough of them."""
    return MISSES // 8 if harness.options.quick else MISSES


def _rounds(harness: Harness) -> range:
    """The first one, which is numbered -1, warms up and does not count."""
    most = QUICK_ROUNDS if harness.options.quick else ROUNDS
    return range(-1, min(most, harness.options.rounds))


def _hits(harness: Harness, cached: Any, keys: Sequence[int]) -> list[float]:
    loop, empty = _loops(keys)
    # Small caches would be through before the clock has moved.
    turns = max(1, _least(harness) // len(keys))
    return [
        (loop.time(cached, turns) - empty.time(None, turns)) / (turns * len(keys))
        for _ in _rounds(harness)
    ][1:]


def _misses(harness: Harness, cached: Any, count: int, fresh: Iterator[int]) -> list[float]:
    found = []
    for _ in _rounds(harness):
        loop, empty = _loops([next(fresh) for _ in range(count)])
        found.append((loop.time(cached, 1) - empty.time(None, 1)) / count)
    return found[1:]


def _loops(keys: Sequence[int]) -> tuple[Loop, Loop]:
    rows = [(key,) for key in keys]
    return Loop("f({0})", rows), Loop("f({0})", rows, empty=True)


def _free_memory() -> int | None:
    """Bytes that can be had without swapping; None where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None
