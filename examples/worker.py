"""One worker process of the demo: runs one report over some of the library's files.

    python worker.py shared|functools REPORT < FILES

While it works it prints a line with a number for each so many calls, at the end one line of JSON:
what it has found, or why there can be no shared cache.
`examples/processes.py` starts it and reads that.
"""

from __future__ import annotations

import functools
import hashlib
import json
import sys
import time
import warnings
from collections.abc import Callable

import library
import reports
from library import Analysis

import warp_cache

TICKS = 20

computed: list[str] = []
asked: set[str] = set()


def analyse(path: str) -> Analysis:
    """The slow function, with a note of each time that it really ran in this process."""
    computed.append(path)
    return library.analyse(path)


def main(way: str, name: str, files: list[str]) -> None:
    # The library's own tests hold code that the compiler warns of.
    warnings.simplefilter("ignore")
    report = reports.all_reports(files, library.module_names(files))[name]
    # All files fit: what is computed twice is not for want of room.
    cached: Callable[[str], Analysis]
    if way == "shared":
        try:
            cached = warp_cache.cache(max_size=len(files), backend="shared")(analyse)
        except (OSError, RuntimeError) as error:  # a full disk, a platform without
            print(json.dumps({"impossible": str(error)}), flush=True)
            return
    else:
        cached = functools.lru_cache(maxsize=len(files))(analyse)
    calls = 0

    def ask(path: str) -> Analysis:
        asked.add(path)
        return cached(path)

    def tick() -> None:
        nonlocal calls
        calls += 1
        if calls % TICKS == 0:
            print(TICKS, flush=True)

    start = time.perf_counter()
    result = reports.run(report, ask, tick)
    found = {
        "calls": calls,
        "computed": len(computed),
        "by_others": len(asked - set(computed)),
        "seconds": time.perf_counter() - start,
        "result": hashlib.sha256(repr(result).encode()).hexdigest(),
    }
    print(calls % TICKS, flush=True)
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], json.load(sys.stdin))
