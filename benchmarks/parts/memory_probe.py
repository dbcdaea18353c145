"""Fills caches and prints by how many bytes the process grew: `memory_probe NAME ENTRIES CACHES`.

All caches hold the same keys and values.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from pathlib import Path

from benchmarks.contenders import functools_lru, load, warp_cached, warp_lru
from benchmarks.harness import Harness, Options
from benchmarks.model import FUNCTOOLS, WARP_CACHE, WARP_LRU, PartResult
from benchmarks.parts.memory import UNBOUNDED
from benchmarks.peers import CACHEBOX, CACHETOOLS, MOKA, THEINE
from benchmarks.workloads import Decorator

PR_SET_THP_DISABLE = 41


def main(name: str, entries: int, copies: int) -> None:
    libc = ctypes.CDLL(None)
    # A huge page would round a table up to 2 MiB.
    libc.prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)
    keys = list(range(10**9, 10**9 + entries))
    values = list(range(2 * 10**9, 2 * 10**9 + entries))

    def work(key: int) -> int:
        return values[key - 10**9]

    # What is set up once in a process, whatever its caches hold, is not an entry's.
    other = _decorator(name, entries)(work)
    for key in keys[:100]:
        other(key)
    del other
    before = _resident(libc)
    caches = []
    for _ in range(copies):
        cached = _decorator(name, entries)(work)
        for key in keys:
            cached(key)
        caches.append(cached)
    after = _resident(libc)
    for cached in caches:
        for key, value in zip(keys, values, strict=True):
            if cached(key) is not value:
                raise AssertionError(f"{name} lost or changed the value of {key}")
    print(after - before)


def _decorator(name: str, entries: int) -> Decorator:
    """Peers make their cache here already, so each function gets a decorator of its own."""
    size = None if name.endswith(UNBOUNDED) else entries
    name = name.removesuffix(UNBOUNDED)
    ours = {FUNCTOOLS: functools_lru, WARP_LRU: warp_lru, WARP_CACHE: warp_cached}
    if name in ours:
        return ours[name](size)
    harness = Harness(Options(), PartResult("memory"))
    for peer in (CACHEBOX, MOKA, CACHETOOLS, THEINE):
        if peer.name == name:
            decorator = load(harness, peer, size)
            if decorator is None:
                raise SystemExit(harness.result.missing[-1].removeprefix(f"{name}: "))
            return decorator
    raise SystemExit(f"no contender is called {name!r}")


def _resident(libc: ctypes.CDLL) -> int:
    """Anonymous resident bytes, after garbage has gone back to the system as far as it will go."""
    gc.collect()
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
    for line in (
        Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    ):
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("this kernel does not report RssAnon")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
