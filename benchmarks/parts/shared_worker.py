"""The processes of the part `shared`: `shared_worker fill`, or `shared_worker serve RUN CPU`.

`fill` writes the values that the measuring process then reads first. `serve` calls a cached
function as often as it is told, from the moment that it is told: a line `NAME TURNS START`, the
time in nanoseconds of the monotonic clock, is answered with `CALLS START END`, or `NAME info` with
hits and misses.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import warp_cache
from benchmarks import upstream
from benchmarks.model import SHARED_CACHE, SHARED_LRU
from benchmarks.workloads import Function

# Values that are read once each: enough that a turn is much longer than its timing.
FIRST_HITS = 4096

# All processes ask for the hot keys; of ten calls one is for a key that nobody has asked for.
HOT = 512
SIZE = 1024
CALLS_PER_TURN = 10
PLAIN = "a plain Python function"


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


def targets(run: str, *, with_upstream: bool) -> dict[str, Callable[[int], int]]:
    """What is called: alike in all processes of a run."""
    found: dict[str, Callable[[int], int]] = {PLAIN: plain}
    for name, decorate in ((SHARED_CACHE, warp_cache.cache), (SHARED_LRU, warp_cache.lru_cache)):
        options: dict[str, Any] = {"max_size": SIZE, "backend": "shared", "name": f"{run}-{name}"}
        found[name] = decorate(**options)(plain)
    if with_upstream:

        def work(a: int) -> int:
            return a

        work.__module__, work.__qualname__ = "benchmarks", f"work_{run}"
        work.__name__ = work.__qualname__
        found[upstream.NAME] = upstream.load_module().cache(max_size=SIZE, backend="shared")(work)
    return found


def serve(run: str, cpu: int, *, with_upstream: bool) -> None:
    with contextlib.suppress(AttributeError, OSError):  # a platform without, or not allowed
        os.sched_setaffinity(0, {cpu})
    found = targets(run, with_upstream=with_upstream)
    # Never the same twice, nor another process's.
    fresh = itertools.count(10**9 * (os.getpid() + 1))
    hot = itertools.cycle(range(HOT))
    gc.disable()
    print("ready", flush=True)
    for line in sys.stdin:
        name, *what = line.rstrip("\n").split("\t")
        if what == ["info"]:
            info = found[name].cache_info()  # type: ignore[attr-defined]
            print(info.hits, info.misses, flush=True)
            continue
        turns, start = int(what[0]), int(what[1])
        print(turns * CALLS_PER_TURN, *_timed(found[name], hot, fresh, turns, start), flush=True)


def _timed(
    f: Callable[[int], int], hot: Iterator[int], fresh: Iterator[int], turns: int, start: int
) -> tuple[int, int]:
    clock, following, new = time.perf_counter_ns, hot.__next__, fresh.__next__
    while clock() < start:
        pass
    begun = clock()
    for _ in itertools.repeat(None, turns):
        f(following())
        f(following())
        f(following())
        f(following())
        f(following())
        f(following())
        f(following())
        f(following())
        f(following())
        f(new())
    return begun, clock()


if __name__ == "__main__":
    if sys.argv[1] == "fill":
        fill()
    else:
        serve(sys.argv[2], int(sys.argv[3]), with_upstream=sys.argv[4] == "with")
