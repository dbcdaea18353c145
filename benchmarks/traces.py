"""Access traces: recorded ones, which are not part of the project, and made-up ones.

The recorded ones are looked for in $WARP_CACHE_TRACES, else in shared/traces beside the checkout;
the README there says where they come from. The made-up ones have a fixed seed and are as long as
asked for, the same on every machine and in every version of Python.
"""

from __future__ import annotations

import array
import bisect
import heapq
import itertools
import json
import os
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import ROOT

SHORT = ("web07", "web12")
LONG = ("scarab-recs", "orm-busy")
# Cache sizes, as parts of the number of unique keys.
FRACTIONS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
SEED = 20_240_229


@dataclass(frozen=True)
class Trace:
    """The keys of the requests, in their order, and the cache sizes at which to replay them."""

    name: str
    title: str
    keys: Sequence[int]
    fractions: Sequence[float] = FRACTIONS
    # Misses of other policies and of the optimum, by fraction: counted by independent simulators.
    reference: dict[float, dict[str, int]] = field(default_factory=dict)

    @property
    def unique(self) -> int:
        return len(set(self.keys))


def folder() -> Path:
    """Where the recorded traces are looked for."""
    return Path(os.environ.get("WARP_CACHE_TRACES") or ROOT.parent / "shared" / "traces")


def recorded(name: str) -> Trace:
    """A recorded trace. Raises OSError where it is absent, ImportError without lzma."""
    import lzma  # not every interpreter has it

    code = next(code for code in "ILH" if array.array(code).itemsize == 4)
    keys = array.array(code)
    keys.frombytes(lzma.decompress((folder() / f"{name}.u32.xz").read_bytes()))
    if sys.byteorder == "big":
        keys.byteswap()
    known = json.loads((folder() / "reference.json").read_text(encoding="utf-8"))
    reference: dict[float, dict[str, int]] = {}
    for label, found in known.items():
        trace, _, fraction = label.partition("@")
        if trace == name:
            _require_same(label, found, len(keys))
            reference[float(fraction)] = found["misses"]
    return Trace(name, f"{name}, a recorded trace", keys, FRACTIONS, reference)


def _require_same(label: str, found: dict[str, Any], requests: int) -> None:
    if found["requests"] != requests:
        raise ValueError(f"{label}: {found['requests']} requests in reference.json, not {requests}")


def capacity(fraction: float, unique: int) -> int:
    """As in the reference."""
    return max(1, round(fraction * unique))


def made_up(requests: int) -> list[Trace]:
    """The synthetic ones, each with so many requests."""
    return [
        Trace("zipf", "Zipf 0.9 over 20,000 keys", _zipf(requests, 20_000)),
        Trace(
            "loop",
            "a loop over 2,000 keys",
            [number % 2000 for number in range(requests)],
            # What matters is by how little the cache is too small.
            (0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99),
        ),
        Trace("scans", "Zipf 0.9, interrupted by scans", _with_scans(requests)),
        Trace("recency", "a hot set that moves on", _moving(requests)),
    ]


def _zipf(requests: int, keys: int, exponent: float = 0.9) -> list[int]:
    """The n-th most popular key is asked for in proportion to n ** -exponent.

    Popularity has nothing to do with the order of the numbers: they are shuffled.
    """
    chance = random.Random(SEED)
    weights = list(itertools.accumulate(rank**-exponent for rank in range(1, keys + 1)))
    names = list(range(keys))
    _shuffle(names, chance)
    return [
        names[bisect.bisect_left(weights, chance.random() * weights[-1])] for _ in range(requests)
    ]


def _with_scans(requests: int, every: int = 10_000, length: int = 5000) -> list[int]:
    """After `every` requests of Zipf's come `length` keys in a row that nobody asks for again."""
    popular = iter(_zipf(requests, 10_000))
    fresh = itertools.count(10**6)
    found: list[int] = []
    while len(found) < requests:
        found.extend(itertools.islice(popular, every))
        found.extend(itertools.islice(fresh, length))
    return found[:requests]


def _moving(requests: int, width: int = 400, step: int = 4) -> list[int]:
    """Uniformly among `width` keys; every `step` requests the oldest leaves, a new one comes."""
    chance = random.Random(SEED)
    return [number // step + int(chance.random() * width) for number in range(requests)]


def _shuffle(items: list[int], chance: random.Random) -> None:
    """By `random()` alone, which is the same in every version."""
    for last in range(len(items) - 1, 0, -1):
        other = int(chance.random() * (last + 1))
        items[last], items[other] = items[other], items[last]


def optimum(keys: Sequence[int], size: int) -> int:
    """The least possible number of misses of a cache that stores every miss.

    L. A. Belady, "A study of replacement algorithms for a virtual-storage computer", IBM Systems
    Journal 5 (1966): the victim is the entry whose next use is furthest away. O(n log n).
    """
    never = len(keys)
    following = [never] * len(keys)
    last: dict[int, int] = {}
    for position in range(len(keys) - 1, -1, -1):
        following[position] = last.get(keys[position], never)
        last[keys[position]] = position
    # The next use of each entry; and all of these that ever were, the furthest first.
    cached: dict[int, int] = {}
    furthest: list[tuple[int, int]] = []
    misses = 0
    for position, key in enumerate(keys):
        if key not in cached:
            misses += 1
            while len(cached) >= size:
                use, victim = heapq.heappop(furthest)
                if cached.get(victim) == -use:
                    del cached[victim]
        cached[key] = following[position]
        heapq.heappush(furthest, (-following[position], key))
    return misses
