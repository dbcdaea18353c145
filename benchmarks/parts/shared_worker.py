"""Processes of the shared parts: `shared_worker fill`, or `shared_worker serve ORDERS` as JSON.

`fill` writes the values that the measuring process then reads first. `serve` calls a cached
function as often as it is told, from the moment that it is told: a line `NAME TURNS WRITES START`,
the time in nanoseconds of the monotonic clock, is answered with `CALLS START END`, or `NAME info`
with hits and misses.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import warp_cache
from benchmarks import stores, upstream
from benchmarks.model import SHARED_CACHE, SHARED_LRU
from benchmarks.workloads import Function

# Values that are read once each: enough that a turn is much longer than its timing.
FIRST_HITS = 4096

PLAIN = "a plain Python function"
# All processes ask for the hot keys in turn; what else they ask for nobody has asked for before.
HOT = 512
CALLS_PER_TURN = 10
# Of ten calls, so many are for new keys: these miss, are written and evict.
WRITES = (0, 1, 5)


@dataclass(frozen=True)
class Orders:
    """What a process is to be: the same for all of a run, but for the CPU."""

    run: str
    cpu: int
    names: list[str]
    size: int
    # Where the stores' files and sockets are.
    folder: str = ""


def made(a: int) -> dict[str, Any]:
    """A value as services cache them: a dict of three keys, one of them a list."""
    return {"id": a, "name": f"user {a}", "roles": ["reader", "writer", a]}


def first_hit_cache(name: str, function: Function | None = None) -> Any:
    """A function on the file of that contender, which has decoded nothing yet."""
    decorate: Any = {SHARED_CACHE: warp_cache.cache, SHARED_LRU: warp_cache.lru_cache}[name]
    options: dict[str, Any] = {"max_size": FIRST_HITS, "backend": "shared", "name": f"first-{name}"}
    return decorate(**options)(function or _never)


def _never(a: int) -> Any:
    raise AssertionError(f"{a} was to be in the cache")


def fill() -> None:
    for name in (SHARED_CACHE, SHARED_LRU):
        cached = first_hit_cache(name, made)
        for number in range(FIRST_HITS):
            cached(number)


def plain(a: int) -> int:
    return a


def targets(orders: Orders) -> dict[str, Callable[[int], int]]:
    """What is called: alike in all processes of a run."""
    return {name: _target(name, orders) for name in orders.names}


def _target(name: str, orders: Orders) -> Callable[[int], int]:
    ours: dict[str, Any] = {SHARED_CACHE: warp_cache.cache, SHARED_LRU: warp_cache.lru_cache}
    if name == PLAIN:
        return plain
    if name in ours:
        options: dict[str, Any] = {"max_size": orders.size, "backend": "shared"}
        cached: Callable[[int], int] = ours[name](name=f"{orders.run}-{name}", **options)(plain)
        return cached
    if name == upstream.NAME:

        def work(a: int) -> int:
            return a

        work.__module__, work.__qualname__ = "benchmarks", f"work_{orders.run}"
        work.__name__ = work.__qualname__
        decorator = upstream.load_module().cache(max_size=orders.size, backend="shared")
        theirs: Callable[[int], int] = decorator(work)
        return theirs
    return stores.MEMOIZED[name](Path(orders.folder), plain)


def serve(orders: Orders) -> None:
    with contextlib.suppress(AttributeError, OSError):  # a platform without, or not allowed
        os.sched_setaffinity(0, {orders.cpu})
    found = targets(orders)
    loops = {writes: _loop(writes) for writes in WRITES}
    # Never the same twice, nor another process's.
    fresh = itertools.count(10**9 * (os.getpid() + 1)).__next__
    hot = itertools.cycle(range(HOT)).__next__
    gc.disable()
    print("ready", flush=True)
    for line in sys.stdin:
        name, *what = line.rstrip("\n").split("\t")
        if what == ["info"]:
            info = found[name].cache_info()  # type: ignore[attr-defined]
            print(info.hits, info.misses, flush=True)
            continue
        turns, writes, start = map(int, what)
        _wait_for(start)
        times = loops[writes](found[name], hot, fresh, turns)
        print(turns * CALLS_PER_TURN, *times, flush=True)


def _wait_for(start: int) -> None:
    """To the microsecond; asleep at first, as there may be more processes than processors."""
    while (left := start - time.perf_counter_ns()) > 0:
        if left > 1_000_000:
            time.sleep((left - 500_000) / 1e9)


Timed = Callable[[Callable[[int], int], Callable[[], int], Callable[[], int], int], tuple[int, int]]


def _loop(writes: int) -> Timed:
    """Ten calls a turn, of which so many are for new keys, evenly spread."""
    calls = [
        f"        f({'new' if (number + 1) * writes // 10 > number * writes // 10 else 'hot'}())\n"
        for number in range(CALLS_PER_TURN)
    ]
    source = (
        "def loop(f, hot, new, turns):\n"
        "    begun = clock()\n"
        "    for _ in repeat(None, turns):\n" + "".join(calls) + "    return begun, clock()\n"
    )
    namespace: dict[str, Any] = {"clock": time.perf_counter_ns, "repeat": itertools.repeat}
    exec(compile(source, "<timing loop>", "exec"), namespace)
    loop: Timed = namespace["loop"]
    return loop


if __name__ == "__main__":
    if sys.argv[1] == "fill":
        fill()
    else:
        serve(Orders(**json.loads(sys.argv[2])))
